"""What the tests of holds share: money by the real ledger, holds by the real services, and what the books say."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from fintech_core.security.actors import Actor
from tests.cast import actor_for, clock_at, kyc
from tests.wallets import wallet_of
from transactions.holds.services import capture_hold, create_hold, expire_due_holds, void_hold
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import clearing
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Hold, LedgerEntry, Transaction
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from wallet.models import Blocker, Wallet

PATH = "/api/v1/holds"
T = TypeVar("T")


def deposit(user: User, amount: str, currency: str = "USD") -> User:
    """Money from outside, and KYC level 1 so that it may be spent."""
    wallet = wallet_of(user, currency)
    legs = (ledger.Leg(clearing("simulator", currency), wallet.pk, Decimal(amount), currency),)
    posting = ledger.Posting(kind=TransactionKind.DEPOSIT, legs=legs)
    unit_of_work(lambda: ledger.post_one(posting, actor=Actor.system("tests")))
    return user if user.kyc_level else kyc(user, 1)


def body_for(user: User, **changes: Any) -> dict[str, Any]:
    body = {"wallet": str(wallet_of(user).pk), "amount": "30.00", "currency": "USD"}
    return {**body, **changes}


def hold_of(user: User, amount: str = "30.00", *, now: datetime | None = None, **options: Any) -> Hold:
    """A hold by the service; a past `now` makes one that was due long ago."""
    wallet = wallet_of(user)
    with _clock(now):
        return unit_of_work(
            lambda: create_hold(
                actor=actor_for(user),
                wallet_id=wallet.pk,
                amount=Decimal(amount),
                currency=wallet.currency,
                **options,
            )
        )


def _clock(now: datetime | None) -> AbstractContextManager[None]:
    return nullcontext() if now is None else clock_at(now)


def due_hold_of(user: User, amount: str = "30.00", **options: Any) -> Hold:
    """ACTIVE by its row, and due a minute ago: as a dead worker leaves it."""
    then = timezone.now() - timedelta(hours=1)
    return hold_of(user, amount, now=then, expires_in=timedelta(minutes=59), **options)


def capture(
    user: User, hold: Hold, to: User, amount: str | None = None, *, now: datetime | None = None, **options: Any
) -> Transaction:
    with _clock(now):
        return unit_of_work(
            lambda: capture_hold(
                actor=actor_for(user),
                hold_id=hold.pk,
                destination_wallet=wallet_of(to).pk,
                amount=None if amount is None else Decimal(amount),
                **options,
            )
        )


def void(user: User, hold: Hold, **options: Any) -> Hold:
    return unit_of_work(lambda: void_hold(actor=actor_for(user), hold_id=hold.pk, **options))


def transfer(user: User, to: User, amount: str) -> Transaction:
    return unit_of_work(
        lambda: create_transfer(
            actor=actor_for(user),
            source_wallet=wallet_of(user).pk,
            destination=Destination(wallet_id=wallet_of(to).pk),
            amount=Decimal(amount),
            currency="USD",
        )
    )


def expire(now: datetime | None = None) -> int:
    """One run of the beat job's batch."""
    with _clock(now):
        return unit_of_work(expire_due_holds)


def figures(user: User) -> tuple[Decimal, Decimal]:
    """Balance and held, as booked."""
    wallet = wallet_of(user)
    return wallet.balance, wallet.held


def parts(hold: Hold) -> tuple[str, Decimal, Decimal]:
    hold.refresh_from_db()
    return hold.status, hold.captured, hold.released


def trace() -> dict[str, Any]:
    """Everything that a refusal or a dry run might leave behind."""
    return {
        "wallets": list(Wallet.objects.order_by("pk").values()),
        "holds": list(Hold.objects.order_by("pk").values()),
        "claims": list(Blocker.objects.order_by("pk").values()),
        "events": OutboxEvent.objects.count(),
        "transactions": Transaction.objects.count(),
        "entries": LedgerEntry.objects.count(),
    }


@contextmanager
def nothing_changes(*, audit: bool = True) -> Any:
    before, rows = trace(), AuditLog.objects.count()
    yield
    assert trace() == before
    assert not audit or AuditLog.objects.count() == rows


def inv8() -> list[Hold]:
    """Holds that break INV-8: captured + released = authorised once over, less than it before."""
    return [h for h in Hold.objects.all() if (h.status == "ACTIVE") != (h.captured + h.released < h.amount)]


def times(count: int, call: Callable[[], T]) -> list[Callable[[], T]]:
    return [call] * count
