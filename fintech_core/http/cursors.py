"""Cursors: the place of a row in a list's order, as opaque text.

A cursor comes back from clients, so it is read by the types of the ordering fields and must be, byte for byte, what
would have been written for what it says. What PostgreSQL couldn't take (a time of another calendar's offset, a number
out of range, half a character) never reaches it.
"""

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

from django.core.exceptions import ValidationError
from django.db import connection, models

from fintech_core.db.fields import TransactionIdField

Field: TypeAlias = "models.Field[Any, Any]"
Read = Callable[[str, Field], Any]


class InvalidCursor(ValueError):
    """Not one that was handed out for this order."""


def _number(text: str, field: Field) -> int:
    lowest, highest = connection.ops.integer_field_range(field.get_internal_type())
    number = int(text)
    if lowest is None or highest is None or not lowest <= number <= highest:
        raise InvalidCursor
    return number


def _text(text: str, _: Field) -> str:
    text.encode()  # JSON can spell half of a surrogate pair
    if "\x00" in text:
        raise InvalidCursor
    return text


# By type of field, the derived ones first: how a value is read back. A list ordered by another type has no cursor.
_READ: tuple[tuple[type[Field], Read], ...] = (
    (models.DateTimeField, lambda text, _: datetime.fromisoformat(text).astimezone(UTC)),
    (models.DateField, lambda text, _: date.fromisoformat(text)),
    (models.UUIDField, lambda text, _: uuid.UUID(text)),
    (models.IntegerField, _number),
    (TransactionIdField, lambda text, field: str(int(field.to_python(text)))),
    (models.CharField, _text),
)


def encode(values: Sequence[Any], *, backwards: bool) -> str:
    """The cursor of a place. Raises TypeError for a value of a type that no ordering field may have."""
    place = [int(backwards), *(_spelled(value) for value in values)]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def decode(cursor: str, fields: Sequence[Field]) -> tuple[bool, list[Any]]:
    """Whether it goes backwards, and the values of the place. Raises InvalidCursor."""
    readers = [_reader_of(field) for field in fields]
    try:
        backwards, *texts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not all(isinstance(text, str) for text in texts):
            raise InvalidCursor
        values = [read(text, field) for read, text, field in zip(readers, texts, fields, strict=True)]
        if backwards not in (0, 1) or encode(values, backwards=backwards) != cursor:
            raise InvalidCursor
    except (ValueError, TypeError, OverflowError, RecursionError, ValidationError) as error:
        raise InvalidCursor from error
    return bool(backwards), values


def _reader_of(field: Field) -> Read:
    for kind, read in _READ:
        if isinstance(field, kind):
            return read
    raise NotImplementedError(f"A list can't be ordered by a {type(field).__name__}.")


def _spelled(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | str | uuid.UUID) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"A list can't be ordered by a value of {type(value).__name__}.")
