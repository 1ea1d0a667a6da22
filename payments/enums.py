"""States of payments and the maps of their transitions. The database repeats both maps (models.py)."""

from django.db import models

from fintech_core.values.states import StateMap


class IntentStatus(models.TextChoices):
    """Lower case, as payment providers spell them (docs/api-contract.md, Names of values)."""

    REQUIRES_PAYMENT = "requires_payment"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    REQUIRES_REVIEW = "requires_review"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


_INTENT = IntentStatus
# A late success after `failed` or `canceled` is booked like any other: to the wallet (succeeded), or, where
# it doesn't match the intent, to suspense (requires_review).
TRANSITIONS = StateMap(
    {
        _INTENT.REQUIRES_PAYMENT: frozenset(
            {_INTENT.PROCESSING, _INTENT.SUCCEEDED, _INTENT.FAILED, _INTENT.CANCELED, _INTENT.REQUIRES_REVIEW}
        ),
        _INTENT.PROCESSING: frozenset({_INTENT.SUCCEEDED, _INTENT.FAILED, _INTENT.CANCELED, _INTENT.REQUIRES_REVIEW}),
        _INTENT.FAILED: frozenset({_INTENT.SUCCEEDED, _INTENT.REQUIRES_REVIEW}),
        _INTENT.CANCELED: frozenset({_INTENT.SUCCEEDED, _INTENT.REQUIRES_REVIEW}),
        _INTENT.REQUIRES_REVIEW: frozenset({_INTENT.SUCCEEDED, _INTENT.REFUNDED}),
        _INTENT.SUCCEEDED: frozenset({_INTENT.PARTIALLY_REFUNDED, _INTENT.REFUNDED}),
        _INTENT.PARTIALLY_REFUNDED: frozenset({_INTENT.REFUNDED}),
        _INTENT.REFUNDED: frozenset(),
    },
    subject="The payment intent",
    shown_as="intent_status",
)
# Nothing more is awaited from the provider, so the wallet may be closed.
SETTLED = frozenset({_INTENT.SUCCEEDED, _INTENT.FAILED, _INTENT.CANCELED, _INTENT.PARTIALLY_REFUNDED, _INTENT.REFUNDED})


# What expires: the payer, or the provider, may never say anything.
EXPIRING = frozenset({_INTENT.REQUIRES_PAYMENT, _INTENT.PROCESSING})


class ReviewReason(models.TextChoices):
    """Why money that arrived wasn't booked to the wallet of an intent."""

    UNKNOWN_INTENT = "unknown_intent"
    GATEWAY_MISMATCH = "gateway_mismatch"
    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    WALLET_CLOSED = "wallet_closed"
    WALLET_FROZEN = "wallet_frozen"
    SECOND_PAYMENT = "second_payment"
    INTENT_IN_REVIEW = "intent_in_review"


class EventStatus(models.TextChoices):
    """What became of a provider's event."""

    RECEIVED = "RECEIVED"
    PROCESSED = "PROCESSED"
    IGNORED = "IGNORED"
    DEFERRED = "DEFERRED"
    FAILED = "FAILED"


_EVENT = EventStatus
EVENT_TRANSITIONS = StateMap(
    {
        _EVENT.RECEIVED: frozenset({_EVENT.PROCESSED, _EVENT.IGNORED, _EVENT.DEFERRED, _EVENT.FAILED}),
        _EVENT.DEFERRED: frozenset({_EVENT.PROCESSED, _EVENT.IGNORED, _EVENT.FAILED}),
        _EVENT.FAILED: frozenset({_EVENT.RECEIVED}),  # an operator's retry
        _EVENT.PROCESSED: frozenset(),
        _EVENT.IGNORED: frozenset(),
    },
    subject="The event",
)


class Destination(models.TextChoices):
    """Where the money of an incoming payment was booked."""

    WALLET = "WALLET"
    SUSPENSE = "SUSPENSE"


class Resolution(models.TextChoices):
    """How an operator ended a payment in suspense."""

    OPEN = "", "open"
    SUCCEEDED = "succeeded"
    REFUNDED = "refunded"


class SimulatorOutcome(models.TextChoices):
    """What the payer decided at the simulated provider."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
