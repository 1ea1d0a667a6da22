"""Database-enforced invariants of KYC submissions, whichever client writes.

A submission is inserted as SUBMITTED and undecided; an update is a move of its status by the map and nothing else; what
the applicant declared never changes; what was decided never changes afterwards. Nothing is deleted.

Two updates are no moves, and change the encrypted columns alone:

- Rotation of keys, of the blind indexes' as well. The database can't compare the plain texts of two ciphertexts; it can
  check that the id of the key differs and that the text is as long. Only the owner role may: it could take the trigger
  away anyhow, and the app's log-in, which anybody gets who breaks into a web process, can't become it
  (`rotate_pii_keys` runs as the owner).
- Erasure of a person: all at once, to nothing, once the application is decided and the user is erased.
"""

import pgtrigger

from compliance.enums import OPEN, TRANSITIONS
from fintech_core.db.triggers import SealedTrigger, refuse

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
    "document_index_a",
    "document_index_b",
    "created_at",
)
PERSONAL = ("first_name", "last_name", "date_of_birth", "address", "document_number")
INDEXES = ("document_index_a", "document_index_b")
_DECISION = ("decided_by_id", "decided_at", "reject_reason", "granted_level")


def _row(alias: str, columns: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"{alias}.{column}" for column in columns) + ")"


_MOVES = ", ".join(
    sorted(f"('{source.value}', '{target.value}')" for source, targets in TRANSITIONS.items() for target in targets)
)
_OPEN = ", ".join(sorted(f"'{status.value}'" for status in OPEN))
_REFUSED = "USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map'"

_CREATED = f"""
    IF NEW.status <> 'SUBMITTED' THEN
        RAISE EXCEPTION 'a submission is created as SUBMITTED' {_REFUSED};
    END IF;
    IF num_nulls({", ".join(f"NEW.{column}" for column in PERSONAL)}) <> 0 THEN
        RAISE EXCEPTION 'a submission is created complete' {_REFUSED};
    END IF;
    RETURN NEW;
"""

_REST = "(to_jsonb({}) - ARRAY[" + ", ".join(f"'{column}'" for column in PERSONAL + INDEXES) + "])"
_NEW_PERSONAL = ", ".join(f"NEW.{column}" for column in PERSONAL)
_NEW_CRYPTO = ", ".join(f"NEW.{column}" for column in PERSONAL + INDEXES)
# A ciphertext of the same text under another key: version byte, two bytes of key id, a text of the same length.
_SEALED_ANEW = " AND ".join(
    f"(NEW.{column} = OLD.{column} OR (substring(NEW.{column} FROM 1 FOR 1) = '\\x01'::bytea"
    f" AND substring(NEW.{column} FROM 2 FOR 2) <> substring(OLD.{column} FROM 2 FOR 2)"
    f" AND octet_length(NEW.{column}) = octet_length(OLD.{column})))"
    for column in PERSONAL
)
# SECURITY DEFINER changes current_user and leaves the session's role, which is 'none' where none was taken.
_BY_OWNER = "coalesce(nullif(current_setting('role'), 'none'), session_user) = 'fintech_owner'"

_MAP = f"""
    IF {_REST.format("NEW")} = {_REST.format("OLD")} AND num_nulls({_NEW_PERSONAL}) = 0 AND {_BY_OWNER}
       AND {_SEALED_ANEW} AND {_row("NEW", PERSONAL + INDEXES)} IS DISTINCT FROM {_row("OLD", PERSONAL + INDEXES)} THEN
        RETURN NEW;
    END IF;
    IF {_REST.format("NEW")} = {_REST.format("OLD")} AND num_nonnulls({_NEW_CRYPTO}) = 0
       AND OLD.status NOT IN ({_OPEN}) AND OLD.first_name IS NOT NULL
       AND EXISTS (SELECT FROM users_user WHERE id = NEW.user_id AND erased_at IS NOT NULL) THEN
        RETURN NEW;
    END IF;
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
"""  # noqa: S608 - constants only


def submission_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="kyc_submission_created",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            level=pgtrigger.Row,
            func=_CREATED,
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
