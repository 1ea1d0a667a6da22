"""Import of statements: a file becomes rows whole or not at all, and once."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import IO, Any

from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock, ids
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from reconciliation import parsing
from reconciliation.identifiers import MAX_LENGTH, normal_form
from reconciliation.models import ReconciledAccount, Statement, StatementLine
from reconciliation.services.external_accounts import locked_account, recognise
from reconciliation.services.identity import find_repeated, lines_digest, refusal, refuse_known

_BATCH = 2_000
_NOTES = 50  # that a result shows
_AUDITED = 20  # of the statements that a confirmed import repeats


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A file that was read, with the digest of its bytes."""

    format: str
    currency: str
    digest: str
    statements: tuple[parsing.ParsedStatement, ...]

    @property
    def notes(self) -> list[str]:
        """What was left out, or read otherwise than it is written."""
        left_out = sum(statement.zero_lines for statement in self.statements)
        notes = [f"Lines of amount zero that were left out: {left_out}."] if left_out else []
        notes += [note for statement in self.statements for note in statement.notes]
        return notes if len(notes) <= _NOTES else [*notes[:_NOTES], f"And {len(notes) - _NOTES} notes more."]


def read_statements(
    *,
    format: str,
    raw: bytes | IO[bytes],
    currency: str,
    encoding: str | None = None,
    opening: Decimal | None = None,
    closing: Decimal | None = None,
) -> StatementFile:
    """Read a file, before any transaction is open. Raises StatementInvalid."""
    source = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    digest = parsing.digest_of(source, limit=settings.STATEMENT_MAX_BYTES)
    statements = parsing.parse(
        format=format, raw=source, currency=currency, encoding=encoding, opening=opening, closing=closing
    )
    return StatementFile(format, currency, digest, tuple(statements))


def import_statements(
    *,
    actor: Actor,
    account_code: str,
    file: StatementFile,
    now: datetime,
    confirm_account: bool = False,
    confirm_repeat: bool = False,
) -> list[Statement]:
    """Store the statements of a file for a clearing account.

    `confirm_account` records external accounts that the clearing account isn't known to stand for; `confirm_repeat`
    takes movements whose figures were imported before.
    Raises PermissionDenied, NotFound (no such clearing account), StatementExists, ExternalAccountUnknown,
    StatementRepeats, StatementInvalid.
    """
    actor.require(Capability.RECONCILE)
    account = locked_account(account_code, file.currency)
    today = clock.now().astimezone(UTC).date()
    statements = [_statement(actor, account, file, ordinal, now, today) for ordinal in range(len(file.statements))]
    refuse_known(account, file.digest, statements)
    recognise(
        actor=actor,
        account=account,
        identifiers=[row.external_account for row in statements],
        confirmed=confirm_account,
    )
    lines = _lines(account, file, statements, now)
    repeated = find_repeated(account, statements, lines)
    if repeated and not confirm_repeat:
        raise refusal(repeated)
    Statement.objects.bulk_create(statements)
    StatementLine.objects.bulk_create(lines, batch_size=_BATCH)
    for statement in statements:
        record_and_publish(actor, "statement.imported", statement, after=_facts(statement, repeated))
    return statements


def _statement(
    actor: Actor, account: ReconciledAccount, file: StatementFile, ordinal: int, now: datetime, today: date
) -> Statement:
    parsed = file.statements[ordinal]
    external = normal_form(parsed.external_account)
    if len(external) > MAX_LENGTH:
        raise parsing.StatementInvalid(f"Statement {ordinal + 1}: the account is too long.")
    first, last = _covered(parsed, today)
    return Statement(
        account=account,
        account_code=account.account_code,
        currency=account.currency,
        format=file.format,
        statement_id=parsed.statement_id,
        external_account=external,
        number="/".join(part for part in (parsed.number, parsed.sequence) if part) or parsed.statement_id,
        reader=parsed.reader,
        from_date=parsed.from_date,
        to_date=parsed.to_date,
        covered_from=first,
        covered_to=last,
        opening_date=parsed.opening_date,
        closing_date=parsed.closing_date,
        continues=parsed.closing_intermediate,
        opening=parsed.opening,
        closing=parsed.closing,
        total=parsed.total,
        line_count=len(parsed.lines),
        lines_digest=lines_digest((line.booking_date, line.amount) for line in parsed.lines),
        file_digest=file.digest,
        file_ordinal=ordinal,
        imported_by=None if actor.kind == ActorKind.SYSTEM else actor.id,
        created_at=now,
    )


def _covered(parsed: parsing.ParsedStatement, today: date) -> tuple[date, date] | tuple[None, None]:
    """The days that the statement accounts for: from its opening to its closing balance, or those of its lines.

    A closing balance of tomorrow is one of today, where the day has begun earlier. One of a later day is no balance
    that the bank can know, so such a statement reaches to its last line, and never beyond today. The opening balance
    is often dated as the closing one before it: then the day counts only if something was booked on it.
    """
    booked = [line.booking_date for line in parsed.lines]
    first, last = parsed.opening_date, parsed.closing_date
    if first is None or last is None:
        first, last = min(booked), max(booked)
    elif first < last and first not in booked:
        first += timedelta(days=1)
    tomorrow = today + timedelta(days=1)
    if last > tomorrow:
        last = min(max((day for day in booked if day <= today), default=first), today)
    return (first, last) if first <= last else (None, None)


def _lines(
    account: ReconciledAccount, file: StatementFile, statements: Sequence[Statement], now: datetime
) -> list[StatementLine]:
    rows: list[StatementLine] = []
    for statement, parsed in zip(statements, file.statements, strict=True):
        for ordinal, line in enumerate(parsed.lines):
            rows.append(
                StatementLine(
                    id=ids.uuid7(),
                    statement=statement,
                    account_code=account.account_code,
                    currency=account.currency,
                    ordinal=ordinal,
                    booking_date=line.booking_date,
                    value_date=line.value_date,
                    amount=line.amount,
                    reference=line.reference,
                    all_references=list(line.references),
                    bank_reference=line.bank_reference,
                    description=line.description,
                    settlement=line.settlement,
                    created_at=now,
                )
            )
    return rows


def _facts(statement: Statement, repeated: Sequence[str]) -> dict[str, Any]:
    return {
        "account": statement.account_code,
        "currency": statement.currency,
        "lines": statement.line_count,
        "total": str(statement.total),
        "file_digest": statement.file_digest,
        # Confirmed: figures that these statements (or another one of the file) have as well.
        **({"repeats": list(repeated[:_AUDITED])} if repeated else {}),
    }
