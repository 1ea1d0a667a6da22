"""The OpenAPI file: every operation lists the problem answers that it can give; the codes are on one component.

Inputs say all that the server checks and JSON Schema can express: `schema_constraints` of a field, `schema_rules` of a
StrictInput. Their examples are valid bodies. Summaries, tags and sample values are in schema_texts.
"""

import inspect
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

from fintech_core.exceptions import error_classes
from fintech_core.http import schema_texts
from fintech_core.http.endpoints import Endpoint, IdempotencyKey, endpoint_of
from fintech_core.http.pagination import CURSOR_SCHEMA, LIMIT_SCHEMA
from fintech_core.http.problems import CONTENT_TYPE, FRAME_CODES
from fintech_core.http.serializers import StrictInput
from fintech_core.http.viewsets import IDEMPOTENCY_KEY_PATTERN, DomainViewSet
from fintech_core.security import step_up
from fintech_core.security.capabilities import alternatives
from fintech_core.wiring import wired

# Which answers any operation may give besides its own; an endpoint adds its `problems`.
_ALWAYS = (400, 500, 503)  # 400: a header that is given twice
_BODY = (408, 411, 413, 415)
_AUTHENTICATED = (401, 403)
_WITH_RETRY_AFTER = (429, 503)
_KEY = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{IDEMPOTENCY_KEY_PATTERN}$"}
_CODE = {
    "type": "string",
    "minLength": 1,
    "maxLength": 64,
    "pattern": f"^{IDEMPOTENCY_KEY_PATTERN}$",
    "example": "123456",
}


class FieldErrorOutput(serializers.Serializer[Any]):
    field = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


class ProblemOutput(serializers.Serializer[Any]):
    """RFC 9457 problem document."""

    type = serializers.CharField(help_text="Where the code is explained.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable; branch on it.")
    detail = serializers.CharField()
    errors = FieldErrorOutput(  # type: ignore[assignment]
        many=True, required=False, help_text="Only for validation_error."
    )
    trace_id = serializers.CharField(help_text="The request's X-Request-Id.")

    class Meta:
        ref_name = "Problem"


