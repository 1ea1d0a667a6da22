"""Text messages on the terminal, as Django's console mail: development only."""

import sys
from datetime import timedelta

from messaging.sms.base import Delivery, Outcome


class ConsoleSms:
    def send(self, *, phone: str, text: str, lifetime: timedelta) -> Delivery:
        sys.stdout.write(f"--- SMS to {phone} ---\n{text}\n---\n")
        sys.stdout.flush()
        return Delivery(Outcome.SENT)
