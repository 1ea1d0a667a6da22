"""`restore_backup`: a file of `backup` into an empty database, after all of it proved to be authentic."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from fintech_core.ops import backups

NEXT = """\
Restored {rows} rows of {tables} tables, as its manifest counts them, at {made_at} (PostgreSQL {server_version}).

Next, with DATABASE_URL and DATABASE_OWNER_URL set to the new database:
  1. python manage.py migrate            # makes the system accounts of a newer version, if this is one
  2. python manage.py verify_ledger --seals <the file kept elsewhere>
  3. Erase again who was erased since {made_at}: python manage.py erase_user (the list kept beside the backups)
"""


class Command(BaseCommand):
    help = "Restore an encrypted backup into an empty database. The file is authenticated as a whole first."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--manifest", type=Path, help="What `backup` wrote beside the file. Default: FILE.json.")
        parser.add_argument("--identity", type=Path, help="The age identity file. Default: BACKUP_IDENTITY_FILE.")
        parser.add_argument(
            "--database-url",
            help="The empty database, as the owner's log-in. Default: RESTORE_DATABASE_URL of the environment, which"
            " keeps the password off the command line.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["database_url"] or settings.RESTORE_DATABASE_URL
        identity = options["identity"] or settings.BACKUP_IDENTITY_FILE
        if not url:
            raise CommandError("Name the database: --database-url, or RESTORE_DATABASE_URL in the environment.")
        if not identity:
            raise CommandError("Name the file that opens it: --identity, or BACKUP_IDENTITY_FILE in the environment.")
        console = Console(stderr=True, soft_wrap=True)
        columns = (TextColumn("Verifying, then restoring"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        try:
            manifest = backups.read_manifest(options["manifest"] or backups.manifest_of(options["file"]))
            with options["file"].open("rb") as file, Progress(*columns, console=console, transient=True) as progress:
                bar = progress.add_task("", total=2 * options["file"].stat().st_size)
                rows = backups.restore(
                    file,
                    manifest=manifest,
                    config=backups.config_of(url, settings.DATABASE_OWNER_ROLE),
                    identities=backups.identities_from(Path(identity)),
                    advance=lambda count: progress.advance(bar, count),
                )
        except backups.BackupRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        except OSError as error:
            raise CommandError(f"{options['file']} can't be read: {error.strerror}.") from error
        self.stdout.write(NEXT.format(**{**manifest, "rows": sum(rows.values()), "tables": len(rows)}))
