"""Scheduled transfers as their owners handle them: setting up, pausing, resuming, canceling. `runs.py` pays them.

A schedule that isn't over has a blocker on the source wallet, which its owner can end. It has none on the payee's
wallet: the payee neither sees it nor can end it, so it must not keep their wallet open. Every run asks for the payee
again.
"""

import uuid
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from compliance.services import require_kyc
from fintech_core.audit.records import reason_of, record_and_publish
from fintech_core.db.work import LostRace
from fintech_core.exceptions import DomainError, NotFound, ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import Money
from fintech_core.values.states import transition
from transactions.ledger import engine as ledger
from transactions.schedules import recurrence
from transactions.schedules.enums import (
    RUN_TRANSITIONS,
    SCHEDULE_TRANSITIONS,
    BusinessDayRule,
    Frequency,
    RunStatus,
    ScheduleStatus,
)
from transactions.schedules.locks import lock_transfer_schedule
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.schedules.selectors import (
    open_schedules_of_others_naming,
    schedules_owned_by,
    schedules_visible_to,
    unconfirmed_schedules_of,
)
from transactions.transfers.services import outflows, payees
from transactions.transfers.services.destinations import Destination, Payee, resolve_destination
from users.enums import KycGate
from wallet.enums import WalletStatus
from wallet.locks import lock_wallets
from wallet.models import Wallet
from wallet.owners import Owner
from wallet.services import add_blocker, own_wallet, remove_blockers

BLOCKER_KIND = "schedule"
MAX_SCHEDULES = 100  # from one wallet, that aren't over
MAX_AHEAD = timedelta(days=10 * 366)
OPEN = (ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED)
OPEN_RUNS = (RunStatus.PENDING, RunStatus.RETRYING)


class TooManySchedules(DomainError):
    code = "too_many_schedules"
    title = "The wallet has reached the maximum number of scheduled transfers. Cancel one first."


def rule_of(schedule: TransferSchedule) -> recurrence.Rule:
    return recurrence.Rule(
        frequency=Frequency(schedule.frequency),
        start_at=schedule.start_at,
        end_on=schedule.end_on,
        max_runs=schedule.max_runs,
        business_day_rule=BusinessDayRule(schedule.business_day_rule),
    )


def create_schedule(
    *,
    actor: Actor,
    source_wallet: uuid.UUID,
    destination: Destination,
    amount: Decimal,
    currency: str,
    frequency: Frequency,
    start_at: datetime,
    end_on: date | None = None,
    max_runs: int | None = None,
    business_day_rule: BusinessDayRule = BusinessDayRule.NONE,
    description: str = "",
    now: datetime,
) -> TransferSchedule:
    """Set up a transfer for later, from a wallet of the actor. All gates but that of the money are checked now, and all
    of them at every run.

    A step-up code confirms all runs. Without one each run counts as an unconfirmed outflow, and the most that all
    schedules without one pay within a day is checked now, so that they never exceed the threshold by themselves.

    Raises, refusals about the payer first: ValidationFailed (`start_at` not in the future or too far in it),
    StepUpRequired, NotFound (source), CurrencyMismatch, WalletClosed, WalletFrozen, KycRequired,
    TooManySchedules, TooManyUnknownPayees, SameWallet, DestinationUnavailable.
    """
    actor.require(Capability.TRANSFERS_WRITE)
    _refuse_start(start_at, now)
    if actor.user_id is None:
        raise NotFound("No such source wallet.")
    outflow = _admitted_outflow(actor, amount, currency, frequency)
    source, payee_wallet, payee = _parties(actor, source_wallet, destination, currency)
    schedule = TransferSchedule(
        owner_id=actor.user_id,
        source_wallet=source,
        destination_wallet=None if payee.user else payee_wallet,
        destination_user=payee.user,
        amount=amount,
        currency=currency,
        description=description,
        frequency=frequency,
        confirmed=outflow.is_confirmed,
        start_at=start_at,
        end_on=end_on,
        max_runs=max_runs,
        business_day_rule=business_day_rule,
        created_at=now,
    )
    schedule.next_run_at = _first_run(rule_of(schedule))
    _insert(actor, schedule, payee_wallet)
    return schedule


def _insert(actor: Actor, schedule: TransferSchedule, payee: Wallet) -> None:
    schedule.save(force_insert=True)
    add_blocker(wallet=schedule.source_wallet, kind=BLOCKER_KIND, ref=schedule.pk, now=schedule.created_at)
    _record_creation(actor, schedule, payee)


def _record_creation(actor: Actor, schedule: TransferSchedule, payee: Wallet) -> None:
    facts = facts_of(schedule, frequency=schedule.frequency)
    record_and_publish(
        actor,
        "schedule.created",
        schedule,
        owner_id=schedule.source_wallet.owner_id,
        after={**facts, "payee_wallet": str(payee.pk)},
        payload=facts,  # a payee who was asked for by address stays unknown to the owner
    )


