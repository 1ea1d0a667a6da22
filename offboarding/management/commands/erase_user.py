"""`erase_user ID`: erase a person, as compliance does over the API; after a restore, all erased since the backup."""

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from offboarding.services import erasure


class Command(BaseCommand):
    help = "Forget a person: personal data goes, the books stay. Refused while money or anything else is open."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", type=uuid.UUID)
        parser.add_argument(
            "--reason", required=True, help="For the audit log: at least 3 characters, nothing personal."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        reason = options["reason"].strip()
        if len(reason) < 3:
            raise CommandError("Give a reason.")
        actor = Actor.system("command.erase_user")
        try:
            erased = unit_of_work(
                lambda: erasure.erase_user(actor=actor, user_id=options["user"], reason=reason, now=clock.now())
            )
        except erasure.ErasureBlocked as refusal:
            obstacles = ", ".join(f"{found['kind']} {found['id']}" for found in refusal.extensions["obstacles"])
            raise CommandError(f"{refusal.title} {obstacles}") from refusal
        except DomainError as refusal:
            raise CommandError(refusal.detail) from refusal
        while unit_of_work(lambda: erasure.erase_texts(user_id=options["user"], now=clock.now())):
            pass
        kept = erased.kyc_kept_until
        self.stdout.write(
            f"Erased {options['user']}; {erased.wallets_closed} wallets closed."
            + (f" The KYC data is kept until {kept.date()}, the end of its legal retention period." if kept else "")
        )
