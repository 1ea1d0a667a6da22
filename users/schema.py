"""How the OpenAPI file describes our authentication."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from fintech_core.http.endpoints import endpoint_of
from fintech_core.security.capabilities import alternatives
from users.scopes import scopes_with


class AccessTokenScheme(OpenApiAuthenticationExtension):
    target_class = "users.authentication.AccessTokenAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token from POST /api/v1/auth/token; it lives ten minutes.",
        }


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "users.api_key_authentication.ApiKeyAuthentication"
    name = "apiKeyAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key <prefix>.<secret>`, with the key from POST /api/v1/api-keys. One of the scopes "
            "that a route lists is enough; a route that lists none can't be reached with a key.",
        }

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]] | list[dict[str, list[str]]]:
        """The scopes that open the route, which OpenAPI 3.1 allows beside any scheme; nothing where there are none."""
        view = auto_schema.view
        action = getattr(view, "action", None) or auto_schema.method.lower()
        scopes = scopes_with(alternatives(endpoint_of(type(view), action).access))
        return {self.name: scopes} if scopes else []
