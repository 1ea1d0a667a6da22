"""Database-enforced invariants of transactions, entries and holds, whichever client writes.

Read together with `decision.py`, which decides the same in Python before anything is written: every invariant is
checked twice, by two implementations.
"""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, append_only, refuse
from wallet.triggers import owner_is_erased

# A time before this one is past for sure: what was decided a moment ago, on locked rows, may still be written.
_OVER = "greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute')"


_TIME = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""


# One query checks all rows of the statement: the window `chain` walks each wallet's new entries in order from the
# wallet's figures, which it locks and reads. The lines that are hashed are spelled out in hashing.py.
_ENTRIES_CONTINUE_THE_BOOKS = f"""
    WITH wallets AS MATERIALIZED (
        SELECT * FROM wallet_wallet
        WHERE id IN (SELECT wallet_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE
    ), transactions AS MATERIALIZED (
        SELECT t.id, t.status, t.posted_at, t.source_owner, t.override_by,
            encode(sha256(convert_to(concat_ws('|', '1', t.id, t.kind, coalesce(t.initiator_id::text, ''),
                coalesce(t.reference, ''), to_char(t.effective_at AT TIME ZONE 'UTC', {_TIME}),
                coalesce(t.reverses_id::text, ''), t.text_digest), 'UTF8')), 'hex') AS facts
        FROM transactions_transaction t WHERE t.id IN (SELECT transaction_id FROM new_rows)
    ), rows AS (
        SELECT n.*, t.status AS transaction_status, t.posted_at AS transaction_posted_at, t.facts, t.override_by,
            w.status AS wallet_status, w.currency AS wallet_currency, w.exponent, w.floor, w.held,
            w.sequence + row_number() OVER chain AS next_sequence,
            w.balance + sum(CASE n.direction WHEN 'CREDIT' THEN n.amount ELSE -n.amount END) OVER chain
                AS next_balance,
            coalesce(lag(n.hash) OVER chain, w.head) AS previous_hash,
            coalesce(lag(n.posted_at) OVER chain, w.last_posted_at) AS previous_posted_at,
            sum(CASE n.direction WHEN 'CREDIT' THEN n.amount ELSE -n.amount END)
                OVER (PARTITION BY n.transaction_id, n.currency) AS surplus,
            count(*) OVER (PARTITION BY n.transaction_id) AS legs,
            bool_or(n.direction = 'DEBIT' AND coalesce(w.owner_user_id, w.owner_organization_id)
                        IS NOT DISTINCT FROM t.source_owner)
                OVER (PARTITION BY n.transaction_id) AS has_source
        FROM new_rows n
        LEFT JOIN wallets w ON w.id = n.wallet_id
        LEFT JOIN transactions t ON t.id = n.transaction_id
        WINDOW chain AS (PARTITION BY n.wallet_id ORDER BY n.sequence)
    )
    SELECT r.id,
        CASE
            WHEN r.wallet_status IS NULL OR r.transaction_status IS NULL THEN 'without wallet or transaction'
            WHEN r.transaction_status <> 'POSTED' THEN 'its transaction is not POSTED'
            WHEN r.surplus <> 0 THEN 'debits and credits differ'
            WHEN r.legs <> (SELECT count(*) FROM transactions_ledgerentry e WHERE e.transaction_id = r.transaction_id)
                THEN 'its transaction has entries already'
            WHEN r.currency <> r.wallet_currency THEN 'another currency than its wallet'
            WHEN r.amount <> round(r.amount, r.exponent) THEN 'finer than its currency'
            WHEN r.wallet_status = 'CLOSED' THEN 'its wallet is CLOSED'
            WHEN r.wallet_status = 'FROZEN' AND r.direction = 'DEBIT' AND r.override_by IS NULL
                THEN 'its wallet is FROZEN'
            WHEN NOT r.has_source THEN 'source_owner owns no debited wallet'
            WHEN r.sequence <> r.next_sequence THEN 'sequence has a gap'
            WHEN r.balance_after <> r.next_balance THEN 'balance_after does not follow'
            WHEN r.posted_at <> r.transaction_posted_at OR r.posted_at < r.previous_posted_at
              OR NOT isfinite(r.posted_at)
                THEN 'posted_at does not follow'
            WHEN r.posted_at < {_OVER} OR r.posted_at > greatest(
                    ledger_clock() + interval '1 second', (SELECT max(w.last_posted_at) FROM wallets w))
                THEN 'posted_at is not the time of the database'
            WHEN r.direction = 'DEBIT' AND r.balance_after - r.held < r.floor THEN 'below the floor'
            WHEN r.hash <> sha256(r.previous_hash || convert_to(concat_ws('|', '1', r.id, r.transaction_id, r.facts,
                    r.wallet_id, r.sequence, r.direction, round(r.amount, r.exponent), r.currency,
                    round(r.balance_after, r.exponent), to_char(r.posted_at AT TIME ZONE 'UTC', {_TIME})), 'UTF8'))
                THEN 'hash does not follow'
        END AS problem
    INTO bad, problem FROM rows r ORDER BY problem NULLS LAST LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'ledger entry %: %', bad, problem USING ERRCODE = '23514', CONSTRAINT = 'entry_books';
    END IF;

    UPDATE wallet_wallet w
    SET balance = last.balance_after, sequence = last.sequence, head = last.hash, last_posted_at = last.posted_at
    FROM (SELECT DISTINCT ON (wallet_id) * FROM new_rows ORDER BY wallet_id, sequence DESC) last
    WHERE w.id = last.wallet_id;
    RETURN NULL;
"""  # noqa: S608 - constants only


