"""What the database guarantees of the audit log, its chain and the outbox, whichever client writes.

docs/security.md, Audit log and logs, says what they are for. The line that is hashed is spelled out in
`chain.py`; this is the second implementation of the same format.
"""

import pgtrigger

from fintech_core.db.triggers import NOT_READY, SealedTrigger, append_only

# A row's txid decides its place in the chain, so no client may choose one: a past one would hide the row behind the
# chain, a future one would keep it out for ever.
_OWN_TRANSACTION = """
    IF NEW.txid IS DISTINCT FROM ledger_txid() THEN
        RAISE EXCEPTION 'an audit row belongs to the transaction that writes it'
            USING ERRCODE = '23514', CONSTRAINT = 'audit_own_transaction';
    END IF;
    RETURN NEW;
"""

# Rows below the horizon are committed or gone, so what lies between two of them never changes again.
_LINKS_CONTINUE_THE_CHAIN = """
    SELECT min(seq) - 1 INTO base FROM new_rows;
    SELECT c.hash, a.txid, a.id INTO last_hash, last_txid, last_id
    FROM fintech_core_auditchain c JOIN fintech_core_auditlog a ON a.id = c.audit_id WHERE c.seq = base;
    IF base = 0 THEN
        last_hash := sha256(convert_to(E'fintech-core/audit/1\\n', 'UTF8'));
        last_txid := '0';
        last_id := 0;
    END IF;

    WITH rows AS (
        SELECT n.seq, n.hash, a.id, a.txid,
            base + row_number() OVER chain AS next_seq,
            coalesce(lag(n.hash) OVER chain, last_hash) AS previous_hash,
            coalesce(lag(a.txid) OVER chain, last_txid) AS previous_txid,
            coalesce(lag(a.id) OVER chain, last_id) AS previous_id,
            (SELECT string_agg(octet_length(f) || ':' || f || ',', '' ORDER BY position)
             FROM unnest(ARRAY['1', a.id::text, a.txid::text,
                to_char(a.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                a.actor_kind, a.actor_id::text, a.actor_name, a.actor_roles::text, a.action, a.entity_type,
                a.entity_id, a.before::text, a.after::text, a.reason, a.request_id])
                WITH ORDINALITY AS fields (f, position)) AS line
        FROM new_rows n LEFT JOIN fintech_core_auditlog a ON a.id = n.audit_id
        WINDOW chain AS (ORDER BY n.seq)
    )
    SELECT r.seq,
        CASE
            WHEN r.id IS NULL OR last_hash IS NULL OR r.seq <> r.next_seq THEN 'seq has a gap'
            WHEN r.txid >= ledger_horizon() THEN 'others may still commit before it'
            WHEN (r.txid, r.id) <= (r.previous_txid, r.previous_id) THEN 'it stands before the one before'
            WHEN (SELECT count(*) FROM fintech_core_auditlog a WHERE (a.txid, a.id) > (r.previous_txid, r.previous_id)
                  AND (a.txid, a.id) < (r.txid, r.id)) > 0 THEN 'it leaves a row out'
            WHEN r.hash <> sha256(r.previous_hash || convert_to(r.line, 'UTF8')) THEN 'hash does not follow'
        END AS problem
    INTO bad, problem FROM rows r ORDER BY problem NULLS LAST, r.seq LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'link % of the audit chain: %', bad, problem
            USING ERRCODE = '23514', CONSTRAINT = 'audit_chain_follows';
    END IF;
    RETURN NULL;
"""


def refuse_behind(prefix: str, table: str) -> SealedTrigger:
    """A trigger that refuses rows while ids of another cluster lie above: they would be behind every reader."""
    return SealedTrigger(
        name=f"{prefix}_ledger_base",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert,
        level=pgtrigger.Statement,
        func=f"""
    IF (SELECT t.txid FROM {table} t ORDER BY t.txid DESC, t.id DESC LIMIT 1) >= ledger_ceiling() THEN
        RAISE EXCEPTION 'stored transaction ids lie above those of this cluster: manage.py raise_ledger_base'
            USING ERRCODE = '{NOT_READY}', CONSTRAINT = '{prefix}_ledger_base';
    END IF;
    RETURN NULL;
""",  # noqa: S608 - constants only
    )


# The same for events, by one look at all rows of the statement: they come by the thousand. An event's time decides
# which times are final (finality.py), so it is that of its transaction's start.
_OWN_TRANSACTION_OF_ALL = """
    IF EXISTS (SELECT FROM new_rows r WHERE r.txid IS DISTINCT FROM ledger_txid()
               OR r.created_at IS DISTINCT FROM ledger_transaction_start()) THEN
        RAISE EXCEPTION 'an event belongs to the transaction that writes it'
            USING ERRCODE = '23514', CONSTRAINT = 'outbox_own_transaction';
    END IF;
    RETURN NULL;
"""


def audit_triggers() -> list[SealedTrigger]:
    return [
        *append_only("audit", "audit rows"),
        SealedTrigger(
            name="audit_own_transaction", when=pgtrigger.Before, operation=pgtrigger.Insert, func=_OWN_TRANSACTION
        ),
        refuse_behind("audit", "fintech_core_auditlog"),
    ]


def outbox_triggers() -> list[SealedTrigger]:
    return [
        *append_only("outbox", "events"),
        SealedTrigger(
            name="outbox_own_transaction",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Statement,
            referencing=pgtrigger.Referencing(new="new_rows"),
            func=_OWN_TRANSACTION_OF_ALL,
        ),
        refuse_behind("outbox", "fintech_core_outboxevent"),
    ]


def chain_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="audit_chain_follows",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Statement,
            referencing=pgtrigger.Referencing(new="new_rows"),
            declare=[
                ("base", "bigint"),
                ("last_hash", "bytea"),
                ("last_txid", "xid8"),
                ("last_id", "bigint"),
                ("bad", "bigint"),
                ("problem", "text"),
            ],
            func=_LINKS_CONTINUE_THE_CHAIN,
        ),
        *append_only("audit_chain", "links of the audit chain"),
    ]
