"""What the tests of payments share: intents by the real service, a provider that signs, and sums of the books."""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook

from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from payments import services, tasks
from payments.models import PaymentIntent, WebhookEvent
from tests.cast import actor_for, kyc
from tests.wallets import wallet_of
from transactions.ledger.models import Transaction
from users.models import User
from wallet.models import Wallet

ENDPOINT = "/webhooks/v1/simulator"
OTHER_SECRET = "whsec_" + "QUJD" * 8


def balance_of(user: User) -> Decimal:
    return wallet_of(user).balance


def system_balance(code: str, currency: str = "USD") -> Decimal:
    rows = Wallet.objects.filter(account_code=code, currency=currency)
    return rows.aggregate(total=Sum("balance"))["total"] or Decimal(0)


def books() -> tuple[int, Decimal, Decimal, Decimal]:
    """Number of transactions, and what lies in clearing, suspense and all customers' wallets."""
    customers = Wallet.objects.filter(account_code__isnull=True).aggregate(total=Sum("balance"))["total"]
    return (
        Transaction.objects.count(),
        system_balance("clearing:simulator"),
        system_balance("suspense"),
        customers or Decimal(0),
    )


def open_intent(
    user: User, amount: str = "25.00", *, return_url: str = "", gateway: str = "simulator"
) -> PaymentIntent:
    """An intent of a user with KYC level 1."""
    if user.kyc_level < 1:
        kyc(user, 1)
    return unit_of_work(
        lambda: services.create_intent(
            actor=actor_for(user),
            wallet_id=wallet_of(user).pk,
            amount=Decimal(amount),
            currency="USD",
            gateway=gateway,
            return_url=return_url,
        )
    )


def event(
    reference: uuid.UUID | str,
    *,
    kind: str = "payment.succeeded",
    amount: Any = "25.00",
    currency: str = "USD",
    payment: str = "sim_1",
    event_id: str | None = None,
    **data: Any,
) -> bytes:
    """An event as the provider writes it."""
    return json.dumps(
        {
            "id": event_id or f"evt_{ids.uuid7().hex}",
            "type": kind,
            "timestamp": timezone.now().isoformat(),
            "data": {
                "payment_id": payment,
                "client_reference": str(reference),
                "amount": amount,
                "currency": currency,
                **data,
            },
        }
    ).encode()


def signature(
    body: bytes, *, secret: str | None = None, at: datetime | None = None, message: str = "msg_1"
) -> dict[str, str]:
    moment = at or timezone.now()
    signed = Webhook(secret or settings.SIMULATOR_WEBHOOK_SECRET).sign(message, moment, body.decode())
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signed,
    }


def send(body: bytes, headers: Mapping[str, str] | None = None) -> Any:
    """POST an event over HTTP, signed unless `headers` say otherwise."""
    return Client(raise_request_exception=False).post(
        ENDPOINT, data=body, content_type="application/json", headers=signature(body) if headers is None else headers
    )


def deliver(body: bytes) -> WebhookEvent:
    """An authentic event, received and processed by the worker."""
    assert send(body).status_code == 200
    stored = WebhookEvent.objects.order_by("-received_at", "-pk")[0]
    tasks.process_webhook_event(str(stored.pk))
    stored.refresh_from_db()
    return stored


def later(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
