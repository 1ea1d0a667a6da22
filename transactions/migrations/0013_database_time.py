"""Posted times and the ends of holds are checked against the clock of the database."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("fintech_core", "0008_ledger_clock"),
        ("transactions", "0012_texts_of_erased_persons"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="hold",
            name="hold_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="hold",
            name="hold_facts",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="ledgerentry",
            name="entry_books",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hold",
            trigger=pgtrigger.compiler.Trigger(
                name="hold_insert",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    declare="DECLARE bad uuid;",
                    func="\n    SELECT n.id INTO bad FROM new_rows n LEFT JOIN wallet_wallet w ON w.id = n.wallet_id\n    WHERE n.status <> 'ACTIVE' OR n.captured <> 0 OR n.released <> 0 OR w.status IS DISTINCT FROM 'ACTIVE'\n       OR n.currency <> w.currency OR n.amount <> round(n.amount, w.exponent) OR w.account_code IS NOT NULL\n       OR n.expires_at <= greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute')\n    LIMIT 1;\n    IF FOUND THEN\n        RAISE EXCEPTION 'hold % does not fit its wallet', bad USING ERRCODE = '23514', CONSTRAINT = 'hold_born_active';\n    END IF;\n\n    PERFORM 1 FROM wallet_wallet WHERE id IN (SELECT wallet_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE;\n    UPDATE wallet_wallet w\n    SET held = (SELECT coalesce(sum(h.amount - h.captured - h.released), 0) FROM transactions_hold h\n                WHERE h.wallet_id = w.id AND h.status = 'ACTIVE')\n    WHERE w.id IN (SELECT wallet_id FROM new_rows);\n    RETURN NULL;\n",
                    hash="699a11bfe1880bf5a1353465584bd8be165099d8",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_hold_insert_c3911",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="transactions_hold",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hold",
            trigger=pgtrigger.compiler.Trigger(
                name="hold_facts",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.description = '' AND to_jsonb(NEW) - 'description' = to_jsonb(OLD) - 'description' THEN\n        RETURN NEW;\n    END IF;\n\n    IF (NEW.id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.multi_capture, NEW.description, NEW.created_by,\n        NEW.created_at)\n       IS DISTINCT FROM\n       (OLD.id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.multi_capture, OLD.description, OLD.created_by,\n        OLD.created_at)\n       OR OLD.status <> 'ACTIVE' OR NEW.captured < OLD.captured OR NEW.released < OLD.released THEN\n        RAISE EXCEPTION 'hold %: only an active one changes, and only forward', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'hold_facts';\n    END IF;\n    IF NEW.status = 'EXPIRED' AND OLD.expires_at > ledger_clock() + interval '1 second'\n       OR NEW.status <> 'EXPIRED' AND OLD.expires_at <= greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute') OR NEW.expires_at < OLD.expires_at THEN\n        RAISE EXCEPTION 'hold %: it expires when it is due, and only then', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'hold_time';\n    END IF;\n    RETURN NEW;\n",
                    hash="26eb6960f71ce4ad05aa3cae2366c5923b8436a3",
                    operation="UPDATE",
                    pgid="pgtrigger_hold_facts_57825",
                    table="transactions_hold",
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
                    func="\n    WITH wallets AS MATERIALIZED (\n        SELECT * FROM wallet_wallet\n        WHERE id IN (SELECT wallet_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE\n    ), transactions AS MATERIALIZED (\n        SELECT t.id, t.status, t.posted_at, t.source_owner, t.override_by,\n            encode(sha256(convert_to(concat_ws('|', '1', t.id, t.kind, coalesce(t.initiator_id::text, ''),\n                coalesce(t.reference, ''), to_char(t.effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),\n                coalesce(t.reverses_id::text, ''), t.text_digest), 'UTF8')), 'hex') AS facts\n        FROM transactions_transaction t WHERE t.id IN (SELECT transaction_id FROM new_rows)\n    ), rows AS (\n        SELECT n.*, t.status AS transaction_status, t.posted_at AS transaction_posted_at, t.facts, t.override_by,\n            w.status AS wallet_status, w.currency AS wallet_currency, w.exponent, w.floor, w.held,\n            w.sequence + row_number() OVER chain AS next_sequence,\n            w.balance + sum(CASE n.direction WHEN 'CREDIT' THEN n.amount ELSE -n.amount END) OVER chain\n                AS next_balance,\n            coalesce(lag(n.hash) OVER chain, w.head) AS previous_hash,\n            coalesce(lag(n.posted_at) OVER chain, w.last_posted_at) AS previous_posted_at,\n            sum(CASE n.direction WHEN 'CREDIT' THEN n.amount ELSE -n.amount END)\n                OVER (PARTITION BY n.transaction_id, n.currency) AS surplus,\n            count(*) OVER (PARTITION BY n.transaction_id) AS legs,\n            bool_or(n.direction = 'DEBIT' AND coalesce(w.owner_user_id, w.owner_organization_id)\n                        IS NOT DISTINCT FROM t.source_owner)\n                OVER (PARTITION BY n.transaction_id) AS has_source\n        FROM new_rows n\n        LEFT JOIN wallets w ON w.id = n.wallet_id\n        LEFT JOIN transactions t ON t.id = n.transaction_id\n        WINDOW chain AS (PARTITION BY n.wallet_id ORDER BY n.sequence)\n    )\n    SELECT r.id,\n        CASE\n            WHEN r.wallet_status IS NULL OR r.transaction_status IS NULL THEN 'without wallet or transaction'\n            WHEN r.transaction_status <> 'POSTED' THEN 'its transaction is not POSTED'\n            WHEN r.surplus <> 0 THEN 'debits and credits differ'\n            WHEN r.legs <> (SELECT count(*) FROM transactions_ledgerentry e WHERE e.transaction_id = r.transaction_id)\n                THEN 'its transaction has entries already'\n            WHEN r.currency <> r.wallet_currency THEN 'another currency than its wallet'\n            WHEN r.amount <> round(r.amount, r.exponent) THEN 'finer than its currency'\n            WHEN r.wallet_status = 'CLOSED' THEN 'its wallet is CLOSED'\n            WHEN r.wallet_status = 'FROZEN' AND r.direction = 'DEBIT' AND r.override_by IS NULL\n                THEN 'its wallet is FROZEN'\n            WHEN NOT r.has_source THEN 'source_owner owns no debited wallet'\n            WHEN r.sequence <> r.next_sequence THEN 'sequence has a gap'\n            WHEN r.balance_after <> r.next_balance THEN 'balance_after does not follow'\n            WHEN r.posted_at <> r.transaction_posted_at OR r.posted_at < r.previous_posted_at\n              OR NOT isfinite(r.posted_at)\n                THEN 'posted_at does not follow'\n            WHEN r.posted_at < ledger_transaction_start() OR r.posted_at > greatest(\n                    ledger_clock() + interval '1 second', (SELECT max(w.last_posted_at) FROM wallets w))\n                THEN 'posted_at is not the time of the database'\n            WHEN r.direction = 'DEBIT' AND r.balance_after - r.held < r.floor THEN 'below the floor'\n            WHEN r.hash <> sha256(r.previous_hash || convert_to(concat_ws('|', '1', r.id, r.transaction_id, r.facts,\n                    r.wallet_id, r.sequence, r.direction, round(r.amount, r.exponent), r.currency,\n                    round(r.balance_after, r.exponent), to_char(r.posted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')), 'UTF8'))\n                THEN 'hash does not follow'\n        END AS problem\n    INTO bad, problem FROM rows r ORDER BY problem NULLS LAST LIMIT 1;\n    IF problem IS NOT NULL THEN\n        RAISE EXCEPTION 'ledger entry %: %', bad, problem USING ERRCODE = '23514', CONSTRAINT = 'entry_books';\n    END IF;\n\n    UPDATE wallet_wallet w\n    SET balance = last.balance_after, sequence = last.sequence, head = last.hash, last_posted_at = last.posted_at\n    FROM (SELECT DISTINCT ON (wallet_id) * FROM new_rows ORDER BY wallet_id, sequence DESC) last\n    WHERE w.id = last.wallet_id;\n    RETURN NULL;\n",
                    hash="c6e72c42214c7039ec2d262a812e05a9448cc42a",
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
