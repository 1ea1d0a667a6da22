"""Database-enforced invariants of seals and sealed heads, whichever client writes: gapless, chained, correct."""

import pgtrigger

from fintech_core.db.triggers import SealedTrigger, append_only

_GENESIS = r"E'fintech-core/seal/1\n'"
_AUDIT_GENESIS = r"E'fintech-core/audit/1\n'"

# One query looks at all heads of the statement. Each is the hash of an entry that is there (or a wallet's genesis),
# further on than what was sealed of the wallet before, under a number that isn't sealed yet.
_HEADS_ARE_ENTRIES = r"""
    SELECT n.wallet_id,
        CASE
            WHEN n.seal_id <> (SELECT coalesce(max(number), 0) + 1 FROM transactions_seal)
                THEN 'under a number that is sealed or not next'
            WHEN n.sequence = 0
                AND n.head <> sha256(convert_to(E'fintech-core/wallet/1\n' || n.wallet_id, 'UTF8'))
                THEN 'not the genesis of its wallet'
            WHEN n.sequence > 0 AND NOT EXISTS (SELECT 1 FROM transactions_ledgerentry e
                WHERE e.wallet_id = n.wallet_id AND e.sequence = n.sequence AND e.hash = n.head)
                THEN 'not the hash of its entry'
            WHEN n.sequence <= (SELECT max(h.sequence) FROM transactions_sealedhead h
                WHERE h.wallet_id = n.wallet_id AND h.seal_id < n.seal_id)
                THEN 'not further than sealed before'
        END AS problem
    INTO bad, problem FROM new_rows n ORDER BY problem NULLS LAST LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'sealed head of wallet %: %', bad, problem
            USING ERRCODE = '23514', CONSTRAINT = 'sealed_head_is_entry';
    END IF;
    RETURN NULL;
"""

_SEALS_FOLLOW = f"""
    SELECT * INTO last FROM transactions_seal WHERE number <> NEW.number ORDER BY number DESC LIMIT 1;
    problem := CASE
        WHEN NEW.number <> coalesce(last.number, 0) + 1 THEN 'number has a gap'
        WHEN NEW.previous <> coalesce(last.hash, sha256(convert_to({_GENESIS}, 'UTF8'))) THEN 'previous does not follow'
        WHEN NEW.created_at < last.created_at OR NEW.audit_seq < last.audit_seq THEN 'older than the one before'
        WHEN NEW.audit_seq > 0 AND NOT EXISTS (SELECT 1 FROM fintech_core_auditchain c
            WHERE c.seq = NEW.audit_seq AND c.hash = NEW.audit_head) THEN 'audit head is not in the chain'
        WHEN NEW.audit_seq = 0 AND NEW.audit_head <> sha256(convert_to({_AUDIT_GENESIS}, 'UTF8'))
            THEN 'audit head is not the genesis'
        WHEN NEW.leaves <> 1 + (SELECT count(*) FROM wallet_wallet w
            WHERE EXISTS (SELECT 1 FROM transactions_sealedhead h WHERE h.wallet_id = w.id)) THEN 'leaves miscounted'
        WHEN NEW.key_id <> left(encode(sha256(NEW.public_key), 'hex'), 16) OR octet_length(NEW.public_key) <> 32
            OR octet_length(NEW.signature) <> 64 OR octet_length(NEW.root) <> 32 THEN 'key or signature malformed'
        WHEN NEW.hash <> sha256(convert_to(concat_ws('|', 'fintech-core/seal/1', NEW.number,
            to_char(NEW.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), NEW.leaves,
            encode(NEW.root, 'hex'), NEW.audit_seq, encode(NEW.audit_head, 'hex'), encode(NEW.previous, 'hex'),
            NEW.key_id), 'UTF8')) THEN 'hash does not follow'
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'seal %: %', NEW.number, problem USING ERRCODE = '23514', CONSTRAINT = 'seal_follows';
    END IF;
    RETURN NULL;
"""  # noqa: S608 - constants only


def seal_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="seal_follows",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            declare=[("last", "transactions_seal%ROWTYPE"), ("problem", "text")],
            func=_SEALS_FOLLOW,
        ),
        *append_only("seal", "seals"),
    ]


def sealed_head_triggers() -> list[SealedTrigger]:
    return [
        SealedTrigger(
            name="sealed_head_is_entry",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Statement,
            referencing=pgtrigger.Referencing(new="new_rows"),
            declare=[("bad", "uuid"), ("problem", "text")],
            func=_HEADS_ARE_ENTRIES,
        ),
        *append_only("sealed_head", "sealed heads"),
    ]
