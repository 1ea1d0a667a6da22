"""Database-enforced invariants of fee schedules, whichever client writes."""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, refuse
from transactions.ledger.triggers import _OVER

# The unique index over open schedules makes two writers of open ones wait for each other; this runs after it and sees
# what is committed. An open schedule is a new one, or one whose end was taken back.
_FEE_SCHEDULE_CREATED = f"""
    IF TG_OP = 'INSERT' AND NEW.valid_from < {_OVER} THEN
        RAISE EXCEPTION 'fee schedule % begins in the past', NEW.id
            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_time';
    END IF;
    IF TG_OP = 'INSERT' AND NEW.ended_at IS NOT NULL OR NEW.ended_at IS NULL AND EXISTS (
        SELECT 1 FROM transactions_feeschedule o
        WHERE o.id <> NEW.id AND o.kind = NEW.kind AND o.currency = NEW.currency
          AND o.kyc_level IS NOT DISTINCT FROM NEW.kyc_level
          AND o.ended_at > GREATEST(o.valid_from, NEW.valid_from)) THEN
        RAISE EXCEPTION 'fee schedule % overlaps another one or is created ended', NEW.id
            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_created';
    END IF;
    RETURN NULL;
"""  # noqa: S608 - constants only


# Until its moment comes an end is a plan, on which no fee has been charged; afterwards it is history. A schedule that
# was ended before it began never comes back. No end is set in the past, where fees have been charged.
_FEE_SCHEDULE_FACTS = f"""
    IF (NEW.id, NEW.kind, NEW.currency, NEW.kyc_level, NEW.fixed, NEW.percentage, NEW.minimum, NEW.maximum,
        NEW.valid_from, NEW.created_by, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.kind, OLD.currency, OLD.kyc_level, OLD.fixed, OLD.percentage, OLD.minimum, OLD.maximum,
        OLD.valid_from, OLD.created_by, OLD.created_at)
       OR OLD.ended_at IS NOT NULL AND (
           NEW.ended_at IS NOT NULL OR OLD.ended_at <= ledger_clock() OR OLD.ended_at = OLD.valid_from) THEN
        RAISE EXCEPTION 'fee schedule %: only its end changes, while that is unset or lies ahead', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_facts';
    END IF;
    IF NEW.ended_at IS DISTINCT FROM OLD.ended_at AND NEW.ended_at < {_OVER} THEN
        RAISE EXCEPTION 'fee schedule % ends in the past', NEW.id
            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_time';
    END IF;
    RETURN NEW;
"""


def fee_schedule_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="fee_schedule_created",
            when=pgtrigger.After,
            operation=pgtrigger.Insert | pgtrigger.UpdateOf("ended_at"),
            func=_FEE_SCHEDULE_CREATED,
        ),
        SealedTrigger(
            name="fee_schedule_facts", when=pgtrigger.Before, operation=pgtrigger.Update, func=_FEE_SCHEDULE_FACTS
        ),
        refuse("fee_schedule_no_delete", pgtrigger.Delete, "fee schedules are never deleted"),
        refuse("fee_schedule_no_truncate", pgtrigger.Truncate, "fee schedules are never deleted"),
    ]
