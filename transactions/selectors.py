"""Reads of the ledger, scoped by who asks."""

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Exists, F, Max, Min, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum

from compliance.selectors import submissions_of
from fintech_core import prepared
from fintech_core.actors import Actor, ActorKind
from fintech_core.capabilities import Capability
from transactions import recurrence
from transactions.enums import Direction, Frequency, HoldStatus, ScheduleStatus
from transactions.fx import BASE_CURRENCY, BASE_RATE
from transactions.models import (
    ExchangeQuote,
    ExchangeRate,
    FeeSchedule,
    Hold,
    LedgerEntry,
    Monitor,
    ScheduledRun,
    Transaction,
    TransferSchedule,
)
from users.models import ApiKey, Session, User
from wallet.enums import WalletStatus
from wallet.models import Wallet
from wallet.owners import Owner
from wallet.selectors import owned_by, with_figures

FEES = "fees"  # the account code that fees are paid to


def transactions_visible_to(actor: Actor) -> QuerySet[Transaction]:
    """Transactions with a leg on a wallet of the actor; all of them for staff who may read them."""
    rows = Transaction.objects.all()
    if actor.can(Capability.TRANSACTIONS_READ_ALL):
        return rows
    own = LedgerEntry.objects.filter(owned_by(actor, "wallet__"), transaction=OuterRef("pk"))
    return rows.filter(Exists(own))


def initiated_by(actor: Actor, transaction: Transaction) -> bool:
    """Whether it is the actor's own deed, who then sees by whom it was begun and the metadata.

    What an API key did for the payer is the payer's, whatever key it was. In an organization what any member did for
    it is every member's; outside of it it is nobody's.
    """
    payer = transaction.source_owner
    if transaction.initiator_id is None or (payer is not None and payer != actor.owner_id):
        return False
    by_key = transaction.initiator_kind == ActorKind.API_KEY
    by_member = actor.organization_id is not None and transaction.reverses_id is None
    return transaction.initiator_id in {actor.id, actor.user_id} or (payer is not None and (by_key or by_member))


def with_entries(rows: QuerySet[Transaction]) -> QuerySet[Transaction]:
    """Two more queries whatever the number of rows: the entries in order of their legs, and their wallets."""
    entries = LedgerEntry.objects.order_by("leg", "-direction", "pk").select_related("wallet")
    return rows.prefetch_related(Prefetch("entries", queryset=entries), "reversals")


def entries_of_wallet(wallet: Wallet) -> QuerySet[LedgerEntry]:
    """The wallet's entries; their order is `sequence`, which has no gaps."""
    return LedgerEntry.objects.filter(wallet=wallet).select_related("transaction", "wallet")


def filter_entries(rows: QuerySet[LedgerEntry], filters: dict[str, Any]) -> QuerySet[LedgerEntry]:
    """`start` (inclusive) and `end` (exclusive) of when they were posted, `direction`."""
    lookups = {"start": "posted_at__gte", "end": "posted_at__lt", "direction": "direction"}
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if filters.get(name) is not None})


def filter_transactions(rows: QuerySet[Transaction], filters: dict[str, Any], *, actor: Actor) -> QuerySet[Transaction]:
    """`wallet`, `kind`, `status`, `created_after` (inclusive), `created_before` (exclusive)."""
    wallet: uuid.UUID | None = filters.get("wallet")
    if wallet is not None:
        # Only by a wallet that the actor sees: else the filter would tell whose wallet stands behind a masked leg.
        entries = LedgerEntry.objects.filter(transaction=OuterRef("pk"), wallet_id=wallet)
        if not actor.can(Capability.TRANSACTIONS_READ_ALL):
            entries = entries.filter(owned_by(actor, "wallet__"))
        rows = rows.filter(Exists(entries))
    lookups = {
        "kind": "kind",
        "status": "status",
        "created_after": "created_at__gte",
        "created_before": "created_at__lt",
    }
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})


def read_back(transactions: Collection[Transaction]) -> dict[uuid.UUID, Transaction]:
    """These transactions with their entries, by id, as answers show them."""
    rows = with_entries(Transaction.objects.filter(pk__in=[transaction.pk for transaction in transactions]))
    return {transaction.pk: transaction for transaction in rows}


