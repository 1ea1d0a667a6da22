"""Row locks: a transaction before any wallet (the business row of a reversal), holds after theirs."""

import uuid
from collections.abc import Iterable

from django.db import connection

from transactions.models import ExchangeQuote, FeeSchedule, Hold, Transaction, TransferSchedule


def lock_transaction(transaction_id: uuid.UUID) -> Transaction | None:
    rows = Transaction.objects.filter(pk=transaction_id).select_for_update(of=("self",), no_key=True)
    return rows.first()


def lock_holds(hold_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Hold]:
    """Lock and read holds, by primary key. Their wallets must be locked already, or the order deadlocks."""
    rows = Hold.objects.filter(pk__in=set(hold_ids)).order_by("pk").select_for_update(of=("self",), no_key=True)
    return {hold.pk: hold for hold in rows}


def lock_fee_schedule(schedule_id: uuid.UUID) -> FeeSchedule | None:
    return FeeSchedule.objects.filter(pk=schedule_id).select_for_update(of=("self",), no_key=True).first()


def lock_open_fee_schedule(*, kind: str, currency: str, kyc_level: int | None) -> FeeSchedule | None:
    """The one schedule without an end, of which the database allows no second."""
    rows = FeeSchedule.objects.filter(kind=kind, currency=currency, ended_at__isnull=True)
    rows = rows.filter(kyc_level=kyc_level) if kyc_level is not None else rows.filter(kyc_level__isnull=True)
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_fee_schedule_before(schedule: FeeSchedule) -> FeeSchedule | None:
    """The one that ends where this one begins, for the same kind, currency and level: it was in force until then."""
    rows = FeeSchedule.objects.filter(
        kind=schedule.kind,
        currency=schedule.currency,
        ended_at=schedule.valid_from,
        valid_from__lt=schedule.valid_from,
    )
    level = schedule.kyc_level
    rows = rows.filter(kyc_level=level) if level is not None else rows.filter(kyc_level__isnull=True)
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_quote(quote_id: uuid.UUID) -> ExchangeQuote | None:
    """The business row of an exchange, before its wallets; the source is read with it, for whose it is."""
    rows = ExchangeQuote.objects.filter(pk=quote_id).select_related("source_wallet")
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_transfer_schedule(schedule_id: uuid.UUID, *, skip_locked: bool = False) -> TransferSchedule | None:
    """Everything about a schedule and its runs changes under this lock. None also where somebody has it, if skipped."""
    rows = TransferSchedule.objects.filter(pk=schedule_id).select_related("source_wallet").order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked).first()


def lock_transfer_schedules(schedule_ids: Iterable[uuid.UUID]) -> list[TransferSchedule]:
    """Several schedules in primary-key order, before any user or wallet."""
    rows = TransferSchedule.objects.filter(pk__in=set(schedule_ids)).select_related("source_wallet").order_by("pk")
    return list(rows.select_for_update(of=("self",), no_key=True))


def lock_rates() -> None:
    """One load of exchange rates after another, until COMMIT: an advisory lock, as loads share no permanent row.

    Two sources may load one day, and each set is compared with what is loaded.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('transactions.exchange_rates', 0))")
