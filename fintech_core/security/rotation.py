"""Walks every row that holds personal data and brings it under the rings' current keys (crypto.py).

What is to be done is read from the rows themselves: the id in each ciphertext, and whether each blind index is the
digest that a save would make now. So it can be killed at any moment and started again, and a second run does nothing.

A row is changed by one UPDATE that names its old bytes: who saved it meanwhile wins, and it is read again. Nothing here
calls `save()`, which would write back what another process has changed.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import connection, models
from psycopg import sql

from fintech_core.db.work import unit_of_work
from fintech_core.security import crypto
from fintech_core.security.encrypted_fields import BlindIndexField, EncryptedTextField, Sealed, digest_for

BATCH = 500
_ATTEMPTS = 10  # a row that is saved so often while we look is under the current keys by then
Advance = Callable[[int], None]


@dataclass
class Report:
    """What was found, before anything was changed, and what was changed."""

    values: Counter[tuple[str, int]] = field(default_factory=Counter)  # by "table.column" and key id
    indexes: Counter[tuple[str, bool]] = field(default_factory=Counter)  # by "table.column" and whether it is right
    rows_changed: int = 0
    unreadable: list[str] = field(default_factory=list)  # places of values that no key of the ring opens

    @property
    def is_done(self) -> bool:
        """No value under another key than the first, no blind index that a save would change."""
        current = crypto.current_key_id()
        return (
            not self.unreadable
            and all(key_id == current for _, key_id in self.values)
            and all(right for _, right in self.indexes)
        )


@dataclass(frozen=True)
class _Plan:
    """The columns of one model."""

    model: type[models.Model]
    sealed: tuple[EncryptedTextField[Any, Any], ...]
    indexes: tuple[BlindIndexField, ...]


def plans() -> list[_Plan]:
    """Every model with encrypted columns or blind indexes, found by looking at their fields."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        fields = model._meta.local_concrete_fields
        sealed = tuple(f for f in fields if isinstance(f, EncryptedTextField))
        indexes = tuple(f for f in fields if isinstance(f, BlindIndexField))
        if sealed or indexes:
            found.append(_Plan(model, sealed, indexes))
    return sorted(found, key=lambda plan: plan.model._meta.db_table)


def row_count() -> int:
    return sum(plan.model._base_manager.count() for plan in plans())


def survey(advance: Advance) -> Report:
    """Count only."""
    report = Report()
    for plan in plans():
        for rows in _batches(plan, BATCH):
            for row in rows:
                _changes(row, report)
            advance(len(rows))
    return report


def rotate(advance: Advance, *, batch: int = BATCH) -> Report:
    """Bring everything under the current keys, `batch` rows in a transaction. Runs as the owner role."""
    report = Report()
    for plan in plans():
        for rows in _batches(plan, batch):
            changing = [(row, changes) for row in rows if (changes := _changes(row, report))]
            if changing:
                report.rows_changed += unit_of_work(lambda changing=changing: _write(changing))  # type: ignore[misc]
            advance(len(rows))
    return report


class _Row:
    """A row as it was read, with the bytes in its columns: opening a value forgets them."""

    def __init__(self, plan: _Plan, row: models.Model) -> None:
        self.plan, self.row = plan, row
        self.before = {str(column.column): _stored(row, column) for column in (*plan.sealed, *plan.indexes)}


def _stored(row: models.Model, column: models.Field[Any, Any]) -> bytes | None:
    value = row.__dict__[column.attname]
    if isinstance(value, Sealed):
        return value.token
    return bytes(value) if value else None  # "" stands for NULL where a field is `empty`


def _batches(plan: _Plan, size: int) -> Iterator[list[_Row]]:
    """All rows in the order of their primary keys; those that come meanwhile are under the current keys."""
    last: Any = uuid.UUID(int=0)
    while rows := list(plan.model._base_manager.filter(pk__gt=last).order_by("pk")[:size]):
        yield [_Row(plan, row) for row in rows]
        last = rows[-1].pk


def _changes(seen: _Row, report: Report) -> dict[str, bytes | None]:
    """The columns that are to be written, with their new bytes."""
    table, current = seen.plan.model._meta.db_table, crypto.current_key_id()
    changes: dict[str, bytes | None] = {}
    for column in seen.plan.sealed:
        name = str(column.column)
        token, place = seen.before[name], column.place_of(seen.row)
        if token is None:
            continue
        try:
            key_id = crypto.key_id_of(token)
            report.values[f"{table}.{name}", key_id] += 1
            text = crypto.decrypt(token, place=place)
        except crypto.DecryptionFailed:
            report.unreadable.append(place)
            continue
        if key_id != current:
            changes[name] = crypto.encrypt(text, place=place)
    for index in seen.plan.indexes:
        try:
            right = digest_for(index, getattr(seen.row, index.source))
        except crypto.DecryptionFailed:
            continue  # its source is on the list of the unreadable
        name = str(index.column)
        stands = seen.before[name] == right
        report.indexes[f"{table}.{name}", stands] += 1
        if not stands:
            changes[name] = right
    return changes


def _write(changing: list[tuple[_Row, dict[str, bytes | None]]]) -> int:
    """Inside of a unit of work: each row by a conditional UPDATE. How many were changed."""
    return sum(_write_row(seen, changes) for seen, changes in changing)


def _write_row(seen: _Row, changes: dict[str, bytes | None]) -> bool:
    for _ in range(_ATTEMPTS):
        if not changes or _update(seen, changes):
            return bool(changes)
        row = seen.plan.model._base_manager.filter(pk=seen.row.pk).first()
        if row is None:
            return False
        seen = _Row(seen.plan, row)
        changes = _changes(seen, Report())
    raise RuntimeError(f"{seen.plan.model._meta.db_table} {seen.row.pk} changes faster than it can be rotated")


def _update(seen: _Row, changes: dict[str, bytes | None]) -> bool:
    """Whether the row still had the bytes that were read, and has the new ones now."""
    meta = seen.plan.model._meta
    assert meta.pk is not None  # noqa: S101 - every model has one
    statement = sql.SQL("UPDATE {} SET {} WHERE {} = %s AND {}").format(
        sql.Identifier(meta.db_table),
        sql.SQL(", ").join([sql.SQL("{} = %s").format(sql.Identifier(name)) for name in changes]),
        sql.Identifier(str(meta.pk.column)),
        sql.SQL(" AND ").join([sql.SQL("{} IS NOT DISTINCT FROM %s").format(sql.Identifier(n)) for n in seen.before]),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*changes.values(), seen.row.pk, *seen.before.values()])
        return cursor.rowcount == 1
