"""Opening, freezing and closing wallets, and the blockers on them. Money moves in `transactions`, never here."""

import uuid
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from enum import Enum
from http import HTTPStatus
from typing import Any

from fintech_core.audit.records import reason_of, record_and_publish
from fintech_core.exceptions import (
    CurrencyMismatch,
    DomainError,
    NotFound,
    PermissionDenied,
    ValidationFailed,
)
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import money
from fintech_core.values.states import require_transition, transition, wrong_state
from wallet.enums import TRANSITIONS, WalletStatus
from wallet.locks import lock_owner, lock_wallets
from wallet.models import Blocker, Wallet, genesis
from wallet.owners import Owner
from wallet.selectors import open_wallets_of, wallets_owned_by, wallets_visible_to


class WalletExists(DomainError):
    code = "wallet_exists"
    status = HTTPStatus.CONFLICT
    title = "An open wallet in this currency already exists."


class WalletNotEmpty(DomainError):
    code = "wallet_not_empty"
    status = HTTPStatus.CONFLICT
    title = "A wallet can only be closed when its balance and holds are zero."


class LimitInUse(DomainError):
    code = "limit_in_use"
    status = HTTPStatus.CONFLICT
    title = "The available balance is already below this limit."


class LimitsContradict(DomainError):
    code = "limits_contradict"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The maximum balance is below the minimum."


class Unset(Enum):
    """The default of an argument for which None is a value: it was not given, and the value stays."""

    UNSET = "unset"


class WalletInUse(DomainError):
    code = "wallet_in_use"
    status = HTTPStatus.CONFLICT
    title = "This wallet still has open items."


def open_wallet(
    *,
    actor: Actor,
    owner_user_id: uuid.UUID | None = None,
    owner_organization_id: uuid.UUID | None = None,
    currency: str,
    now: datetime,
) -> Wallet:
    """A new, empty wallet of the user or of the organization. Raises WalletExists where it has an open one in the
    currency, NotFound where the person was erased or the organization closed meanwhile."""
    owner = _owner_of(owner_user_id, owner_organization_id)
    if not lock_owner(owner):
        raise NotFound
    existing = open_wallets_of(owner).filter(currency=currency).first()
    if existing is not None:
        raise WalletExists(extensions={"wallet": str(existing.pk)})
    wallet = Wallet(
        owner_user_id=owner_user_id,
        owner_organization_id=owner_organization_id,
        currency=currency,
        exponent=money.exponent_of(currency),
        floor=Decimal(0),
        created_at=now,
    )
    wallet.head = genesis(wallet.pk)
    wallet.save(force_insert=True)
    record_and_publish(
        actor,
        "wallet.opened",
        wallet,
        after={"status": wallet.status, "currency": currency, "owner": str(wallet.owner_id)},
        owner_id=wallet.owner_id,
        payload=_published(wallet),
    )
    return wallet


def _owner_of(user_id: uuid.UUID | None, organization_id: uuid.UUID | None) -> Owner:
    if user_id is not None and organization_id is None:
        return Owner.person(user_id)
    if organization_id is not None and user_id is None:
        return Owner.organization(organization_id)
    raise ValueError("a wallet is a user's or an organization's")


def open_own_wallet(*, actor: Actor, currency: str, now: datetime) -> Wallet:
    """A further wallet of whom the actor acts for: its organization, else itself. Raises WalletExists."""
    actor.require(Capability.WALLETS_WRITE)
    if actor.organization_id is not None:
        return open_wallet(actor=actor, owner_organization_id=actor.organization_id, currency=currency, now=now)
    return open_wallet(actor=actor, owner_user_id=actor.user_id, currency=currency, now=now)


def freeze_wallet(*, actor: Actor, wallet_id: uuid.UUID, reason: str, now: datetime) -> Wallet:
    """Refuse every debit from now on; credits pass (settings.FREEZE_BLOCKS_CREDITS)."""
    actor.require(Capability.WALLETS_FREEZE)
    return _change_status(actor, _locked(actor, wallet_id), WalletStatus.FROZEN, "wallet.frozen", reason)


