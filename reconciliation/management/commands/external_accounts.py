"""`external_accounts`: the accounts at banks and gateways that a clearing account stands for; add one, retire one."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from reconciliation import selectors, services
from reconciliation.models import ExternalAccount

_ACTOR = Actor.system("command.external_accounts")


class Command(BaseCommand):
    help = "List the external accounts of a clearing account, add one, or retire one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, choices=services.clearing_accounts())
        parser.add_argument("--currency", required=True, choices=settings.CURRENCIES)
        parser.add_argument("--reason", help="Goes into the audit log; needed to add or retire.")
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--add", metavar="IDENTIFIER", help="An IBAN or account number.")
        change.add_argument("--retire", metavar="IDENTIFIER")

    def handle(self, *args: Any, **options: Any) -> None:
        account, currency, reason = options["account"], options["currency"], options["reason"]
        if (options["add"] or options["retire"]) and not 3 <= len(reason or "") <= 500:
            raise CommandError("A change needs a --reason of 3 to 500 characters.")
        try:
            if options["add"]:
                unit_of_work(
                    lambda: services.add_external_account(
                        actor=_ACTOR, account_code=account, currency=currency, identifier=options["add"], reason=reason
                    )
                )
            elif options["retire"]:
                found = selectors.active_external_account(account, currency, options["retire"])
                if found is None:
                    raise CommandError("The clearing account has no such external account.")
                unit_of_work(
                    lambda: services.retire_external_account(actor=_ACTOR, external_id=found.pk, reason=reason)
                )
        except DomainError as error:
            raise CommandError(f"{error.detail} ({error.code})") from error
        self._show(account, currency)

    def _show(self, account: str, currency: str) -> None:
        table = Table("external account", "since", "retired", title=f"{account} {currency}")
        rows = ExternalAccount.objects.filter(account__account_code=account, account__currency=currency)
        for row in rows.order_by("created_at", "pk"):
            retired = row.retired_at.date().isoformat() if row.retired_at else ""
            table.add_row(row.identifier, row.created_at.date().isoformat(), retired)
        Console(file=sys.stdout, soft_wrap=True).print(table)
