"""`import_statement`: a bank's or gateway's statement for a clearing account, whole or not at all."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.values import money
from reconciliation import services
from reconciliation.enums import StatementFormat
from reconciliation.parsing import ENCODINGS


class Command(BaseCommand):
    help = "Import a file of statements (camt.053, MT940, CSV) for a clearing account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", required=True, choices=StatementFormat.values)
        parser.add_argument("--account", required=True, choices=services.clearing_accounts())
        parser.add_argument("--currency", required=True, choices=settings.CURRENCIES)
        parser.add_argument("--encoding", choices=ENCODINGS, help="Of MT940 and CSV; default: utf-8.")
        parser.add_argument("--opening", help="For CSV: the balance before the first line.")
        parser.add_argument("--closing", help="For CSV: the balance after the last line.")

        parser.add_argument(
            "--confirm-account", action="store_true", help="The accounts that the file names belong to --account."
        )
        parser.add_argument(
            "--confirm-repeat", action="store_true", help="Import although the same figures were imported before."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        currency: str = options["currency"]
        try:
            with options["file"].open("rb") as stream:
                file = services.read_statements(
                    format=options["format"],
                    raw=stream,
                    currency=currency,
                    encoding=options["encoding"],
                    opening=self._balance(options["opening"], currency),
                    closing=self._balance(options["closing"], currency),
                )
            statements = unit_of_work(
                lambda: services.import_statements(
                    actor=Actor.system("command.import_statement"),
                    account_code=options["account"],
                    file=file,
                    now=clock.now(),
                    confirm_account=options["confirm_account"],
                    confirm_repeat=options["confirm_repeat"],
                )
            )
        except OSError as error:
            raise CommandError(f"The file can't be read: {error.strerror or error}.") from error
        except DomainError as error:
            raise CommandError(f"{error.detail} ({error.code})") from error
        table = Table("statement", "from", "to", "lines", "total", title="Imported")
        for row in statements:
            total = money.format_amount(row.total, money.exponent_of(currency))
            table.add_row(row.statement_id, str(row.from_date), str(row.to_date), str(row.line_count), total)
        Console(file=sys.stdout, soft_wrap=True).print(table)
        for note in file.notes:
            self.stdout.write(note)

    def _balance(self, text: str | None, currency: str) -> Decimal | None:
        if text is None:
            return None
        try:
            return money.parse_balance(text, currency)
        except money.InvalidAmount as error:
            raise CommandError(f"A balance is not right: {error.message}") from error