def unfreeze_wallet(*, actor: Actor, wallet_id: uuid.UUID, reason: str, now: datetime) -> Wallet:
    actor.require(Capability.WALLETS_FREEZE)
    return _change_status(actor, _locked(actor, wallet_id), WalletStatus.ACTIVE, "wallet.unfrozen", reason)


def lock_wallet_to_close(*, actor: Actor, wallet_id: uuid.UUID) -> Wallet:
    """The wallet, locked, that the actor may close and that isn't frozen or closed; its figures aren't looked at.

    Raises NotFound, PermissionDenied, InvalidTransition.
    """
    wallet = _locked(actor, wallet_id)
    if not is_own_wallet(actor=actor, wallet=wallet) and not actor.can(Capability.WALLETS_FREEZE):
        raise PermissionDenied("Only its owner or compliance may close a wallet.")
    require_transition(wallet, WalletStatus.CLOSED, TRANSITIONS)
    return wallet


def own_wallet(*, actor: Actor, wallet_id: uuid.UUID, absent: str = "There is no such wallet.") -> Wallet:
    """The wallet, which the actor may spend from. Raises NotFound, with `absent` as its detail."""
    wallet = wallets_owned_by(actor).filter(pk=wallet_id).first()
    if wallet is None:
        raise NotFound(absent)
    return wallet


def lock_own_wallet(*, actor: Actor, wallet_id: uuid.UUID, absent: str = "There is no such wallet.") -> Wallet:
    """The same, locked. Raises NotFound."""
    if not wallets_owned_by(actor).filter(pk=wallet_id).exists():
        raise NotFound(absent)
    return lock_wallets([wallet_id])[wallet_id]


def is_own_wallet(*, actor: Actor, wallet: Wallet) -> bool:
    """Whether it is the actor's own, or that of the organization that it acts in."""
    return actor.owner_id is not None and wallet.owner_id == actor.owner_id


def close_wallet(*, actor: Actor, wallet_id: uuid.UUID, reason: str = "", now: datetime) -> Wallet:
    """Close for good. Its owner may, and compliance with a reason; an owner's isn't kept (reason_of).

    Raises NotFound, PermissionDenied, ValidationFailed (compliance without a reason), WalletNotEmpty, WalletInUse,
    InvalidTransition (frozen, closed). Interfaces call `transactions.closing.services.close_wallet`, which can
    forfeit a remainder first.
    """
    wallet = lock_wallet_to_close(actor=actor, wallet_id=wallet_id)
    is_own = is_own_wallet(actor=actor, wallet=wallet)
    if not is_own and not reason:
        message = "Closing another customer's wallet needs a reason."
        raise ValidationFailed([{"field": "reason", "code": "required", "message": message}])
    if wallet.balance != 0 or wallet.held != 0:
        raise WalletNotEmpty
    # A blocker that is past its time is ignored and left to its room, which has yet to say that what was open is over.
    if wallet.blockers.exclude(expires_at__lte=now).exists():
        raise WalletInUse
    return _change_status(actor, wallet, WalletStatus.CLOSED, "wallet.closed", reason_of(reason, is_own=is_own))