def pause_schedule(*, actor: Actor, schedule_id: uuid.UUID, now: datetime) -> TransferSchedule:
    """Run nothing until it is resumed. The owner's. Raises NotFound, InvalidTransition."""
    schedule = _own(actor, schedule_id)
    before = transition(schedule, ScheduleStatus.PAUSED, SCHEDULE_TRANSITIONS)
    schedule.next_run_at = None
    schedule.save(update_fields=["status", "next_run_at"])
    _record_change(actor, "schedule.paused", schedule, before)
    return schedule


def resume_schedule(*, actor: Actor, schedule_id: uuid.UUID, now: datetime) -> TransferSchedule:
    """Go on with the next occurrence from now; those that were due meanwhile are SKIPPED, not made up for.

    The owner's. A schedule of which none is left is COMPLETED. Raises NotFound, InvalidTransition.
    """
    schedule = _own(actor, schedule_id)
    before = transition(schedule, ScheduleStatus.ACTIVE, SCHEDULE_TRANSITIONS)
    skip_open_run(schedule, "The schedule was paused.")
    upcoming = skip_occurrences(
        schedule, before=_first_after(schedule, now), detail="The schedule was paused.", now=now
    )
    if upcoming is None:
        transition(schedule, ScheduleStatus.COMPLETED, SCHEDULE_TRANSITIONS)
        release(schedule)
    schedule.next_run_at = upcoming
    schedule.save(update_fields=["status", "next_run_at", "next_occurrence"])
    _record_change(actor, "schedule.resumed", schedule, before)
    return schedule


def cancel_schedule(*, actor: Actor, schedule_id: uuid.UUID, reason: str = "", now: datetime) -> TransferSchedule:
    """End it for good. The owner's; operators may, with a reason. What was paid stays paid.

    Raises NotFound, ValidationFailed (an operator without a reason), InvalidTransition.
    """
    actor.require(Capability.SCHEDULES_CANCEL)
    is_own = schedules_owned_by(actor).filter(pk=schedule_id).exists()
    if not is_own:
        if not schedules_visible_to(actor).filter(pk=schedule_id).exists():
            raise NotFound
        if not reason:
            message = "Cancelling another customer's schedule requires a reason."
            raise ValidationFailed([{"field": "reason", "code": "required", "message": message}])
    schedule = _locked(schedule_id)
    _cancel(actor, schedule, reason_of(reason, is_own=is_own))
    return schedule


def cancel_schedules_naming(*, actor: Actor, owner: Owner, schedules: Iterable[TransferSchedule], reason: str) -> int:
    """Cancel the `schedules` (locked, of others) that name a person who is being erased, or an organization that is
    being closed. Returns how many were open.

    Raises LostRace where there is another one by now: the caller locks schedules before the owner, so it starts again.
    """
    canceled = [schedule for schedule in schedules if schedule.status in OPEN]
    for schedule in canceled:
        _cancel(actor, schedule, reason)
    if open_schedules_of_others_naming(owner):
        raise LostRace
    return len(canceled)


def erase_texts_of_schedules(user_id: uuid.UUID, limit: int) -> int:
    """Blank what an erased person wrote about their schedules. Returns how many."""
    rows = TransferSchedule.objects.filter(source_wallet__owner_user_id=user_id).exclude(description="")
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    return TransferSchedule.objects.filter(pk__in=pks).update(description="")


def _cancel(actor: Actor, schedule: TransferSchedule, reason: str) -> None:
    """End a locked schedule, with the run that is being tried. Raises InvalidTransition."""
    before = transition(schedule, ScheduleStatus.CANCELED, SCHEDULE_TRANSITIONS)
    skip_open_run(schedule, "The schedule was canceled.")
    schedule.next_run_at = None
    schedule.save(update_fields=["status", "next_run_at"])
    release(schedule)
    _record_change(actor, "schedule.canceled", schedule, before, reason=reason)


def _record_change(
    actor: Actor, action: str, schedule: TransferSchedule, before: ScheduleStatus, *, reason: str = ""
) -> None:
    facts = facts_of(schedule)
    record_and_publish(
        actor,
        action,
        schedule,
        owner_id=schedule.source_wallet.owner_id,
        before={"status": str(before)},
        after=facts,
        payload=facts,
        reason=reason,
    )


# --- Shared with runs.py; the caller holds the schedule's lock -------------------------------------------------------


def skip_open_run(schedule: TransferSchedule, detail: str) -> None:
    """The occurrence that is being tried, if there is one, won't be tried again."""
    run = ScheduledRun.objects.filter(schedule=schedule, status__in=OPEN_RUNS).first()
    if run is not None:
        transition(run, RunStatus.SKIPPED, RUN_TRANSITIONS)
        run.detail, run.next_attempt_at = detail, None
        run.save(update_fields=["status", "detail", "next_attempt_at"])
        schedule.next_occurrence = run.occurrence + 1
        schedule.save(update_fields=["next_occurrence"])


