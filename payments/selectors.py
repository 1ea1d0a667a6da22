"""Reads of payments, scoped by who asks."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from payments.enums import IntentStatus
from payments.models import IncomingPayment, PaymentIntent, SimulatorDelivery
from wallet.owners import Owner
from wallet.selectors import owned_by

_LOOKUPS = {
    "status": "status",
    "wallet": "wallet_id",
    "created_after": "created_at__gte",
    "created_before": "created_at__lt",
}


def intents_visible_to(actor: Actor) -> QuerySet[PaymentIntent]:
    """The intents on the actor's own wallets; all intents for staff who may read them."""
    if actor.can(Capability.PAYMENTS_READ_ALL):
        return PaymentIntent.objects.all()
    return intents_owned_by(actor)


def intents_owned_by(actor: Actor) -> QuerySet[PaymentIntent]:
    """The intents that the actor may pay or cancel: those on own wallets; any for a job of ours."""
    if actor.kind is ActorKind.SYSTEM:
        return PaymentIntent.objects.all()
    return PaymentIntent.objects.filter(owned_by(actor, "wallet__"))


def filter_intents(queryset: QuerySet[PaymentIntent], filters: Mapping[str, Any]) -> QuerySet[PaymentIntent]:
    return queryset.filter(**{_LOOKUPS[name]: value for name, value in filters.items()})


def intent_by_id(intent_id: uuid.UUID) -> PaymentIntent | None:
    """Unscoped: for the checkout page, whose signed token is the permission."""
    return PaymentIntent.objects.filter(pk=intent_id).first()


def reviews_of(owner: Owner) -> list[dict[str, str]]:
    """Money of the owner's lies in suspense until staff end the review, also where the wallet was closed before."""
    rows = PaymentIntent.objects.filter(owner.owns("wallet__"), status=IntentStatus.REQUIRES_REVIEW)
    return [{"kind": "payment_review", "id": str(pk)} for pk in rows.order_by("pk").values_list("pk", flat=True)]


def is_booked(*, gateway: str, provider_payment_id: str) -> bool:
    """Whether this payment of the provider has its booking already."""
    return IncomingPayment.objects.filter(gateway=gateway, provider_payment_id=provider_payment_id).exists()


def due_deliveries(*, now: datetime, limit: int) -> list[uuid.UUID]:
    """The simulated provider's events that should have been sent by now."""
    rows = SimulatorDelivery.objects.filter(delivered_at__isnull=True, next_attempt_at__lte=now)
    return list(rows.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:limit])
