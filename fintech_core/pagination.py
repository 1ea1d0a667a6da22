"""Keyset pagination: opaque cursors over a unique, immutable order, so that pages stay put while rows are added."""

import base64
import json
import uuid
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.request import Request

from fintech_core.exceptions import ValidationFailed

DEFAULT_LIMIT = 25
MAX_LIMIT = 100
PARAMETERS = frozenset({"limit", "cursor"})


def paginate(queryset: QuerySet[Any], request: Request, order: tuple[str, ...]) -> dict[str, Any]:
    """One page as {"results": [objects], "next": url|None, "previous": url|None}.

    `order` is like ("-created_at", "id"): non-null fields whose last is unique. Raises ValidationFailed for a bad
    `limit` or `cursor`.
    """
    limit = _limit(request)
    backwards, position = _decode(request.query_params.get("cursor"), len(order))
    effective = tuple(_flip(name) for name in order) if backwards else order
    if position is not None:
        queryset = queryset.filter(_after(queryset, effective, position))
    rows = list(queryset.order_by(*effective)[: limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    has_next = bool(rows) and (backwards or more)
    has_previous = bool(rows) and (more if backwards else position is not None)
    return {
        "results": rows,
        "next": _url(request, rows[-1], order, backwards=False) if has_next else None,
        "previous": _url(request, rows[0], order, backwards=True) if has_previous else None,
    }


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MAX_LIMIT:
        raise ValidationFailed([{"field": "limit", "code": "invalid", "message": f"A whole number, 1 to {MAX_LIMIT}."}])
    return int(text)


def _flip(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _after(queryset: QuerySet[Any], order: tuple[str, ...], position: list[str]) -> Q:
    """The rows beyond `position`: (a, b) > (x, y) spelled out, since the directions may differ.

    The first field's bound, true of every row beyond, stands once more by itself: an index can start there, while an
    OR makes it walk from the beginning.
    """
    condition, equal, bound = Q(), Q(), Q()
    try:
        for name, text in zip(order, position, strict=True):
            field = name.lstrip("-")
            value = queryset.model._meta.get_field(field).to_python(text)
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ValueError("a time without its zone")
            comparison = "lt" if name.startswith("-") else "gt"
            bound = bound or Q(**{f"{field}__{comparison}e": value})
            condition |= equal & Q(**{f"{field}__{comparison}": value})
            equal &= Q(**{field: value})
    except Exception as error:
        raise _bad_cursor() from error
    return bound & condition


def _encode(position: list[str], *, backwards: bool) -> str:
    return base64.urlsafe_b64encode(json.dumps([int(backwards), *position]).encode()).decode().rstrip("=")


def _decode(cursor: str | None, length: int) -> tuple[bool, list[str] | None]:
    if cursor is None:
        return False, None
    try:
        backwards, *position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, RecursionError) as error:
        raise _bad_cursor() from error
    if backwards not in (0, 1) or len(position) != length or not all(isinstance(item, str) for item in position):
        raise _bad_cursor()
    return bool(backwards), position


def _bad_cursor() -> ValidationFailed:
    return ValidationFailed([{"field": "cursor", "code": "invalid", "message": "Take it from `next` or `previous`."}])


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, int | str | uuid.UUID) else json.dumps(value)


def cursor_after(row: Any, order: tuple[str, ...]) -> str:
    """The cursor of the page that begins after `row`."""
    return _encode([_text(getattr(row, name.lstrip("-"))) for name in order], backwards=False)


def _url(request: Request, row: Any, order: tuple[str, ...], *, backwards: bool) -> str:
    parameters = request.query_params.copy()
    parameters["cursor"] = _encode([_text(getattr(row, name.lstrip("-"))) for name in order], backwards=backwards)
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")
