"""What transfers are planned with: the parties' wallets, earlier payees and the fees in force, in few round trips."""

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.db.models import Exists, OuterRef, Sum

from compliance.selectors import level_of_organization
from fintech_core.db import prepared
from transactions.fees.models import FeeSchedule
from transactions.ledger.enums import Direction
from transactions.ledger.models import LedgerEntry
from wallet.enums import WalletStatus


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


Schedules = Mapping[tuple[str, int | None], FeeSchedule]


_PARTIES = f"""
    SELECT w.id, coalesce(w.owner_user_id, w.owner_organization_id), w.currency, w.status, w.balance, w.floor,
        coalesce(u.kyc_level, {level_of_organization("o")})
    FROM wallet_wallet w LEFT JOIN users_user u ON u.id = w.owner_user_id
    LEFT JOIN organizations_organization o ON o.id = w.owner_organization_id
    WHERE w.id = ANY(%s) AND w.account_code IS NULL
"""  # noqa: S608 - constants only


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


@dataclass(frozen=True, slots=True)
class PendingParties:
    """Customers' wallets by their ids, once the round trip is over."""

    pending: prepared.Pending

    def parties(self) -> dict[uuid.UUID, Party]:
        return {row[0]: Party(*row) for row in self.pending.rows()}


def pending_parties(wallet_ids: Collection[uuid.UUID]) -> PendingParties:
    """The customers' wallets among these ids, of any owner. Inside `one_round_trip()`."""
    return PendingParties(prepared.Pending(_PARTIES, [list(wallet_ids)]))


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
    """Customers' wallets among these ids, of any owner, and the fee schedules for `kind` at this moment by
    currency and KYC level (None: every level without its own). Every transfer needs both, so they travel together,
    with what `along` makes `prepared.Pending`.
    """
    with prepared.one_round_trip():
        along()
        parties = pending_parties(wallet_ids)
        fees = prepared.Pending(_FEES_IN_FORCE, [kind, list(currencies)])
    schedules = prepared.instances(FeeSchedule, fees.rows())
    return (
        parties.parties(),
        {(schedule.currency, schedule.kyc_level): schedule for schedule in schedules},
    )


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
