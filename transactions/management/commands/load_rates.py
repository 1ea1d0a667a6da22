"""`load_rates FILE`: the ECB's euro reference rates from its XML (eurofxref-daily.xml). Twice is fine."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fintech_core import clock
from fintech_core.actors import Actor
from fintech_core.db import unit_of_work
from fintech_core.exceptions import DomainError
from transactions import services


class Command(BaseCommand):
    help = "Load exchange rates from the ECB's XML file. A job fetches the file; this product fetches nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["file"].open("rb") as stream:
                as_of, rates = services.read_ecb(stream)
            unit_of_work(
                lambda: services.load_rates(
                    actor=Actor.system("load_rates"), source="ecb", as_of=as_of, rates=rates, now=clock.now()
                )
            )
        except services.RatesExist:
            self.stdout.write(f"The rates of {as_of} are loaded already.")
            return
        except (OSError, DomainError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        self.stdout.write(f"Loaded {len(rates)} rates of {as_of}.")
