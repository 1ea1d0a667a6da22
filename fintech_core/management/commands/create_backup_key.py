"""`create_backup_key`: an age identity for a file that is kept where backups are restored, and its recipient."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from pyrage.x25519 import Identity

NEXT = """\
BACKUP_RECIPIENTS={recipient}

That is all that `backup` needs. {file} opens the backups (BACKUP_IDENTITY_FILE of `restore_backup`, `age --identity`):
keep it, and a copy, neither where backups are made nor where they are kept. Without it they are lost.
"""


class Command(BaseCommand):
    help = "Write a new age identity to a file, and print the recipient for BACKUP_RECIPIENTS."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, required=True, help="The file to write; it must not exist.")

    def handle(self, *args: Any, **options: Any) -> None:
        identity = Identity.generate()
        try:
            with open(options["output"], "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(f"# public key: {identity.to_public()}\n{identity}\n")
        except OSError as error:
            raise CommandError(f"{options['output']} could not be written: {error.strerror}.") from error
        self.stdout.write(NEXT.format(recipient=identity.to_public(), file=options["output"]))
