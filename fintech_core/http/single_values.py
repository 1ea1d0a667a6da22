"""What a request may give once: headers and query parameters with one value.

Given twice, one of the two would win silently, and which one depends on the server: a retry with one Idempotency-Key
instead of two would be another key. So a repetition is refused, whichever route it is sent to. The server joins
repeated headers with a comma; that is why none of these values may contain one. Names with underscores never get here
(fintech_core/http/front/environ.py).
"""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from fintech_core.exceptions import DomainError, refuse_repeated
from fintech_core.http import problems
from fintech_core.security import step_up

GetResponse = Callable[[HttpRequest], HttpResponseBase]
AUTHORIZATION = "Authorization"
IDEMPOTENCY_KEY = "Idempotency-Key"
ORGANIZATION = "X-Organization"
REQUEST_ID = "X-Request-Id"
# Every one that the product or its framework reads. The signature headers of webhooks are checked by their gateway;
# User-Agent, Referer, Accept and the conditions of static files may hold commas; cookies have semicolons.
HEADERS = (
    AUTHORIZATION,
    IDEMPOTENCY_KEY,
    ORGANIZATION,
    REQUEST_ID,
    step_up.HEADER,
    "Content-Length",
    "Host",
    "Origin",
    "X-CSRFToken",
)
# The admin's filters repeat parameters by design; static files read none.
_PATHS = ("/api", "/webhooks", "/health", "/ready", "/checkout")


class HeaderInvalid(DomainError):
    code = "header_invalid"
    status = HTTPStatus.BAD_REQUEST
    title = "A single-valued header was repeated, contains a comma, or is empty."


def single_header(request: HttpRequest, name: str) -> str | None:
    """The header's one value; None if it isn't there, "" if it is empty or not ASCII.

    Takes Django's request or DRF's. Raises HeaderInvalid for a repetition.
    """
    return _single(request, name, "HTTP_" + name.upper().replace("-", "_"))


def _single(request: HttpRequest, name: str, variable: str) -> str | None:
    value: str | None = request.META.get(variable)
    if value is not None and "," in value:
        raise HeaderInvalid(f"{name} is given once, with one value and no comma.")
    return value


def refuse_repetitions(request: HttpRequest) -> None:
    """Raises HeaderInvalid for a header and ValidationFailed for query parameters that are given more than once."""
    for name in HEADERS:
        single_header(request, name)
    _single(request, "Content-Length", "CONTENT_LENGTH")  # the one that WSGI spells without HTTP_
    for variable in (settings.TRUSTED_PROXY_ADDRESS_HEADER, settings.TRUSTED_PROXY_PROTO_HEADER):
        if variable:
            _single(request, variable.removeprefix("HTTP_").replace("_", "-").title(), variable)
    if request.path_info.startswith(_PATHS):
        refuse_repeated(name for name, values in request.GET.lists() for _ in values)


class SingleValuesMiddleware:
    """Refuses repetitions before anything reads the request; only the request's id is bound before."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            refuse_repetitions(request)
        except DomainError as error:
            return problems.response_of(error)
        return self.get_response(request)