_TRANSACTION_FACTS = """
    IF (NEW.id, NEW.kind, NEW.initiator_kind, NEW.initiator_id, NEW.reference, NEW.source_owner, NEW.effective_at,
        NEW.reverses_id, NEW.hold_id, NEW.override_by, NEW.text_digest, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.kind, OLD.initiator_kind, OLD.initiator_id, OLD.reference, OLD.source_owner, OLD.effective_at,
        OLD.reverses_id, OLD.hold_id, OLD.override_by, OLD.text_digest, OLD.created_at) THEN
        RAISE EXCEPTION 'the facts of transaction % never change', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'transaction_facts';
    END IF;
    IF (NEW.description, NEW.metadata, NEW.salt) IS DISTINCT FROM (OLD.description, OLD.metadata, OLD.salt)
       AND (NEW.description <> '' OR NEW.metadata <> '{}' OR NEW.salt IS NOT NULL) THEN
        RAISE EXCEPTION 'the texts of transaction % are erased whole or not at all', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'transaction_texts';
    END IF;
    IF (NEW.description, NEW.metadata, NEW.salt) IS DISTINCT FROM (OLD.description, OLD.metadata, OLD.salt)
       AND NOT EXISTS (SELECT FROM users_user u
                       WHERE u.erased_at IS NOT NULL AND u.id IN (OLD.source_owner, OLD.initiator_id))
       AND NOT (OLD.source_owner IS NULL AND EXISTS (
           SELECT FROM transactions_ledgerentry e JOIN wallet_wallet w ON w.id = e.wallet_id
           JOIN users_user u ON u.id = w.owner_user_id
           WHERE e.transaction_id = OLD.id AND u.erased_at IS NOT NULL)) THEN
        RAISE EXCEPTION 'the texts of transaction % are those of a person who is not erased', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'transaction_texts';
    END IF;
    IF NEW.status <> OLD.status
       AND (OLD.status, NEW.status) NOT IN (('PENDING', 'POSTED'), ('PENDING', 'REJECTED'), ('POSTED', 'REVERSED'))
       OR NEW.posted_at IS DISTINCT FROM OLD.posted_at AND NOT (OLD.status = 'PENDING' AND NEW.status = 'POSTED') THEN
        RAISE EXCEPTION 'transaction % may not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = '23514', CONSTRAINT = 'transaction_state';
    END IF;
    IF OLD.status = 'POSTED' AND NEW.status = 'REVERSED' AND NOT EXISTS (
        SELECT 1 FROM transactions_transaction r WHERE r.reverses_id = OLD.id AND r.status = 'POSTED') THEN
        RAISE EXCEPTION 'transaction % has no reversal', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'transaction_state';
    END IF;
    RETURN NEW;
"""


_COMPLETE_AT_COMMIT = """
    IF NEW.status IN ('POSTED', 'REVERSED')
       AND NOT EXISTS (SELECT 1 FROM transactions_ledgerentry e WHERE e.transaction_id = NEW.id) THEN
        RAISE EXCEPTION 'transaction % is % without entries', NEW.id, NEW.status
            USING ERRCODE = '23514', CONSTRAINT = 'transaction_has_entries';
    END IF;
    IF NEW.status = 'POSTED' AND NEW.reverses_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM transactions_transaction o WHERE o.id = NEW.reverses_id AND o.status = 'REVERSED') THEN
        RAISE EXCEPTION 'transaction % reverses one that is not REVERSED', NEW.id
            USING ERRCODE = '23514', CONSTRAINT = 'transaction_reverses';
    END IF;
    RETURN NULL;
"""


