"""Middleware of every request: one URL form, the request id with its log lines."""

import re
import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase

from fintech_core.db import ids
from fintech_core.http import problems
from fintech_core.security.crypto import UnknownKey

GetResponse = Callable[[HttpRequest], HttpResponseBase]
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_UNSLASHED = ("/api", "/webhooks", "/health", "/ready")
_SCRIPTED = ("/admin", "/api/docs", "/api/redoc")
_QUIET = {"/health", "/ready", "/api/health"}
logger = structlog.get_logger("fintech_core.request")


class TrailingSlashMiddleware:
    """Cuts one trailing slash off the API's paths, so that both forms work for every verb without a redirect."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.endswith("/") and request.path_info.startswith(_UNSLASHED):
            request.path_info = request.path_info[:-1]
            request.path = request.path[:-1]
        return self.get_response(request)


class RequestContextMiddleware:
    """Binds the request id to the log and to the answer, and writes one line per request."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        offered = request.headers.get("X-Request-Id", "")
        request_id = offered if _SANE_REQUEST_ID.fullmatch(offered) else str(ids.uuid7())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.monotonic()
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        if request.path.startswith("/api/") and not response.has_header("Cache-Control"):
            response["Cache-Control"] = "no-store"
        if request.path not in _QUIET or response.status_code >= 400:
            logger.info(
                "request",
                method=request.method,
                path=request.path,
                status=response.status_code,
                milliseconds=round((time.monotonic() - started) * 1000, 1),
            )
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What isn't available now is 503 also in views that aren't DRF's (the admin, the checkout page)."""
        if isinstance(exception, OperationalError | InterfaceError | UnknownKey | UnreadablePostError):
            error = problems.as_domain_error(exception)
            return problems.answer(request, error) if error else None
        return None


class ContentSecurityMiddleware(CSPMiddleware):
    """Each kind of answer may load what it needs: the admin and the API's pages scripts, other pages a stylesheet.

    Everything that isn't a page, like the API's answers, may load nothing.
    """

    def get_policy_parts(
        self,
        request: HttpRequest,
        response: HttpResponseBase,
        report_only: bool = False,  # noqa: FBT001, FBT002
    ) -> PolicyParts:
        if report_only or (request.path.startswith(_SCRIPTED) and _is_page(response)):
            return super().get_policy_parts(request, response, report_only)
        return PolicyParts(config=settings.CSP_OF_PAGES if _is_page(response) else settings.CSP_OF_ANSWERS)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Not on a 304, whose headers would take the place of those of the page that the browser has."""
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return response
        return super().process_response(request, response)


def _is_page(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")
