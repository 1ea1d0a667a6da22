"""`reset_second_factor`: a new second factor for who lost theirs, and the first one for staff who have none."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from fintech_core.values import identifiers
from users import services, terminal
from users.selectors import user_for_log_in


class Command(BaseCommand):
    help = "Give an account a new second factor and recovery codes, and print them. Its sessions end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--reason", default="", help="For the audit log.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = user_for_log_in(identifiers.normalise_email(options["email"]))
        except identifiers.InvalidIdentifier as error:
            raise CommandError("This is not an email address.") from error
        if user is None:
            raise CommandError("There is no account with this address.")
        enrolment, codes = unit_of_work(
            lambda: services.provision_second_factor(
                actor=Actor.system("command.reset_second_factor"),
                user_id=user.pk,
                reason=options["reason"],
                now=clock.now(),
            )
        )
        self.stdout.write(f"{user.email} ({user.role}) has a new second factor.")
        self.stdout.write(terminal.shown(enrolment, codes))
