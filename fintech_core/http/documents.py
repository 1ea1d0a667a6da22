"""Public documents that are the same for all clients: made once per process, compressed once, and sent with an ETag.

They depend on code and settings alone. Each may cost a second to make, so a request never makes one that is there, and
of several first requests one makes it while the others wait.
"""

import gzip
import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers

from fintech_core.http.front import SHARED

_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?P<quality>[0-9.]+)\s*)?(?:,|$)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Document:
    content_type: str
    plain: bytes
    gzipped: bytes
    etag: str

    @classmethod
    def of(cls, content: bytes, content_type: str) -> "Document":
        etag = hashlib.sha256(content).hexdigest()[:32]
        return cls(content_type, content, gzip.compress(content, mtime=0), etag)


class Once:
    """Documents by name; `make` makes all of them at once."""

    def __init__(self, make: Callable[[], Mapping[str, Document]]) -> None:
        self._make = make
        self._made: Mapping[str, Document] | None = None
        self._lock = threading.Lock()

    def get(self, name: str) -> Document:
        return self.all()[name]

    def all(self) -> Mapping[str, Document]:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made


def respond(request: HttpRequest, document: Document, headers: Mapping[str, str] | None = None) -> HttpResponseBase:
    """The document, compressed where the client takes that; 304 where it has it already."""
    request.META[SHARED] = True
    zipped = _takes_gzip(request)
    response = HttpResponse(document.gzipped if zipped else document.plain, content_type=document.content_type)
    if zipped:
        response["Content-Encoding"] = "gzip"
    response["ETag"] = f'"{document.etag}{"-gzip" if zipped else ""}"'
    response["Cache-Control"] = "no-cache"  # keep it, and ask whether it is still the one
    for name, value in (headers or {}).items():
        response[name] = value
    patch_vary_headers(response, ("Accept", "Accept-Encoding"))
    return get_conditional_response(request, etag=response["ETag"], response=response) or response


def _takes_gzip(request: HttpRequest) -> bool:
    found = _GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    return found is not None and (found["quality"] or "1").strip("0.") != ""
