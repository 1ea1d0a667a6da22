"""Names and texts of triggers in the terms of docs/glossary.md."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("wallet", "0005_closed_organizations"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="wallet",
            name="wallet_born_empty",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="wallet",
            trigger=pgtrigger.compiler.Trigger(
                name="wallet_created_empty",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    declare="DECLARE bad uuid;",
                    func="\n    SELECT n.id INTO bad FROM new_rows n\n    WHERE n.balance <> 0 OR n.held <> 0 OR n.sequence <> 0 OR n.last_posted_at IS NOT NULL OR n.status <> 'ACTIVE'\n       OR n.head <> sha256(convert_to(E'fintech-core/wallet/1\\n' || n.id::text, 'UTF8'))\n    LIMIT 1;\n    IF FOUND THEN\n        RAISE EXCEPTION 'wallet % is not created empty', bad\n            USING ERRCODE = '23514', CONSTRAINT = 'wallet_created_empty';\n    END IF;\n    RETURN NULL;\n",
                    hash="95308370b84695245961fef54b674727538e5dcf",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_wallet_created_empty_94fbd",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="wallet_wallet",
                    when="AFTER",
                ),
            ),
        ),
    ]