def skip_occurrences(schedule: TransferSchedule, *, before: int, detail: str, now: datetime) -> datetime | None:
    """Write the occurrences down to `before` as SKIPPED, in one statement; returns when the next one is due, if any."""
    rule = rule_of(schedule)
    skipped = [
        ScheduledRun(
            schedule=schedule, occurrence=number, due_at=due, status=RunStatus.SKIPPED, detail=detail, created_at=now
        )
        for number in range(schedule.next_occurrence, before)
        if (due := recurrence.due_at(rule, number)) is not None
    ]
    ScheduledRun.objects.bulk_create(skipped)
    schedule.next_occurrence = max(schedule.next_occurrence, before)
    return recurrence.due_at(rule, schedule.next_occurrence)


def release(schedule: TransferSchedule) -> None:
    """The source wallet may be closed again."""
    remove_blockers(kind=BLOCKER_KIND, refs=[schedule.pk])


def facts_of(schedule: TransferSchedule, **more: Any) -> dict[str, Any]:
    """What the audit row of a change and its event say."""
    return {"status": str(schedule.status), "money": str(Money(schedule.amount, schedule.currency)), **more}


# --- Checks -----------------------------------------------------------------------------------------------------------


def _parties(
    actor: Actor, source_wallet: uuid.UUID, destination: Destination, currency: str
) -> tuple[Wallet, Wallet, Payee]:
    """The actor's wallet and the payee's, both locked, after all gates of a transfer but its funds."""
    source = own_wallet(actor=actor, wallet_id=source_wallet, absent="No such source wallet.")
    if source.currency != currency:
        raise ledger.CurrencyMismatch
    _refuse_payer(source)
    require_kyc(owner_id=source.owner_id, gate=KycGate.TRANSFER_OUT)
    payee = resolve_destination(actor=actor, source=source, destination=destination, only_customers=True)
    if payee.meant == source.pk:
        raise ledger.SameWallet
    if payee.wallet_id == payees.NOWHERE:
        raise payees.counted(actor=actor, refusal=payee.unavailable())
    # No other one can be added to the source while they are counted: its lock is held.
    wallets = lock_wallets([source.pk, payee.wallet_id])
    _refuse_payer(wallets[source.pk])
    if wallets[payee.wallet_id].status == WalletStatus.CLOSED:
        raise payees.counted(actor=actor, refusal=payee.unavailable())
    return wallets[source.pk], wallets[payee.wallet_id], payee


def _refuse_start(start_at: datetime, now: datetime) -> None:
    if start_at <= now:
        message = "It starts in the future."
        raise ValidationFailed([{"field": "start_at", "code": "not_in_the_future", "message": message}])
    if start_at > now + MAX_AHEAD:
        message = "It starts within ten years."
        raise ValidationFailed([{"field": "start_at", "code": "too_far_ahead", "message": message}])


def _admitted_outflow(actor: Actor, amount: Decimal, currency: str, frequency: Frequency) -> outflows.Outflow:
    """What the schedule pays in a day at most, beside the other schedules without a step-up code. Raises
    StepUpRequired."""
    outflow = outflows.locked(actor=actor, currencies=[currency])
    a_day = amount * recurrence.most_in_a_day(frequency)
    outflow.admit([(currency, a_day), *unconfirmed_schedules_of(actor)])
    return outflow


def _first_run(rule: recurrence.Rule) -> datetime:
    """Raises ValidationFailed where business days are asked for and none lies between start and end."""
    due = recurrence.due_at(rule, 1)
    if due is None or (rule.business_day_rule != BusinessDayRule.NONE and not recurrence.is_business_day(due.date())):
        message = "There is no business day from its start to its end."
        raise ValidationFailed([{"field": "end_on", "code": "no_business_day", "message": message}])
    return due


def _refuse_payer(source: Wallet) -> None:
    """Refusals about the payer alone: before the payee is looked up, and again on the locked row."""
    if source.status == WalletStatus.CLOSED:
        raise ledger.WalletClosed
    if source.status == WalletStatus.FROZEN:
        raise ledger.WalletFrozen
    if TransferSchedule.objects.filter(source_wallet=source, status__in=OPEN).count() >= MAX_SCHEDULES:
        raise TooManySchedules


def _own(actor: Actor, schedule_id: uuid.UUID) -> TransferSchedule:
    """The actor's own, locked. Raises NotFound."""
    actor.require(Capability.TRANSFERS_WRITE)
    if not schedules_owned_by(actor).filter(pk=schedule_id).exists():
        raise NotFound
    return _locked(schedule_id)


def _locked(schedule_id: uuid.UUID) -> TransferSchedule:
    schedule = lock_transfer_schedule(schedule_id)
    if schedule is None:
        raise NotFound
    return schedule


def _first_after(schedule: TransferSchedule, now: datetime) -> int:
    """The number of the first occurrence that isn't due yet, or of the one after the last."""
    rule, number = rule_of(schedule), schedule.next_occurrence
    while (due := recurrence.due_at(rule, number)) is not None and due <= now:
        number += 1
    return number
