"""`load_demo`: one account per staff role and two customers, with generated passwords. Development only. Idempotent."""

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from users import services
from users.credentials import generate_password
from users.enums import Role
from users.models import User
from users.passwords import password_matches
from users.selectors import user_for_log_in

Credentials = dict[str, dict[str, str]]

STAFF = {
    "admin": Role.ADMIN,
    "compliance": Role.COMPLIANCE,
    "operator": Role.OPERATOR,
    "auditor": Role.AUDITOR,
}
CUSTOMERS = {"alice": ("Alice", "Archer"), "bob": ("Bob", "Baker")}
# Reserved domains (RFC 2606).
EMAILS = {name: f"{name}@fintech.example" for name in STAFF} | {name: f"{name}@customer.example" for name in CUSTOMERS}
_ACTOR = Actor.system("command.load_demo")


class Command(BaseCommand):
    help = "Create the demo accounts where they are missing; show and keep their passwords. Development only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--credentials", required=True, type=Path, help="The JSON file that keeps the passwords.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError("load_demo makes accounts whose passwords lie in a file: never in production.")
        path: Path = options["credentials"]
        known = read_credentials(path)
        credentials = {name: ensure_account(name, known.get(name)) for name in EMAILS}
        if credentials == known:
            self.stdout.write(f"The demo accounts are there; their passwords are in {path}.")
            return
        write_credentials(path, credentials)
        self._print(credentials, path)

    def _print(self, credentials: Credentials, path: Path) -> None:
        table = Table(title=f"Demo accounts (kept in {path})")
        for heading in ("account", "email", "password"):
            table.add_column(heading, no_wrap=True)
        for name, account in credentials.items():
            table.add_row(name, account["email"], account["password"])
        console = Console(width=120)
        with console.capture() as printed:
            console.print(table)
        self.stdout.write(printed.get())


def ensure_account(name: str, known: dict[str, str] | None) -> dict[str, str]:
    """The account's credentials: the kept ones where they still fit, else a new password (its sessions end)."""
    email = EMAILS[name]
    user = user_for_log_in(email)
    if user is not None and known is not None and known["email"] == email and password_matches(user, known["password"]):
        return known
    password = generate_password()
    unit_of_work(lambda: _create(name, email, password) if user is None else _reset(user, password))
    return {"email": email, "password": password}


def _create(name: str, email: str, password: str) -> User:
    if name in STAFF:
        return services.create_staff(actor=_ACTOR, email=email, password=password, role=STAFF[name], now=clock.now())
    first_name, last_name = CUSTOMERS[name]
    return services.create_customer(
        actor=_ACTOR, email=email, password=password, first_name=first_name, last_name=last_name, now=clock.now()
    )


def _reset(user: User, password: str) -> User:
    return services.set_password(actor=_ACTOR, user_id=user.pk, password=password, now=clock.now())


def read_credentials(path: Path) -> Credentials:
    """What the file says; nothing where it is missing or not ours."""
    try:
        found = json.loads(path.read_text())
        return {name: {"email": row["email"], "password": row["password"]} for name, row in found.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Replace the file in one step; only its owner can read it, from the first byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(credentials, file, indent=2)
        file.write("\n")
    new.replace(path)
