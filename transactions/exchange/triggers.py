"""Database-enforced invariants of quotes, whichever client writes."""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, refuse

_QUOTE_USED_ONCE = """
    IF OLD.transaction_id IS NOT NULL OR NEW.transaction_id IS NULL
       OR to_jsonb(NEW) - 'transaction_id' IS DISTINCT FROM to_jsonb(OLD) - 'transaction_id' THEN
        RAISE EXCEPTION 'quote % is used once, and nothing else of it changes', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'quote_used_once';
    END IF;
    RETURN NEW;
"""


def quote_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(name="quote_used_once", when=pgtrigger.Before, operation=pgtrigger.Update, func=_QUOTE_USED_ONCE),
        refuse("quote_no_delete", pgtrigger.Delete, "quotes are never deleted"),
        refuse("quote_no_truncate", pgtrigger.Truncate, "quotes are never deleted"),
    ]
