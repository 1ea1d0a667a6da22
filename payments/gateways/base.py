"""The protocol of payment gateways, and the events that they report."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar

from fintech_core.exceptions import DomainError


class WebhookNotAuthentic(DomainError):
    """One answer for every reason (missing, wrong, too old), so that it teaches a forger nothing."""

    code = "webhook_not_authentic"
    status = HTTPStatus.BAD_REQUEST
    title = "The event's signature is not the provider's."


class UnreadableEvent(Exception):
    """An authentic event that doesn't follow its provider's format."""


class Outcome(StrEnum):
    """What an event says about a payment."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PROCESSING = "processing"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderEvent:
    """An event in our words. `outcome` is None for types that mean nothing to us; the rest may then be empty.

    `amount` is the provider's text, parsed later by the one parser of amounts. `client_reference` is what we gave the
    provider when the payment was made: the intent's id. Whatever else an event carries (metadata) is never looked at.
    """

    id: str
    type: str
    outcome: Outcome | None
    provider_payment_id: str = ""
    client_reference: str = ""
    amount: str = ""
    currency: str = ""


class Gateway(ABC):
    """Stateless. Methods make no network calls unless they say so."""

    name: ClassVar[str]
    # Headers of a webhook that are kept with it: those that prove its origin.
    signature_headers: ClassVar[tuple[str, ...]]

    @abstractmethod
    def is_enabled(self) -> bool:
        """Whether payments and events are taken now."""

    @abstractmethod
    def checkout_url(self, intent_id: uuid.UUID) -> str:
        """Where a person pays: always a page of ours, so that rendering never waits for a provider."""

    @abstractmethod
    def verify_webhook(self, *, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raise WebhookNotAuthentic unless the provider signed exactly these bytes, just now."""

    @abstractmethod
    def parse_event(self, body: bytes) -> ProviderEvent:
        """Read a verified body. Raises UnreadableEvent."""
