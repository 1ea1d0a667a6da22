"""Import of statements: a file becomes rows whole or not at all, and once."""

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import IO

from django.conf import settings

from fintech_core import audit, ids
from fintech_core.actors import Actor, ActorKind
from fintech_core.capabilities import Capability
from fintech_core.exceptions import DomainError, NotFound
from reconciliation import parsing
from reconciliation.locks import lock_account
from reconciliation.models import ReconciledAccount, Statement, StatementLine
from transactions.accounts import codes

_BATCH = 2_000


class StatementExists(DomainError):
    code = "statement_exists"
    status = HTTPStatus.CONFLICT
    title = "This statement was imported before."


class StatementLineExists(DomainError):
    code = "statement_line_exists"
    status = HTTPStatus.CONFLICT
    title = "A line of this statement was imported before, with another statement."


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
        return notes + [note for statement in self.statements for note in statement.notes]


def clearing_accounts() -> list[str]:
    """The codes of the accounts that statements can be imported for."""
    return [code for code in codes() if code.startswith("clearing:")]


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


def import_statements(*, actor: Actor, account_code: str, file: StatementFile, now: datetime) -> list[Statement]:
    """Store the statements of a file for a clearing account.

    Raises PermissionDenied, NotFound (no such clearing account), StatementExists, StatementLineExists.
    """
    actor.require(Capability.RECONCILE)
    if account_code not in clearing_accounts():
        raise NotFound("There is no such clearing account.")
    account = _locked_account(account_code, file.currency, now)
    _refuse_known(account, file)
    statements = [
        _statement(actor, account, file, parsed, ordinal, now) for ordinal, parsed in enumerate(file.statements)
    ]
    lines = _lines(account, file, statements, now)
    _refuse_known_lines(account, lines)
    Statement.objects.bulk_create(statements)
    StatementLine.objects.bulk_create(lines, batch_size=_BATCH)
    audit.record_many([_audited(actor, statement) for statement in statements])
    return statements


def _locked_account(account_code: str, currency: str, now: datetime) -> ReconciledAccount:
    known = ReconciledAccount.objects.filter(account_code=account_code, currency=currency)
    if not known.exists():
        new = ReconciledAccount(account_code=account_code, currency=currency, created_at=now)
        ReconciledAccount.objects.bulk_create([new], ignore_conflicts=True)
    locked = lock_account(known.values_list("pk", flat=True).get())
    if locked is None:
        raise NotFound
    return locked


def _refuse_known(account: ReconciledAccount, file: StatementFile) -> None:
    rows = Statement.objects.filter(account=account)
    before = rows.filter(file_digest=file.digest).order_by("file_ordinal").first()
    if before is None:
        names = [parsed.statement_id for parsed in file.statements]
        before = rows.filter(statement_id__in=names).order_by("statement_id").first()
    if before is not None:
        raise StatementExists(extensions={"statement": str(before.pk)})


def _statement(
    actor: Actor,
    account: ReconciledAccount,
    file: StatementFile,
    parsed: parsing.ParsedStatement,
    ordinal: int,
    now: datetime,
) -> Statement:
    return Statement(
        account=account,
        account_code=account.account_code,
        currency=account.currency,
        format=file.format,
        statement_id=parsed.statement_id,
        external_account=parsed.external_account,
        from_date=parsed.from_date,
        to_date=parsed.to_date,
        opening=parsed.opening,
        closing=parsed.closing,
        total=parsed.total,
        line_count=len(parsed.lines),
        file_digest=file.digest,
        file_ordinal=ordinal,
        imported_by=None if actor.kind == ActorKind.SYSTEM else actor.id,
        created_at=now,
    )


def _lines(
    account: ReconciledAccount, file: StatementFile, statements: Sequence[Statement], now: datetime
) -> list[StatementLine]:
    seen: Counter[str] = Counter()
    rows: list[StatementLine] = []
    for statement, parsed in zip(statements, file.statements, strict=True):
        for ordinal, line in enumerate(parsed.lines):
            content = _content(line)
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
                    identity=hashlib.sha256(f"{content}\x1f{seen[content]}".encode()).hexdigest(),
                    created_at=now,
                )
            )
            seen[content] += 1
    return rows


def _content(line: parsing.ParsedLine) -> str:
    """What says that two lines are one: the bank's reference with date and amount, or all that the line has.

    With the count of equal lines before it in the file, so that a line which the bank wrote twice stays two.
    """
    facts = [line.booking_date.isoformat(), format(line.amount.normalize(), "f"), line.bank_reference]
    if not line.bank_reference:
        facts += [line.value_date.isoformat(), line.reference, line.description]
    return "\x1f".join(facts)


def _refuse_known_lines(account: ReconciledAccount, lines: Sequence[StatementLine]) -> None:
    known = (
        StatementLine.objects.filter(
            account_code=account.account_code,
            currency=account.currency,
            identity__in=[line.identity for line in lines],
        )
        .order_by("pk")
        .first()
    )
    if known is not None:
        raise StatementLineExists(extensions={"statement": str(known.statement_id), "line": str(known.pk)})


def _audited(actor: Actor, statement: Statement) -> audit.Row:
    return audit.row(
        actor=actor,
        action="statement.imported",
        entity_type="statement",
        entity_id=statement.pk,
        after={
            "account": statement.account_code,
            "currency": statement.currency,
            "lines": statement.line_count,
            "total": str(statement.total),
            "file_digest": statement.file_digest,
        },
    )
