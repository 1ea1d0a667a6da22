"""The API's public pages: the OpenAPI document, the two pages that show it, and Redoc's script. All are `documents`.

The OpenAPI document depends on settings (currencies, lengths of passwords), so the process that serves it makes it;
openapi.yaml is the one of the default settings (`make lint` compares them).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from fintech_core.http.documents import Document, Once, respond
from fintech_core.http.endpoints import endpoint
from fintech_core.security.capabilities import Capability

_REDOC_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"


def _schemas() -> Mapping[str, Document]:
    """By media type. Two of them are YAML and two JSON."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    contents: dict[str, bytes] = {}
    for renderer in SpectacularAPIView.renderer_classes:
        if renderer.format not in contents:
            contents[renderer.format] = force_bytes(renderer().render(schema, renderer.media_type, {}))
    return {
        renderer.media_type: Document.of(contents[renderer.format], f"{renderer.media_type}; charset=utf-8")
        for renderer in SpectacularAPIView.renderer_classes
    }


def _redoc_script() -> Mapping[str, Document]:
    """Redoc's own, without the request for its maker's logo that it makes whatever one sets."""
    path = finders.find("drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js")
    if path is None:
        raise AssertionError("drf-spectacular-sidecar is not installed")
    text = Path(path).read_text(encoding="utf-8").replace(_REDOC_LOGO, "data:,")
    return {"": Document.of(text.encode(), "text/javascript; charset=utf-8")}


def _page(view: SpectacularSwaggerView | SpectacularRedocView) -> Mapping[str, Document]:
    """A page of drf-spectacular's as it is for a request without parameters."""
    data = view.get(HttpRequest()).data
    return {"": Document.of(render_to_string(view.template_name, data).encode(), "text/html; charset=utf-8")}


SCHEMAS = Once(_schemas)
REDOC_SCRIPT = Once(_redoc_script)
DOCS_PAGE = Once(lambda: _page(SpectacularSwaggerView(url=reverse("schema"))))
REDOC_PAGE = Once(lambda: _page(SpectacularRedocView(url=reverse("schema"), template_name="fintech_core/redoc.html")))
_OF_PAGES = {"Cross-Origin-Opener-Policy": "unsafe-none"}


class _Negotiation(DefaultContentNegotiation):
    """By `?format=yaml|json` or Accept, else YAML: a client that accepts neither gets YAML, not a 406."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            return renderers[0], renderers[0].media_type


class SchemaView(SpectacularAPIView):
    metadata_class = None  # OPTIONS would describe a view of the API, by the page's template
    content_negotiation_class = _Negotiation

    @endpoint(access=Capability.PUBLIC)
    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        renderer = request.accepted_renderer
        name = f"{spectacular_settings.TITLE}.{renderer.format}"
        headers = {"Content-Disposition": f'inline; filename="{name}"'}
        return respond(request._request, SCHEMAS.get(renderer.media_type), headers)


class DocsView(SpectacularSwaggerView):
    metadata_class = None

    @endpoint(access=Capability.PUBLIC)
    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return respond(request._request, DOCS_PAGE.get(""), _OF_PAGES)


class RedocView(SpectacularRedocView):
    metadata_class = None

    @endpoint(access=Capability.PUBLIC)
    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return respond(request._request, REDOC_PAGE.get(""))


def redoc_script(request: HttpRequest) -> HttpResponseBase:
    return respond(request, REDOC_SCRIPT.get(""))
