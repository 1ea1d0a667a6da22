"""Holds: money that its owner sets aside and takes later, or not.

Authorising reserves and posts nothing; a capture posts through the ledger; voiding and expiring release. Every change
of a hold is made under its wallet's lock, which is taken before the hold's (ARCHITECTURE.md, Lock order).

Each open hold has a blocker on its wallet with the hold's own `expires_at`. The blocker is removed in the transaction
that ends the hold, save one case: the ledger turns due holds into EXPIRED when it posts, and leaves the blocker. So a
blocker that is past its time marks exactly the holds whose expiry is still to be announced, whichever job or posting
expired them."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F

from compliance.services import require_kyc
from fintech_core.audit.records import reason_of, record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, NotFound, ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import guards, money
from fintech_core.wiring import wired
from transactions.holds.selectors import due_hold_ids, due_total, holds_owned_by, holds_visible_to
from transactions.ledger import engine as ledger
from transactions.ledger.decision import authorise
from transactions.ledger.enums import HoldStatus, TransactionKind
from transactions.ledger.locks import lock_holds
from transactions.ledger.models import Hold, Transaction
from transactions.ledger.postings import error_of
from transactions.transfers.services import outflows, payees
from transactions.transfers.services.destinations import Destination, resolve_destination
from transactions.transfers.services.planning import fee_legs_for
from users.enums import KycGate
from wallet.locks import lock_free_wallets, lock_wallets, lock_wallets_and_read_clock
from wallet.models import Blocker, Wallet
from wallet.selectors import expired_blockers
from wallet.services import add_blocker, extend_blocker, own_wallet, remove_blockers

BLOCKER_KIND = "hold"
DEFAULT_LIFE = timedelta(days=7)
MAX_LIFE = timedelta(days=30)  # from its creation, extensions included
# Each change of a hold adds up its wallet's active ones.
MAX_ACTIVE_HOLDS = 1_000
EXPIRY_BATCH = 100


class TooManyHolds(DomainError):
    code = "too_many_holds"
    title = "The wallet has reached the maximum number of active holds."


class HoldExpiryOutOfRange(DomainError):
    code = "hold_expiry_out_of_range"
    title = "A hold can only be extended to a later time, at most 30 days after its creation."


@dataclass(frozen=True, slots=True)
class HoldPreview:
    """What authorising would answer: the refusal, or the wallet's figures afterwards."""

    wallet_id: uuid.UUID
    currency: str
    balance: Decimal
    held: Decimal
    refusal: DomainError | None

    @property
    def available(self) -> Decimal:
        return self.balance - self.held


# --- Authorising ------------------------------------------------------------------------------------------------------


def create_hold(
    *,
    actor: Actor,
    wallet_id: uuid.UUID,
    amount: Decimal,
    currency: str,
    expires_in: timedelta = DEFAULT_LIFE,
    multi_capture: bool = False,
    description: str = "",
) -> Hold:
    """Reserve `amount` on a wallet of the actor until it is captured, voided or expired.

    Raises NotFound, CurrencyMismatch, KycRequired, WalletClosed, WalletFrozen, InsufficientFunds, TooManyHolds.
    """
    actor.require(Capability.HOLDS_WRITE)
    _gates(own_wallet(actor=actor, wallet_id=wallet_id), currency)
    locked, now = lock_wallets_and_read_clock([wallet_id])
    wallet = locked[wallet_id]
    if wallet.held and _finish_due(due_hold_ids(wallet_id, now), now):
        wallet.refresh_from_db(fields=["held"])
    refusal = _refusal(wallet, amount)
    if refusal is not None:
        raise refusal
    hold = Hold.objects.create(
        wallet=wallet,
        amount=amount,
        currency=currency,
        multi_capture=multi_capture,
        description=description,
        created_by=actor.user_id,
        expires_at=now + expires_in,
        created_at=now,
    )
    add_blocker(wallet=wallet, kind=BLOCKER_KIND, ref=hold.pk, expires_at=hold.expires_at, now=now)
    wired().available_changed([wallet_id], now)
    facts = {**_facts(hold), "multi_capture": multi_capture}
    record_and_publish(actor, "hold.created", hold, owner_id=wallet.owner_id, after=facts, payload=facts)
    return hold


