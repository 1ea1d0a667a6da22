"""What customers do: ask to pay in, change their mind, and (with the simulator) pay.

Every gate (KYC, the wallet's state) is asked when an intent is created. None is asked when the money arrives.
"""

import uuid
from datetime import datetime
from decimal import Decimal

from compliance.services import require_kyc
from fintech_core import audit
from fintech_core.actors import Actor
from fintech_core.exceptions import LimitExceeded, NotFound, ValidationFailed
from fintech_core.money import Money
from payments.enums import IntentStatus, SimulatorOutcome
from payments.gateways import enabled_gateway
from payments.gateways.simulator import NAME as SIMULATOR
from payments.locks import lock_intent
from payments.models import PaymentIntent
from payments.selectors import intents_owned_by
from payments.services import simulator
from payments.services.states import CLAIM_KIND, move_intent, wrong_state
from transactions import ledger
from wallet.enums import WalletStatus
from wallet.locks import lock_wallets
from wallet.models import Wallet
from wallet.selectors import wallets_owned_by
from wallet.services import add_claim


def create_intent(
    *,
    actor: Actor,
    wallet_id: uuid.UUID,
    amount: Decimal,
    currency: str,
    gateway: str,
    return_url: str = "",
    now: datetime,
) -> PaymentIntent:
    """A wish to pay `amount` into a wallet of the actor.

    The wallet can't be closed while the intent is open (a claim). Raises ValidationFailed (a gateway that isn't
    offered), NotFound (the wallet), CurrencyMismatch, WalletFrozen, WalletClosed, KycRequired, LimitExceeded
    (the wallet's maximum balance).
    """
    if enabled_gateway(gateway) is None:
        message = "This gateway is not offered here."
        raise ValidationFailed([{"field": "gateway", "code": "invalid_choice", "message": message}])
    wallet = _own_wallet(actor, wallet_id)
    if wallet.currency != currency:
        raise ledger.CurrencyMismatch
    if wallet.status == WalletStatus.CLOSED:
        raise ledger.WalletClosed
    if wallet.status == WalletStatus.FROZEN:
        raise ledger.WalletFrozen
    require_kyc(owner_id=wallet.owner_id, operation="deposit")
    if wallet.would_exceed_maximum(amount):
        raise LimitExceeded("The wallet's balance would be above its maximum.")
    intent = PaymentIntent.objects.create(
        wallet=wallet,
        amount=amount,
        currency=currency,
        gateway=gateway,
        return_url=return_url,
        created_by=actor.user_id or actor.id,
        created_at=now,
        updated_at=now,
    )
    add_claim(wallet=wallet, kind=CLAIM_KIND, ref=intent.pk, now=now)
    audit.record(
        actor=actor,
        action="payment_intent.created",
        entity_type="payment_intent",
        entity_id=intent.pk,
        after={
            "status": intent.status,
            "wallet": str(wallet.pk),
            "money": str(Money(amount, currency)),
            "gateway": gateway,
        },
    )
    return intent


def cancel_intent(*, actor: Actor, intent_id: uuid.UUID, now: datetime) -> PaymentIntent:
    """Give an intent up before anything was paid. Raises NotFound, InvalidTransition.

    Only from `requires_payment`: once the payer has decided, the provider's word decides. A payment that arrives
    nevertheless is booked.
    """
    intent = _own_intent(actor, intent_id)
    if intent.status != IntentStatus.REQUIRES_PAYMENT:
        raise wrong_state(intent)
    move_intent(actor=actor, intent=intent, status=IntentStatus.CANCELED, now=now)
    return intent


def simulate_payment(*, actor: Actor, intent_id: uuid.UUID, outcome: SimulatorOutcome, now: datetime) -> PaymentIntent:
    """The payer decides at the simulated provider, which will tell us by a webhook; until then it is `processing`.

    Raises NotFound (also where the simulator is off or the intent is another gateway's), PaymentAlreadyDecided,
    InvalidTransition.
    """
    if enabled_gateway(SIMULATOR) is None:
        raise NotFound
    intent = _own_intent(actor, intent_id)
    if intent.gateway != SIMULATOR:
        raise NotFound
    simulator.refuse_if_decided(client_reference=str(intent.pk))
    if intent.status != IntentStatus.REQUIRES_PAYMENT:
        raise wrong_state(intent)
    simulator.decide_payment(
        client_reference=str(intent.pk), amount=intent.amount, currency=intent.currency, outcome=outcome, now=now
    )
    move_intent(actor=actor, intent=intent, status=IntentStatus.PROCESSING, now=now)
    return intent


def _own_wallet(actor: Actor, wallet_id: uuid.UUID) -> Wallet:
    if not wallets_owned_by(actor).filter(pk=wallet_id).exists():
        raise NotFound("There is no such wallet.")
    return lock_wallets([wallet_id])[wallet_id]


def _own_intent(actor: Actor, intent_id: uuid.UUID) -> PaymentIntent:
    if not intents_owned_by(actor).filter(pk=intent_id).exists():
        raise NotFound
    intent = lock_intent(intent_id)
    if intent is None:
        raise NotFound
    return intent
