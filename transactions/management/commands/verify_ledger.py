"""`verify_ledger`: recompute the books and say whether they are right. Exits 1 with the first bad row of each kind."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fintech_core.db import read_only_snapshot
from fintech_core.money import format_amount
from transactions import verification


class Command(BaseCommand):
    help = "Recompute zero sums, balances, holds, sequences, hashes and states; exit 1 if anything differs."

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=sys.stdout, soft_wrap=True)
        columns = (TextColumn("Verifying the ledger"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with read_only_snapshot(), Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=verification.row_count())
            findings = verification.verify(lambda count: progress.advance(bar, count))
            totals = verification.account_totals()
        if findings:
            table = Table("check", "first bad row", "problem", title="The ledger is NOT right", title_style="bold red")
            for finding in findings:
                table.add_row(finding.check, finding.row, finding.problem)
            console.print(table)
            sys.exit(1)
        table = Table("currency", "account", "wallets", "balance", title="The ledger is right")
        for row in totals:
            amount = format_amount(row["balance"], row["exponent"])
            table.add_row(row["currency"], row["account"], str(row["wallets"]), amount)
        console.print(table)