def preview_hold(*, actor: Actor, wallet_id: uuid.UUID, amount: Decimal, currency: str) -> HoldPreview:
    """What `create_hold` would answer now, without a lock and without a trace. Call inside read_only_snapshot().

    Raises NotFound (the wallet) alone; every other refusal is in the answer.
    """
    actor.require(Capability.HOLDS_WRITE)
    now = clock.now()
    wallet = own_wallet(actor=actor, wallet_id=wallet_id)
    wallet.held -= due_total(wallet_id, now)
    refusal: DomainError | None = None
    try:
        _gates(wallet, currency)
        refusal = _refusal(wallet, amount, now=now)
    except DomainError as refused:
        refusal = refused
    held = wallet.held if refusal else wallet.held + amount
    return HoldPreview(wallet.pk, wallet.currency, wallet.balance, held, refusal)


def _gates(wallet: Wallet, currency: str) -> None:
    if wallet.currency != currency:
        raise ledger.CurrencyMismatch
    require_kyc(owner_id=wallet.owner_id, gate=KycGate.TRANSFER_OUT)


def _refusal(wallet: Wallet, amount: Decimal, now: datetime | None = None) -> DomainError | None:
    """The rules on the wallet's figures, from which due holds are gone. With `now`, due rows may still be ACTIVE."""
    refused = authorise(ledger.figures_of(wallet), amount)
    if refused is not None:
        return error_of(refused)
    active = Hold.objects.filter(wallet=wallet, status=HoldStatus.ACTIVE)
    count = (active if now is None else active.filter(expires_at__gt=now)).count() if wallet.held else 0
    return TooManyHolds() if count >= MAX_ACTIVE_HOLDS else None


# --- Capturing --------------------------------------------------------------------------------------------------------


def capture_hold(
    *,
    actor: Actor,
    hold_id: uuid.UUID,
    destination_wallet: uuid.UUID,
    amount: Decimal | None = None,
    final: bool = False,
) -> Transaction:
    """Pay out of a hold to another customer's wallet; None takes all that remains.

    Who may: the owner of the wallet, as there are no merchants yet. What remains is released, unless the hold allows
    several captures and this one isn't `final`. As the destination is named only now, the gates of a transfer are
    asked again, those of the payer first. Raises NotFound, ValidationFailed (more decimals than the currency has),
    HoldNotActive, SameWallet, KycRequired, TooManyUnknownPayees, StepUpRequired (it and what left before),
    CaptureTooLarge, AmountTooLarge, WalletFrozen, InsufficientFunds (the fee is taken from what is available),
    DestinationUnavailable.
    """
    hold = _own_hold(actor, hold_id)
    if amount is not None:
        guards.require_decimals(amount, hold.currency)
    _refuse_unless_open(hold, clock.now())
    if destination_wallet == hold.wallet_id:
        raise ledger.SameWallet
    outflow = outflows.locked(actor=actor, currencies=[hold.currency])
    require_kyc(owner_id=hold.wallet.owner_id, gate=KycGate.TRANSFER_OUT)
    payee = resolve_destination(actor=actor, source=hold.wallet, destination=Destination(wallet_id=destination_wallet))
    target = payee.wallet_id
    # A hold only changes under its wallet's lock, so from here on it stays as it is read. Its own lock is taken
    # by the ledger, after the lanes.
    locked, now = lock_wallets_and_read_clock([hold.wallet_id, target])
    source = locked[hold.wallet_id]
    hold = Hold.objects.get(pk=hold_id)
    _refuse_unless_open(hold, now)
    before = _state(hold)
    capture = ledger.Capture(hold_id, hold.remaining if amount is None else amount, final)
    outflow.admit([(hold.currency, capture.amount)])
    transaction = _post_capture(actor, hold, source, target, capture)
    if isinstance(transaction, ledger.Refusal):
        of_payee = transaction.wallet_id == target
        raise payees.counted(actor=actor, refusal=payee.unavailable()) if of_payee else transaction.error
    outflow.count([(hold.currency, capture.amount)])
    hold.refresh_from_db(fields=["status", "captured", "released"])
    if hold.status != HoldStatus.ACTIVE:
        remove_blockers(kind=BLOCKER_KIND, refs=[hold.pk])
    facts = {**_facts(hold), "transaction": str(transaction.pk), "destination_wallet": str(target)}
    record_and_publish(
        actor, "hold.captured", hold, owner_id=source.owner_id, before=before, after=facts, payload=facts
    )
    return transaction


