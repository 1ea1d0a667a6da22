"""Database-enforced invariants of scheduled transfers, whichever client writes: facts stay, states move by the map, and
a run is POSTED only by the one transaction that carries its reference."""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, refuse
from transactions.ledger.triggers import text_is_erased

_SCHEDULE_CREATED = """
    IF NEW.status <> 'ACTIVE' OR NEW.runs_done <> 0 OR NEW.next_occurrence <> 1 OR NEW.refusals_in_a_row <> 0 THEN
        RAISE EXCEPTION 'schedule % is not new', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'schedule_created';
    END IF;
    RETURN NEW;
"""

_SCHEDULE_MOVES = f"""{text_is_erased("source_wallet_id")}
    IF (NEW.id, NEW.owner_id, NEW.source_wallet_id, NEW.destination_wallet_id, NEW.destination_user_id, NEW.amount,
        NEW.currency, NEW.description, NEW.frequency, NEW.start_at, NEW.end_on, NEW.max_runs, NEW.business_day_rule,
        NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.owner_id, OLD.source_wallet_id, OLD.destination_wallet_id, OLD.destination_user_id, OLD.amount,
        OLD.currency, OLD.description, OLD.frequency, OLD.start_at, OLD.end_on, OLD.max_runs, OLD.business_day_rule,
        OLD.created_at) THEN
        RAISE EXCEPTION 'the facts of schedule % never change', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'schedule_moves';
    END IF;
    IF OLD.status NOT IN ('ACTIVE', 'PAUSED')
       OR NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN
           (('ACTIVE', 'PAUSED'), ('ACTIVE', 'COMPLETED'), ('ACTIVE', 'CANCELED'), ('ACTIVE', 'FAILED'),
            ('PAUSED', 'ACTIVE'), ('PAUSED', 'COMPLETED'), ('PAUSED', 'CANCELED'))
       OR NEW.next_occurrence < OLD.next_occurrence OR NEW.runs_done NOT IN (OLD.runs_done, OLD.runs_done + 1) THEN
        RAISE EXCEPTION 'schedule % may not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = '23514', CONSTRAINT = 'schedule_moves';
    END IF;
    RETURN NEW;
"""

_RUN_MOVES = """
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.schedule_id, NEW.occurrence, NEW.due_at, NEW.created_at)
           IS DISTINCT FROM (OLD.id, OLD.schedule_id, OLD.occurrence, OLD.due_at, OLD.created_at)
           OR OLD.status NOT IN ('PENDING', 'RETRYING')
           OR OLD.status = 'RETRYING' AND NEW.status NOT IN ('RETRYING', 'PENDING', 'SKIPPED')
           OR NEW.attempts < OLD.attempts THEN
            RAISE EXCEPTION 'run % may not go from % to %', OLD.id, OLD.status, NEW.status
                USING ERRCODE = '23514', CONSTRAINT = 'run_moves';
        END IF;
    ELSIF NEW.status NOT IN ('PENDING', 'SKIPPED') THEN
        RAISE EXCEPTION 'run % is created PENDING or SKIPPED', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'run_moves';
    END IF;
    IF NEW.transaction_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM transactions_transaction t JOIN transactions_transferschedule s ON s.id = NEW.schedule_id
        JOIN wallet_wallet w ON w.id = s.source_wallet_id
        WHERE t.id = NEW.transaction_id AND t.source_owner = coalesce(w.owner_user_id, w.owner_organization_id)
          AND t.status IN ('POSTED', 'REVERSED')
          AND t.reference = concat('sch-', replace(s.id::text, '-', ''), '-', NEW.occurrence)) THEN
        RAISE EXCEPTION 'run % was not paid by transaction %', NEW.id, NEW.transaction_id
            USING ERRCODE = '23514', CONSTRAINT = 'run_moves';
    END IF;
    RETURN NEW;
"""


def schedule_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="schedule_created", when=pgtrigger.Before, operation=pgtrigger.Insert, func=_SCHEDULE_CREATED
        ),
        SealedTrigger(name="schedule_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=_SCHEDULE_MOVES),
        refuse("schedule_no_delete", pgtrigger.Delete, "schedules are never deleted"),
        refuse("schedule_no_truncate", pgtrigger.Truncate, "schedules are never deleted"),
    ]


def run_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="run_moves", when=pgtrigger.Before, operation=pgtrigger.Insert | pgtrigger.Update, func=_RUN_MOVES
        ),
        refuse("run_no_delete", pgtrigger.Delete, "runs are never deleted"),
        refuse("run_no_truncate", pgtrigger.Truncate, "runs are never deleted"),
    ]
