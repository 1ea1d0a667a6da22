"""The simulator's wire format: Standard Webhooks (https://www.standardwebhooks.com), JSON bodies.

    {"id": "evt_…", "type": "payment.succeeded", "timestamp": "…",
     "data": {"payment_id": "sim_…", "client_reference": "<intent id>", "amount": "12.50", "currency": "USD"}}

Both ends are here: the provider's side signs and composes (payments/services/simulator.py sends), ours verifies and
reads.
"""

import hmac
import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from rest_framework.exceptions import ParseError
from standardwebhooks import Webhook

from fintech_core.http.parsers import parse_object
from payments.checkout import checkout_url
from payments.gateways.base import Gateway, Outcome, ProviderEvent, UnreadableEvent, WebhookNotAuthentic

NAME = "simulator"
TOLERANCE = timedelta(minutes=5)  # both ways, as the specification recommends
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
# A signature has a comma of its own: what is between the blanks is one, or the header was given twice.
_SIGNATURES = re.compile(r"v[0-9]+[a-z]?,[A-Za-z0-9+/=_-]+( v[0-9]+[a-z]?,[A-Za-z0-9+/=_-]+)*", re.ASCII)
_ID, _TIME, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_TYPES = {
    "payment.succeeded": Outcome.SUCCEEDED,
    "payment.failed": Outcome.FAILED,
    "payment.processing": Outcome.PROCESSING,
}
_MAX_ID = 255
_MAX_TYPE = 100


class SimulatorGateway(Gateway):
    name = NAME
    signature_headers: ClassVar[tuple[str, ...]] = (_ID, _TIME, _SIGNATURE)

    def is_enabled(self) -> bool:
        return settings.SIMULATOR_ENABLED

    def checkout_url(self, intent_id: uuid.UUID) -> str:
        return checkout_url(intent_id)

    def verify_webhook(self, *, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Accepts the current secret and, during a rotation, the previous one."""
        signed = {name: headers.get(name, "") for name in self.signature_headers}
        if not signed[_ID] or "," in signed[_ID] or not _SIGNATURES.fullmatch(signed[_SIGNATURE]):
            raise WebhookNotAuthentic
        if (
            not _TIMESTAMP.fullmatch(signed[_TIME])
            or abs(now.timestamp() - int(signed[_TIME])) > TOLERANCE.total_seconds()
        ):
            raise WebhookNotAuthentic
        if not any(_is_signed(secret, signed, body) for secret in _secrets()):
            raise WebhookNotAuthentic

    def parse_event(self, body: bytes) -> ProviderEvent:
        try:
            event = parse_object(body)
        except ParseError as error:
            raise UnreadableEvent("not a JSON object") from error
        event_id, event_type = _text(event, "id", _MAX_ID), _text(event, "type", _MAX_TYPE)
        outcome = _TYPES.get(event_type)
        if outcome is None:
            return ProviderEvent(id=event_id, type=event_type, outcome=None)
        data = event.get("data")
        if not isinstance(data, dict):
            raise UnreadableEvent("data is not an object")
        return ProviderEvent(
            id=event_id,
            type=event_type,
            outcome=outcome,
            provider_payment_id=_text(data, "payment_id", _MAX_ID),
            client_reference=_text(data, "client_reference", _MAX_ID, required=False),
            amount=_text(data, "amount", 64),
            currency=_text(data, "currency", 16),
        )


def sign(*, event_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The provider's side: the headers that go with a body sent at `now`."""
    webhook = Webhook(settings.SIMULATOR_WEBHOOK_SECRET)
    return {
        "content-type": "application/json",
        _ID: event_id,
        _TIME: str(int(now.timestamp())),
        _SIGNATURE: webhook.sign(event_id, now, body.decode()),
    }


def compose(
    *,
    event_id: str,
    outcome: Outcome,
    payment_id: str,
    client_reference: str,
    amount: str,
    currency: str,
    now: datetime,
) -> bytes:
    """The provider's side: the body of an event."""
    event_type = next(name for name, known in _TYPES.items() if known is outcome)
    data = {"payment_id": payment_id, "client_reference": client_reference, "amount": amount, "currency": currency}
    event = {"id": event_id, "type": event_type, "timestamp": now.isoformat(), "data": data}
    return json.dumps(event, separators=(",", ":")).encode()


def _secrets() -> list[str]:
    return [key for key in (settings.SIMULATOR_WEBHOOK_SECRET, settings.SIMULATOR_WEBHOOK_PREVIOUS_SECRET) if key]


def _is_signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of the listed signatures is the expected text. (The library's own `verify` decodes base64 first,
    which lets changed signatures through, and raises other errors than its own for malformed ones.)"""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    moment = datetime.fromtimestamp(int(headers[_TIME]), tz=UTC)
    expected = Webhook(secret).sign(headers[_ID], moment, text).encode()
    return any(hmac.compare_digest(expected, given.encode()) for given in headers[_SIGNATURE].split(" "))


def _text(source: Mapping[str, Any], name: str, longest: int, *, required: bool = True) -> str:
    value = source.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or len(value) > longest or (required and not value):
        raise UnreadableEvent(f"{name} is not a text of 1 to {longest} characters")
    return value
