"""The runs of scheduled transfers: one row for each occurrence, paid once, as the owner and by the owner's rights.

An attempt is `begin_run` (claims the schedule and commits the row), then `post_run` (pays and settles in one unit of
work), and where that is refused `record_refusal`. Killed in between, the claim runs out and the same occurrence is
tried again. It can't be paid twice: its transaction carries the reference `sch-<schedule>-<occurrence>`, which is
unique per owner for ever, and commits together with the row that says POSTED.

Rules of what is refused:
- insufficient funds, and failures of ours: again after an hour, three times at most and only on the same UTC day,
  then REFUSED; the schedule goes on with the next occurrence.
- too much without a step-up code (`step_up_required`): again as soon as enough of what was sent before no longer
  counts, three times at most, then REFUSED. Its owner gets a message the first time.
- anything else is REFUSED at once, a frozen wallet included; three such in a row end the schedule as FAILED.
- after downtime each missed occurrence is run once, the oldest first, but only the newest three: older ones are
  SKIPPED.
"""

import uuid
from datetime import datetime, timedelta

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import PermissionDenied
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import Money
from fintech_core.values.states import transition
from organizations.selectors import acting_in
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.schedules import recurrence
from transactions.schedules.enums import RUN_TRANSITIONS, SCHEDULE_TRANSITIONS, Frequency, RunStatus, ScheduleStatus
from transactions.schedules.locks import lock_transfer_schedule
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.schedules.services.schedules import OPEN_RUNS, facts_of, release, rule_of, skip_occurrences
from transactions.transfers.services import outflows
from transactions.transfers.services.destinations import Destination, wallet_of_person
from transactions.transfers.services.transfers import create_transfer
from users.enums import Role
from users.models import User
from users.roles import CAPABILITIES
from users.services import StepUpRequired, notices

JOB = "beat.run_schedules"
LEASE = timedelta(minutes=5)  # longer than a worker's task may take
CATCH_UP_LIMIT = 3
RETRY_AFTER = timedelta(hours=1)
MAX_ATTEMPTS = 4
MAX_REFUSALS_IN_A_ROW = 3
INTERNAL_ERROR = "internal_error"
_RETRIED = frozenset({ledger.InsufficientFunds.code, StepUpRequired.code, INTERNAL_ERROR})
TEMPLATE = "schedule_needs_code"


def reference_of(schedule_id: uuid.UUID, occurrence: int) -> str:
    return f"sch-{schedule_id.hex}-{occurrence}"


def begin_run(*, schedule_id: uuid.UUID) -> ScheduledRun | None:
    """Claim a due schedule for LEASE and return its oldest unsettled occurrence, one attempt further.

    None where it isn't due any more or another worker has it.
    """
    schedule = lock_transfer_schedule(schedule_id, skip_locked=True)
    now = clock.now()
    if schedule is None or schedule.status != ScheduleStatus.ACTIVE or not _is_due(schedule, now):
        return None
    run = ScheduledRun.objects.filter(schedule=schedule, status__in=OPEN_RUNS).first() or _next_run(schedule, now)
    if run.status == RunStatus.RETRYING:
        transition(run, RunStatus.PENDING, RUN_TRANSITIONS)
    run.next_attempt_at = None
    run.attempts += 1
    if run.attempts == 1:
        run.save(force_insert=True)
    else:
        run.save(update_fields=["status", "attempts", "next_attempt_at"])
    schedule.next_run_at = now + LEASE
    schedule.save(update_fields=["next_run_at", "next_occurrence"])
    record_and_publish(
        Actor.system(JOB), "schedule.run_begun", schedule, after={"occurrence": run.occurrence, "attempt": run.attempts}
    )
    return run


