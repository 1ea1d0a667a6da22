"""HTTP of passwordless log-in (one-time codes).

No Idempotency-Key here: answers hold tokens, which are never stored.
"""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from fintech_core.http import client_address
from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from users import log_in
from users.authentication import anonymous
from users.enums import CodePurpose
from users.limits import SEND_NETWORK, SEND_TO_EMAIL, SEND_TO_PHONE, VERIFY_NETWORK
from users.serializers.auth import (
    EmailLogInInput,
    PhoneLogInInput,
    SendToEmailInput,
    SendToPhoneInput,
    SentOutput,
    TokenPairOutput,
)
from users.services import code_log_ins

PHONE, EMAIL = "+12025550123", "carol@customer.example"
SENT_EXAMPLE = OpenApiExample("On its way", value={"expires_in": 600}, response_only=True)


def origin(request: Request) -> dict[str, Any]:
    """What a session remembers of where it was opened."""
    return {"user_agent": request.headers.get("User-Agent", ""), "ip": client_address.of(request)}


@extend_schema(tags=["auth"], auth=[])
class CodeLogInViewSet(DomainViewSet):
    """Public routes; what they may do is decided by what is proved in the body."""

    authentication_classes: list[Any] = []

    @endpoint(access=Capability.PUBLIC, limits=(SEND_NETWORK, SEND_TO_PHONE), problems=(422,))
    @extend_schema(
        operation_id="auth_agent_sms_send",
        request=SendToPhoneInput,
        responses={202: SentOutput},
        examples=[OpenApiExample("Ask for a code", value={"phone": PHONE}, request_only=True), SENT_EXAMPLE],
    )
    def send_agent_code(self, request: Request) -> HttpResponse:
        """Send a code by text message. The answer is the same whether anybody has the number.

        422 `phone_country_not_served` for numbers of countries that no text messages are sent to.
        """
        data = self.validated(SendToPhoneInput)
        return self.write(
            lambda: code_log_ins.send_agent_code(actor=anonymous("auth.agent_sms_send"), **data), SentOutput, status=202
        )

    @endpoint(access=Capability.PUBLIC, limits=(VERIFY_NETWORK,), problems=(401, 429))
    @extend_schema(
        operation_id="auth_agent_sms_verify",
        request=PhoneLogInInput,
        responses={200: TokenPairOutput},
        examples=[OpenApiExample("Log in", value={"phone": PHONE, "code": "123456"}, request_only=True)],
    )
    def log_in_agent(self, request: Request) -> HttpResponse:
        """Log in with the code; who is unknown becomes an agent. 401 `invalid_code` for everything that is wrong.

        429 `too_many_attempts` after five tries in a quarter of an hour, whatever codes were sent in between. Who has a
        second factor sends its code as `otp`: without one a right code is answered 401 `second_factor_required`, and
        stays good.
        """
        data = self.validated(PhoneLogInInput)
        return self._log_in_by_code(
            anonymous("auth.agent_sms_verify"), CodePurpose.AGENT_LOG_IN, data.pop("phone"), data
        )

    @endpoint(access=Capability.PUBLIC, limits=(SEND_NETWORK, SEND_TO_EMAIL))
    @extend_schema(
        operation_id="auth_client_email_send",
        request=SendToEmailInput,
        responses={202: SentOutput},
        examples=[OpenApiExample("Ask for a code", value={"email": EMAIL}, request_only=True), SENT_EXAMPLE],
    )
    def send_client_code(self, request: Request) -> HttpResponse:
        """Send a code by mail. The answer is the same whether anybody has the address."""
        data = self.validated(SendToEmailInput)
        return self.write(
            lambda: code_log_ins.send_client_code(actor=anonymous("auth.client_email_send"), **data),
            SentOutput,
            status=202,
        )

    @endpoint(access=Capability.PUBLIC, limits=(VERIFY_NETWORK,), problems=(401, 429))
    @extend_schema(
        operation_id="auth_client_email_verify",
        request=EmailLogInInput,
        responses={200: TokenPairOutput},
        examples=[OpenApiExample("Log in", value={"email": EMAIL, "code": "123456"}, request_only=True)],
    )
    def log_in_client(self, request: Request) -> HttpResponse:
        """Log in with the code; who is unknown becomes a client. 401 `invalid_code` for everything that is wrong.

        429 `too_many_attempts` after five tries in a quarter of an hour, whatever codes were sent in between. Who has a
        second factor sends its code as `otp`: without one a right code is answered 401 `second_factor_required`, and
        stays good.
        """
        data = self.validated(EmailLogInInput)
        return self._log_in_by_code(
            anonymous("auth.client_email_verify"), CodePurpose.CLIENT_LOG_IN, data.pop("email"), data
        )

    def _log_in_by_code(self, actor: Actor, purpose: CodePurpose, contact: str, proofs: dict[str, Any]) -> HttpResponse:
        return self.write(
            log_in.log_in_by_code(actor=actor, purpose=purpose, contact=contact, **proofs, **origin(self.request)),
            TokenPairOutput,
        )
