"""How a body is measured, and how large it may be: settings.MAX_BODY_BYTES, unless a route takes files of its own size.

A body has a Content-Length. Without one Django reads nothing, so the body would be dropped and the request taken as one
without a body: BodyMiddleware refuses it, and one that the front (fintech_core.http.front) couldn't read.

A route that takes more declares a LargeBody: an API view by `@endpoint(body=...)`, a function by `@takes_large_body`.
Who may send that much is decided before anything reads the body: by a view's permissions, or the function's `allowed`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from fintech_core.exceptions import DomainError, ServiceUnavailable
from fintech_core.http import problems
from fintech_core.http.endpoints import LargeBody, endpoint_behind
from fintech_core.http.front import REFUSAL, Refusal

_MAX_DIGITS = 18  # of a Content-Length; Python refuses to read a number of thousands of digits
View = TypeVar("View", bound=Callable[..., Any])
GetResponse = Callable[[HttpRequest], HttpResponseBase]


def takes_large_body(large: LargeBody) -> Callable[[View], View]:
    def mark(view: View) -> View:
        view.large_body = large  # type: ignore[attr-defined]
        return view

    return mark


class BodyMiddleware:
    """411 for a body without Content-Length (chunked, or over HTTP/2), 400 for one that is measured in two ways.

    408 for one that came too slowly, 503 for one that there was no room for.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_TRANSFER_ENCODING" in request.META and request.META.get("CONTENT_LENGTH"):
            detail = "Content-Length and Transfer-Encoding can't be combined."
            return problems.response_of(problems.plain("bad_request", 400, detail))
        if _has_unmeasured_body(request):
            detail = "A body needs a Content-Length; Transfer-Encoding is not supported."
            return problems.response_of(problems.plain("length_required", 411, detail))
        if (refusal := request.META.get(REFUSAL)) is not None:
            return problems.response_of(_unread(refusal))
        return self.get_response(request)


def _unread(refusal: Refusal) -> DomainError:
    if refusal == Refusal.TOO_SLOW:
        return problems.plain("request_timeout", 408, "The body did not arrive in time.")
    return ServiceUnavailable("Too many bodies are arriving at once.")


def _has_unmeasured_body(request: HttpRequest) -> bool:
    if "HTTP_TRANSFER_ENCODING" in request.META:
        return True
    # HTTP/1 has no body without either header; HTTP/2, which our own server doesn't speak, may have one: only reading
    # shows. The byte that was read is lost, but then the request is refused. An input that doesn't end by itself would
    # block, and isn't read.
    if request.META.get("CONTENT_LENGTH") or request.META.get("SERVER_PROTOCOL", "").startswith("HTTP/1"):
        return False
    return "wsgi.input_terminated" in request.META and bool(request.META["wsgi.input"].read(1))


class BodyLimitMiddleware:
    """413 for bodies over the limit, before anything reads them."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isascii() or not length.isdigit() or len(length) > _MAX_DIGITS:
            return problems.response_of(problems.plain("bad_request", 400, "Content-Length is not a number of bytes."))
        if int(length) > settings.MAX_BODY_BYTES:
            large = _declared(request)
            if large is None or int(length) > large.limit:
                return _refusal(settings.MAX_BODY_BYTES if large is None else large.limit)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """By now the session is known; the check of the CSRF token, which reads the body, comes after this."""
        if int(request.META.get("CONTENT_LENGTH") or "0") <= settings.MAX_BODY_BYTES:
            return None
        large = _of_view(view, request.method)
        if large is None or (large.allowed is not None and not large.allowed(request)):
            return _refusal(settings.MAX_BODY_BYTES)
        return None if large.allowed is None else _refusal_of_form(request)


def _refusal_of_form(request: HttpRequest) -> HttpResponse | None:
    """Of a form that can't be read: CsrfViewMiddleware would take it for one without a token, and answer 403."""
    try:
        request.POST  # noqa: B018 - reads it, once
    except UnreadablePostError as error:
        refusal = problems.as_domain_error(error)
        return problems.answer(request, refusal) if refusal else None
    return None


def _refusal(limit: int) -> HttpResponse:
    return problems.response_of(problems.plain("payload_too_large", 413, f"A body has at most {limit} bytes."))


def _declared(request: HttpRequest) -> LargeBody | None:
    try:
        return _of_view(resolve(request.path_info).func, request.method)
    except Resolver404:
        return None


def _of_view(view: Any, method: str | None) -> LargeBody | None:
    marked: LargeBody | None = getattr(view, "large_body", None)
    return marked or endpoint_behind(view, method).body
