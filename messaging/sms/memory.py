"""Text messages kept in this process, as Django's locmem mail: what tests read."""

from datetime import timedelta

from messaging.sms.base import Delivery, Outcome

outbox: list[tuple[str, str]] = []


class MemorySms:
    def send(self, *, phone: str, text: str, lifetime: timedelta) -> Delivery:
        outbox.append((phone, text))
        return Delivery(Outcome.SENT)
