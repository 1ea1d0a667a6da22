"""`export_seals`: all seals as JSON lines, for keeping outside of the database. `verify_ledger --seals` compares."""

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandParser

from fintech_core.db.work import read_only_snapshot
from transactions.seals import sealing
from transactions.seals.models import Seal


class Command(BaseCommand):
    help = "Write all seals as JSON lines, oldest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", required=True, help='A file, replaced whole; "-" is the standard output.')

    def handle(self, *args: Any, **options: Any) -> None:
        if options["to"] == "-":
            self._write(sys.stdout)
            return
        target = Path(options["to"])
        partial = target.with_name(target.name + ".partial")
        with partial.open("w") as file:
            count = self._write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        self.stdout.write(f"{count} seals written to {target}")

    def _write(self, file: IO[str]) -> int:
        count = 0
        with read_only_snapshot():
            for seal in Seal.objects.defer("subtrees").order_by("number").iterator(chunk_size=1_000):
                file.write(json.dumps(sealing.as_json(seal)) + "\n")
                count += 1
        return count
