"""Payments' tables: what we requested, what providers reported, how it was booked; and the simulated provider's own
books.

The database enforces what money depends on, whichever client writes: facts never change, states move by the maps of
enums.py, one booking per provider payment, one row per provider event.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from fintech_core.db.triggers import REFUSED, SealedTrigger, append_only, refuse
from payments.enums import (
    EVENT_TRANSITIONS,
    EXPIRING,
    SETTLED,
    TRANSITIONS,
    Destination,
    EventStatus,
    IntentStatus,
    Resolution,
    ReviewReason,
    SimulatorOutcome,
)
from wallet.triggers import owner_is_erased


def _facts(name: str, columns: Iterable[str], what: str, more: str = "") -> SealedTrigger:
    """Refuses an UPDATE that changes one of the columns; `more` are further checks of OLD against NEW."""
    old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
    return SealedTrigger(
        name=name,
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        func=f"""
            IF ({old}) IS DISTINCT FROM ({new}) THEN
                RAISE EXCEPTION '{what} never change' USING ERRCODE = '{REFUSED}', CONSTRAINT = '{name}';
            END IF;
            {more}
            RETURN NEW;
        """,
    )


def _moves(transitions: Mapping[Any, Iterable[str]], name: str, what: str) -> str:
    """The check that a status moves only by its map."""
    pairs = ", ".join(sorted(f"('{old}', '{new}')" for old, after in transitions.items() for new in after))
    return f"""
            IF OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN ({pairs}) THEN
                RAISE EXCEPTION '{what} can''t go from % to %', OLD.status, NEW.status
                    USING ERRCODE = '{REFUSED}', CONSTRAINT = '{name}';
            END IF;
    """


def _erased_or_kept(column: str, name: str) -> str:
    """The check that a text of a wallet's owner only ever changes to nothing, once that person has been erased."""
    return f"""
            IF OLD.{column} IS DISTINCT FROM NEW.{column}
               AND (NEW.{column} <> '' OR NOT {owner_is_erased("OLD.wallet_id")}) THEN
                RAISE EXCEPTION 'a text is erased whole or kept' USING ERRCODE = '{REFUSED}', CONSTRAINT = '{name}';
            END IF;
    """


def _set_once(columns: Iterable[str], name: str) -> str:
    """The check that a column, once it has a value, keeps it."""
    changed = " OR ".join(
        f"(OLD.{column} IS NOT NULL AND OLD.{column} IS DISTINCT FROM NEW.{column})" for column in columns
    )
    return f"""
            IF {changed} THEN
                RAISE EXCEPTION 'a booking is recorded once' USING ERRCODE = '{REFUSED}', CONSTRAINT = '{name}';
            END IF;
    """


def _kept(prefix: str, what: str) -> list[SealedTrigger]:
    """DELETE and TRUNCATE refused."""
    return [
        refuse(f"{prefix}_no_delete", pgtrigger.Delete, f"{what} are never deleted"),
        refuse(f"{prefix}_no_truncate", pgtrigger.Truncate, f"{what} are never deleted"),
    ]


