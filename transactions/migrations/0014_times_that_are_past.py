"""Entries and fee schedules are not dated into the past: by a minute at most, however old the transaction is."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("transactions", "0013_database_time"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="feeschedule",
            name="fee_schedule_born",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="feeschedule",
            name="fee_schedule_facts",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="ledgerentry",
            name="entry_books",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="feeschedule",
            trigger=pgtrigger.compiler.Trigger(
                name="fee_schedule_born",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF TG_OP = 'INSERT' AND NEW.valid_from < greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute') THEN\n        RAISE EXCEPTION 'fee schedule % begins in the past', NEW.id\n            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_time';\n    END IF;\n    IF TG_OP = 'INSERT' AND NEW.ended_at IS NOT NULL OR NEW.ended_at IS NULL AND EXISTS (\n        SELECT 1 FROM transactions_feeschedule o\n        WHERE o.id <> NEW.id AND o.kind = NEW.kind AND o.currency = NEW.currency\n          AND o.kyc_level IS NOT DISTINCT FROM NEW.kyc_level\n          AND o.ended_at > GREATEST(o.valid_from, NEW.valid_from)) THEN\n        RAISE EXCEPTION 'fee schedule % overlaps another one or is born ended', NEW.id\n            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_born';\n    END IF;\n    RETURN NULL;\n",
                    hash="1cb0429fbdebd549160b2831004608088c55f241",
                    operation='INSERT OR UPDATE OF "ended_at"',
                    pgid="pgtrigger_fee_schedule_born_7e42f",
                    table="transactions_feeschedule",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="feeschedule",
            trigger=pgtrigger.compiler.Trigger(
                name="fee_schedule_facts",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF (NEW.id, NEW.kind, NEW.currency, NEW.kyc_level, NEW.fixed, NEW.percentage, NEW.minimum, NEW.maximum,\n        NEW.valid_from, NEW.created_by, NEW.created_at)\n       IS DISTINCT FROM\n       (OLD.id, OLD.kind, OLD.currency, OLD.kyc_level, OLD.fixed, OLD.percentage, OLD.minimum, OLD.maximum,\n        OLD.valid_from, OLD.created_by, OLD.created_at)\n       OR OLD.ended_at IS NOT NULL AND (\n           NEW.ended_at IS NOT NULL OR OLD.ended_at <= ledger_clock() OR OLD.ended_at = OLD.valid_from) THEN\n        RAISE EXCEPTION 'fee schedule %: only its end changes, while that is unset or lies ahead', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_facts';\n    END IF;\n    IF NEW.ended_at IS DISTINCT FROM OLD.ended_at AND NEW.ended_at < greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute') THEN\n        RAISE EXCEPTION 'fee schedule % ends in the past', NEW.id\n            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_time';\n    END IF;\n    RETURN NEW;\n",
                    hash="937f1020eeac8f5fb22ac8bf297c05d176353b1c",
                    operation="UPDATE",
                    pgid="pgtrigger_fee_schedule_facts_35f27",
                    table="transactions_feeschedule",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgerentry",
            trigger=pgtrigger.compiler.Trigger(
                name="entry_books",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    declare="DECLARE bad uuid; problem text;",
                    func="\n    WITH wallets AS MATERIALIZED (\n        SELECT * FROM wallet_wallet\n        WHERE id IN (SELECT wallet_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE\n    ), transactions AS MATERIALIZED (\n        SELECT t.id, t.status, t.posted_at, t.source_owner, t.override_by,\n            encode(sha256(convert_to(concat_ws('|', '1', t.id, t.kind, coalesce(t.initiator_id::text, ''),\n                coalesce(t.reference, ''), to_char(t.effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),\n                coalesce(t.reverses_id::text, ''), t.text_digest), 'UTF8')), 'hex') AS facts\n        FROM transactions_transaction t WHERE t.id IN (SELECT transaction_id FROM new_rows)\n    ), rows AS (\n        SELECT n.*, t.status AS transaction_status, t.posted_at AS transaction_posted_at, t.facts, t.override_by,\n            w.status AS wallet_status, w.currency AS wallet_currency, w.exponent, w.floor, w.held,\n            w.sequence + row_number() OVER chain AS next_sequence,\n            w.balance + sum(CASE n.direction WHEN 'CREDIT' THEN n.amount ELSE -n.amount END) OVER chain\n                AS next_balance,\n            coalesce(lag(n.hash) OVER chain, w.head) AS previous_hash,\n            coalesce(lag(n.posted_at) OVER chain, w.last_posted_at) AS previous_posted_at,\n            sum(CASE n.direction WHEN 'CREDIT' THEN n.amount ELSE -n.amount END)\n                OVER (PARTITION BY n.transaction_id, n.currency) AS surplus,\n            count(*) OVER (PARTITION BY n.transaction_id) AS legs,\n            bool_or(n.direction = 'DEBIT' AND coalesce(w.owner_user_id, w.owner_organization_id)\n                        IS NOT DISTINCT FROM t.source_owner)\n                OVER (PARTITION BY n.transaction_id) AS has_source\n        FROM new_rows n\n        LEFT JOIN wallets w ON w.id = n.wallet_id\n        LEFT JOIN transactions t ON t.id = n.transaction_id\n        WINDOW chain AS (PARTITION BY n.wallet_id ORDER BY n.sequence)\n    )\n    SELECT r.id,\n        CASE\n            WHEN r.wallet_status IS NULL OR r.transaction_status IS NULL THEN 'without wallet or transaction'\n            WHEN r.transaction_status <> 'POSTED' THEN 'its transaction is not POSTED'\n            WHEN r.surplus <> 0 THEN 'debits and credits differ'\n            WHEN r.legs <> (SELECT count(*) FROM transactions_ledgerentry e WHERE e.transaction_id = r.transaction_id)\n                THEN 'its transaction has entries already'\n            WHEN r.currency <> r.wallet_currency THEN 'another currency than its wallet'\n            WHEN r.amount <> round(r.amount, r.exponent) THEN 'finer than its currency'\n            WHEN r.wallet_status = 'CLOSED' THEN 'its wallet is CLOSED'\n            WHEN r.wallet_status = 'FROZEN' AND r.direction = 'DEBIT' AND r.override_by IS NULL\n                THEN 'its wallet is FROZEN'\n            WHEN NOT r.has_source THEN 'source_owner owns no debited wallet'\n            WHEN r.sequence <> r.next_sequence THEN 'sequence has a gap'\n            WHEN r.balance_after <> r.next_balance THEN 'balance_after does not follow'\n            WHEN r.posted_at <> r.transaction_posted_at OR r.posted_at < r.previous_posted_at\n              OR NOT isfinite(r.posted_at)\n                THEN 'posted_at does not follow'\n            WHEN r.posted_at < greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute') OR r.posted_at > greatest(\n                    ledger_clock() + interval '1 second', (SELECT max(w.last_posted_at) FROM wallets w))\n                THEN 'posted_at is not the time of the database'\n            WHEN r.direction = 'DEBIT' AND r.balance_after - r.held < r.floor THEN 'below the floor'\n            WHEN r.hash <> sha256(r.previous_hash || convert_to(concat_ws('|', '1', r.id, r.transaction_id, r.facts,\n                    r.wallet_id, r.sequence, r.direction, round(r.amount, r.exponent), r.currency,\n                    round(r.balance_after, r.exponent), to_char(r.posted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')), 'UTF8'))\n                THEN 'hash does not follow'\n        END AS problem\n    INTO bad, problem FROM rows r ORDER BY problem NULLS LAST LIMIT 1;\n    IF problem IS NOT NULL THEN\n        RAISE EXCEPTION 'ledger entry %: %', bad, problem USING ERRCODE = '23514', CONSTRAINT = 'entry_books';\n    END IF;\n\n    UPDATE wallet_wallet w\n    SET balance = last.balance_after, sequence = last.sequence, head = last.hash, last_posted_at = last.posted_at\n    FROM (SELECT DISTINCT ON (wallet_id) * FROM new_rows ORDER BY wallet_id, sequence DESC) last\n    WHERE w.id = last.wallet_id;\n    RETURN NULL;\n",
                    hash="b718105ca6a523d914ef66c6045476183c41a1f1",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_entry_books_32c57",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="transactions_ledgerentry",
                    when="AFTER",
                ),
            ),
        ),
    ]