def post_run(*, run: ScheduledRun) -> None:
    """Pay the occurrence of this attempt and go on to the next one.

    Does nothing when the attempt was overtaken: paused, canceled, or taken up again by another worker. Raises what
    create_transfer raises, and PermissionDenied where the owner may not pay any more.
    """
    schedule = lock_transfer_schedule(run.schedule_id)
    current = _current(schedule, run)
    if schedule is None or current is None:
        return
    actor = _owner(schedule)
    try:
        transaction = create_transfer(
            actor=actor,
            source_wallet=schedule.source_wallet_id,
            destination=Destination(wallet_id=_payee_wallet(schedule)),
            amount=schedule.amount,
            currency=schedule.currency,
            reference=reference_of(schedule.pk, current.occurrence),
            description=schedule.description,
            confirmed=schedule.confirmed,
        )
    except ledger.ReferenceExists:
        # Nothing was written. If it is this very payment, it was made before; else another payment uses the reference.
        transaction = _paid_before(schedule, current)
    transition(current, RunStatus.POSTED, RUN_TRANSITIONS)
    current.transaction, current.error_code, current.detail = transaction, "", ""
    current.save(update_fields=["status", "transaction", "error_code", "detail"])
    schedule.runs_done += 1
    schedule.refusals_in_a_row = 0
    _advance(schedule)
    facts = facts_of(schedule, occurrence=current.occurrence, transaction=str(transaction.pk))
    owner_id = schedule.source_wallet.owner_id
    record_and_publish(actor, "schedule.run_posted", schedule, owner_id=owner_id, after=facts, payload=facts)


def record_refusal(*, run: ScheduledRun, code: str, detail: str) -> None:
    """Write down why the attempt failed, after it was rolled back, and decide what comes next."""
    schedule = lock_transfer_schedule(run.schedule_id)
    now = clock.now()
    current = _current(schedule, run)
    if schedule is None or current is None:
        return
    if code == StepUpRequired.code and current.error_code != code:
        _notify_owner(schedule, now)
    current.error_code, current.detail = code, detail[:500]
    again_at = _again_at(schedule, current, code, now)
    if again_at is not None:
        transition(current, RunStatus.RETRYING, RUN_TRANSITIONS)
        current.next_attempt_at = again_at
        schedule.next_run_at = again_at
        schedule.save(update_fields=["next_run_at"])
    else:
        transition(current, RunStatus.REFUSED, RUN_TRANSITIONS)
        schedule.refusals_in_a_row += code not in _RETRIED
        _advance(schedule)
    current.save(update_fields=["status", "error_code", "detail", "next_attempt_at"])
    action = "schedule.run_refused" if current.status == RunStatus.REFUSED else "schedule.run_retrying"
    facts = facts_of(schedule, occurrence=current.occurrence, attempt=current.attempts, code=code)
    owner_id = schedule.source_wallet.owner_id
    record_and_publish(Actor.system(JOB), action, schedule, owner_id=owner_id, after=facts, payload=facts)


def _again_at(schedule: TransferSchedule, run: ScheduledRun, code: str, now: datetime) -> datetime | None:
    """When a refused attempt is made again; None: never."""
    if code not in _RETRIED or run.attempts >= MAX_ATTEMPTS:
        return None
    owner_id = schedule.source_wallet.owner_id
    if code == StepUpRequired.code and owner_id is not None:
        amounts = [(schedule.currency, schedule.amount)]
        free_at = outflows.room_at(owner_id=owner_id, amounts=amounts, now=now)
        return free_at and max(free_at, now + LEASE)
    again_at = now + RETRY_AFTER
    return again_at if again_at.date() == run.created_at.date() else None


def _notify_owner(schedule: TransferSchedule, now: datetime) -> None:
    """Write to the user who set the schedule up, unless that user can't log in."""
    user = User.objects.get(pk=schedule.owner_id)
    if user.is_active and (user.email_verified_at is not None or user.phone_verified_at is not None):
        context = {"money": str(Money(schedule.amount, schedule.currency)), "at": now.strftime("%Y-%m-%d %H:%M UTC")}
        notices.send_to_user(user=user, template=TEMPLATE, context=context, now=now)


def _is_due(schedule: TransferSchedule, now: datetime) -> bool:
    return schedule.next_run_at is not None and schedule.next_run_at <= now


