"""The routes of the product and what their endpoints declare."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView


def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in (resolver or get_resolver()).url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, path)
        else:
            yield path, pattern


def api_routes() -> list[tuple[str, type[APIView], dict[str, str] | None]]:
    found = []
    for path, pattern in routes():
        view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
        if isinstance(view, type) and issubclass(view, APIView):
            found.append((path, view, getattr(pattern.callback, "actions", None)))
    return found


def actions_of(view: type[APIView], actions: dict[str, str] | None) -> dict[str, str]:
    """The action of each verb that a route serves; of a plain view the verb itself."""
    served = {verb: verb for verb in view.http_method_names if hasattr(view, verb)} if actions is None else actions
    return {verb: action for verb, action in served.items() if verb not in {"head", "options"}}


def api_endpoints() -> list[tuple[str, str, type[APIView], str]]:
    """Path, verb, view and action of every request that the API serves."""
    return [
        (path, verb, view, action)
        for path, view, actions in api_routes()
        for verb, action in actions_of(view, actions).items()
    ]