def _post_capture(
    actor: Actor, hold: Hold, source: Wallet, target: uuid.UUID, capture: ledger.Capture
) -> ledger.Outcome:
    kind = TransactionKind.HOLD_CAPTURE
    fee_legs, prices = fee_legs_for(kind=kind, source=source, amount=capture.amount)
    posting = ledger.Posting(
        kind=kind,
        legs=(ledger.Leg(source.pk, target, capture.amount, hold.currency), *fee_legs),
        capture=capture,
        condition=prices,
    )
    return ledger.post([posting], actor=actor)[0]


# --- Voiding, extending -----------------------------------------------------------------------------------------------


def void_hold(*, actor: Actor, hold_id: uuid.UUID, reason: str = "") -> Hold:
    """Release what a hold still reserves. Its wallet's owner may, and operators with a reason; on a frozen wallet too.

    Raises NotFound, ValidationFailed (no reason of an operator), HoldNotActive.
    """
    actor.require(Capability.HOLDS_VOID)
    seen = holds_visible_to(actor).select_related("wallet").filter(pk=hold_id).first()
    if seen is None:
        raise NotFound
    is_own = seen.wallet.owner_id == actor.owner_id
    if not is_own and not reason:
        message = "Say why: it is not your own hold."
        raise ValidationFailed([{"field": "reason", "code": "required", "message": message}])
    hold, now = _locked(seen)
    before = _state(hold)
    hold.status, hold.released = HoldStatus.VOIDED, hold.amount - hold.captured
    hold.save(update_fields=["status", "released"])
    remove_blockers(kind=BLOCKER_KIND, refs=[hold.pk])
    wired().available_changed([hold.wallet_id], now)
    facts = _facts(hold)
    record_and_publish(
        actor,
        "hold.voided",
        hold,
        owner_id=seen.wallet.owner_id,
        before=before,
        after=facts,
        payload=facts,
        reason=reason_of(reason, is_own=is_own),
    )
    return hold


def extend_hold(*, actor: Actor, hold_id: uuid.UUID, expires_in: timedelta) -> Hold:
    """Let a hold expire `expires_in` from now: later than before, at most MAX_LIFE after it was made.

    Its owner may, on a frozen wallet too (nothing is debited). Raises NotFound, HoldNotActive, HoldExpiryOutOfRange.
    """
    seen = _own_hold(actor, hold_id)
    hold, now = _locked(seen)
    before, expires_at, latest = _state(hold), now + expires_in, hold.created_at + MAX_LIFE
    if not hold.expires_at < expires_at <= latest:
        extensions = {"expires_at": _time(hold.expires_at), "latest": _time(latest)}
        raise HoldExpiryOutOfRange(extensions=extensions)
    hold.expires_at = expires_at
    hold.save(update_fields=["expires_at"])
    extend_blocker(kind=BLOCKER_KIND, ref=hold.pk, expires_at=expires_at)
    facts = _facts(hold)
    record_and_publish(
        actor, "hold.extended", hold, owner_id=seen.wallet.owner_id, before=before, after=facts, payload=facts
    )
    return hold


def _own_hold(actor: Actor, hold_id: uuid.UUID) -> Hold:
    actor.require(Capability.HOLDS_WRITE)
    hold = holds_owned_by(actor).select_related("wallet").filter(pk=hold_id).first()
    if hold is None:
        raise NotFound
    return hold


def _locked(seen: Hold) -> tuple[Hold, datetime]:
    """The hold, its wallet and then itself locked and open, and the time then."""
    lock_wallets([seen.wallet_id])
    hold, now = lock_holds([seen.pk])[seen.pk], clock.now()
    _refuse_unless_open(hold, now)
    return hold, now


