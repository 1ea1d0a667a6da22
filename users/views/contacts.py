"""HTTP of the caller's own address and number: a code goes to the new one, its proof changes it."""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from users import log_in
from users.limits import SEND_NETWORK, SEND_TO_EMAIL, SEND_TO_PHONE, VERIFY_NETWORK
from users.serializers.auth import EmailCodeInput, PhoneCodeInput, SendToEmailInput, SendToPhoneInput, SentOutput
from users.serializers.profile import UserOutput
from users.services import contacts
from users.views.code_log_ins import EMAIL, PHONE, SENT_EXAMPLE


@extend_schema(tags=["users"])
class ContactViewSet(DomainViewSet):
    """The caller's own address and number: there is no id in the path to get wrong."""

    @endpoint(
        access=Capability.CREDENTIALS_WRITE,
        limits=(SEND_NETWORK, SEND_TO_PHONE),
        step_up=StepUpAction("Another phone number for your account"),
        problems=(422,),
    )
    @extend_schema(
        operation_id="users_me_phone",
        request=SendToPhoneInput,
        responses={202: SentOutput},
        examples=[OpenApiExample("New number", value={"phone": PHONE}, request_only=True), SENT_EXAMPLE],
    )
    def send_phone_code(self, request: Request) -> HttpResponse:
        """Send a code to the number that is to be the caller's. The answer is the same if another account has it.

        422 `phone_country_not_served` for numbers of countries that no text messages are sent to.
        """
        data = self.validated(SendToPhoneInput)
        return self.write(lambda: contacts.send_phone_code(actor=self.actor, **data), SentOutput, status=202)

    @endpoint(access=Capability.CREDENTIALS_WRITE, limits=(VERIFY_NETWORK,), problems=(422,))
    @extend_schema(
        operation_id="users_me_phone_verify",
        request=PhoneCodeInput,
        responses={200: UserOutput},
        examples=[OpenApiExample("Confirm", value={"phone": PHONE, "code": "123456"}, request_only=True)],
    )
    def verify_phone(self, request: Request) -> HttpResponse:
        """Confirm the number with the code: it is verified and replaces the old one. 422 `contact_code_invalid`."""
        data = self.validated(PhoneCodeInput)
        return self.write(log_in.verify_phone(actor=self.actor, **data), UserOutput)

    @endpoint(
        access=Capability.CREDENTIALS_WRITE,
        limits=(SEND_NETWORK, SEND_TO_EMAIL),
        step_up=StepUpAction("Another email address for your account"),
    )
    @extend_schema(
        operation_id="users_me_email",
        request=SendToEmailInput,
        responses={202: SentOutput},
        examples=[OpenApiExample("New address", value={"email": EMAIL}, request_only=True), SENT_EXAMPLE],
    )
    def send_email_code(self, request: Request) -> HttpResponse:
        """Send a code to the address that is to be the caller's. The answer is the same if another account has it."""
        data = self.validated(SendToEmailInput)
        return self.write(lambda: contacts.send_email_code(actor=self.actor, **data), SentOutput, status=202)

    @endpoint(access=Capability.CREDENTIALS_WRITE, limits=(VERIFY_NETWORK,), problems=(422,))
    @extend_schema(
        operation_id="users_me_email_verify",
        request=EmailCodeInput,
        responses={200: UserOutput},
        examples=[OpenApiExample("Confirm", value={"email": EMAIL, "code": "123456"}, request_only=True)],
    )
    def verify_email(self, request: Request) -> HttpResponse:
        """Confirm the address with the code: it is verified and replaces the old one. 422 `contact_code_invalid`."""
        data = self.validated(EmailCodeInput)
        return self.write(log_in.verify_email(actor=self.actor, **data), UserOutput)