def _next_run(schedule: TransferSchedule, now: datetime) -> ScheduledRun:
    """A row, not saved yet, for the next occurrence; what lies behind the catch-up limit is skipped first."""
    rule, newest = rule_of(schedule), schedule.next_occurrence
    while (due := recurrence.due_at(rule, newest + 1)) is not None and due <= now:
        newest += 1
    first = newest - CATCH_UP_LIMIT + 1
    due = skip_occurrences(schedule, before=first, detail="Too long overdue to be caught up with.", now=now)
    if due is None:
        raise RuntimeError("an active schedule has a next occurrence")
    return ScheduledRun(schedule=schedule, occurrence=schedule.next_occurrence, due_at=due, created_at=now)


def _current(schedule: TransferSchedule | None, run: ScheduledRun) -> ScheduledRun | None:
    """The row of this attempt, read under the schedule's lock, if the attempt still counts."""
    if schedule is None or schedule.status != ScheduleStatus.ACTIVE:
        return None
    return ScheduledRun.objects.filter(pk=run.pk, status=RunStatus.PENDING, attempts=run.attempts).first()


def _owner(schedule: TransferSchedule) -> Actor:
    """Who set the schedule up, with the rights of today, acting through the job (in their organization where its
    wallet pays). Raises PermissionDenied."""
    user = User.objects.get(pk=schedule.owner_id)
    if not user.is_active:
        raise PermissionDenied("The account of the schedule's owner is not active.")
    role = Role(user.role)
    actor = Actor(
        kind=ActorKind.USER,
        id=user.pk,
        name=JOB,
        user_id=user.pk,
        roles=frozenset({role.value}),
        capabilities=CAPABILITIES[role],
    )
    organization_id = schedule.source_wallet.owner_organization_id
    if organization_id is not None:
        member = acting_in(actor, organization_id)
        if member is None:
            raise PermissionDenied("Who set the schedule up is no member of the organization any more.")
        actor = member
    actor.require(Capability.TRANSFERS_WRITE)
    return actor


def _payee_wallet(schedule: TransferSchedule) -> uuid.UUID:
    """Raises DestinationUnavailable where the payee, if a person, can't be paid any more."""
    if schedule.destination_wallet_id is not None:
        return schedule.destination_wallet_id
    return wallet_of_person(user=schedule.destination_user, currency=schedule.currency)


def _paid_before(schedule: TransferSchedule, run: ScheduledRun) -> Transaction:
    """The transaction of this run's reference. Raises ReferenceExists if it is another payment."""
    reference = reference_of(schedule.pk, run.occurrence)
    transaction = Transaction.objects.get(source_owner=schedule.source_wallet.owner_id, reference=reference)
    legs = LedgerEntry.objects.filter(transaction=transaction, leg=0, amount=schedule.amount)
    sides = set(legs.values_list("wallet_id", flat=True))
    if transaction.kind != TransactionKind.TRANSFER or sides != {schedule.source_wallet_id, _payee_wallet(schedule)}:
        raise ledger.ReferenceExists("Another payment of yours has this run's reference.")
    return transaction


def _advance(schedule: TransferSchedule) -> None:
    """After an occurrence is settled: the next one, or the end."""
    schedule.next_occurrence += 1
    upcoming = recurrence.due_at(rule_of(schedule), schedule.next_occurrence)
    if schedule.refusals_in_a_row >= MAX_REFUSALS_IN_A_ROW:
        transition(schedule, ScheduleStatus.FAILED, SCHEDULE_TRANSITIONS)
    elif upcoming is None:
        failed = schedule.frequency == Frequency.ONCE and not schedule.runs_done
        end = ScheduleStatus.FAILED if failed else ScheduleStatus.COMPLETED
        transition(schedule, end, SCHEDULE_TRANSITIONS)
    schedule.next_run_at = upcoming if schedule.status == ScheduleStatus.ACTIVE else None
    if schedule.status != ScheduleStatus.ACTIVE:
        release(schedule)
    schedule.save(update_fields=["status", "next_occurrence", "next_run_at", "runs_done", "refusals_in_a_row"])
