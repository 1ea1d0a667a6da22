"""Texts of holds and schedules may be erased; persons who were erased before are gone over once more."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

from fintech_core.db.grants import APP


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0012_step_up"),
        ("transactions", "0011_planned_prices_and_rates"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="hold",
            name="hold_facts",
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
                    func="\n    IF NEW.description = '' AND to_jsonb(NEW) - 'description' = to_jsonb(OLD) - 'description' THEN\n        RETURN NEW;\n    END IF;\n\n    IF (NEW.id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.multi_capture, NEW.description, NEW.created_by,\n        NEW.created_at)\n       IS DISTINCT FROM\n       (OLD.id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.multi_capture, OLD.description, OLD.created_by,\n        OLD.created_at)\n       OR OLD.status <> 'ACTIVE' OR NEW.captured < OLD.captured OR NEW.released < OLD.released THEN\n        RAISE EXCEPTION 'hold %: only an active one changes, and only forward', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'hold_facts';\n    END IF;\n    RETURN NEW;\n",
                    hash="9bea381a4a334f3533b5895511f049166565798e",
                    operation="UPDATE",
                    pgid="pgtrigger_hold_facts_57825",
                    table="transactions_hold",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="transferschedule",
            trigger=pgtrigger.compiler.Trigger(
                name="schedule_moves",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.description = '' AND to_jsonb(NEW) - 'description' = to_jsonb(OLD) - 'description' THEN\n        RETURN NEW;\n    END IF;\n\n    IF (NEW.id, NEW.owner_id, NEW.source_wallet_id, NEW.destination_wallet_id, NEW.destination_user_id, NEW.amount,\n        NEW.currency, NEW.description, NEW.frequency, NEW.start_at, NEW.end_on, NEW.max_runs, NEW.business_day_rule,\n        NEW.created_at)\n       IS DISTINCT FROM\n       (OLD.id, OLD.owner_id, OLD.source_wallet_id, OLD.destination_wallet_id, OLD.destination_user_id, OLD.amount,\n        OLD.currency, OLD.description, OLD.frequency, OLD.start_at, OLD.end_on, OLD.max_runs, OLD.business_day_rule,\n        OLD.created_at) THEN\n        RAISE EXCEPTION 'the facts of schedule % never change', OLD.id\n            USING ERRCODE = '23514', CONSTRAINT = 'schedule_moves';\n    END IF;\n    IF OLD.status NOT IN ('ACTIVE', 'PAUSED')\n       OR NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN\n           (('ACTIVE', 'PAUSED'), ('ACTIVE', 'COMPLETED'), ('ACTIVE', 'CANCELED'), ('ACTIVE', 'FAILED'),\n            ('PAUSED', 'ACTIVE'), ('PAUSED', 'COMPLETED'), ('PAUSED', 'CANCELED'))\n       OR NEW.next_occurrence < OLD.next_occurrence OR NEW.runs_done NOT IN (OLD.runs_done, OLD.runs_done + 1) THEN\n        RAISE EXCEPTION 'schedule % may not go from % to %', OLD.id, OLD.status, NEW.status\n            USING ERRCODE = '23514', CONSTRAINT = 'schedule_moves';\n    END IF;\n    RETURN NEW;\n",
                    hash="1cff328e68adf8e62a686b73850af26cdd81afb3",
                    operation="UPDATE",
                    pgid="pgtrigger_schedule_moves_7ac8d",
                    table="transactions_transferschedule",
                    when="BEFORE",
                ),
            ),
        ),
        # Not GrantToApp: undone, that takes every right on the tables.
        migrations.RunSQL(
            f'GRANT UPDATE ("description") ON "transactions_hold", "transactions_transferschedule" TO {APP}',
            f'REVOKE UPDATE ("description") ON "transactions_hold", "transactions_transferschedule" FROM {APP}',
        ),
        migrations.RunSQL(
            "UPDATE users_user SET texts_erased_at = NULL WHERE texts_erased_at IS NOT NULL", migrations.RunSQL.noop
        ),
    ]
