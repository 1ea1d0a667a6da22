"""Database-enforced invariants of organizations, whichever client writes: the KYB map, an administrator at every COMMIT
while an organization is open, and that a closed one is empty and stays as it is.
"""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, refuse
from wallet.triggers import refuse_of_closed_organization

_KYB_MOVES = """
    IF TG_OP = 'INSERT' THEN
        IF NEW.kyb_status <> 'NOT_SUBMITTED' OR NEW.closed_at IS NOT NULL THEN
            RAISE EXCEPTION 'organization % starts open and not submitted', NEW.id
                USING ERRCODE = '23514', CONSTRAINT = 'organization_kyb_moves';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.closed_at IS NOT NULL
       AND (to_jsonb(NEW) - '{tax_number,tax_number_index_a,tax_number_index_b,legal_name}'::text[]
            IS DISTINCT FROM
            to_jsonb(OLD) - '{tax_number,tax_number_index_a,tax_number_index_b,legal_name}'::text[]
            OR NEW.legal_name NOT IN (OLD.legal_name, 'erased')
            OR OLD.tax_number IS NULL AND NEW.tax_number IS NOT NULL) THEN
        RAISE EXCEPTION 'organization % is closed', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'organization_stays_closed';
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

# With the triggers that let nothing new into a closed organization: what it had is over when it closes, and for good.
_CLOSED_IS_EMPTY = """
    IF NEW.closed_at IS NOT NULL AND (
        EXISTS (SELECT FROM organizations_organizationmember m WHERE m.organization_id = NEW.id)
        OR EXISTS (SELECT FROM organizations_invitation i
                   WHERE i.organization_id = NEW.id AND i.accepted_at IS NULL AND i.revoked_at IS NULL)
        OR EXISTS (SELECT FROM organizations_payoutaccount p
                   WHERE p.organization_id = NEW.id AND p.archived_at IS NULL)
        OR EXISTS (SELECT FROM wallet_wallet w WHERE w.owner_organization_id = NEW.id AND w.status <> 'CLOSED')
    ) THEN
        RAISE EXCEPTION 'organization % is closed and has something open', NEW.id
            USING ERRCODE = '23514', CONSTRAINT = 'organization_closed_is_empty';
    END IF;
    RETURN NULL;
"""

# The row lock makes two transactions that each remove the other's administrator go one after the other, and each
# statement here sees what is committed by then.
_ADMIN_AT_COMMIT = """
    PERFORM 1 FROM organizations_organization o WHERE o.id = {id} FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT 1 FROM organizations_organizationmember m
                   WHERE m.organization_id = {id} AND m.role = 'admin')
       AND NOT EXISTS (SELECT 1 FROM organizations_organization o
                       WHERE o.id = {id} AND o.closed_at IS NOT NULL) THEN
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
        SealedTrigger(
            name="organization_closed_is_empty",
            when=pgtrigger.After,
            operation=pgtrigger.UpdateOf("closed_at"),
            timing=pgtrigger.Deferred,
            func=_CLOSED_IS_EMPTY,
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
        refuse_of_closed_organization("member_of_open_organization"),
        refuse("member_no_truncate", pgtrigger.Truncate, "members leave one by one"),
    ]


# What a rotation of keys encrypts anew may change; the facts may not. The address goes once the invitation has ended.
_INVITATION_MOVES = """
    IF to_jsonb(NEW) - '{email,email_index_a,email_index_b,accepted_at,accepted_by_id,revoked_at}'::text[]
       IS DISTINCT FROM
       to_jsonb(OLD) - '{email,email_index_a,email_index_b,accepted_at,accepted_by_id,revoked_at}'::text[]
       OR OLD.accepted_at IS NOT NULL AND (NEW.accepted_at, NEW.accepted_by_id)
            IS DISTINCT FROM (OLD.accepted_at, OLD.accepted_by_id)
       OR OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
       OR OLD.email IS NULL AND NEW.email IS NOT NULL
       OR OLD.email IS NOT NULL AND NEW.email IS NULL
          AND NEW.accepted_at IS NULL AND NEW.revoked_at IS NULL AND NEW.expires_at > ledger_clock() THEN
        RAISE EXCEPTION 'invitation % is used or revoked once, and nothing else of it changes', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'invitation_moves';
    END IF;
    RETURN NEW;
"""

_PAYOUT_ACCOUNT_MOVES = """
    IF to_jsonb(NEW) - '{details,label,archived_at,archived_by_id}'::text[]
       IS DISTINCT FROM to_jsonb(OLD) - '{details,label,archived_at,archived_by_id}'::text[]
       OR NEW.label NOT IN (OLD.label, 'erased')
       OR (NEW.label = 'erased') IS DISTINCT FROM (NEW.details IS NULL)
       OR NEW.details IS NULL AND NOT EXISTS (
            SELECT FROM organizations_organization o WHERE o.id = NEW.organization_id AND o.closed_at IS NOT NULL)
       OR OLD.details IS NULL AND NEW.details IS NOT NULL
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
        refuse_of_closed_organization("invitation_of_open_organization"),
        refuse("invitation_no_delete", pgtrigger.Delete, "invitations are never deleted"),
        refuse("invitation_no_truncate", pgtrigger.Truncate, "invitations are never deleted"),
    ]


def payout_account_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="payout_account_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=_PAYOUT_ACCOUNT_MOVES
        ),
        refuse_of_closed_organization("payout_account_of_open_organization"),
        refuse("payout_account_no_delete", pgtrigger.Delete, "payout accounts are archived, never deleted"),
        refuse("payout_account_no_truncate", pgtrigger.Truncate, "payout accounts are archived, never deleted"),
    ]
