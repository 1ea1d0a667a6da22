"""`backup`: the whole database into one age file, as the owner role; docs/deployment.md says how to keep it."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from fintech_core.ops import backups


class Command(BaseCommand):
    help = "Write an encrypted backup of the database (for BACKUP_RECIPIENTS, connection: DATABASE_OWNER_URL)."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, required=True, help="The file to write; it must not exist.")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(stderr=True, soft_wrap=True)
        columns = (
            SpinnerColumn(),
            TextColumn("Backing up"),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
        )
        try:
            with Progress(*columns, console=console, transient=True) as progress:
                bar = progress.add_task("", total=None)
                manifest = backups.make(
                    options["output"].absolute(),
                    recipients=backups.recipients_from(settings.BACKUP_RECIPIENTS),
                    advance=lambda count: progress.advance(bar, count),
                )
        except backups.BackupRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        except OSError as error:
            raise CommandError(f"The backup could not be written: {error.strerror}.") from error
        self.stdout.write(
            f"{options['output']}: {manifest['size']} bytes, {sum(manifest['rows'].values())} rows of"
            f" {len(manifest['rows'])} tables, SHA-256 {manifest['sha256']}"
        )