_HOLD_CREATED_ACTIVE = f"""
    SELECT n.id INTO bad FROM new_rows n LEFT JOIN wallet_wallet w ON w.id = n.wallet_id
    WHERE n.status <> 'ACTIVE' OR n.captured <> 0 OR n.released <> 0 OR w.status IS DISTINCT FROM 'ACTIVE'
       OR n.currency <> w.currency OR n.amount <> round(n.amount, w.exponent) OR w.account_code IS NOT NULL
       OR n.expires_at <= {_OVER}
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'hold % does not fit its wallet', bad
            USING ERRCODE = '23514', CONSTRAINT = 'hold_created_active';
    END IF;
"""  # noqa: S608 - constants only


# The wallets are locked first, so that the sums below see every hold that others have committed.
_HELD_FOLLOWS = """
    PERFORM 1 FROM wallet_wallet WHERE id IN (SELECT wallet_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE;
    UPDATE wallet_wallet w
    SET held = (SELECT coalesce(sum(h.amount - h.captured - h.released), 0) FROM transactions_hold h
                WHERE h.wallet_id = w.id AND h.status = 'ACTIVE')
    WHERE w.id IN (SELECT wallet_id FROM new_rows);
    RETURN NULL;
"""


def text_is_erased(wallet: str) -> str:
    """A text changes alone and to nothing, and only where the owner of the wallet in this column has been erased."""
    return f"""
    IF NEW.description = '' AND to_jsonb(NEW) - 'description' = to_jsonb(OLD) - 'description'
       AND {owner_is_erased(f"OLD.{wallet}")} THEN
        RETURN NEW;
    END IF;
"""


_HOLD_FACTS = f"""{text_is_erased("wallet_id")}
    IF (NEW.id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.multi_capture, NEW.description, NEW.created_by,
        NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.multi_capture, OLD.description, OLD.created_by,
        OLD.created_at)
       OR OLD.status <> 'ACTIVE' OR NEW.captured < OLD.captured OR NEW.released < OLD.released THEN
        RAISE EXCEPTION 'hold %: only an active one changes, and only forward', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'hold_facts';
    END IF;
    IF NEW.status = 'EXPIRED' AND OLD.expires_at > ledger_clock() + interval '1 second'
       OR NEW.status <> 'EXPIRED' AND OLD.expires_at <= {_OVER} OR NEW.expires_at < OLD.expires_at THEN
        RAISE EXCEPTION 'hold %: it expires when it is due, and only then', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'hold_time';
    END IF;
    RETURN NEW;
"""


_NEW = pgtrigger.Referencing(new="new_rows")


def entry_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="entry_books",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Statement,
            referencing=_NEW,
            declare=[("bad", "uuid"), ("problem", "text")],
            func=_ENTRIES_CONTINUE_THE_BOOKS,
        ),
        *append_only("entry", "ledger entries"),
    ]


def transaction_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="transaction_facts",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            func=_TRANSACTION_FACTS,
        ),
        SealedTrigger(
            name="transaction_complete",
            when=pgtrigger.After,
            operation=pgtrigger.Insert | pgtrigger.UpdateOf("status"),
            timing=pgtrigger.Deferred,
            func=_COMPLETE_AT_COMMIT,
        ),
        refuse("transaction_no_delete", pgtrigger.Delete, "transactions are never deleted"),
        refuse("transaction_no_truncate", pgtrigger.Truncate, "transactions are never deleted"),
    ]


def hold_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="hold_insert",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Statement,
            referencing=_NEW,
            declare=[("bad", "uuid")],
            func=_HOLD_CREATED_ACTIVE + _HELD_FOLLOWS,
        ),
        SealedTrigger(
            name="hold_update",
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            level=pgtrigger.Statement,
            referencing=_NEW,
            func=_HELD_FOLLOWS,
        ),
        SealedTrigger(name="hold_facts", when=pgtrigger.Before, operation=pgtrigger.Update, func=_HOLD_FACTS),
        refuse("hold_no_delete", pgtrigger.Delete, "holds are never deleted"),
        refuse("hold_no_truncate", pgtrigger.Truncate, "holds are never deleted"),
    ]
