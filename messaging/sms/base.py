"""What a provider of text messages is, and what may come of a call."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    SENT = "sent"  # the provider took it
    LATER = "later"  # surely not taken: the same message may be tried again
    REFUSED = "refused"  # not taken, and trying again wouldn't change that
    UNKNOWN = "unknown"  # no answer: it may have gone out, so it isn't sent again


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one call. `code` is the provider's, `provider_id` the message's name there."""

    outcome: Outcome
    code: int | None = None
    provider_id: str = ""


class SmsProvider(Protocol):
    def send(self, *, phone: str, text: str, lifetime: timedelta) -> Delivery:
        """Hand over one message to an E.164 number, worthless after `lifetime`. Raises nothing for a bad day."""


class NoSms:
    """No provider is set up: every message is refused."""

    def send(self, *, phone: str, text: str, lifetime: timedelta) -> Delivery:
        return Delivery(Outcome.REFUSED)