def headline(transaction: Transaction) -> LedgerEntry | None:
    """The entry whose amount stands for the transaction: of its first leg that isn't a fee."""
    entries = list(transaction.entries.all())
    fee_legs = {entry.leg for entry in entries if entry.wallet.account_code == FEES}
    return next((entry for entry in entries if entry.leg not in fee_legs), entries[0] if entries else None)


def fee_paid(transaction: Transaction) -> Decimal:
    """What the transaction paid to the fee accounts; given back by a reversal, it is none of the reversal's fee."""
    credited = (
        entry.amount
        for entry in transaction.entries.all()
        if entry.wallet.account_code == FEES and entry.direction == Direction.CREDIT
    )
    return sum(credited, Decimal(0))


def fee_schedules_visible_to(actor: Actor) -> QuerySet[FeeSchedule]:
    return FeeSchedule.objects.all() if actor.can(Capability.FEES_READ) else FeeSchedule.objects.none()


@dataclass(frozen=True, slots=True)
class Party:
    """A customer's wallet as it was read without a lock, and the KYC level of its owner (of an organization: by its
    KYB)."""

    pk: uuid.UUID
    owner_id: uuid.UUID
    currency: str
    status: str
    balance: Decimal
    floor: Decimal | None
    kyc_level: int

    def could_pay(self, amount: Decimal) -> bool:
        """False only where a debit of `amount` is surely refused: holds and earlier payments are left out."""
        enough = self.floor is None or self.balance - amount >= self.floor
        return self.status == WalletStatus.ACTIVE and enough


_NEWEST_CREDITS = 1_000


def credits_that_cannot_go_back(wallet_id: uuid.UUID) -> Decimal:
    """What customers' wallets that take no credit any more have transferred in, among the newest 1,000 credits."""
    dead = [WalletStatus.CLOSED, *([WalletStatus.FROZEN] if settings.FREEZE_BLOCKS_CREDITS else [])]
    newest = LedgerEntry.objects.filter(wallet_id=wallet_id, direction=Direction.CREDIT).order_by("-sequence")
    payers = LedgerEntry.objects.filter(
        transaction=OuterRef("transaction"),
        direction=Direction.DEBIT,
        currency=OuterRef("currency"),  # an exchange out of a wallet that was closed since is no payment of another's
        wallet__account_code__isnull=True,
        wallet__status__in=dead,
    )
    rows = LedgerEntry.objects.filter(pk__in=newest.values("pk")[:_NEWEST_CREDITS])
    return rows.filter(Exists(payers)).aggregate(total=Sum("amount"))["total"] or Decimal(0)


Schedules = Mapping[tuple[str, int | None], FeeSchedule]

_PARTIES = """
    SELECT w.id, coalesce(w.owner_user_id, w.owner_organization_id), w.currency, w.status, w.balance, w.floor,
        coalesce(u.kyc_level, CASE o.kyb_status WHEN 'APPROVED' THEN 2 ELSE 0 END)
    FROM wallet_wallet w LEFT JOIN users_user u ON u.id = w.owner_user_id
    LEFT JOIN organizations_organization o ON o.id = w.owner_organization_id
    WHERE w.id = ANY(%s) AND w.account_code IS NULL
"""
_PARTIES_OF_PERSONS = """
    SELECT w.id, w.owner_user_id, w.currency, w.status, w.balance, w.floor, u.kyc_level
    FROM wallet_wallet w JOIN users_user u ON u.id = w.owner_user_id
    WHERE w.owner_user_id = ANY(%s) AND w.currency = ANY(%s) AND w.status <> 'CLOSED'
"""
# The newest payments of each payer: a bound for payers with very many.
_PAID_BEFORE = """
    SELECT DISTINCT credit.wallet_id FROM unnest(%s::uuid[]) AS payer (id)
    CROSS JOIN LATERAL (
        SELECT transaction_id FROM transactions_ledgerentry
        WHERE wallet_id = payer.id AND direction = 'DEBIT' ORDER BY sequence DESC LIMIT 10000
    ) AS debit
    JOIN transactions_transaction paid ON paid.id = debit.transaction_id AND paid.kind IN ('TRANSFER', 'HOLD_CAPTURE')
    JOIN transactions_ledgerentry credit ON credit.transaction_id = paid.id AND credit.direction = 'CREDIT'
    WHERE credit.wallet_id = ANY(%s)
"""
_FEES_IN_FORCE = f"""
    WITH clock AS MATERIALIZED (SELECT ledger_clock() AS now)
    SELECT {prepared.columns_of(FeeSchedule)} FROM transactions_feeschedule, clock
    WHERE kind = %s AND currency = ANY(%s) AND valid_from <= now AND (ended_at IS NULL OR ended_at > now)
"""  # noqa: S608 - constants only


