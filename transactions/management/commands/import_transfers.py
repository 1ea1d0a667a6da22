"""`import_transfers`: a payroll or settlement file becomes transfers, each row once, however often it is run.

The file is checked whole before anything is posted. Chunks of rows are posted as independent batches, each under an
idempotency key made of the file's digest and the chunk's number: a second run, after a kill for example, gets the
stored answers of what was done and does the rest. Keys are forgotten after 30 days; references are not.
"""

import csv
import dataclasses
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fintech_core.db import idempotency
from fintech_core.db.work import read_only_snapshot
from fintech_core.exceptions import DomainError
from fintech_core.http.spreadsheets import neutralise
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.identifiers import InvalidIdentifier
from fintech_core.values.money import Money
from transactions.transfers.import_files import COLUMNS, ImportFileInvalid, ImportRow, read_rows
from transactions.transfers.services.planning import TransferItem
from transactions.transfers.services.transfers import Simulated, create_transfers, simulate_transfers
from users.authentication import actor_of_user
from users.selectors import user_by_verified_email

CHUNK_ROWS = 500
_NAME = "import_transfers"
_BLOCK = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of one row. `code` is empty where it was (or in a dry run would be) posted."""

    transaction: str = ""
    code: str = ""
    reason: str = ""


@dataclasses.dataclass(slots=True)
class Tally:
    """What a run amounts to."""

    rows: Counter[str] = dataclasses.field(default_factory=Counter)
    money: dict[str, Decimal] = dataclasses.field(default_factory=dict)

    def count(self, row: ImportRow, result: Result, *, replayed: bool) -> None:
        kind = "refused" if result.code else "posted before" if replayed else "posted"
        self.rows[kind] += 1
        if row.item is not None and not result.code:
            self.money[row.item.currency] = self.money.get(row.item.currency, Decimal(0)) + row.item.amount


class Command(BaseCommand):
    help = "Make transfers from a CSV file (payroll, settlement). Safe to run again; exits 1 if a row was refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help=f"CSV with a header, UTF-8: {', '.join(COLUMNS)}.")
        parser.add_argument("--as", dest="email", required=True, help="The customer who owns the source wallets.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would happen, and do nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        path, dry_run = options["file"], options["dry_run"]
        console = Console(file=sys.stdout, soft_wrap=True)
        try:
            with path.open("rb") as file, Report(path, dry_run=dry_run) as report:
                digest = digest_of(file)
                actor = acting_as(options["email"], digest)
                total = check(file, report)
                if report.rows:
                    report.finish()
                    raise CommandError(f"{report.rows} rows can't be read; nothing was posted. See {report.path}.")
                with progress(console, total) as advance:
                    tally = (simulate if dry_run else post)(file, actor, digest, report, advance)
                report.finish()
        except (OSError, ImportFileInvalid) as error:
            raise CommandError(str(error)) from error
        show(console, tally, report, dry_run=dry_run)
        if report.rows:
            sys.exit(1)


def digest_of(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def acting_as(email: str, digest: str) -> Actor:
    """The customer, named with this command in the audit log. They may spend from their own wallets only."""
    try:
        user = user_by_verified_email(email)
    except InvalidIdentifier:
        user = None
    if user is None:
        raise CommandError("There is no active customer with this verified address.")
    actor = dataclasses.replace(actor_of_user(user=user, request_id=f"import-{digest[:32]}"), name=_NAME)
    if not actor.can(Capability.TRANSFERS_WRITE):
        raise CommandError("This account may not make transfers: it isn't a customer's.")
    return actor


def check(file: BinaryIO, report: "Report") -> int:
    """Read the whole file once; the number of its rows. Rows that can't be read go to the report."""
    total = 0
    for row in rows_of(file):
        total += 1
        if row.item is None:
            report.add(row, Result(code=row.code, reason=row.reason))
    return total


def post(file: BinaryIO, actor: Actor, digest: str, report: "Report", advance: Any) -> Tally:
    """Chunk by chunk, each committed with its stored answer. What stops it leaves the chunks before it done."""
    tally = Tally()
    for number, chunk in enumerate(chunks(rows_of(file), CHUNK_ROWS)):
        try:
            results, replayed = post_chunk(actor, digest, number, chunk)
        except DomainError as refusal:
            raise CommandError(f"Stopped: {refusal.detail} Run it again to go on where it stopped.") from refusal
        account(chunk, results, tally, report, replayed=replayed)
        advance(len(chunk))
    return tally


