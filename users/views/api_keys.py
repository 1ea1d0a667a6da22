"""HTTP of API keys. Keys can't reach these routes: no scope brings their capabilities.

No Idempotency-Key here: the answer holds a secret, which is never stored. After a lost answer, revoke the key that
the list shows and make another.
"""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from users import selectors, services
from users.serializers.api_keys import ApiKeyInput, ApiKeyOutput, NewApiKeyOutput

_KEY = {
    "id": "01a2053f-4b1c-7d02-9a3e-6f0b5f1c2d3e",
    "name": "Shop",
    "prefix": "fc_5d41402abc4b2a76",
    "scopes": ["payments:write", "wallets:read"],
    "organization": None,
    "created_at": "2026-11-25T23:01:30.925621Z",
    "expires_at": "2027-11-25T00:00:00.000000Z",
    "last_used_at": None,
    "revoked_at": None,
}


@extend_schema(tags=["api keys"])
class ApiKeyViewSet(DomainViewSet):
    """The caller's keys; while acting in an organization, the organization's."""

    output = ApiKeyOutput

    def get_queryset(self) -> Any:
        return selectors.api_keys_visible_to(self.actor)

    @endpoint(access=Capability.API_KEYS_READ)
    @extend_schema(operation_id="api_keys_list", responses={200: ApiKeyOutput(many=True)})
    def list(self, request: Request) -> Response:
        """The caller's keys, revoked and expired ones as well."""
        return self.list_page()

    @endpoint(access=Capability.API_KEYS_WRITE, step_up=StepUpAction("Make an API key"), problems=(422,))
    @extend_schema(
        operation_id="api_keys_create",
        request=ApiKeyInput,
        responses={201: NewApiKeyOutput},
        examples=[
            OpenApiExample(
                "Make a key",
                value={"name": _KEY["name"], "scopes": _KEY["scopes"], "expires_at": "2027-11-25T00:00:00Z"},
                request_only=True,
            ),
            OpenApiExample("Made", value={**_KEY, "key": f"{_KEY['prefix']}.kq3nVfKc0b0m5m…"}, response_only=True),
        ],
    )
    def create(self, request: Request) -> HttpResponse:
        """Make a key. Its text is shown here and never again. 422 `too_many_api_keys` at 20 live ones."""
        data = self.validated(ApiKeyInput)
        return self.write(lambda: services.create_api_key(actor=self.actor, **data), NewApiKeyOutput, status=201)

    @endpoint(access=Capability.API_KEYS_WRITE, step_up=StepUpAction("Revoke an API key"))
    @extend_schema(operation_id="api_keys_revoke", responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> HttpResponse:
        """Revoke a key: it is refused from now on. 204 also when it was revoked before."""
        return self.write(lambda: services.revoke_api_key(actor=self.actor, key_id=pk), None, status=204)
