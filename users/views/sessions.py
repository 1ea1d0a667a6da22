"""HTTP of the caller's own sessions."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.db import clock
from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from users import services
from users.models import Session
from users.selectors import sessions_of
from users.serializers.auth import NothingInput, SessionOutput


@extend_schema(tags=["users"])
class SessionViewSet(DomainViewSet):
    """Where the caller is logged in."""

    output = SessionOutput

    def get_queryset(self) -> Any:
        user_id = self.actor.user_id
        return sessions_of(user_id=user_id) if user_id else Session.objects.none()

    @endpoint(access=Capability.SESSIONS_READ)
    @extend_schema(operation_id="users_me_sessions_list", responses={200: SessionOutput(many=True)})
    def list(self, request: Request) -> Response:
        """The caller's live sessions, newest first."""
        return self.list_page()

    @endpoint(access=Capability.SESSIONS_END)
    @extend_schema(operation_id="users_me_sessions_end", responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> HttpResponse:
        """End a session: its tokens are refused from now on. 204 also when it had ended."""
        return self.write(lambda: services.end_own_session(actor=self.actor, session_id=pk), None, status=204)

    @endpoint(access=Capability.SESSIONS_END)
    @extend_schema(operation_id="auth_logout_all", tags=["auth"], request=None, responses={204: None})
    def log_out_everywhere(self, request: Request) -> HttpResponse:
        """End every session of the caller, this one too."""
        self.validated(NothingInput)
        return self.write(lambda: services.log_out_everywhere(actor=self.actor, now=clock.now()), None, status=204)
