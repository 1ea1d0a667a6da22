"""SMS.RU over its HTTP API (https://sms.ru/api/send): a form by POST, so that the key is in no access log.

It answers HTTP 200 also to errors: `status_code` has the result, at the top for the whole request and under `sms` for
the number. There is no idempotency key, so a message whose answer didn't arrive is never sent again.
"""

import re
from datetime import timedelta
from typing import Any

import httpx
import structlog
from django.conf import settings

from messaging.sms.base import Delivery, Outcome

ACCEPTED = 100
_LATER = frozenset({220, 500})  # service unavailable, server error: not taken
# What an operator must mend: key, money, sender, daily limit, token.
_ALARMS = frozenset({200, 201, 204, 206, 300, 301})
_TIMEOUT = httpx.Timeout(10, connect=3)
_MAX_TTL_MINUTES = 1440
_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
logger = structlog.get_logger(__name__)


class SmsRu:
    def send(self, *, phone: str, text: str, lifetime: timedelta) -> Delivery:
        number = phone.removeprefix("+")
        form = {
            "api_id": settings.SMSRU_API_ID,
            "json": "1",
            "to": number,
            "msg": text,
            "ttl": str(min(max(1, int(lifetime.total_seconds() // 60)), _MAX_TTL_MINUTES)),
        }
        if settings.SMSRU_FROM:
            form["from"] = settings.SMSRU_FROM
        if settings.SMS_TEST_MODE:
            form["test"] = "1"
        try:
            answer = httpx.post(f"{settings.SMSRU_URL}/sms/send", data=form, timeout=_TIMEOUT, trust_env=False)
            document = answer.json() if answer.status_code == httpx.codes.OK else None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Delivery(Outcome.LATER)  # no request was sent
        except (httpx.HTTPError, ValueError):
            return Delivery(Outcome.UNKNOWN)
        return _judged(_delivery(document, number))


def _delivery(document: Any, number: str) -> Delivery:
    """What the answer says about the one number. An answer that isn't understood says nothing."""
    whole = _part(document)
    line = _part(_part(whole.get("sms")).get(number))
    for part in (whole, line):
        code = part.get("status_code")
        if type(code) is not int or not -1 <= code < 10_000:
            return Delivery(Outcome.UNKNOWN)
        if code != ACCEPTED:
            return Delivery(Outcome.LATER if code in _LATER else Outcome.REFUSED, code)
    name = str(line.get("sms_id", ""))
    return Delivery(Outcome.SENT, ACCEPTED, name if _ID.fullmatch(name) else "")


def _part(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _judged(delivery: Delivery) -> Delivery:
    """Refusals that are about us, not about the number, are an operator's business."""
    if delivery.code in _ALARMS:
        logger.error("sms_provider_refuses_us", provider="smsru", provider_code=delivery.code)
    return delivery
