"""Names and texts of triggers in the terms of docs/glossary.md."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("transactions", "0017_plural_names"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="feeschedule",
            name="fee_schedule_born",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="hold",
            name="hold_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="scheduledrun",
            name="run_moves",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="transferschedule",
            name="schedule_born",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="feeschedule",
            trigger=pgtrigger.compiler.Trigger(
                name="fee_schedule_created",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF TG_OP = 'INSERT' AND NEW.valid_from < greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute') THEN\n        RAISE EXCEPTION 'fee schedule % begins in the past', NEW.id\n            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_time';\n    END IF;\n    IF TG_OP = 'INSERT' AND NEW.ended_at IS NOT NULL OR NEW.ended_at IS NULL AND EXISTS (\n        SELECT 1 FROM transactions_feeschedule o\n        WHERE o.id <> NEW.id AND o.kind = NEW.kind AND o.currency = NEW.currency\n          AND o.kyc_level IS NOT DISTINCT FROM NEW.kyc_level\n          AND o.ended_at > GREATEST(o.valid_from, NEW.valid_from)) THEN\n        RAISE EXCEPTION 'fee schedule % overlaps another one or is created ended', NEW.id\n            USING ERRCODE = '23514', CONSTRAINT = 'fee_schedule_created';\n    END IF;\n    RETURN NULL;\n",
                    hash="31b17b3274894db5638ba605a71d022beadc8a62",
                    operation='INSERT OR UPDATE OF "ended_at"',
                    pgid="pgtrigger_fee_schedule_created_c07d5",
                    table="transactions_feeschedule",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hold",
            trigger=pgtrigger.compiler.Trigger(
                name="hold_insert",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    declare="DECLARE bad uuid;",
                    func="\n    SELECT n.id INTO bad FROM new_rows n LEFT JOIN wallet_wallet w ON w.id = n.wallet_id\n    WHERE n.status <> 'ACTIVE' OR n.captured <> 0 OR n.released <> 0 OR w.status IS DISTINCT FROM 'ACTIVE'\n       OR n.currency <> w.currency OR n.amount <> round(n.amount, w.exponent) OR w.account_code IS NOT NULL\n       OR n.expires_at <= greatest(ledger_transaction_start(), ledger_clock() - interval '1 minute')\n    LIMIT 1;\n    IF FOUND THEN\n        RAISE EXCEPTION 'hold % does not fit its wallet', bad\n            USING ERRCODE = '23514', CONSTRAINT = 'hold_created_active';\n    END IF;\n\n    PERFORM 1 FROM wallet_wallet WHERE id IN (SELECT wallet_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE;\n    UPDATE wallet_wallet w\n    SET held = (SELECT coalesce(sum(h.amount - h.captured - h.released), 0) FROM transactions_hold h\n                WHERE h.wallet_id = w.id AND h.status = 'ACTIVE')\n    WHERE w.id IN (SELECT wallet_id FROM new_rows);\n    RETURN NULL;\n",
                    hash="39cdfa13de7b4b3979289fac6c2a7353152bea3c",
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
            model_name="scheduledrun",
            trigger=pgtrigger.compiler.Trigger(
                name="run_moves",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF TG_OP = 'UPDATE' THEN\n        IF (NEW.id, NEW.schedule_id, NEW.occurrence, NEW.due_at, NEW.created_at)\n           IS DISTINCT FROM (OLD.id, OLD.schedule_id, OLD.occurrence, OLD.due_at, OLD.created_at)\n           OR OLD.status NOT IN ('PENDING', 'RETRYING')\n           OR OLD.status = 'RETRYING' AND NEW.status NOT IN ('RETRYING', 'PENDING', 'SKIPPED')\n           OR NEW.attempts < OLD.attempts THEN\n            RAISE EXCEPTION 'run % may not go from % to %', OLD.id, OLD.status, NEW.status\n                USING ERRCODE = '23514', CONSTRAINT = 'run_moves';\n        END IF;\n    ELSIF NEW.status NOT IN ('PENDING', 'SKIPPED') THEN\n        RAISE EXCEPTION 'run % is created PENDING or SKIPPED', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'run_moves';\n    END IF;\n    IF NEW.transaction_id IS NOT NULL AND NOT EXISTS (\n        SELECT 1 FROM transactions_transaction t JOIN transactions_transferschedule s ON s.id = NEW.schedule_id\n        JOIN wallet_wallet w ON w.id = s.source_wallet_id\n        WHERE t.id = NEW.transaction_id AND t.source_owner = coalesce(w.owner_user_id, w.owner_organization_id)\n          AND t.status IN ('POSTED', 'REVERSED')\n          AND t.reference = concat('sch-', replace(s.id::text, '-', ''), '-', NEW.occurrence)) THEN\n        RAISE EXCEPTION 'run % was not paid by transaction %', NEW.id, NEW.transaction_id\n            USING ERRCODE = '23514', CONSTRAINT = 'run_moves';\n    END IF;\n    RETURN NEW;\n",
                    hash="cdf1d5e26e3e475ef8644e037515580295792402",
                    operation="INSERT OR UPDATE",
                    pgid="pgtrigger_run_moves_fae1b",
                    table="transactions_scheduledrun",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="transferschedule",
            trigger=pgtrigger.compiler.Trigger(
                name="schedule_created",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.status <> 'ACTIVE' OR NEW.runs_done <> 0 OR NEW.next_occurrence <> 1 OR NEW.refusals_in_a_row <> 0 THEN\n        RAISE EXCEPTION 'schedule % is not new', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'schedule_created';\n    END IF;\n    RETURN NEW;\n",
                    hash="91f628a79071cade1c6a5674686d956afe889648",
                    operation="INSERT",
                    pgid="pgtrigger_schedule_created_8fbec",
                    table="transactions_transferschedule",
                    when="BEFORE",
                ),
            ),
        ),
    ]
