"""`reconcile`: match an account's open lines and entries, and show what is left. Exits 0 also when breaks are left."""

import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.values import money
from fintech_core.values.parsing import parse_day
from reconciliation import matching, selectors, services
from reconciliation.coverage import Interval


class Command(BaseCommand):
    help = "Match statement lines with ledger entries of a clearing account; idempotent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, choices=services.clearing_accounts())
        parser.add_argument("--currency", required=True, choices=settings.CURRENCIES)
        parser.add_argument("--until", type=parse_day, help="The last day to look at, YYYY-MM-DD.")

    def handle(self, *args: Any, **options: Any) -> None:
        account = selectors.reconciled_account(options["account"], options["currency"])
        if account is None:
            raise CommandError("No statement was imported for this account and currency.")
        console = Console(file=sys.stdout, soft_wrap=True)
        columns = (TextColumn("Matching"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=matching.STEPS)
            try:
                report = unit_of_work(
                    lambda: services.reconcile_account(
                        actor=Actor.system("command.reconcile"),
                        account_id=account.pk,
                        now=clock.now(),
                        until=options["until"],
                        on_step=lambda: progress.advance(bar),
                    )
                )
            except DomainError as error:
                raise CommandError(f"{error.detail} ({error.code})") from error
        self._show(console, report)

    def _show(self, console: Console, report: services.RunReport) -> None:
        exponent = money.exponent_of(report.account.currency)
        period = _text(report.covered.intervals) or "no days covered"
        matched = ", ".join(f"{count} by {rule}" for rule, count in sorted(report.matched.items())) or "none"
        console.print(f"{report.account}, {period}")
        if report.covered.gaps:
            console.print(f"Statements are missing for {_text(report.covered.gaps)}.")
        console.print(f"New matches: {matched}. Breaks: {report.opened} new, {report.closed} gone.")
        console.print(f"New proposals to confirm or reject: {report.proposed}. Withdrawn: {report.withdrawn}.")
        console.print(f"Adjustments posted by themselves: {report.auto_posted}.")
        table = Table("class", "breaks", "net difference", "gross difference", "oldest", title="Unresolved breaks")
        for row in report.breaks:
            net, gross = (money.format_amount(row[name], exponent) for name in ("net", "gross"))
            table.add_row(row["break_class"], str(row["count"]), net, gross, row["oldest"].date().isoformat())
        console.print(table)


def _text(intervals: Sequence[Interval]) -> str:
    return ", ".join(f"{found.first} to {found.last}" for found in intervals)
