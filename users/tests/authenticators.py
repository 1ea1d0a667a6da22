"""An authenticator in the tests' hands: enrols through the real services, and shows the code of any moment."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django_otp.oath import hotp

from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM
from users import services
from users.models import TotpDevice, User

STEP = timedelta(seconds=30)


@dataclass
class Authenticator:
    secret: str
    recovery_codes: list[str]

    def code(self, *, steps: int = 0) -> str:
        """The code of now, or some steps from now."""
        return code_of(self.secret, timezone.now() + steps * STEP)

    def wrong(self) -> str:
        """Six digits that are no code of these minutes."""
        near = {self.code(steps=steps) for steps in range(-3, 4)}
        return next(text for text in (f"{number:06}" for number in range(10)) if text not in near)


def code_of(secret: str, when: datetime) -> str:
    return f"{hotp(base64.b32decode(secret), int(when.timestamp()) // 30):06}"


def enrol(user: User) -> Authenticator:
    """A device that was confirmed, and never used since."""
    enrolment, codes = unit_of_work(
        lambda: services.provision_second_factor(actor=SYSTEM, user_id=user.pk, now=timezone.now())
    )
    return Authenticator(enrolment.secret, codes)


def last_step(user: User) -> int:
    return TotpDevice.objects.get(user=user, confirmed=True).last_step
