"""Texts of transactions, holds and schedules are blanked of erased persons only."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("transactions", "0014_times_that_are_past"),
        ("users", "0013_texts_only_of_erased_persons"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="hold",
            name="hold_facts",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="transaction",
            name="transaction_facts",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="transferschedule",
            name="schedule_moves",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hold",
            trigger=pgtrigger.compiler.Trigger(
                name="hold_facts",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.description = '' AND to_jsonb(NEW) - 'description' = to_jsonb(OLD) - 'description'\n       AND EXISTS (SELECT FROM wallet_wallet w JOIN users_user u ON u.id = w.owner_user_id\n               WHERE w.id = OLD.wallet_id AND u.erased_at IS NOT NULL) THEN\n        RETURN NEW;\n    END IF;\n\n    IF (NEW.id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.multi_capture, NEW.description, NEW.created_by,\n        NEW.created_at)\n       IS DISTINCT FROM\n       (OLD.id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.multi_capture, OLD.description, OLD.created_by,\n        OLD.created_at)\n       OR OLD.status <> 'ACTIVE' OR NEW.captured < OLD.captured OR NEW.released < OLD.released THEN\n        RAISE EXCEPTION 'hold %: only an active one changes, and only forward', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'hold_facts';\n    END IF;\n    IF NEW.status = 'EXPIRED' AND OLD.expires_at > ledger_clock() + interval '1 second'\n       OR NEW.status <> 'EXPIRED' AND OLD.expires_at <= greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute') OR NEW.expires_at < OLD.expires_at THEN\n        RAISE EXCEPTION 'hold %: it expires when it is due, and only then', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'hold_time';\n    END IF;\n    RETURN NEW;\n",
                    hash="ddad21ecdfef1e7f721f6e37e0461e5698b34895",
                    operation="UPDATE",
                    pgid="pgtrigger_hold_facts_57825",
                    table="transactions_hold",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="transaction",
            trigger=pgtrigger.compiler.Trigger(
                name="transaction_facts",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF (NEW.id, NEW.kind, NEW.initiator_kind, NEW.initiator_id, NEW.reference, NEW.source_owner, NEW.effective_at,\n        NEW.reverses_id, NEW.hold_id, NEW.override_by, NEW.text_digest, NEW.created_at)\n       IS DISTINCT FROM\n       (OLD.id, OLD.kind, OLD.initiator_kind, OLD.initiator_id, OLD.reference, OLD.source_owner, OLD.effective_at,\n        OLD.reverses_id, OLD.hold_id, OLD.override_by, OLD.text_digest, OLD.created_at) THEN\n        RAISE EXCEPTION 'the facts of transaction % never change', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'transaction_facts';\n    END IF;\n    IF (NEW.description, NEW.metadata, NEW.salt) IS DISTINCT FROM (OLD.description, OLD.metadata, OLD.salt)\n       AND (NEW.description <> '' OR NEW.metadata <> '{}' OR NEW.salt IS NOT NULL) THEN\n        RAISE EXCEPTION 'the texts of transaction % are erased whole or not at all', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'transaction_texts';\n    END IF;\n    IF (NEW.description, NEW.metadata, NEW.salt) IS DISTINCT FROM (OLD.description, OLD.metadata, OLD.salt)\n       AND NOT EXISTS (SELECT FROM users_user u\n                       WHERE u.erased_at IS NOT NULL AND u.id IN (OLD.source_owner, OLD.initiator_id))\n       AND NOT (OLD.source_owner IS NULL AND EXISTS (\n           SELECT FROM transactions_ledgerentry e JOIN wallet_wallet w ON w.id = e.wallet_id\n           JOIN users_user u ON u.id = w.owner_user_id\n           WHERE e.transaction_id = OLD.id AND u.erased_at IS NOT NULL)) THEN\n        RAISE EXCEPTION 'the texts of transaction % are those of a person who is not erased', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'transaction_texts';\n    END IF;\n    IF NEW.status <> OLD.status\n       AND (OLD.status, NEW.status) NOT IN (('PENDING', 'POSTED'), ('PENDING', 'REJECTED'), ('POSTED', 'REVERSED'))\n       OR NEW.posted_at IS DISTINCT FROM OLD.posted_at AND NOT (OLD.status = 'PENDING' AND NEW.status = 'POSTED') THEN\n        RAISE EXCEPTION 'transaction % may not go from % to %', OLD.id, OLD.status, NEW.status\n            USING ERRCODE = '23514', CONSTRAINT = 'transaction_state';\n    END IF;\n    IF OLD.status = 'POSTED' AND NEW.status = 'REVERSED' AND NOT EXISTS (\n        SELECT 1 FROM transactions_transaction r WHERE r.reverses_id = OLD.id AND r.status = 'POSTED') THEN\n        RAISE EXCEPTION 'transaction % has no reversal', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'transaction_state';\n    END IF;\n    RETURN NEW;\n",
                    hash="a6445bfe3f767b52862cfe50ec696801c4319a52",
                    operation="UPDATE",
                    pgid="pgtrigger_transaction_facts_9f62e",
                    table="transactions_transaction",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="transferschedule",
            trigger=pgtrigger.compiler.Trigger(
                name="schedule_moves",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.description = '' AND to_jsonb(NEW) - 'description' = to_jsonb(OLD) - 'description'\n       AND EXISTS (SELECT FROM wallet_wallet w JOIN users_user u ON u.id = w.owner_user_id\n               WHERE w.id = OLD.source_wallet_id AND u.erased_at IS NOT NULL) THEN\n        RETURN NEW;\n    END IF;\n\n    IF (NEW.id, NEW.owner_id, NEW.source_wallet_id, NEW.destination_wallet_id, NEW.destination_user_id, NEW.amount,\n        NEW.currency, NEW.description, NEW.frequency, NEW.start_at, NEW.end_on, NEW.max_runs, NEW.business_day_rule,\n        NEW.created_at)\n       IS DISTINCT FROM\n       (OLD.id, OLD.owner_id, OLD.source_wallet_id, OLD.destination_wallet_id, OLD.destination_user_id, OLD.amount,\n        OLD.currency, OLD.description, OLD.frequency, OLD.start_at, OLD.end_on, OLD.max_runs, OLD.business_day_rule,\n        OLD.created_at) THEN\n        RAISE EXCEPTION 'the facts of schedule % never change', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'schedule_moves';\n    END IF;\n    IF OLD.status NOT IN ('ACTIVE', 'PAUSED')\n       OR NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN\n           (('ACTIVE', 'PAUSED'), ('ACTIVE', 'COMPLETED'), ('ACTIVE', 'CANCELED'), ('ACTIVE', 'FAILED'),\n            ('PAUSED', 'ACTIVE'), ('PAUSED', 'COMPLETED'), ('PAUSED', 'CANCELED'))\n       OR NEW.next_occurrence < OLD.next_occurrence OR NEW.runs_done NOT IN (OLD.runs_done, OLD.runs_done + 1) THEN\n        RAISE EXCEPTION 'schedule % may not go from % to %', OLD.id, OLD.status, NEW.status\n            USING ERRCODE = '23514', CONSTRAINT = 'schedule_moves';\n    END IF;\n    RETURN NEW;\n",
                    hash="ad02bfbb8449da6a84ef5d32a707d363721b059f",
                    operation="UPDATE",
                    pgid="pgtrigger_schedule_moves_7ac8d",
                    table="transactions_transferschedule",
                    when="BEFORE",
                ),
            ),
        ),
    ]
