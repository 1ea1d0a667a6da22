"""Default deny: every route names the capability of each of its actions; what isn't named is refused."""

from typing import Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission

from fintech_core.exceptions import NotAuthenticated
from fintech_core.security.capabilities import Access, Capability, alternatives


class HasAccess(BasePermission):
    """Reads `view.access`: action name (or lower-case method for plain views) → Capability, or any one of several."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if not hasattr(view, request.method.lower()):
            raise MethodNotAllowed(request.method)  # DRF asks for permission first and would make it a 403
        action = getattr(view, "action", None) or request.method.lower()
        if action in {"head", "metadata"}:
            action = "get" if action == "head" else action
        access: Access | None = view.access.get(action)
        if access is Capability.PUBLIC:
            return True
        if request.auth is None:
            raise NotAuthenticated
        return access is not None and any(request.auth.can(capability) for capability in alternatives(access))