class PaymentIntent(models.Model):
    """A customer's wish to pay in `amount` to `wallet` through `gateway`. Money arrives by the gateway's word only."""

    entity_type: ClassVar = "payment_intent"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    wallet = models.ForeignKey("wallet.Wallet", on_delete=models.PROTECT, related_name="+")
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=3)
    gateway = models.CharField(max_length=32)
    status = models.CharField(max_length=24, choices=IntentStatus.choices, default=IntentStatus.REQUIRES_PAYMENT)
    return_url = models.CharField(max_length=2000, blank=True)
    provider_payment_id = models.CharField(max_length=255, blank=True)
    transaction = models.ForeignKey("transactions.Transaction", on_delete=models.PROTECT, null=True, related_name="+")
    suspense_transaction = models.ForeignKey(
        "transactions.Transaction", on_delete=models.PROTECT, null=True, related_name="+"
    )
    review_reason = models.CharField(max_length=32, choices=ReviewReason.choices, blank=True)
    failure_reason = models.CharField(max_length=100, blank=True)
    created_by = models.UUIDField()
    # From then on it is over unless it is paid, whether or not the job has come by to cancel it.
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        permissions: ClassVar = [("review_paymentintent", "Can end the review of a payment intent")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="intent_amount_positive"),
            enum_check("status", IntentStatus, "intent_status"),
            models.CheckConstraint(
                condition=~Q(status__in=["succeeded", "partially_refunded"]) | Q(transaction__isnull=False),
                name="intent_succeeded_is_booked",
            ),
            models.CheckConstraint(
                condition=~Q(status="requires_review") | Q(suspense_transaction__isnull=False),
                name="intent_review_is_booked",
            ),
            times_check("expires_at", name="intent_times_finite"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["wallet", "-created_at", "-id"], name="intent_wallet"),
            models.Index(fields=["status", "-created_at", "-id"], name="intent_status_created"),
            models.Index(fields=["-created_at", "-id"], name="intent_created"),
            models.Index(
                fields=["expires_at"], condition=Q(status__in=["requires_payment", "processing"]), name="intent_due"
            ),
        ]
        triggers: ClassVar = [
            SealedTrigger(
                name="intent_created",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                func=f"""
                    IF NEW.status <> 'requires_payment' OR NEW.transaction_id IS NOT NULL
                       OR NEW.suspense_transaction_id IS NOT NULL THEN
                        RAISE EXCEPTION 'an intent is created as requires_payment'
                            USING ERRCODE = '{REFUSED}', CONSTRAINT = 'intent_created';
                    END IF;
                    PERFORM 1 FROM wallet_wallet w WHERE w.id = NEW.wallet_id FOR SHARE;
                    IF EXISTS (SELECT FROM wallet_wallet w WHERE w.id = NEW.wallet_id AND w.status = 'CLOSED') THEN
                        RAISE EXCEPTION 'wallet % is closed', NEW.wallet_id
                            USING ERRCODE = '{REFUSED}', CONSTRAINT = 'intent_on_open_wallet';
                    END IF;
                    RETURN NEW;
                """,
            ),
            _facts(
                "intent_facts",
                ("id", "wallet_id", "amount", "currency", "gateway", "created_by", "created_at"),
                "facts of payment intents",
                _erased_or_kept("return_url", "intent_facts")
                + _moves(TRANSITIONS, "intent_moves", "a payment intent")
                + _set_once(("transaction_id", "suspense_transaction_id"), "intent_booked_once"),
            ),
            *_kept("intent", "payment intents"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} by {self.gateway} ({self.status})"

    @property
    def is_settled(self) -> bool:
        return self.status in SETTLED

    def is_due(self, now: datetime) -> bool:
        """Whether its time is over, unpaid."""
        return self.status in EXPIRING and self.expires_at <= now


class IncomingPayment(models.Model):
    """A payment that a provider reported as successful, and how it was booked: once, however often it is reported."""

    entity_type: ClassVar = "incoming_payment"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    gateway = models.CharField(max_length=32)
    provider_payment_id = models.CharField(max_length=255)
    intent = models.ForeignKey(PaymentIntent, on_delete=models.PROTECT, null=True, related_name="payments")
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=3)
    destination = models.CharField(max_length=8, choices=Destination.choices)
    review_reason = models.CharField(max_length=32, choices=ReviewReason.choices, blank=True)
    transaction = models.ForeignKey("transactions.Transaction", on_delete=models.PROTECT, related_name="+")
    resolution = models.CharField(max_length=9, choices=Resolution.choices, blank=True, default=Resolution.OPEN)
    resolution_transaction = models.ForeignKey(
        "transactions.Transaction", on_delete=models.PROTECT, null=True, related_name="+"
    )
    booked_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        permissions: ClassVar = [("review_incomingpayment", "Can send a payment in suspense back")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["gateway", "provider_payment_id"], name="incoming_payment_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="incoming_amount_positive"),
            enum_check("destination", Destination, "incoming_destination"),
            models.CheckConstraint(
                condition=Q(resolution="", resolution_transaction__isnull=True, resolved_at__isnull=True)
                | Q(
                    resolution__in=["succeeded", "refunded"],
                    destination="SUSPENSE",
                    resolution_transaction__isnull=False,
                    resolved_at__isnull=False,
                ),
                name="incoming_resolution",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["booked_at"], condition=Q(destination="SUSPENSE", resolution=""), name="incoming_open"
            ),
        ]
        triggers: ClassVar = [
            _facts(
                "incoming_facts",
                (
                    "id",
                    "gateway",
                    "provider_payment_id",
                    "intent_id",
                    "amount",
                    "currency",
                    "destination",
                    "review_reason",
                    "transaction_id",
                    "booked_at",
                ),
                "facts of incoming payments",
                _set_once(("resolution_transaction_id",), "incoming_resolved_once"),
            ),
            *_kept("incoming", "incoming payments"),
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.provider_payment_id}: {self.amount} {self.currency}"

    @property
    def is_open(self) -> bool:
        """The money lies in suspense until an operator says where it belongs."""
        return self.destination == Destination.SUSPENSE and not self.resolution


