"""HTTP of step-up codes for sensitive requests.

No Idempotency-Key here: bodies may hold personal data, which is never stored.
"""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from fintech_core.exceptions import ValidationFailed
from fintech_core.http.endpoints import endpoint, endpoint_at
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.limits.ratelimit import count_send_in_session
from fintech_core.security import step_up
from fintech_core.security.capabilities import Capability
from users import services
from users.authentication import in_organization
from users.limits import SENDS_IN_ALL, STEP_UP
from users.serializers.step_up import StepUpInput, StepUpOutput

_TRANSFER = {
    "source_wallet": "01a2053d-03df-71d1-8045-26d288669fea",
    "destination_email": "bob@customer.example",
    "amount": "15000.00",
    "currency": "USD",
}

_NOT_ONE = {"field": "path", "code": "no_step_up", "message": "This is no request that asks for a code."}


@extend_schema(tags=["auth"])
class StepUpViewSet(DomainViewSet):
    @endpoint(access=Capability.CREDENTIALS_WRITE, limits=(STEP_UP,), problems=(404, 409, 422))
    @extend_schema(
        operation_id="auth_step_up",
        request=StepUpInput,
        responses={202: StepUpOutput},
        examples=[
            OpenApiExample(
                "A large transfer",
                value={"method": "POST", "path": "/api/v1/transfers", "body": _TRANSFER},
                request_only=True,
            ),
            OpenApiExample(
                "Sent", value={"channel": "email", "expires_at": "2026-11-25T10:10:00.000000Z"}, response_only=True
            ),
        ],
    )
    def create(self, request: Request) -> HttpResponse:
        """Ask for a code for one request, which is then repeated with it as `Step-Up-Code`, from the same session.

        A payment's code is sent, and the message names amount and payee. For the rest `channel` is `totp` for who has
        an authenticator: nothing is sent, and its code is used. 409 `step_up_unavailable` where no text message would
        be sent to the number of a user who has no verified address.
        """
        data = self.validated(StepUpInput)
        declared, parameters = endpoint_at(method=data["method"], path=data["path"])
        action = declared.step_up
        if action is None:
            raise ValidationFailed([_NOT_ONE])
        acting = in_organization(self.actor, str(data["organization"])) if "organization" in data else self.actor
        payment = action.describe(acting, parameters, data["body"]) if action.describe else ""
        fingerprint = step_up.fingerprint(**data)
        recipient = services.step_up_recipient(actor=self.actor, payment=payment)
        if recipient is not None:
            count_send_in_session(SENDS_IN_ALL, recipient)
        return self.write(
            lambda: services.begin_step_up(
                actor=self.actor, fingerprint=fingerprint, title=action.title, payment=payment
            ),
            StepUpOutput,
            status=202,
        )