class ProblemSchema(AutoSchema):
    """Adds the problem answers, the Idempotency-Key header and the page parameters to what spectacular finds."""

    def get_override_parameters(self) -> list[Any]:
        from drf_spectacular.utils import OpenApiParameter

        parameters: list[Any] = []
        declared = self._endpoint()
        if declared.key is not IdempotencyKey.IGNORED:
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    _KEY,
                    OpenApiParameter.HEADER,
                    required=declared.key is IdempotencyKey.REQUIRED,
                    description="1 to 255 printable ASCII characters, no comma. A repeated key gets the stored answer.",
                )
            )
        if declared.step_up is not None:
            parameters.append(
                OpenApiParameter(
                    step_up.HEADER,
                    _CODE,
                    OpenApiParameter.HEADER,
                    description="A step-up code for exactly this request, where 403 `step_up_required` asks for one: "
                    "POST /api/v1/auth/step-up.",
                )
            )
        if self._may_be_a_members():
            parameters.append(
                OpenApiParameter(
                    "X-Organization",
                    OpenApiTypes.UUID,
                    OpenApiParameter.HEADER,
                    description="Act in this organization, by the rights of your membership; 404 without one.",
                )
            )
        if self._is_list_view() and isinstance(self.view, DomainViewSet):
            parameters += [
                OpenApiParameter("limit", LIMIT_SCHEMA, description="How many rows a page has at most."),
                OpenApiParameter("cursor", CURSOR_SCHEMA, description="From `next` or `previous` of the page before."),
            ]
            if self.view.filter_input is not None:
                parameters.append(self.view.filter_input)
        return parameters

    def _endpoint(self) -> Endpoint:
        return endpoint_of(type(self.view), getattr(self.view, "action", None) or self.method.lower())

    def _may_be_a_members(self) -> bool:
        """Whether some member of an organization may do this as a member."""
        any_of = alternatives(self._endpoint().access)
        return any(not any_of.isdisjoint(rights) for rights in wired().member_capabilities.values())

    def get_summary(self) -> str | None:
        return schema_texts.SUMMARIES.get(self.get_operation_id()) or schema_texts.first_sentence(
            self.get_description()
        )

    def get_description(self) -> str:  # type: ignore[override]
        """The action's docstring or the view's own, never the one that a view inherits from the frame."""
        found: str = super().get_description()
        if found in _DOCS_OF_THE_FRAME:
            operation = self.get_operation_id()
            return schema_texts.SUMMARIES.get(operation, operation.replace("_", " ").capitalize()) + "."
        return found

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)
        if direction == "request" and isinstance(serializer, StrictInput):
            schema["additionalProperties"] = False
            rules = serializer.schema_rules()
            if rules:
                # Inside of allOf, where generators of clients that don't know these keywords pass over them.
                schema["allOf"] = rules
            schema["example"] = schema_texts.example_of(serializer, schema)
        return schema

    def _insert_field_validators(self, field: Any, schema: Any) -> None:
        super()._insert_field_validators(field, schema)
        constraints = getattr(field, "schema_constraints", None)
        if constraints is not None and not field.read_only:
            for keyword, value in constraints().items():
                schema[keyword] = schema.get(keyword, value) if keyword == "pattern" else value
        if isinstance(field, serializers.ListSerializer) and not field.read_only and schema.get("type") == "array":
            least, most = getattr(field, "min_length", None), getattr(field, "max_length", None)
            schema |= {"minItems": least or int(not field.allow_empty)} | ({"maxItems": most} if most else {})

    def _is_list_view(self, serializer: Any = None) -> bool:
        if isinstance(serializer, serializers.ListSerializer):
            return True  # an answer that is an array, without pages
        return getattr(self.view, "action", "") == "list"

    def _get_paginator(self) -> Any:
        return None

    def _get_response_for_code(
        self, serializer: Any, status_code: Any, media_types: Any = None, direction: Any = "response"
    ) -> Any:
        is_page = direction == "response" and str(status_code) == "200" and self._is_list_view()
        response = super()._get_response_for_code(serializer, status_code, media_types, direction)
        if is_page and isinstance(self.view, DomainViewSet):
            for content in response.get("content", {}).values():
                content["schema"] = _page_of(content["schema"])
        return response

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        for status in self._problem_statuses():
            operation["responses"].setdefault(str(status), self._problem(status))
        return operation

    def _problem_statuses(self) -> list[int]:
        statuses = set(_ALWAYS)
        if self.method not in {"GET", "DELETE"}:
            statuses |= set(_BODY)
        if self.view.authentication_classes:
            statuses |= set(_AUTHENTICATED)
        if self.view.get_throttles():
            statuses.add(429)
        if "{" in self.path or self._may_be_a_members():
            statuses.add(404)
        declared = self._endpoint()
        if declared.key is not IdempotencyKey.IGNORED:
            statuses |= {409, 422}
        if declared.step_up is not None:
            statuses |= {403, 429}
        return sorted(statuses | set(declared.problems))

    def _problem(self, status: int) -> dict[str, Any]:
        from http import HTTPStatus

        component = self.resolve_serializer(ProblemOutput, "response")
        answer = {"description": HTTPStatus(status).phrase, "content": {CONTENT_TYPE: {"schema": component.ref}}}
        if status in _WITH_RETRY_AFTER:
            answer["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
        return answer


_DOCS_OF_THE_FRAME = {inspect.getdoc(DomainViewSet)}


def _page_of(schema: dict[str, Any]) -> dict[str, Any]:
    rows = schema if schema.get("type") == "array" else {"type": "array", "items": schema}
    link = {"type": ["string", "null"], "format": "uri"}
    return {
        "type": "object",
        "required": ["results", "next", "previous"],
        "properties": {"results": rows, "next": link, "previous": link},
    }


def add_error_codes(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """List every error code on the Problem component, from the classes that exist."""
    problem = result.get("components", {}).get("schemas", {}).get("Problem")
    if problem:
        codes = {cls.code for cls in error_classes() if cls.code != "error"} | set(FRAME_CODES)
        problem["properties"]["code"]["enum"] = sorted(codes)
    return result