def _refuse_unless_open(hold: Hold, now: datetime) -> None:
    if not hold.is_open(now):
        raise ledger.HoldNotActive(extensions={"hold_status": hold.status_at(now)})


# --- Expiring ---------------------------------------------------------------------------------------------------------


def expire_due_holds(*, limit: int = EXPIRY_BATCH) -> int:
    """Tidy up one batch: due holds become EXPIRED, and every expiry not yet announced is, once. Returns how many.

    Locked wallets are left for the next run, so the job never waits with locks in its hands.
    """
    now = clock.now()
    due = set(expired_blockers(BLOCKER_KIND, now).values_list("ref", flat=True)[:limit])
    due |= set(due_hold_ids(None, now)[:limit])
    wallet_of = dict(Hold.objects.filter(pk__in=due).values_list("pk", "wallet_id"))
    locked = lock_free_wallets(wallet_of.values()) if wallet_of else {}
    return _finish_due([pk for pk, wallet_id in wallet_of.items() if wallet_id in locked], now)


def erase_texts_of_holds(user_id: uuid.UUID, limit: int) -> int:
    """Blank what an erased person wrote about their holds. Returns how many."""
    rows = Hold.objects.filter(wallet__owner_user_id=user_id).exclude(description="")
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    return Hold.objects.filter(pk__in=pks).update(description="")


def _finish_due(hold_ids: Collection[uuid.UUID], now: datetime) -> int:
    """Expire and announce those of the holds that are over by their time; the caller has locked their wallets."""
    holds = lock_holds(hold_ids) if hold_ids else {}
    due = [hold for hold in holds.values() if hold.status == HoldStatus.ACTIVE and not hold.is_open(now)]
    finished = [*due, *_expired_by_the_ledger(holds.values())]
    _expire(due)
    if finished:
        remove_blockers(kind=BLOCKER_KIND, refs=[hold.pk for hold in finished])
        wired().available_changed({hold.wallet_id for hold in due}, now)
        _record_expiry(finished)
    return len(finished)


def _expire(due: Sequence[Hold]) -> None:
    if due:
        rows = Hold.objects.filter(pk__in=[hold.pk for hold in due])
        rows.update(status=HoldStatus.EXPIRED, released=F("amount") - F("captured"))
    for hold in due:
        hold.status, hold.released = HoldStatus.EXPIRED, hold.amount - hold.captured


def _expired_by_the_ledger(holds: Iterable[Hold]) -> list[Hold]:
    """The ledger publishes nothing when it expires a hold: the blocker that is left says that it is still to do."""
    expired = [hold for hold in holds if hold.status == HoldStatus.EXPIRED]
    if not expired:
        return []
    left = Blocker.objects.filter(kind=BLOCKER_KIND, ref__in=[hold.pk for hold in expired]).values_list(
        "ref", flat=True
    )
    claimed = set(left)
    return [hold for hold in expired if hold.pk in claimed]


def _record_expiry(holds: Sequence[Hold]) -> None:
    actor = Actor.system("transactions.expire_holds")
    wallets = {hold.wallet_id for hold in holds}
    owner_of = {wallet.pk: wallet.owner_id for wallet in Wallet.objects.filter(pk__in=wallets)}
    before = {"status": HoldStatus.ACTIVE}
    for hold in holds:
        facts, owner_id = _facts(hold), owner_of[hold.wallet_id]
        record_and_publish(actor, "hold.expired", hold, owner_id=owner_id, before=before, after=facts, payload=facts)


# --- Audit and events -------------------------------------------------------------------------------------------------


def _state(hold: Hold) -> dict[str, Any]:
    exponent = money.exponent_of(hold.currency)
    return {
        "status": hold.status,
        "amount": money.format_amount(hold.amount, exponent),
        "captured": money.format_amount(hold.captured, exponent),
        "released": money.format_amount(hold.released, exponent),
        "currency": hold.currency,
        "expires_at": _time(hold.expires_at),
    }


def _facts(hold: Hold) -> dict[str, Any]:
    """What the audit row of a change and its event say."""
    return {"wallet": str(hold.wallet_id), **_state(hold)}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
