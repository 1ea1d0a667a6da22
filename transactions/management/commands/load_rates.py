"""`load_rates FILE`: the newest day of the ECB's euro reference rates, from its XML. Loading a day again is fine."""

import sys
from argparse import ArgumentTypeError
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.values import money
from transactions.exchange.services import rates


class Command(BaseCommand):
    help = "Load exchange rates from the ECB's XML file. A job fetches the file; this product fetches nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="eurofxref-daily.xml, eurofxref-hist-90d.xml or eurofxref-hist.xml")
        parser.add_argument(
            "--confirm",
            nargs="+",
            default=[],
            type=_confirmation,
            metavar="CURRENCY=RATE",
            help="rates that may differ by more than 10 %% from those around them; asked for on a terminal",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["file"].open("rb") as stream:
                as_of, loaded = rates.read_ecb(stream)
            self._load(as_of, loaded, dict(options["confirm"]))
        except rates.RatesExist:
            self.stdout.write(f"The rates of {as_of} are loaded already.")
            return
        except rates.RatesJump as error:
            raise CommandError(
                f"{error} Check the rates, then repeat with --confirm and them, like USD=1.12."
            ) from error
        except (OSError, DomainError) as error:
            raise CommandError(f"{options['file']}: {_words(error)}") from error
        self.stdout.write(f"Loaded {len(loaded)} rates of {as_of}.")

    def _load(self, as_of: date, loaded: dict[str, Decimal], confirmed: dict[str, Decimal]) -> None:
        def load() -> None:
            rates.load_rates(
                actor=Actor.system("load_rates"),
                source="ecb",
                as_of=as_of,
                rates=loaded,
                confirmed_jumps=confirmed,
            )

        try:
            unit_of_work(load)
        except rates.RatesJump as error:
            for jump in error.jumps:
                self.stderr.write(f"{jump.currency}: {jump.before:f} loaded, {jump.after:f} on {as_of}")
            if not sys.stdin.isatty() or input("Load these rates all the same? [yes/no] ") != "yes":
                raise
            confirmed |= {jump.currency: jump.after for jump in error.jumps}
            unit_of_work(load)


def _confirmation(text: str) -> tuple[str, Decimal]:
    currency, _, rate = text.partition("=")
    try:
        return currency, money.parse_rate(rate)
    except money.InvalidAmount as error:
        raise ArgumentTypeError(f"{text!r} is no CURRENCY=RATE, like USD=1.12") from error


def _words(error: Exception) -> str:
    """What was refused, with the fields of a refused input."""
    errors = getattr(error, "extensions", {}).get("errors", [])
    return "; ".join(f"{each['field']}: {each['message']}" for each in errors) or str(error)
