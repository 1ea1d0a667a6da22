"""HTTP of the caller's own profile."""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from fintech_core.db import clock
from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from users import services
from users.models import User
from users.serializers.profile import ProfileInput, UserOutput


@extend_schema(tags=["users"])
class MeViewSet(DomainViewSet):
    """The caller's own profile: there is no id in the path to get wrong."""

    output = UserOutput

    def get_object(self) -> User:
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - the route isn't public
        return user

    @endpoint(access=Capability.PROFILE_READ)
    @extend_schema(operation_id="users_me_retrieve", responses={200: UserOutput})
    def retrieve(self, request: Request) -> HttpResponse:
        """The caller's profile."""
        return self.retrieve_one()

    @endpoint(
        access=Capability.PROFILE_WRITE, step_up=StepUpAction("Another phone number for your account"), problems=(409,)
    )
    @extend_schema(
        operation_id="users_me_update",
        request=ProfileInput,
        responses={200: UserOutput},
        examples=[OpenApiExample("New name", value={"first_name": "Alice"}, request_only=True)],
    )
    def partial_update(self, request: Request) -> HttpResponse:
        """Change names or phone. A changed phone is unverified. Everything else here is not the caller's to set.

        To give up a verified phone asks for a step-up code (403 `step_up_required`), and for a verified address (409
        `last_verified_contact`): an account always has a log-in method.
        """
        changes = self.validated(ProfileInput)
        user_id = self.get_object().pk
        return self.write(
            lambda: services.update_profile(actor=self.actor, user_id=user_id, changes=changes, now=clock.now()),
            UserOutput,
        )
