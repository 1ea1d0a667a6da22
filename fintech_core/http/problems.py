"""The one shape of errors: RFC 9457 problem documents, for DRF's errors, Django's and our own."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.template.loader import render_to_string
from django.urls import reverse
from rest_framework import exceptions as drf

from fintech_core.exceptions import DomainError, NotFound, PermissionDenied, ServiceUnavailable, ValidationFailed
from fintech_core.http.front import NoPlace

CONTENT_TYPE = "application/problem+json"
JSON_PATHS = ("/api", "/webhooks", "/health", "/ready")
logger = structlog.get_logger(__name__)


def problem_body(
    *, code: str, status: int, title: str, detail: str, extensions: Mapping[str, Any] | None = None
) -> bytes:
    """The document's bytes, with the request id of this request as `trace_id`."""
    document = {
        "type": f"{reverse('error-codes')}#{code}",
        "title": title,
        "status": int(status),
        "code": code,
        "detail": detail,
        **(extensions or {}),
        "trace_id": structlog.contextvars.get_contextvars().get("request_id", ""),
    }
    return json.dumps(document, ensure_ascii=False).encode()


def body_of(error: DomainError) -> bytes:
    return problem_body(
        code=error.code, status=error.status, title=error.title, detail=error.detail, extensions=error.extensions
    )


def response_of(error: DomainError) -> HttpResponse:
    response = HttpResponse(body_of(error), status=error.status, content_type=CONTENT_TYPE)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    return response


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER. None lets the exception on to Django, which answers a bare 500."""
    domain_error = as_domain_error(error)
    return response_of(domain_error) if domain_error else None


def as_domain_error(error: Exception) -> DomainError | None:
    """The refusal that an exception stands for; None for a bug."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, DjangoPermissionDenied):
        return PermissionDenied()
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("database_unavailable", error=type(error.__cause__ or error).__name__)
        return ServiceUnavailable()
    if isinstance(error, RequestDataTooBig):
        return plain("payload_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
    if isinstance(error, UnreadablePostError) and isinstance(error.__cause__, NoPlace):
        return ServiceUnavailable("Too many files are being sent. Try again in a moment.")
    if isinstance(error, UnreadablePostError):  # the front ends a large body that is slower than it may be
        return plain("request_timeout", HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.")
    if isinstance(error, SuspiciousOperation):
        return plain("bad_request", HTTPStatus.BAD_REQUEST, "The request is not valid.")
    if isinstance(error, drf.ValidationError):
        return ValidationFailed(flatten(error.get_full_details()))
    if isinstance(error, drf.APIException):
        return _from_drf(error)
    return None


_DRF_CODES = {
    "parse_error": "malformed_body",
    "authentication_failed": "not_authenticated",
    "throttled": "rate_limited",
}


def _from_drf(error: drf.APIException) -> DomainError:
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else "error"
    result = plain(_DRF_CODES.get(code, code), error.status_code, str(error.detail))
    wait = getattr(error, "wait", None)
    if wait is not None:
        result.retry_after = max(1, math.ceil(wait))
    return result


class _Plain(DomainError):
    """An error of the frame (routing, parsing, media type) that no module of ours raises."""


def plain(code: str, status: int, detail: str) -> DomainError:
    error = _Plain(detail)
    error.code, error.status = code, status  # type: ignore[misc]
    error.title = HTTPStatus(status).phrase  # type: ignore[misc]
    return error


# The codes of `plain`, for the page of error codes and the OpenAPI file.
FRAME_CODES = {
    "bad_request": 400,
    "malformed_body": 400,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "length_required": 411,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "internal_error": 500,
}


def flatten(details: Any, path: str = "") -> list[dict[str, str]]:
    """DRF's nested details as a flat list; the path of a nested field is spelled `transfers[7].amount`."""
    if isinstance(details, dict) and "message" in details and "code" in details:
        return [{"field": path, "code": str(details["code"]), "message": str(details["message"])}]
    errors: list[dict[str, str]] = []
    if isinstance(details, dict):
        for name, value in details.items():
            # A list serializer names its items by number, an object by field; errors of the object itself by neither.
            if name == "non_field_errors":
                inner = path
            elif isinstance(name, int):
                inner = f"{path}[{name}]"
            else:
                inner = f"{path}.{name}" if path else str(name)
            errors += flatten(value, inner)
    elif isinstance(details, list):
        for index, value in enumerate(details):
            is_message = isinstance(value, dict) and "message" in value and "code" in value
            errors += flatten(value, path if is_message else f"{path}[{index}]")
    return errors


# --- For what never reaches a DRF view: a page for people, the problem document for programs --------------------------

_PAGES = {
    HTTPStatus.BAD_REQUEST: ("Bad request", "The server could not make sense of this request."),
    HTTPStatus.FORBIDDEN: ("Not allowed", "You may not open this page, or you are not logged in."),
    HTTPStatus.NOT_FOUND: ("Page not found", "There is nothing at this address."),
    HTTPStatus.REQUEST_TIMEOUT: ("Too slow", "What was sent did not arrive in time. Send it again."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("Too large", "What was sent is larger than the server accepts."),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("An error on our side", "It has been logged. Try again later."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Out of service for a moment", "Try again in a few seconds."),
}
_EXPIRED_FORM = "The form is no longer valid. Go back, reload the page and send it again."


def _wants_json(request: HttpRequest) -> bool:
    return request.path.startswith(JSON_PATHS) or not request.accepts("text/html")


def answer(request: HttpRequest, error: DomainError, text: str = "") -> HttpResponse:
    """The error in the form that the caller reads. The page needs neither session nor database."""
    response = response_of(error)
    page = _PAGES.get(HTTPStatus(error.status))
    if page is None or _wants_json(request):
        return response
    context = {
        "title": page[0],
        "text": text or page[1],
        "status": int(error.status),
        "of_admin": request.path.startswith("/admin/"),
        "request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
    }
    response.content = render_to_string("fintech_core/error.html", context)
    response["Content-Type"] = "text/html; charset=utf-8"
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, plain("bad_request", HTTPStatus.BAD_REQUEST, "The request is not valid."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, PermissionDenied())


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    return answer(request, plain("internal_error", HTTPStatus.INTERNAL_SERVER_ERROR, "An error on our side."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return answer(request, PermissionDenied(), _EXPIRED_FORM)