class WebhookEvent(models.Model):
    """An authentic event of a provider, as it came over the wire. The worker processes it from here."""

    entity_type: ClassVar = "webhook_event"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    gateway = models.CharField(max_length=32)
    account = models.CharField(max_length=64, blank=True)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=9, choices=EventStatus.choices, default=EventStatus.RECEIVED)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    error = models.CharField(max_length=100, blank=True)
    received_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True)

    class Meta:
        permissions: ClassVar = [("review_webhookevent", "Can have a failed event processed again")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["gateway", "account", "event_id"], name="webhook_event_once"),
            enum_check("status", EventStatus, "webhook_status"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(status__in=["RECEIVED", "DEFERRED"]), name="webhook_due"
            ),
            models.Index(fields=["-received_at", "-id"], name="webhook_received"),
        ]
        triggers: ClassVar = [
            _facts(
                "webhook_facts",
                ("id", "gateway", "account", "event_id", "type", "headers", "body", "received_at"),
                "webhook events",
                _moves(EVENT_TRANSITIONS, "webhook_moves", "a webhook event"),
            ),
            *_kept("webhook", "webhook events"),
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.event_id} ({self.status})"


# --- The simulated provider: another company's database, so no foreign key to ours ------------------------------------


class SimulatorPayment(models.Model):
    """The provider's journal: what the payer decided, once per reference of ours."""

    id = models.CharField(primary_key=True, max_length=64)
    client_reference = models.CharField(max_length=64)
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=9, choices=SimulatorOutcome.choices)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["client_reference"], name="simulator_decided_once"),
            enum_check("status", SimulatorOutcome, "simulator_status"),
        ]
        triggers: ClassVar = append_only("simpay", "the payments of a provider")

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"


class SimulatorDelivery(models.Model):
    """The provider's outbox: an event that is posted to `url` until a 2xx comes back."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    event_id = models.CharField(max_length=64)
    payload = models.BinaryField()
    url = models.CharField(max_length=2000)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    last_status = models.PositiveSmallIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "simulator deliveries"
        constraints: ClassVar = [models.UniqueConstraint(fields=["event_id"], name="simulator_event_once")]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], condition=Q(delivered_at__isnull=True), name="simulator_due"),
        ]
        triggers: ClassVar = [
            _facts("simdel_facts", ("id", "event_id", "payload", "url", "created_at"), "events of a provider"),
            *_kept("simdel", "events of a provider"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.url}"
