"""HTTP of the log-in methods of the caller's account."""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from users.serializers.profile import LogInMethodsInput, UserOutput
from users.services import log_in_methods


@extend_schema(tags=["users"])
class LogInMethodsViewSet(DomainViewSet):
    """The caller's own account: there is no id in the path to get wrong."""

    output = UserOutput

    @endpoint(
        access=Capability.CREDENTIALS_WRITE,
        step_up=StepUpAction("Log-in to your account by mailed codes"),
        problems=(409,),
    )
    @extend_schema(
        operation_id="users_me_log_in_methods_update",
        request=LogInMethodsInput,
        responses={200: UserOutput},
        examples=[OpenApiExample("No mailed codes", value={"email_code": False}, request_only=True)],
    )
    def partial_update(self, request: Request) -> HttpResponse:
        """Switch log-in by mailed codes off or on. Off takes a password and a verified address: 409 `no_other_log_in`.

        The request for such a code is answered as before; none is sent. The owner is notified of the change.
        """
        enabled = self.validated(LogInMethodsInput)["email_code"]
        return self.write(lambda: log_in_methods.set_email_code_log_in(actor=self.actor, enabled=enabled), UserOutput)
