"""`verify_ledger`: recompute the books and say whether they are right. Exits 1 with the first bad row of each kind."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fintech_core.db.work import read_only_snapshot
from fintech_core.values.money import format_amount
from transactions.seals import seal_verification, verification


class Command(BaseCommand):
    help = "Recompute sums, balances, holds, chains, states, seals and the audit chain; exit 1 if anything differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--seals",
            type=Path,
            help="A file of export_seals, kept elsewhere: every seal in it must still be in the database.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=sys.stdout, soft_wrap=True)
        columns = (TextColumn("Verifying the ledger"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with ExitStack() as stack:
            kept = options.get("seals")
            exported = stack.enter_context(Path(kept).open(encoding="utf-8")) if kept else ()
            stack.enter_context(read_only_snapshot())
            progress = stack.enter_context(Progress(*columns, console=console, transient=True))
            bar = progress.add_task("", total=verification.row_count())
            findings = verification.verify(lambda count: progress.advance(bar, count), exported=exported)
            totals, sealed = verification.account_totals(), seal_verification.sealed_until()
        if findings:
            table = Table("check", "first bad row", "problem", title="The ledger is NOT right", title_style="bold red")
            for finding in findings:
                table.add_row(finding.check, finding.row, finding.problem)
            console.print(table)
            sys.exit(1)
        table = Table("currency", "account", "wallets", "balance", title="The ledger is right", caption=sealed)
        for row in totals:
            amount = format_amount(row["balance"], row["exponent"])
            table.add_row(row["currency"], row["account"], str(row["wallets"]), amount)
        console.print(table)