def parties_of_persons(
    user_ids: Collection[uuid.UUID], currencies: Collection[str]
) -> dict[tuple[uuid.UUID, str], Party]:
    """The wallets of these persons in these currencies that aren't closed, by owner and currency."""
    rows = prepared.rows(_PARTIES_OF_PERSONS, [list(user_ids), list(currencies)])
    return {(party.owner_id, party.currency): party for party in (Party(*row) for row in rows)}


def wallets_paid_before(*, payers: Collection[uuid.UUID], payees: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the payees' wallets that one of the payers' has paid, by a transfer or out of a hold."""
    return {wallet_id for (wallet_id,) in prepared.rows(_PAID_BEFORE, [list(payers), list(payees)])}


def parties_and_fees(
    *, wallet_ids: Collection[uuid.UUID], kind: str, currencies: Collection[str], along: Callable[[], object] = list
) -> tuple[dict[uuid.UUID, Party], Schedules]:
    """Customers' wallets among these ids, whoever owns them, and the fee schedules for `kind` at this moment by
    currency and KYC level (None: every level without its own). Every transfer needs both, so they travel together,
    with what `along` makes `prepared.Pending`.
    """
    with prepared.one_round_trip():
        along()
        parties = prepared.Pending(_PARTIES, [list(wallet_ids)])
        fees = prepared.Pending(_FEES_IN_FORCE, [kind, list(currencies)])
    schedules = prepared.instances(FeeSchedule, fees.rows())
    return (
        {row[0]: Party(*row) for row in parties.rows()},
        {(schedule.currency, schedule.kyc_level): schedule for schedule in schedules},
    )


def fee_schedule_after(*, kind: str, currency: str, kyc_level: int | None, moment: datetime) -> FeeSchedule | None:
    """A schedule of this kind, currency and level that is in force at or after the moment."""
    rows = FeeSchedule.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=moment) & Q(ended_at__gt=F("valid_from")),
        kind=kind,
        currency=currency,
    )
    rows = rows.filter(kyc_level=kyc_level) if kyc_level is not None else rows.filter(kyc_level__isnull=True)
    return rows.order_by("valid_from", "id").first()


@dataclass(frozen=True, slots=True)
class RateSet:
    """Rates of one source and one day, in units for one unit of the base currency, whose own rate is 1."""

    source: str
    as_of: date
    per_base: Mapping[str, Decimal]


def current_rates(*, not_before: date, today: date) -> RateSet | None:
    """The one set that every pair is priced by: of the newest day between the two that has any.

    On one day the source that comes first in FX_SOURCES wins, then the set that was loaded last. The choice doesn't
    depend on the pair: with a set for each pair a currency would have two prices at once, and a customer could gain by
    exchanging in a circle. So a currency that the set lacks has no rate. The base currency needs no row.
    """
    days = ExchangeRate.objects.filter(as_of__gte=not_before, as_of__lte=today)
    newest = days.order_by("-as_of").values("as_of")[:1]
    sets: dict[str, list[ExchangeRate]] = {}
    for rate in ExchangeRate.objects.filter(as_of=Subquery(newest)):
        sets.setdefault(rate.source, []).append(rate)
    if not sets:
        return None
    source, chosen = max(sets.items(), key=lambda item: (-_rank(item[0]), item[1][0].loaded_at, item[0]))
    per_base = {rate.currency: rate.per_base for rate in chosen}
    return RateSet(source, chosen[0].as_of, {**per_base, BASE_CURRENCY: BASE_RATE})


def _rank(source: str) -> int:
    order: list[str] = settings.FX_SOURCES
    return order.index(source) if source in order else len(order)


def rates_near(currencies: Collection[str], *, day: date) -> list[ExchangeRate]:
    """What new rates of a day are compared with: for each currency all rates of that day, of the nearest day before it
    and of the nearest day after it, of whatever source."""
    rows = ExchangeRate.objects.filter(currency__in=currencies)
    nearest = {(currency, day) for currency in currencies}
    nearest.update(
        rows.filter(as_of__lt=day).values("currency").annotate(day=Max("as_of")).values_list("currency", "day")
    )
    nearest.update(
        rows.filter(as_of__gt=day).values("currency").annotate(day=Min("as_of")).values_list("currency", "day")
    )
    found = rows.filter(as_of__in={near for _, near in nearest}).order_by("currency", "as_of", "pk")
    return [rate for rate in found if (rate.currency, rate.as_of) in nearest]


def quotes_of(actor: Actor) -> QuerySet[ExchangeQuote]:
    """The quotes on wallets of the actor."""
    return ExchangeQuote.objects.filter(owned_by(actor, "source_wallet__"))


def holds_owned_by(actor: Actor) -> QuerySet[Hold]:
    """Holds on wallets of the actor."""
    return Hold.objects.filter(owned_by(actor, "wallet__"))


def holds_visible_to(actor: Actor) -> QuerySet[Hold]:
    """The actor's own; all of them for staff who may read transactions."""
    return Hold.objects.all() if actor.can(Capability.TRANSACTIONS_READ_ALL) else holds_owned_by(actor)


def with_captures(rows: QuerySet[Hold]) -> QuerySet[Hold]:
    """One more query whatever the number of rows: the transactions that were paid out of the holds."""
    captures = Transaction.objects.only("id", "hold_id").order_by("created_at", "pk")
    return rows.prefetch_related(Prefetch("captures", queryset=captures))


def filter_holds(rows: QuerySet[Hold], filters: dict[str, Any], now: datetime) -> QuerySet[Hold]:
    """`wallet`, and `status` as it is now: an ACTIVE row that is due counts as EXPIRED."""
    if "wallet" in filters:
        rows = rows.filter(wallet_id=filters["wallet"])
    status = filters.get("status")
    if status == HoldStatus.ACTIVE:
        return rows.filter(status=status, expires_at__gt=now)
    if status == HoldStatus.EXPIRED:
        return rows.filter(Q(status=status) | Q(status=HoldStatus.ACTIVE, expires_at__lte=now))
    return rows.filter(status=status) if status else rows


def _due_holds(wallet_id: uuid.UUID | None, now: datetime) -> QuerySet[Hold]:
    due = Hold.objects.filter(status=HoldStatus.ACTIVE, expires_at__lte=now)
    return due if wallet_id is None else due.filter(wallet_id=wallet_id)


def due_hold_ids(wallet_id: uuid.UUID | None, now: datetime) -> Any:
    """Ids of rows that are ACTIVE past their time, the longest overdue first; of all wallets, or of one."""
    return _due_holds(wallet_id, now).order_by("expires_at", "pk").values_list("pk", flat=True)


def due_total(wallet_id: uuid.UUID, now: datetime) -> Decimal:
    """What the wallet's due holds still have booked as reserved."""
    total = Sum(F("amount") - F("captured") - F("released"))
    return _due_holds(wallet_id, now).aggregate(total=total)["total"] or Decimal(0)


_NOT_OVER = (ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED)


def schedules_visible_to(actor: Actor) -> QuerySet[TransferSchedule]:
    """The actor's own schedules; everybody's for staff who may read all transactions. Payees don't see them."""
    if actor.can(Capability.TRANSACTIONS_READ_ALL):
        return TransferSchedule.objects.all()
    return schedules_owned_by(actor)


def schedules_owned_by(actor: Actor) -> QuerySet[TransferSchedule]:
    """The schedules that pay from wallets of the actor."""
    rows = TransferSchedule.objects.filter(owned_by(actor, "source_wallet__")).select_related("source_wallet")
    # A person's are those that they set up: the same rows, by the index schedule_of_owner.
    return rows if actor.organization_id is not None else rows.filter(owner_id=actor.user_id)


def unconfirmed_schedules_of(actor: Actor) -> list[tuple[str, Decimal]]:
    """The most that each schedule that isn't over and wasn't confirmed by a code pays within a day."""
    rows = schedules_owned_by(actor).filter(status__in=_NOT_OVER, confirmed=False)
    found = rows.values_list("currency", "amount", "frequency")
    return [
        (currency, amount * recurrence.most_in_a_day(Frequency(frequency))) for currency, amount, frequency in found
    ]


def open_schedules_from(owner: Owner) -> list[uuid.UUID]:
    """Schedules that pay from the owner's wallets and aren't over: theirs to end."""
    return _open_schedules(owner.owns("source_wallet__"))


def open_schedules_of_others_naming(owner: Owner) -> list[uuid.UUID]:
    """Schedules from wallets of others that pay the owner, or that a person set up for an organization."""
    # An organization's id is never a user's.
    naming = owner.owns("destination_wallet__") | Q(destination_user_id=owner.id) | Q(owner_id=owner.id)
    return _open_schedules(naming & owner.lacks("source_wallet__"))


def _open_schedules(condition: Q) -> list[uuid.UUID]:
    rows = TransferSchedule.objects.filter(condition, status__in=_NOT_OVER)
    return list(rows.order_by("pk").values_list("pk", flat=True))


_NEWEST = 200


def personal_data_of(user_id: uuid.UUID, *, now: datetime) -> dict[str, Any]:
    """What the rooms below know of a person, bounded. Their transactions are paged by the caller."""
    return {
        "profile": User.objects.get(pk=user_id),
        "sessions": Session.objects.filter(user_id=user_id).order_by("-created_at", "-pk")[:_NEWEST],
        "api_keys": ApiKey.objects.filter(user_id=user_id).order_by("-created_at", "-pk")[:_NEWEST],
        "kyc_submissions": submissions_of(user_id)[:_NEWEST],
        "wallets": with_figures(Wallet.objects.filter(owner_user_id=user_id), now=now).order_by("pk")[:_NEWEST],
    }


def erased_with_texts(*, limit: int) -> list[uuid.UUID]:
    """Persons who were erased and whose texts may still be there; the longest waiting first."""
    rows = User.objects.filter(erased_at__isnull=False, texts_erased_at__isnull=True)
    return list(rows.order_by("erased_at", "pk").values_list("pk", flat=True)[:limit])


def texts_of(user_id: uuid.UUID) -> QuerySet[Transaction, uuid.UUID]:
    """Transactions on the user's wallets whose text is the user's or nobody's: what another payer wrote is theirs."""
    own = LedgerEntry.objects.filter(wallet__owner_user_id=user_id).values("transaction_id")
    theirs = Q(source_owner=user_id) | Q(source_owner__isnull=True) | Q(initiator_id=user_id)
    rows = Transaction.objects.filter(theirs, pk__in=own, salt__isnull=False)
    return rows.order_by("pk").values_list("pk", flat=True)


def runs_of_schedule(schedule: TransferSchedule) -> QuerySet[ScheduledRun]:
    return ScheduledRun.objects.filter(schedule=schedule)


def due_schedule_ids(*, now: datetime, limit: int) -> list[uuid.UUID]:
    """Schedules that the job should look at, the longest waiting first."""
    rows = TransferSchedule.objects.filter(status=ScheduleStatus.ACTIVE, next_run_at__lte=now)
    return list(rows.order_by("next_run_at", "pk").values_list("pk", flat=True)[:limit])


def monitors_of(wallet: Wallet) -> QuerySet[Monitor]:
    return Monitor.objects.filter(wallet=wallet).select_related("wallet")
