"""`create_staff_user`: the first admin of an installation, and any member of staff from the command line."""

import getpass
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError, ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.values import identifiers
from users import credentials, services, terminal
from users.enums import STAFF_ROLES, Role
from users.models import User


def _create(
    email: str, password: str, role: Role, *, wanted: bool
) -> tuple[User, tuple[services.Enrolment, list[str]] | None]:
    """The account with its second factor, or neither."""
    actor, now = Actor.system("command.create_staff_user"), clock.now()
    user = services.create_staff(actor=actor, email=email, password=password, role=role, now=now)
    if not wanted:
        return user, None
    return user, services.provision_second_factor(actor=actor, user_id=user.pk, now=now)


class Command(BaseCommand):
    help = (
        "Create a member of staff. Asks for the password, or generates and prints one; prints a second factor where "
        "staff must have one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--role", required=True, choices=sorted(STAFF_ROLES))
        parser.add_argument(
            "--second-factor",
            action="store_true",
            help="Give them a second factor also where staff needn't have one (STAFF_SECOND_FACTOR=off).",
        )
        parser.add_argument("--generate", action="store_true", help="Generate the password even on a terminal.")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = sys.stdin.isatty() and not options["generate"]
        password = self._ask() if asked else credentials.generate_password()
        try:
            email = identifiers.normalise_email(options["email"])
            wanted = settings.STAFF_SECOND_FACTOR or options["second_factor"]
            user, factor = unit_of_work(lambda: _create(email, password, Role(options["role"]), wanted=wanted))
        except identifiers.InvalidIdentifier as error:
            raise CommandError("This is not an email address.") from error
        except ValidationFailed as error:
            raise CommandError(" ".join(item["message"] for item in error.extensions["errors"])) from error
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"{user.email} ({user.role}) was created.")
        if not asked:
            self.stdout.write(f"Password: {password}")
        if factor is not None:
            self.stdout.write(terminal.shown(*factor))

    def _ask(self) -> str:
        password = getpass.getpass("Password (15 characters or more): ")
        if getpass.getpass("Again: ") != password:
            raise CommandError("The two passwords differ.")
        return password
