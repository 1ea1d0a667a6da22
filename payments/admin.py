"""Payments in the admin: journals to read, and what officers may do with what got stuck."""

import uuid
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from fintech_core.admin.base import ReadOnlyModelAdmin, reason_action
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from payments import services
from payments.enums import Destination, IntentStatus, Resolution
from payments.models import IncomingPayment, PaymentIntent, SimulatorDelivery, SimulatorPayment, WebhookEvent

_SHOWN_BYTES = 20_000


def _resolve(outcome: IntentStatus, *, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.resolve_review(actor=actor, intent_id=object_id, outcome=outcome, reason=reason, now=now)


def _return(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.return_payment(actor=actor, payment_id=object_id, reason=reason, now=now)


def _retry(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.retry_event(actor=actor, event_id=object_id, reason=reason, now=now)


def _cancel(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.cancel_intent(actor=actor, intent_id=object_id, reason=reason, now=now)


@admin.register(PaymentIntent)
class PaymentIntentAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "amount", "currency", "gateway", "status", "review_reason", "created_at")
    list_filter = ("status", "gateway", "currency", "review_reason")
    list_select_related = ("wallet",)
    search_fields = ("=id", "=wallet__id", "=provider_payment_id")
    search_help_text = "The exact id of an intent, a wallet, or the provider's payment"
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "Credit the wallet",
            Capability.PAYMENTS_REVIEW,
            partial(_resolve, IntentStatus.SUCCEEDED),
            explanation="Ends the review: what arrived goes from suspense to the wallet.",
            sensitive=True,
        ),
        reason_action(
            "Refund after review",
            Capability.PAYMENTS_REVIEW,
            partial(_resolve, IntentStatus.REFUNDED),
            explanation="Ends the review: what arrived goes from suspense back to the gateway's clearing account.",
            sensitive=True,
        ),
        reason_action(
            "Cancel the payment",
            Capability.PAYMENTS_CANCEL,
            _cancel,
            explanation="Nothing more is awaited, and the wallet may be closed. Money that still arrives is booked.",
            sensitive=True,
        ),
    )


class InSuspenseFilter(admin.SimpleListFilter):
    title = "waits for an officer"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[IncomingPayment]) -> QuerySet[IncomingPayment]:
        if self.value() != "1":
            return queryset
        return queryset.filter(destination=Destination.SUSPENSE, resolution=Resolution.OPEN)


@admin.register(IncomingPayment)
class IncomingPaymentAdmin(ReadOnlyModelAdmin):
    list_display = (
        "provider_payment_id",
        "gateway",
        "amount",
        "currency",
        "destination",
        "review_reason",
        "resolution",
        "booked_at",
    )
    list_filter = (InSuspenseFilter, "destination", "resolution", "review_reason", "gateway", "currency")
    search_fields = ("=id", "=provider_payment_id", "=intent__id")
    search_help_text = "The exact id of a payment, the provider's payment, or an intent"
    ordering = ("-booked_at", "-id")
    actions = (
        reason_action(
            "Return the payment",
            Capability.PAYMENTS_REVIEW,
            _return,
            explanation="Sends money that no intent waits for from suspense back to the gateway's clearing account.",
            sensitive=True,
        ),
    )


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyModelAdmin):
    list_display = ("event_id", "gateway", "type", "status", "error", "attempts", "received_at", "processed_at")
    list_filter = ("status", "gateway", "type", "error")
    search_fields = ("=id", "=event_id")
    search_help_text = "The exact id of an event, ours or the provider's"
    ordering = ("-received_at", "-id")
    fields = (
        "id",
        "gateway",
        "account",
        "event_id",
        "type",
        "status",
        "error",
        "attempts",
        "next_attempt_at",
        "received_at",
        "processed_at",
        "headers",
        "body_text",
    )
    actions = (
        reason_action(
            "Process again",
            Capability.PAYMENTS_REVIEW,
            _retry,
            explanation="Takes a failed event up again from the start.",
        ),
    )

    @admin.display(description="body")
    def body_text(self, event: WebhookEvent) -> str:
        return bytes(event.body)[:_SHOWN_BYTES].decode("utf-8", "replace")


@admin.register(SimulatorPayment)
class SimulatorPaymentAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "client_reference", "amount", "currency", "status", "created_at")
    list_filter = ("status", "currency")
    search_fields = ("=id", "=client_reference")
    ordering = ("-created_at", "-id")


@admin.register(SimulatorDelivery)
class SimulatorDeliveryAdmin(ReadOnlyModelAdmin):
    list_display = ("event_id", "url", "attempts", "last_status", "next_attempt_at", "delivered_at", "created_at")
    list_filter = ("last_status",)
    search_fields = ("=event_id",)
    ordering = ("-created_at", "-id")
    fields = ("id", "event_id", "url", "attempts", "last_status", "next_attempt_at", "delivered_at", "created_at")
