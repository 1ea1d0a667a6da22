"""`seal_ledger`: chain the audit rows that can be, and seal all books. What beat does every hour, by hand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from fintech_core.audit import chain as audit_chain
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from transactions.seals import services


class Command(BaseCommand):
    help = "Sign a Merkle root over every wallet's head and the audit chain's."

    def handle(self, *args: Any, **options: Any) -> None:
        while unit_of_work(audit_chain.seal) == audit_chain.BATCH:
            pass
        actor = Actor.system("command.seal_ledger")
        try:
            seal = unit_of_work(lambda: services.seal_ledger(actor=actor, now=clock.now()))
        except services.SealedByAnother as error:
            raise CommandError(error.detail) from error
        self.stdout.write(
            f"Seal {seal.number}: {seal.leaves} leaves, audit chain at {seal.audit_seq}, hash {bytes(seal.hash).hex()}"
        )