def set_wallet_policy(
    *,
    actor: Actor,
    wallet_id: uuid.UUID,
    currency: str,
    reason: str,
    now: datetime,
    credit_limit: Decimal | None = None,
    minimum_balance: Decimal | None = None,
    maximum_balance: Decimal | Unset | None = Unset.UNSET,
) -> Wallet:
    """Change what a customer's wallet may come down to (a credit limit or a minimum balance) and grow to.

    A credit limit takes the place of a minimum balance and the other way round; neither given leaves the floor as it
    is. `maximum_balance=None` takes the maximum away. Compliance. Raises NotFound, CurrencyMismatch, LimitInUse (the
    floor would be above what is available), LimitsContradict, InvalidTransition (closed).
    """
    actor.require(Capability.WALLETS_POLICY)
    wallet = _locked(actor, wallet_id)
    if wallet.currency != currency:
        raise CurrencyMismatch
    if wallet.status == WalletStatus.CLOSED:
        raise wrong_state(wallet, TRANSITIONS)
    before = _policy(wallet)
    wallet.floor = _floor(wallet, credit_limit, minimum_balance)
    if not isinstance(maximum_balance, Unset):
        wallet.maximum_balance = maximum_balance
    if wallet.maximum_balance is not None and wallet.maximum_balance < wallet.floor:
        raise LimitsContradict
    if wallet.floor > wallet.available:
        raise LimitInUse
    wallet.save(update_fields=["floor", "maximum_balance"])
    after = _policy(wallet)
    record_and_publish(
        actor,
        "wallet.policy_changed",
        wallet,
        before=before,
        after=after,
        reason=reason,
        owner_id=wallet.owner_id,
        payload={**_published(wallet), **after},
    )
    return wallet


def _floor(wallet: Wallet, credit_limit: Decimal | None, minimum_balance: Decimal | None) -> Decimal:
    if credit_limit is not None:
        return Decimal(0) - credit_limit
    if minimum_balance is not None:
        return minimum_balance
    return wallet.floor or Decimal(0)


def _policy(wallet: Wallet) -> dict[str, str | None]:
    names = ("credit_limit", "minimum_balance", "maximum_balance")
    values: dict[str, Decimal | None] = {name: getattr(wallet, name) for name in names}
    return {
        name: None if value is None else money.format_amount(value, wallet.exponent) for name, value in values.items()
    }


def add_blocker(
    *, wallet: Wallet, kind: str, ref: uuid.UUID, now: datetime, expires_at: datetime | None = None
) -> None:
    """Remember that something is open on the wallet, whose lock the caller holds; until `expires_at`, if given."""
    Blocker.objects.create(wallet=wallet, kind=kind, ref=ref, expires_at=expires_at, created_at=now)


def keep_blocker(
    *, wallet: Wallet, kind: str, ref: uuid.UUID, now: datetime, expires_at: datetime | None = None
) -> None:
    """It is open until `expires_at` (None: until it is removed), whether or not it was before.

    The caller holds the wallet's lock. On a wallet that was closed in between nothing can be open any more.
    """
    if wallet.status == WalletStatus.CLOSED:
        return
    if not Blocker.objects.filter(kind=kind, ref=ref).update(expires_at=expires_at):
        add_blocker(wallet=wallet, kind=kind, ref=ref, expires_at=expires_at, now=now)


def extend_blocker(*, kind: str, ref: uuid.UUID, expires_at: datetime | None) -> None:
    """It is open until another time (None: until it is removed). The caller holds the lock of the wallet or of what
    the blocker is about: a wallet that is closed in between was no longer kept open by the blocker."""
    Blocker.objects.filter(kind=kind, ref=ref).update(expires_at=expires_at)


def remove_blockers(*, kind: str, refs: Collection[uuid.UUID]) -> None:
    """What was open is done. Removing what isn't there is no error."""
    Blocker.objects.filter(kind=kind, ref__in=refs).delete()


def _locked(actor: Actor, wallet_id: uuid.UUID) -> Wallet:
    if not wallets_visible_to(actor).filter(pk=wallet_id).exists():
        raise NotFound
    return lock_wallets([wallet_id])[wallet_id]


def _change_status(actor: Actor, wallet: Wallet, target: WalletStatus, action: str, reason: str) -> Wallet:
    before = transition(wallet, target, TRANSITIONS)
    wallet.save(update_fields=["status"])
    record_and_publish(
        actor,
        action,
        wallet,
        before={"status": before},
        after={"status": wallet.status},
        reason=reason,
        owner_id=wallet.owner_id,
        payload=_published(wallet),
    )
    return wallet


def _published(wallet: Wallet) -> dict[str, Any]:
    return {"status": wallet.status, "currency": wallet.currency}
