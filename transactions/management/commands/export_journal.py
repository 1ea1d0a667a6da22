"""`export_journal`: the general journal of a period into a file, of one moment and of any size."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fintech_core.db import clock
from fintech_core.db.work import read_only_snapshot, unit_of_work
from fintech_core.http.serializers import DayOrInstantField
from fintech_core.security.actors import Actor
from transactions.statements import books, journal_format, services


class Command(BaseCommand):
    help = "Write every entry posted in [--from, --to) as CSV or JSON; the totals are at its end."

    def add_arguments(self, parser: CommandParser) -> None:
        moment = "a UTC date (its midnight) or an RFC 3339 instant"
        parser.add_argument("--from", dest="start", required=True, help=f"inclusive: {moment}")
        parser.add_argument("--to", dest="end", required=True, help=f"exclusive: {moment}")
        parser.add_argument("--format", choices=["csv", "json"], default="csv")
        parser.add_argument("--output", help="a file, written whole or not at all; default: standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        start, end = _moment("--from", options["start"]), _moment("--to", options["end"])
        end = min(end, clock.now())
        if start >= end:
            raise CommandError("--from is before --to, and not in the future.")
        target = Path(options["output"]).resolve() if options["output"] else None
        parameters = {"from": start.isoformat(), "to": end.isoformat(), "format": options["format"]}
        unit_of_work(
            lambda: services.record_export(
                actor=Actor.system("command.export_journal"),
                report="journal",
                entity_type="report",
                entity_id="journal",
                parameters=parameters,
            )
        )
        with read_only_snapshot():
            chunks = _chunks(options["format"], start, end)
            if target is None:
                for chunk in chunks:
                    sys.stdout.buffer.write(chunk)
            else:
                _write(target, chunks)


def _moment(option: str, text: str) -> datetime:
    try:
        return DayOrInstantField().to_internal_value(text)
    except ValidationError as error:
        raise CommandError(f"{option}: {error.detail[0]}") from error  # type: ignore[index]


def _chunks(kind: str, start: datetime, end: datetime) -> Iterator[bytes]:
    lines = _counted(books.journal(start=start, end=end), total=books.journal_size(start=start, end=end))
    if kind == "csv":
        return journal_format.journal_csv(lines)
    return journal_format.journal_json(lines, start=start, end=end)


def _counted(lines: Iterable[books.JournalLine], *, total: int) -> Iterator[books.JournalLine]:
    """The lines, with a bar of transactions on standard error."""
    columns = (TextColumn("Exporting the journal"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        bar = progress.add_task("", total=total)
        current = None
        for line in lines:
            if line.transaction != current:
                current = line.transaction
                progress.advance(bar)
            yield line


def _write(target: Path, chunks: Iterable[bytes]) -> None:
    """A file that is there only when it is whole, and only for its owner's eyes."""
    if not target.parent.is_dir():
        raise CommandError(f"There is no directory {target.parent}.")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
