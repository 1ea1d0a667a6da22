"""What the database guarantees of wallets, whichever client writes.

Names of the ledger's tables appear in SQL here: a wallet's figures are nothing but what its entries and holds say.
"""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, refuse

GENESIS_PREFIX = "fintech-core/wallet/1\n"


def owner_is_erased(wallet: str) -> str:
    """The SQL condition that the owner of this wallet (an expression for its id) is an erased person."""
    return f"""EXISTS (SELECT FROM wallet_wallet w JOIN users_user u ON u.id = w.owner_user_id
               WHERE w.id = {wallet} AND u.erased_at IS NOT NULL)"""


# The row lock makes this insert and a closing of the organization go one after the other: it waits for the lock that
# the closing holds, and then sees what the closing wrote.
_OF_A_CLOSED_ORGANIZATION = """
    PERFORM 1 FROM organizations_organization o WHERE o.id = NEW.{column} FOR SHARE;
    PERFORM 1 FROM organizations_organization o WHERE o.id = NEW.{column} AND o.closed_at IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'organization % is closed', NEW.{column}
            USING ERRCODE = '23514', CONSTRAINT = '{name}';
    END IF;
    RETURN NEW;
"""


def refuse_of_closed_organization(name: str, *, column: str = "organization_id") -> SealedTrigger:
    """Nothing is inserted for an organization that is closed; `column` of the new row names the organization."""
    func = _OF_A_CLOSED_ORGANIZATION.replace("{column}", column).replace("{name}", name)
    return SealedTrigger(name=name, when=pgtrigger.Before, operation=pgtrigger.Insert, func=func)


_CREATED_EMPTY = r"""
    SELECT n.id INTO bad FROM new_rows n
    WHERE n.balance <> 0 OR n.held <> 0 OR n.sequence <> 0 OR n.last_posted_at IS NOT NULL OR n.status <> 'ACTIVE'
       OR n.head <> sha256(convert_to(E'fintech-core/wallet/1\n' || n.id::text, 'UTF8'))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'wallet % is not created empty', bad
            USING ERRCODE = '23514', CONSTRAINT = 'wallet_created_empty';
    END IF;
    RETURN NULL;
"""

# The newest entry is looked up rather than asking pg_trigger_depth(): a trigger on a temporary table gets round that.
_FIGURES = """
    SELECT n.id,
        CASE
            WHEN o.id IS NULL
              OR (n.owner_user_id, n.owner_organization_id, n.account_code, n.lane, n.currency, n.exponent,
                  n.created_at)
                 IS DISTINCT FROM
                 (o.owner_user_id, o.owner_organization_id, o.account_code, o.lane, o.currency, o.exponent,
                  o.created_at)
                THEN 'its identity never changes'
            WHEN (n.balance, n.sequence, n.head, n.last_posted_at)
                 IS DISTINCT FROM (o.balance, o.sequence, o.head, o.last_posted_at)
             AND (n.balance, n.sequence, n.head, n.last_posted_at)
                 IS DISTINCT FROM (e.balance_after, e.sequence, e.hash, e.posted_at)
                THEN 'balance, sequence and head are those of its newest entry'
            WHEN n.held <> o.held AND n.held <> (
                SELECT coalesce(sum(h.amount - h.captured - h.released), 0) FROM transactions_hold h
                WHERE h.wallet_id = n.id AND h.status = 'ACTIVE')
                THEN 'held is what its active holds reserve'
            WHEN n.status <> o.status
             AND (o.status, n.status) NOT IN (('ACTIVE', 'FROZEN'), ('FROZEN', 'ACTIVE'), ('ACTIVE', 'CLOSED'))
                THEN 'its state map forbids this'
        END
    INTO bad, problem
    FROM new_rows n
    LEFT JOIN old_rows o ON o.id = n.id
    LEFT JOIN LATERAL (
        SELECT x.balance_after, x.sequence, x.hash, x.posted_at FROM transactions_ledgerentry x
        WHERE x.wallet_id = n.id AND n.sequence <> o.sequence ORDER BY x.sequence DESC LIMIT 1
    ) e ON true
    ORDER BY 2 NULLS LAST
    LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'wallet %: %', bad, problem USING ERRCODE = '23514', CONSTRAINT = 'wallet_figures';
    END IF;
    RETURN NULL;
"""


def wallet_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="wallet_created_empty",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Statement,
            referencing=pgtrigger.Referencing(new="new_rows"),
            declare=[("bad", "uuid")],
            func=_CREATED_EMPTY,
        ),
        SealedTrigger(
            name="wallet_figures",
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            level=pgtrigger.Statement,
            referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"),
            declare=[("bad", "uuid"), ("problem", "text")],
            func=_FIGURES,
        ),
        refuse_of_closed_organization("wallet_of_open_organization", column="owner_organization_id"),
        refuse("wallet_no_delete", pgtrigger.Delete, "wallets are never deleted"),
        refuse("wallet_no_truncate", pgtrigger.Truncate, "wallets are never deleted"),
    ]
