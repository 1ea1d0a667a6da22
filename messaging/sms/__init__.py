"""Text messages: one protocol, a provider chosen by settings.SMS_PROVIDER.

A provider makes one call with timeouts and says what came of it; it never repeats one. In SMS_TEST_MODE the numbers
79999XXXXXX get codes that testers know and no message; other numbers go out with the provider's own test switch.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from django.conf import settings

from messaging.sms.base import Delivery, NoSms, Outcome, SmsProvider
from messaging.sms.console import ConsoleSms
from messaging.sms.memory import MemorySms
from messaging.sms.smsru import SmsRu

PROVIDERS: Mapping[str, Callable[[], SmsProvider]] = MappingProxyType(
    {"console": ConsoleSms, "memory": MemorySms, "none": NoSms, "smsru": SmsRu}
)
_TEST_NUMBER = re.compile(r"\+79999[0-9]{6}", re.ASCII)
CODE_DIGITS = 6

__all__ = ["PROVIDERS", "Delivery", "Outcome", "SmsProvider", "provider", "test_code"]


def provider() -> SmsProvider:
    """The provider of these settings. Raises KeyError for one that doesn't exist; `check --deploy` says so too."""
    return PROVIDERS[settings.SMS_PROVIDER]()


def test_code(phone: str) -> str | None:
    """The code that a test number gets in SMS_TEST_MODE (one of 111111 to 666666); None for all other numbers."""
    if not settings.SMS_TEST_MODE or not _TEST_NUMBER.fullmatch(phone):
        return None
    return str(1 + int(phone[-1]) % 6) * CODE_DIGITS
