"""Every answer that a test gets from the API has a status that openapi.yaml names for its operation."""

import re
from functools import cache
from typing import Any

import yaml
from django.conf import settings
from django.urls import Resolver404, resolve

_PARAMETER = re.compile(r"<[^>]*>|\{[^}]*\}")


@cache
def _statuses() -> dict[tuple[str, str], frozenset[str]]:
    """By method and path, whose parameters have no names."""
    text = (settings.BASE_DIR / "openapi.yaml").read_text(encoding="utf-8")
    paths = yaml.load(text, Loader=yaml.CSafeLoader)["paths"]
    return {
        (method.upper(), _PARAMETER.sub("{}", path)): frozenset(operation["responses"])
        for path, operations in paths.items()
        for method, operation in operations.items()
        if isinstance(operation, dict) and "responses" in operation
    }


def require_documented(method: str, answer: Any) -> None:
    """Raises AssertionError. What is no operation of the file isn't looked at: pages, methods that aren't allowed."""
    try:
        match = resolve(answer.request["PATH_INFO"])
    except Resolver404:
        return
    documented = _statuses().get((method.upper(), "/" + _PARAMETER.sub("{}", match.route)))
    if documented is not None and str(answer.status_code) not in documented:
        raise AssertionError(f"{method} /{match.route}: openapi.yaml names no {answer.status_code}")
