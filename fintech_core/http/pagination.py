"""Keyset pagination: opaque cursors over a unique, immutable order, so that pages stay put while rows are added."""

import re
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.request import Request

from fintech_core.exceptions import ValidationFailed
from fintech_core.http import cursors

DEFAULT_LIMIT = 25
MAX_LIMIT = 100
# For the OpenAPI file.
LIMIT_SCHEMA = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
CURSOR_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[A-Za-z0-9_-]+$"}
PARAMETERS = frozenset({"limit", "cursor"})
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)


def paginate(queryset: QuerySet[Any], request: Request, order: tuple[str, ...]) -> dict[str, Any]:
    """One page as {"results": [objects], "next": url|None, "previous": url|None}.

    `order` is like ("-created_at", "id"): non-null fields of types that `cursors` reads, whose last is unique. Raises
    ValidationFailed for a bad `limit` or `cursor`.
    """
    limit = _limit(request)
    cursor = request.query_params.get("cursor")
    backwards, place = (False, None) if cursor is None else _decode(queryset, cursor, order)
    effective = tuple(_flip(name) for name in order) if backwards else order
    if place is not None:
        queryset = queryset.filter(_after(effective, place))
    rows = list(queryset.order_by(*effective)[: limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    has_next = bool(rows) and (backwards or more)
    has_previous = bool(rows) and (more if backwards else place is not None)
    return {
        "results": rows,
        "next": _url(request, rows[-1], order, backwards=False) if has_next else None,
        "previous": _url(request, rows[0], order, backwards=True) if has_previous else None,
    }


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not _WHOLE_NUMBER.fullmatch(text) or int(text) > MAX_LIMIT:
        raise ValidationFailed([{"field": "limit", "code": "invalid", "message": f"A whole number, 1 to {MAX_LIMIT}."}])
    return int(text)


def _flip(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _after(order: tuple[str, ...], place: list[Any]) -> Q:
    """The rows beyond `place`: (a, b) > (x, y) spelled out, since the directions may differ.

    The first field's bound, true of every row beyond, is repeated by itself: an index can start there, while an
    OR makes it walk from the beginning.
    """
    condition, equal, bound = Q(), Q(), Q()
    for name, value in zip(order, place, strict=True):
        field = name.lstrip("-")
        comparison = "lt" if name.startswith("-") else "gt"
        bound = bound or Q(**{f"{field}__{comparison}e": value})
        condition |= equal & Q(**{f"{field}__{comparison}": value})
        equal &= Q(**{field: value})
    return bound & condition


def _decode(queryset: QuerySet[Any], cursor: str, order: tuple[str, ...]) -> tuple[bool, list[Any]]:
    fields = [queryset.model._meta.get_field(name.lstrip("-")) for name in order]
    try:
        return cursors.decode(cursor, fields)
    except cursors.InvalidCursor as error:
        raise ValidationFailed(
            [{"field": "cursor", "code": "invalid", "message": "Take it from `next` or `previous`."}]
        ) from error


def cursor_after(row: Any, order: tuple[str, ...], *, backwards: bool = False) -> str:
    """The cursor of the page that begins after `row`, or that ends before it."""
    return cursors.encode([getattr(row, name.lstrip("-")) for name in order], backwards=backwards)


def _url(request: Request, row: Any, order: tuple[str, ...], *, backwards: bool) -> str:
    parameters = request.query_params.copy()
    parameters["cursor"] = cursor_after(row, order, backwards=backwards)
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")
