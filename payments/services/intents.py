"""What customers do: ask to pay in, change their mind, and (with the simulator) pay.

Every gate (KYC, the wallet's state) is asked when an intent is created. None is asked when the money arrives.
"""

import uuid
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from compliance.services import require_kyc
from fintech_core.audit.records import reason_of, record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import LimitExceeded, NotFound, ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import Money
from fintech_core.values.states import wrong_state
from payments.enums import EXPIRING, TRANSITIONS, IntentStatus, SimulatorOutcome
from payments.gateways import enabled_gateway
from payments.gateways.simulator import NAME as SIMULATOR
from payments.locks import lock_due_intents, lock_intent
from payments.models import PaymentIntent
from payments.selectors import intents_owned_by, intents_visible_to
from payments.services import simulator
from payments.services.states import BLOCKER_KIND, move_intent
from transactions.ledger import engine as ledger
from users.enums import KycGate
from wallet.enums import WalletStatus
from wallet.models import Wallet
from wallet.services import add_blocker, lock_own_wallet

EXPIRY_JOB = "payments.expire_intents"
EXPIRY_BATCH = 100


def create_intent(
    *,
    actor: Actor,
    wallet_id: uuid.UUID,
    amount: Decimal,
    currency: str,
    gateway: str,
    return_url: str = "",
) -> PaymentIntent:
    """A wish to pay `amount` into a wallet of the actor.

    The wallet can't be closed while the intent is open (a blocker, until the intent expires). Raises ValidationFailed
    (a gateway that isn't offered), NotFound (the wallet), CurrencyMismatch, WalletFrozen, WalletClosed, KycRequired,
    LimitExceeded (the wallet's maximum balance).
    """
    actor.require(Capability.PAYMENTS_WRITE)
    if enabled_gateway(gateway) is None:
        message = "This gateway is not offered here."
        raise ValidationFailed([{"field": "gateway", "code": "invalid_choice", "message": message}])
    wallet = lock_own_wallet(actor=actor, wallet_id=wallet_id)
    _refuse_unpayable(wallet, amount, currency)
    now = clock.now()
    intent = PaymentIntent.objects.create(
        wallet=wallet,
        amount=amount,
        currency=currency,
        gateway=gateway,
        return_url=return_url,
        created_by=actor.user_id or actor.id,
        expires_at=now + settings.PAYMENT_INTENT_LIFETIME,
        created_at=now,
        updated_at=now,
    )
    add_blocker(wallet=wallet, kind=BLOCKER_KIND, ref=intent.pk, expires_at=intent.expires_at, now=now)
    record_and_publish(
        actor,
        "payment_intent.created",
        intent,
        after={
            "status": intent.status,
            "wallet": str(wallet.pk),
            "money": str(Money(amount, currency)),
            "gateway": gateway,
        },
    )
    return intent


def _refuse_unpayable(wallet: Wallet, amount: Decimal, currency: str) -> None:
    if wallet.currency != currency:
        raise ledger.CurrencyMismatch
    if wallet.status == WalletStatus.CLOSED:
        raise ledger.WalletClosed
    if wallet.status == WalletStatus.FROZEN:
        raise ledger.WalletFrozen
    require_kyc(owner_id=wallet.owner_id, gate=KycGate.DEPOSIT)
    if wallet.would_exceed_maximum(amount):
        raise LimitExceeded("The wallet's balance would be above its maximum.")


def cancel_intent(*, actor: Actor, intent_id: uuid.UUID, reason: str = "", now: datetime) -> PaymentIntent:
    """Give an intent up. A payment that arrives nevertheless is booked.

    Its owner may from `requires_payment` only: once the payer has decided, the provider's word decides. Operators may
    from `processing` too, with a reason: the word may never come. An owner's reason isn't kept (reason_of).
    Raises NotFound, ValidationFailed (an operator without a reason), InvalidTransition.
    """
    actor.require(Capability.PAYMENTS_CANCEL)
    is_own = intents_owned_by(actor).filter(pk=intent_id).exists()
    if not is_own and not intents_visible_to(actor).filter(pk=intent_id).exists():
        raise NotFound
    if not is_own and not reason:
        message = "Canceling another customer's payment needs a reason."
        raise ValidationFailed([{"field": "reason", "code": "required", "message": message}])
    intent = lock_intent(intent_id)
    if intent is None:
        raise NotFound
    if intent.status not in ({IntentStatus.REQUIRES_PAYMENT} if is_own else EXPIRING):
        raise wrong_state(intent, TRANSITIONS)
    kept = reason_of(reason, is_own=is_own)
    move_intent(actor=actor, intent=intent, status=IntentStatus.CANCELED, reason=kept, now=now)
    return intent


def expire_due_intents(*, now: datetime, limit: int = EXPIRY_BATCH) -> int:
    """Cancel one batch of intents whose time is over. Returns how many."""
    due = lock_due_intents(now=now, limit=limit)
    for intent in due:
        move_intent(
            actor=Actor.system(EXPIRY_JOB),
            intent=intent,
            status=IntentStatus.CANCELED,
            failure_reason="expired",
            now=now,
        )
    return len(due)


def erase_return_addresses(user_id: uuid.UUID, limit: int) -> int:
    """Blank where the checkouts of an erased person led back to. Returns how many."""
    rows = PaymentIntent.objects.filter(wallet__owner_user_id=user_id).exclude(return_url="")
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    return PaymentIntent.objects.filter(pk__in=pks).update(return_url="")


def simulate_payment(*, actor: Actor, intent_id: uuid.UUID, outcome: SimulatorOutcome) -> PaymentIntent:
    """The payer decides at the simulated provider, which will report it by a webhook; until then it is `processing`.

    Raises NotFound (also where the simulator is off or the intent is another gateway's), PaymentAlreadyDecided,
    InvalidTransition.
    """
    actor.require(Capability.PAYMENTS_WRITE)
    if enabled_gateway(SIMULATOR) is None:
        raise NotFound
    intent = _own_intent(actor, intent_id)
    if intent.gateway != SIMULATOR:
        raise NotFound
    simulator.refuse_if_decided(client_reference=str(intent.pk))
    now = clock.now()
    if intent.status != IntentStatus.REQUIRES_PAYMENT or intent.is_due(now):
        raise wrong_state(intent, TRANSITIONS)
    simulator.decide_payment(
        client_reference=str(intent.pk), amount=intent.amount, currency=intent.currency, outcome=outcome, now=now
    )
    move_intent(actor=actor, intent=intent, status=IntentStatus.PROCESSING, now=now)
    return intent


def _own_intent(actor: Actor, intent_id: uuid.UUID) -> PaymentIntent:
    if not intents_owned_by(actor).filter(pk=intent_id).exists():
        raise NotFound
    intent = lock_intent(intent_id)
    if intent is None:
        raise NotFound
    return intent
