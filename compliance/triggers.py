"""What the database guarantees of KYC submissions, whoever writes.

A submission is born SUBMITTED and undecided; an update is a move of its status by the map and nothing else; what the
applicant said never changes; what was decided never changes afterwards. Nothing is deleted.
"""

import pgtrigger

from compliance.enums import OPEN, TRANSITIONS
from fintech_core.dbtriggers import SealedTrigger, refuse

_FACTS = (
    "id",
    "user_id",
    "level",
    "first_name",
    "last_name",
    "date_of_birth",
    "country",
    "address",
    "document_type",
    "document_number",
    "created_at",
)
_DECISION = ("decided_by_id", "decided_at", "reject_reason", "granted_level")


def _row(alias: str, columns: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"{alias}.{column}" for column in columns) + ")"


_MOVES = ", ".join(
    sorted(f"('{source.value}', '{target.value}')" for source, targets in TRANSITIONS.items() for target in targets)
)
_OPEN = ", ".join(sorted(f"'{status.value}'" for status in OPEN))
_REFUSED = "USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map'"

_BORN = f"""
    IF NEW.status <> 'SUBMITTED' THEN
        RAISE EXCEPTION 'a submission is born SUBMITTED' {_REFUSED};
    END IF;
    RETURN NEW;
"""

_MAP = f"""
    IF (OLD.status, NEW.status) NOT IN ({_MOVES}) THEN
        RAISE EXCEPTION 'a submission never moves from % to %', OLD.status, NEW.status {_REFUSED};
    END IF;
    IF {_row("NEW", _FACTS)} IS DISTINCT FROM {_row("OLD", _FACTS)} THEN
        RAISE EXCEPTION 'what was submitted never changes' {_REFUSED};
    END IF;
    IF OLD.status NOT IN ({_OPEN}) AND {_row("NEW", _DECISION)} IS DISTINCT FROM {_row("OLD", _DECISION)} THEN
        RAISE EXCEPTION 'what was decided never changes' {_REFUSED};
    END IF;
    RETURN NEW;
"""


def submission_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="kyc_submission_born",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            level=pgtrigger.Row,
            func=_BORN,
        ),
        SealedTrigger(
            name="kyc_submission_map",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            level=pgtrigger.Row,
            func=_MAP,
        ),
        refuse(
            "kyc_submission_no_delete",
            pgtrigger.Delete,
            "KYC submissions are never deleted",
        ),
        refuse(
            "kyc_submission_no_truncate",
            pgtrigger.Truncate,
            "KYC submissions are never deleted",
        ),
    ]
