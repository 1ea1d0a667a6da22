"""`rotate_pii_keys`: bring all personal data under the rings' first keys, so that an old key can be retired."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db.work import as_owner, unit_of_work
from fintech_core.security import crypto, rotation
from fintech_core.security.actors import Actor
from fintech_core.values.parsing import parse_whole_number

_SHOWN = 10


class Command(BaseCommand):
    help = (
        "Encrypt personal data anew under the first key of PII_KEYS and make its blind indexes anew. May be repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Only count values by key; exit 1 while an old key is in use."
        )
        parser.add_argument("--batch", type=parse_whole_number, default=rotation.BATCH, help="Rows in one transaction.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch"] < 1:
            raise CommandError("--batch is at least 1.")
        console = Console(file=sys.stdout, soft_wrap=True)
        with as_owner():
            if not options["check"]:
                report = self._walk(console, options)
                if report.rows_changed:
                    unit_of_work(lambda: _record(report))
            report = self._walk(console, {"check": True})
        _show(console, report)
        if not report.is_done:
            sys.exit(1)

    def _walk(self, console: Console, options: dict[str, Any]) -> rotation.Report:
        what = "Counting" if options["check"] else "Rotating"
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=rotation.row_count())
            if options["check"]:
                return rotation.survey(lambda count: progress.advance(bar, count))
            return rotation.rotate(lambda count: progress.advance(bar, count), batch=options["batch"])


def _record(report: rotation.Report) -> None:
    record_and_publish(
        Actor.system("command.rotate_pii_keys"),
        "pii_keys.rotated",
        EntityRef("pii_keys", str(crypto.current_key_id())),
        after={"rows": report.rows_changed, "index_keys": list(crypto.index_key_ids())},
    )


def _show(console: Console, report: rotation.Report) -> None:
    current = crypto.current_key_id()
    table = Table("column", "key", "values", "")
    for (column, key_id), count in sorted(report.values.items()):
        table.add_row(column, str(key_id), str(count), "" if key_id == current else "old key")
    for (column, right), count in sorted(report.indexes.items()):
        table.add_row(column, "index", str(count), "" if right else "to be made anew")
    console.print(table)
    for place in report.unreadable[:_SHOWN]:
        console.print(f"No key of PII_KEYS opens {place}.")
    if report.unreadable:
        console.print(f"{len(report.unreadable)} values can't be read: put the key back that they were encrypted with.")
    elif report.is_done:
        console.print(
            f"Everything is under key {current} and index key {crypto.index_key_ids()[0]}. Next: take the old keys out"
            " of PII_KEYS and PII_INDEX_KEYS, restart every process, and keep the old ones for backups made until now."
            " Where an index key went, run this once more: it empties the old key's digests."
        )
    else:
        console.print(
            "Old keys are in use. Restart every process with the new rings, then run `manage.py rotate_pii_keys`; a"
            " process with the former ring goes on writing under the old key."
        )
