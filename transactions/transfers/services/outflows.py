"""How much may leave an owner's wallets without a step-up code: less than settings.LARGE_TRANSFER_FROM in any 24 hours.

All ways out are counted together, whichever wallet, session or API key they use: transfers, batches, captures, runs of
schedules and a forfeited remainder. Currencies are added up as shares of their thresholds. What was confirmed by a code
isn't counted, nor what stays with its owner (exchange). Nothing is given back: a reversal is a payment of its own.

The owner's row (OutflowOwner) is locked before any wallet and held until COMMIT, so that of two payments at once the
second one sees the first. Amounts are kept by the quarter of an hour, which keeps the sum cheap however many payments
there are; so each counts for 24 hours, and for a quarter of an hour more at most.
"""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from django.conf import settings

from fintech_core.db import ids, prepared, work
from fintech_core.security.actors import Actor
from transactions.transfers.models import OutflowOwner, UnconfirmedOutflow
from users.services import StepUpRequired, step_up

Amounts = Iterable[tuple[str, Decimal]]  # currency and amount
WINDOW = timedelta(hours=24)
QUARTER = timedelta(minutes=15)
PURGED_AT_ONCE = 5_000
_LOCK = """
    INSERT INTO transactions_outflowowner (owner_id, asked_at) VALUES (%s, ledger_clock())
    ON CONFLICT (owner_id) DO UPDATE SET asked_at = EXCLUDED.asked_at
"""
_LEFT = """
    SELECT currency, sum(amount) FROM transactions_unconfirmedoutflow
    WHERE owner_id = %s AND quarter > (SELECT ledger_clock()) - %s GROUP BY currency
"""
_COUNT = """
    INSERT INTO transactions_unconfirmedoutflow AS counted (id, owner_id, quarter, currency, amount)
    VALUES (%s, %s, date_bin(%s, ledger_clock(), 'epoch'), %s, %s)
    ON CONFLICT ON CONSTRAINT outflow_once DO UPDATE SET amount = counted.amount + EXCLUDED.amount
"""


@dataclass(slots=True)
class Outflow:
    """What one use case sends, against what its owner sent before: `ask`, then `admit`, then `count`."""

    owner_id: uuid.UUID | None  # None: nothing is counted
    is_confirmed: bool = False
    _before: prepared.Pending | None = None

    @classmethod
    def of(cls, *, actor: Actor, currencies: Collection[str], confirmed: bool | None = None) -> "Outflow":
        """Whether what the actor sends is counted. A code that came with the request is spent, needed or not.

        `confirmed` says so of what was decided before (a run of a schedule); else jobs and commands aren't counted.
        Raises StepUpRequired (a code that was spent meanwhile).
        """
        if confirmed is None and actor.step_up_id is not None:
            step_up.spend(actor=actor)
            confirmed = True
        if confirmed is None:
            confirmed = step_up.acts_without_credential(actor=actor)
        counted = not confirmed and any(currency in settings.LARGE_TRANSFER_FROM for currency in currencies)
        return cls(owner_id=actor.owner_id if counted else None, is_confirmed=confirmed)

    def ask(self) -> None:
        """Lock the owner's row and add up what left before. Inside `prepared.one_round_trip()`, before any wallet is
        locked."""
        if self.owner_id is not None:
            prepared.execute(_LOCK, [self.owner_id])
            self._before = prepared.Pending(_LEFT, [self.owner_id, WINDOW + QUARTER])

    def admit(self, amounts: Amounts) -> None:
        """Raises StepUpRequired where this would bring what left without a code to the threshold."""
        if self.owner_id is None:
            return
        if self._before is None:
            raise RuntimeError("ask before anything is locked, then admit")
        if _reaches_threshold(self._before.rows(), amounts):
            raise StepUpRequired

    def count(self, amounts: Amounts) -> None:
        """Remember what really leaves; it is written with the audit rows, before COMMIT."""
        if self.owner_id is not None:
            owner_id = self.owner_id
            named = [(owner_id, *each) for each in amounts if each[0] in settings.LARGE_TRANSFER_FROM]
            work.collect(named, write=_store, last=True)