def post_chunk(actor: Actor, digest: str, number: int, chunk: Sequence[ImportRow]) -> tuple[list[Result], bool]:
    """Post one chunk, or read what became of it before."""
    answer = idempotency.run(
        actor=actor,
        key=f"import:{digest}:{CHUNK_ROWS}:{number}",
        fingerprint=idempotency.fingerprint(
            method="IMPORT", path=f"{digest}/{CHUNK_ROWS}/{number}", body=[dict(row.cells) for row in chunk]
        ),
        use_case=lambda: create_transfers(actor=actor, items=items_of(chunk), atomic=False),
        render=_stored,
    )
    return [Result(*fields) for fields in json.loads(answer.body)], answer.replayed


def _stored(outcomes: Any) -> idempotency.Answer:
    """What is kept of a chunk: ids, codes and our own words, nothing of the rows."""
    if isinstance(outcomes, DomainError):
        raise outcomes
    results = [_result(outcome) for outcome in outcomes]
    body = json.dumps([[r.transaction, r.code, r.reason] for r in results]).encode()
    return idempotency.Answer(200, "application/json", body)


def _result(outcome: Any) -> Result:
    if not isinstance(outcome, DomainError):
        return Result(transaction=str(outcome.pk))
    return Result(transaction=outcome.extensions.get("transaction", ""), code=outcome.code, reason=outcome.detail)


def simulate(file: BinaryIO, actor: Actor, digest: str, report: "Report", advance: Any) -> Tally:
    """The whole file against one snapshot, each chunk after the ones before it."""
    tally = Tally()
    figures: dict[Any, tuple[Decimal, Decimal]] = {}
    with read_only_snapshot():
        for chunk in chunks(rows_of(file), CHUNK_ROWS):
            outcomes = simulate_transfers(actor=actor, items=items_of(chunk), atomic=False, after=figures)
            for outcome in outcomes:
                if isinstance(outcome, Simulated):
                    figures[outcome.plan.source] = outcome.preview.figures[outcome.plan.source]
            results = [_result(o) if isinstance(o, DomainError) else Result() for o in outcomes]
            account(chunk, results, tally, report, replayed=False)
            advance(len(chunk))
    return tally


def account(
    chunk: Sequence[ImportRow], results: Sequence[Result], tally: Tally, report: "Report", *, replayed: bool
) -> None:
    for row, result in zip(chunk, results, strict=True):
        tally.count(row, result, replayed=replayed)
        if result.code:
            report.add(row, result)


def rows_of(file: BinaryIO) -> Iterator[ImportRow]:
    """The rows from the beginning, over the same open file: one that is replaced meanwhile isn't read."""
    file.seek(0)
    with open(os.dup(file.fileno()), encoding="utf-8-sig", newline="") as text:
        yield from read_rows(text)


def items_of(chunk: Sequence[ImportRow]) -> list[TransferItem]:
    return [row.item for row in chunk if row.item is not None]


def chunks(rows: Iterable[ImportRow], size: int) -> Iterator[list[ImportRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Report:
    """The refused rows as a CSV beside the file, in place only when it is whole. Without any there is none.

    It replaces the one of an earlier run, which the stored answers repeat row by row.
    """

    def __init__(self, source: Path, *, dry_run: bool) -> None:
        suffix = ".dry-run.refused.csv" if dry_run else ".refused.csv"
        self.path = source.with_name(source.stem + suffix)
        self.rows = 0
        self._part = self.path.with_name(self.path.name + ".part")
        self._file: TextIO | None = None
        self._writer: Any = None

    def add(self, row: ImportRow, result: Result) -> None:
        if self._file is None:
            # The rows name people: for the operator's eyes alone.
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = open(descriptor, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed by finish, __exit__
            self._writer = csv.writer(self._file)
            self._writer.writerow(["row", *COLUMNS, "code", "reason", "transaction"])
        cells = [neutralise(row.cells.get(name, "")) for name in COLUMNS]
        self._writer.writerow([row.number, *cells, result.code, neutralise(result.reason), result.transaction])
        self.rows += 1

    def finish(self) -> None:
        """The run is over: put the report in its place."""
        if self._file is None:
            self.path.unlink(missing_ok=True)
        else:
            self._file.close()
            os.replace(self._part, self.path)

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)


@contextmanager
def progress(console: Console, total: int) -> Iterator[Any]:
    columns = (TextColumn("Importing transfers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=total)
        yield lambda count: bars.advance(bar, count)


def show(console: Console, tally: Tally, report: Report, *, dry_run: bool) -> None:
    table = Table("rows", "number", title="A dry run: nothing was posted" if dry_run else "Imported")
    for kind in ("posted", "posted before", "refused"):
        table.add_row(f"would be {kind}" if dry_run and kind != "posted before" else kind, str(tally.rows[kind]))
    for currency, amount in sorted(tally.money.items()):
        table.add_row(f"amount in {currency}", str(Money(amount, currency)))
    console.print(table)
    if report.rows:
        console.print(f"The refused rows are in {report.path}", markup=False)
