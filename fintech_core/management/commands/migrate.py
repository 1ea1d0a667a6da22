"""`migrate`, run as the owner role: the app's own role has no DDL."""

from typing import Any

from django.core.management.commands.migrate import Command as DjangoMigrate

from fintech_core.db.work import as_owner


class Command(DjangoMigrate):
    def handle(self, *args: Any, **options: Any) -> None:
        with as_owner():
            super().handle(*args, **options)
