"""`raise_ledger_base`: let the ledger's transaction ids go on above all those that are stored, in a moved database."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from fintech_core.db import transaction_ids
from fintech_core.db.work import as_owner, unit_of_work
from fintech_core.security.actors import Actor


class Command(BaseCommand):
    help = (
        "After the database was moved to another PostgreSQL cluster: let transaction ids go on above all stored ones."
        " Runs as the owner, waits for writers, and may be repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="", help="For the audit log: what was moved.")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor.system("command.raise_ledger_base")
        with as_owner():
            base = unit_of_work(lambda: transaction_ids.raise_base(actor=actor, reason=options["reason"]))
        self.stdout.write(f"Transaction ids go on above {base}, and above all that are stored.")
