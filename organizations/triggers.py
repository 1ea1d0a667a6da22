"""What the database guarantees of organizations, whoever writes: the KYB map, and an administrator at every COMMIT."""

import pgtrigger

from fintech_core.dbtriggers import SealedTrigger, refuse

_KYB_MOVES = """
    IF TG_OP = 'INSERT' THEN
        IF NEW.kyb_status <> 'NOT_SUBMITTED' THEN
            RAISE EXCEPTION 'organization % is born %', NEW.id, NEW.kyb_status
                USING ERRCODE = '23514', CONSTRAINT = 'organization_kyb_moves';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.created_at)
       OR NEW.kyb_status <> OLD.kyb_status AND (OLD.kyb_status, NEW.kyb_status) NOT IN
           (('NOT_SUBMITTED', 'SUBMITTED'), ('SUBMITTED', 'IN_REVIEW'), ('SUBMITTED', 'APPROVED'),
            ('SUBMITTED', 'REJECTED'), ('IN_REVIEW', 'APPROVED'), ('IN_REVIEW', 'REJECTED'),
            ('APPROVED', 'REJECTED'), ('REJECTED', 'SUBMITTED')) THEN
        RAISE EXCEPTION 'organization % may not go from % to %', OLD.id, OLD.kyb_status, NEW.kyb_status
            USING ERRCODE = '23514', CONSTRAINT = 'organization_kyb_moves';
    END IF;
    RETURN NEW;
"""

# The row lock makes two transactions that each remove the other's administrator go one after the other, and each
# statement here sees what is committed by then.
_ADMIN_AT_COMMIT = """
    PERFORM 1 FROM organizations_organization o WHERE o.id = {id} FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT 1 FROM organizations_organizationmember m
                   WHERE m.organization_id = {id} AND m.role = 'admin') THEN
        RAISE EXCEPTION 'organization % has no administrator', {id}
            USING ERRCODE = '23514', CONSTRAINT = 'organization_has_admin';
    END IF;
    RETURN NULL;
"""


def organization_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="organization_kyb_moves",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert | pgtrigger.Update,
            func=_KYB_MOVES,
        ),
        SealedTrigger(
            name="organization_has_admin",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            timing=pgtrigger.Deferred,
            func=_ADMIN_AT_COMMIT.replace("{id}", "NEW.id"),
        ),
        refuse("organization_no_delete", pgtrigger.Delete, "organizations are never deleted"),
        refuse("organization_no_truncate", pgtrigger.Truncate, "organizations are never deleted"),
    ]


_MEMBER_FACTS = """
    IF (NEW.id, NEW.organization_id, NEW.user_id, NEW.created_at)
       IS DISTINCT FROM (OLD.id, OLD.organization_id, OLD.user_id, OLD.created_at) THEN
        RAISE EXCEPTION 'of member % only the role changes', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'member_facts';
    END IF;
    RETURN NEW;
"""


def member_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(name="member_facts", when=pgtrigger.Before, operation=pgtrigger.Update, func=_MEMBER_FACTS),
        SealedTrigger(
            name="member_leaves_an_admin",
            when=pgtrigger.After,
            operation=pgtrigger.UpdateOf("role") | pgtrigger.Delete,
            timing=pgtrigger.Deferred,
            func=_ADMIN_AT_COMMIT.replace("{id}", "OLD.organization_id"),
        ),
        refuse("member_no_truncate", pgtrigger.Truncate, "members leave one by one"),
    ]


# What a rotation of keys encrypts anew may change; the facts may not.
_INVITATION_MOVES = """
    IF to_jsonb(NEW) - '{email,email_index_a,email_index_b,accepted_at,accepted_by_id,revoked_at}'::text[]
       IS DISTINCT FROM
       to_jsonb(OLD) - '{email,email_index_a,email_index_b,accepted_at,accepted_by_id,revoked_at}'::text[]
       OR OLD.accepted_at IS NOT NULL AND (NEW.accepted_at, NEW.accepted_by_id)
            IS DISTINCT FROM (OLD.accepted_at, OLD.accepted_by_id)
       OR OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        RAISE EXCEPTION 'invitation % is used or revoked once, and nothing else of it changes', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'invitation_moves';
    END IF;
    RETURN NEW;
"""

_PAYOUT_ACCOUNT_MOVES = """
    IF to_jsonb(NEW) - '{details,archived_at,archived_by_id}'::text[]
       IS DISTINCT FROM to_jsonb(OLD) - '{details,archived_at,archived_by_id}'::text[]
       OR OLD.archived_at IS NOT NULL AND (NEW.archived_at, NEW.archived_by_id)
            IS DISTINCT FROM (OLD.archived_at, OLD.archived_by_id) THEN
        RAISE EXCEPTION 'payout account % is archived once, and nothing else of it changes', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'payout_account_moves';
    END IF;
    RETURN NEW;
"""


def invitation_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="invitation_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=_INVITATION_MOVES
        ),
        refuse("invitation_no_delete", pgtrigger.Delete, "invitations are never deleted"),
        refuse("invitation_no_truncate", pgtrigger.Truncate, "invitations are never deleted"),
    ]


def payout_account_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="payout_account_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=_PAYOUT_ACCOUNT_MOVES
        ),
        refuse("payout_account_no_delete", pgtrigger.Delete, "payout accounts are archived, never deleted"),
        refuse("payout_account_no_truncate", pgtrigger.Truncate, "payout accounts are archived, never deleted"),
    ]
