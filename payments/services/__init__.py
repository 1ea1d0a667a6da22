"""The use cases of payments, by who asks: customers (intents), providers' events (webhooks, processing), officers
(review), and the simulated provider itself (simulator)."""

from payments.services.intents import (
    cancel_intent,
    create_intent,
    erase_return_addresses,
    expire_due_intents,
    simulate_payment,
)
from payments.services.processing import process_event, record_failure
from payments.services.review import resolve_review, retry_event, return_payment
from payments.services.simulator import (
    claim_delivery,
    decide_payment,
    post_delivery,
    record_delivery,
    wake_deliveries,
)
from payments.services.webhooks import authenticate_webhook, enqueue_due_events, store_webhook

__all__ = [
    "authenticate_webhook",
    "cancel_intent",
    "claim_delivery",
    "create_intent",
    "decide_payment",
    "enqueue_due_events",
    "erase_return_addresses",
    "expire_due_intents",
    "post_delivery",
    "process_event",
    "record_delivery",
    "record_failure",
    "resolve_review",
    "retry_event",
    "return_payment",
    "simulate_payment",
    "store_webhook",
    "wake_deliveries",
]
