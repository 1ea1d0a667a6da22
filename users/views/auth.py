"""HTTP of registration, log-in, refresh and log-out.

No Idempotency-Key here: bodies and answers hold passwords and tokens, which are never stored.
"""

from collections.abc import Collection
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from fintech_core.db.work import unit_of_work
from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.limits.ratelimit import LOG_IN_NETWORK
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from users import log_in, services
from users.authentication import anonymous
from users.enums import Role
from users.limits import REGISTER_NETWORK, SEND_TO_EMAIL, VERIFY_NETWORK
from users.serializers.auth import (
    LogInInput,
    RefreshInput,
    RegisteredOutput,
    RegisterInput,
    TokenPairOutput,
    VerifyEmailInput,
)
from users.views.code_log_ins import origin

_EMAIL = "alice@customer.example"
_PASSWORD = "correct horse battery staple"  # noqa: S105 - an example in the docs
_REFRESH = "kq3nVfKc0b0m5m3m2v8cO9m0yq1JdJvQ0o3l9mWc7a4"
_PAIR_EXAMPLE = OpenApiExample(
    "Token pair", value={"access": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…", "refresh": _REFRESH}, response_only=True
)


@extend_schema(tags=["auth"], auth=[])
class AuthViewSet(DomainViewSet):
    """Public routes; what they may do is decided by what is proved in the body."""

    authentication_classes: list[Any] = []

    @endpoint(access=Capability.PUBLIC, limits=(REGISTER_NETWORK, SEND_TO_EMAIL))
    @extend_schema(
        operation_id="auth_register",
        request=RegisterInput,
        responses={201: RegisteredOutput},
        examples=[
            OpenApiExample("Register", value={"email": _EMAIL, "password": _PASSWORD}, request_only=True),
            OpenApiExample("Registered", value={"email": _EMAIL, "status": "VERIFICATION_SENT"}, response_only=True),
        ],
    )
    def register(self, request: Request) -> HttpResponse:
        """Register an address. A token is mailed to it, to a known address a notice. The answer is the same."""
        data = self.validated(RegisterInput)
        return self.write(
            lambda: services.register(actor=anonymous("auth.register"), **data), RegisteredOutput, status=201
        )

    @endpoint(access=Capability.PUBLIC, limits=(VERIFY_NETWORK,), problems=(422,))
    @extend_schema(
        operation_id="auth_email_verify",
        request=VerifyEmailInput,
        responses={200: RegisteredOutput},
        examples=[
            OpenApiExample("Verify", value={"token": _REFRESH}, request_only=True),
            OpenApiExample("Verified", value={"email": _EMAIL, "status": "VERIFIED"}, response_only=True),
        ],
    )
    def verify_email(self, request: Request) -> HttpResponse:
        """Prove the address with the token from the mail: the account and its first wallet are made."""
        data = self.validated(VerifyEmailInput)
        return self.write(lambda: services.verify_email(actor=anonymous("auth.verify_email"), **data), RegisteredOutput)

    @endpoint(access=Capability.PUBLIC, limits=(LOG_IN_NETWORK,), problems=(401, 403, 429))
    @extend_schema(
        operation_id="auth_token",
        request=LogInInput,
        responses={200: TokenPairOutput},
        examples=[
            OpenApiExample("Log in", value={"email": _EMAIL, "password": _PASSWORD}, request_only=True),
            _PAIR_EXAMPLE,
        ],
    )
    def log_in(self, request: Request) -> HttpResponse:
        """Log in. 401 `invalid_credentials` for an unknown address, a wrong password, an inactive account alike.

        Ten failures for an address from one network: 429 `too_many_attempts` for half an hour.
        Who has a second factor sends its code as `otp`: without one the answer to the right password is 401
        `second_factor_required`.
        """
        return self._log_in_by_password(anonymous("auth.log_in"), tuple(Role))

    @endpoint(access=Capability.PUBLIC, limits=(LOG_IN_NETWORK,), problems=(401, 403, 429))
    @extend_schema(
        operation_id="auth_agency_login",
        request=LogInInput,
        responses={200: TokenPairOutput},
        examples=[
            OpenApiExample("Log in", value={"email": _EMAIL, "password": _PASSWORD}, request_only=True),
            _PAIR_EXAMPLE,
        ],
    )
    def log_in_agency(self, request: Request) -> HttpResponse:
        """Log in as an agency admin. 401 `invalid_credentials` for all others, as for a wrong password."""
        return self._log_in_by_password(anonymous("auth.agency_login"), (Role.AGENCY_ADMIN,))

    def _log_in_by_password(self, actor: Actor, roles: Collection[Role]) -> HttpResponse:
        data = self.validated(LogInInput)
        return self.write(
            log_in.log_in_by_password(actor=actor, roles=roles, **data, **origin(self.request)), TokenPairOutput
        )

    @endpoint(access=Capability.PUBLIC, problems=(401, 403))
    @extend_schema(
        operation_id="auth_token_refresh",
        request=RefreshInput,
        responses={200: TokenPairOutput},
        examples=[OpenApiExample("Refresh", value={"refresh": _REFRESH}, request_only=True), _PAIR_EXAMPLE],
    )
    def refresh(self, request: Request) -> HttpResponse:
        """Spend the refresh token for a new pair. Using a spent one again ends the whole session (401)."""
        refresh = self.validated(RefreshInput)["refresh"]
        actor = anonymous("auth.refresh")
        # Committed on its own: the 401 that follows must not undo the end of the session.
        unit_of_work(lambda: services.end_reused_family(actor=actor, refresh=refresh))
        return self.write(lambda: services.rotate_refresh_token(actor=actor, refresh=refresh), TokenPairOutput)

    @endpoint(access=Capability.PUBLIC)
    @extend_schema(
        operation_id="auth_logout",
        request=RefreshInput,
        responses={204: None},
        examples=[OpenApiExample("Log out", value={"refresh": _REFRESH}, request_only=True)],
    )
    def log_out(self, request: Request) -> HttpResponse:
        """End the token's session: its access tokens die at once. 204 also when it had ended, or never was."""
        refresh = self.validated(RefreshInput)["refresh"]
        return self.write(lambda: services.log_out(actor=anonymous("auth.log_out"), refresh=refresh), None, status=204)
