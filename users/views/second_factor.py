"""HTTP of the caller's own second factor.

No Idempotency-Key here: answers hold secrets, which are never stored.
"""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from users import log_in, selectors, services
from users.serializers.second_factor import (
    ConfirmEnrolmentInput,
    EnrolmentOutput,
    NoInput,
    RecoveryCodesOutput,
    SecondFactorOutput,
)

_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # noqa: S105 - an example in the docs
_URL = f"otpauth://totp/Fintech%20Core%3Aalice%40customer.example?secret={_SECRET}&issuer=Fintech%20Core"


@extend_schema(tags=["users"])
class SecondFactorViewSet(DomainViewSet):
    """An authenticator (TOTP) and its recovery codes. There is no id in the path to get wrong."""

    output = SecondFactorOutput

    @endpoint(access=Capability.PROFILE_READ)
    @extend_schema(
        operation_id="second_factor_retrieve",
        responses={200: SecondFactorOutput},
        examples=[
            OpenApiExample(
                "Enrolled",
                value={"enrolled": True, "confirmed_at": "2026-03-01T09:30:00.000000Z", "recovery_codes_left": 9},
                response_only=True,
            )
        ],
    )
    def retrieve(self, request: Request) -> Response:
        """Whether there is a second factor, since when, and how many recovery codes are left."""
        user_id = self.actor.id
        device = selectors.confirmed_device(user_id)
        state = {
            "enrolled": device is not None,
            "confirmed_at": device.confirmed_at if device else None,
            "recovery_codes_left": selectors.recovery_codes_left(user_id),
        }
        return Response(SecondFactorOutput(state).data)

    @endpoint(access=Capability.CREDENTIALS_WRITE, step_up=StepUpAction("Another authenticator for your account"))
    @extend_schema(
        operation_id="second_factor_start",
        request=NoInput,
        responses={201: EnrolmentOutput},
        examples=[OpenApiExample("Started", value={"secret": _SECRET, "otpauth_url": _URL}, response_only=True)],
    )
    def create(self, request: Request) -> HttpResponse:
        """Start to enrol an authenticator, the first or another one: confirm it within fifteen minutes."""
        self.validated(NoInput)
        return self.write(
            lambda: services.start_enrolment(actor=self.actor, user_id=self.actor.id), EnrolmentOutput, status=201
        )

    @endpoint(access=Capability.CREDENTIALS_WRITE, problems=(409, 422, 429))
    @extend_schema(
        operation_id="second_factor_confirm",
        request=ConfirmEnrolmentInput,
        responses={200: RecoveryCodesOutput},
        examples=[OpenApiExample("Code", value={"code": "492039"}, request_only=True)],
    )
    def confirm(self, request: Request) -> HttpResponse:
        """The code that the new authenticator shows. Answers with ten recovery codes, shown this once; ends the
        caller's other sessions."""
        code = self.validated(ConfirmEnrolmentInput)["code"]
        confirm = log_in.confirm_enrolment(actor=self.actor, user_id=self.actor.id, code=code)
        return self.write(lambda: {"recovery_codes": confirm()}, RecoveryCodesOutput)

    @endpoint(
        access=Capability.CREDENTIALS_WRITE,
        step_up=StepUpAction("Remove the second factor of your account"),
        problems=(409,),
    )
    @extend_schema(operation_id="second_factor_remove", request=None, responses={204: None})
    def destroy(self, request: Request) -> HttpResponse:
        """Remove the second factor with its recovery codes. Staff can't, where they must have one."""
        return self.write(
            lambda: services.remove_second_factor(actor=self.actor, user_id=self.actor.id), None, status=204
        )

    @endpoint(
        access=Capability.CREDENTIALS_WRITE,
        step_up=StepUpAction("New recovery codes for your account"),
        problems=(409,),
    )
    @extend_schema(
        operation_id="second_factor_recovery_codes",
        request=NoInput,
        responses={200: RecoveryCodesOutput},
    )
    def renew_recovery_codes(self, request: Request) -> HttpResponse:
        """Ten new recovery codes, shown this once. The old ones are worth nothing any more."""
        self.validated(NoInput)
        return self.write(
            lambda: {"recovery_codes": services.renew_recovery_codes(actor=self.actor, user_id=self.actor.id)},
            RecoveryCodesOutput,
        )
