"""Default deny: every route declares the capability of each of its actions; what isn't declared is refused."""

from typing import Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission

from fintech_core.exceptions import NotAuthenticated
from fintech_core.http.endpoints import endpoint_called
from fintech_core.security.capabilities import Capability, alternatives


class HasAccess(BasePermission):
    """Whether the caller has the capability that the endpoint declares, or one of several."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if not hasattr(view, request.method.lower()):
            raise MethodNotAllowed(request.method)  # DRF asks for permission first and would make it a 403
        access = endpoint_called(view, request).access
        if access is Capability.PUBLIC:
            return True
        if request.auth is None:
            raise NotAuthenticated
        return any(request.auth.can(capability) for capability in alternatives(access))