def locked(*, actor: Actor, currencies: Collection[str]) -> Outflow:
    """`Outflow.of`, asked in a round trip of its own."""
    outflow = Outflow.of(actor=actor, currencies=currencies)
    if outflow.owner_id is not None:
        with prepared.one_round_trip():
            outflow.ask()
    return outflow


def needs_code(*, actor: Actor, amounts: Collection[tuple[str, Decimal]]) -> bool:
    """Whether sending this now would need a step-up code: for dry runs, without a lock and without a trace."""
    outflow = Outflow.of(actor=actor, currencies={currency for currency, _ in amounts})
    if outflow.owner_id is None:
        return False
    return _reaches_threshold(prepared.rows(_LEFT, [outflow.owner_id, WINDOW + QUARTER]), amounts)


def room_at(*, owner_id: uuid.UUID, amounts: Collection[tuple[str, Decimal]], now: datetime) -> datetime | None:
    """When these amounts would need no code any more, if nothing else left until then; None: they always need one."""
    rows = UnconfirmedOutflow.objects.filter(owner=owner_id, quarter__gt=now - WINDOW - QUARTER)
    counted = list(rows.order_by("quarter", "pk").values_list("quarter", "currency", "amount"))
    free_at = now
    while _reaches_threshold([(currency, amount) for _, currency, amount in counted], amounts):
        if not counted:
            return None
        free_at = counted.pop(0)[0] + WINDOW + QUARTER
    return free_at


def purge_outflows(*, now: datetime) -> int:
    """Delete what no longer counts, a bounded number of rows. Returns how many."""
    over = now - WINDOW - QUARTER
    old = UnconfirmedOutflow.objects.filter(quarter__lte=over).order_by("quarter", "id")
    counted = UnconfirmedOutflow.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:PURGED_AT_ONCE]))
    deleted = counted.delete()[0]
    # Owners locked before that time have nothing left that counts. Rows that a payment has locked are in use.
    idle = OutflowOwner.objects.filter(asked_at__lte=over).order_by("asked_at", "owner_id")
    free = list(idle.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)[:PURGED_AT_ONCE])
    used = UnconfirmedOutflow.objects.filter(owner__in=free).values_list("owner", flat=True)
    return deleted + OutflowOwner.objects.filter(pk__in=set(free) - set(used)).delete()[0]


def _reaches_threshold(before: Amounts, amounts: Amounts) -> bool:
    """Exact: shares are fractions. A threshold of zero is reached by any amount."""
    wanted = _shares(amounts)
    return any(share is None for share in wanted) or (
        any(wanted) and sum(share for share in [*_shares(before), *wanted] if share is not None) >= 1
    )


def _shares(amounts: Amounts) -> list[Fraction | None]:
    """Each amount as a share of its currency's threshold; None where that is zero, 0 where there is none."""
    shares: list[Fraction | None] = []
    for currency, amount in amounts:
        threshold = settings.LARGE_TRANSFER_FROM.get(currency)
        if threshold is None:
            shares.append(Fraction(0))
        else:
            shares.append(Fraction(amount) / Fraction(threshold) if Fraction(threshold) else None)
    return shares


def _store(counted: list[tuple[uuid.UUID, str, Decimal]]) -> None:
    """One row a currency, in one order."""
    totals: dict[tuple[uuid.UUID, str], Decimal] = {}
    for owner_id, currency, amount in counted:
        totals[owner_id, currency] = totals.get((owner_id, currency), Decimal(0)) + amount
    for (owner_id, currency), amount in sorted(totals.items()):
        prepared.execute(_COUNT, [ids.uuid7(), owner_id, QUARTER, currency, amount])
