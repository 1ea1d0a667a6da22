"""Names and texts of triggers in the terms of docs/glossary.md."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0005_plural_names"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="paymentintent",
            name="intent_born",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="paymentintent",
            trigger=pgtrigger.compiler.Trigger(
                name="intent_created",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n                    IF NEW.status <> 'requires_payment' OR NEW.transaction_id IS NOT NULL\n                       OR NEW.suspense_transaction_id IS NOT NULL THEN\n                        RAISE EXCEPTION 'an intent is created as requires_payment'\n                            USING ERRCODE = '23514', CONSTRAINT = 'intent_created';\n                    END IF;\n                    PERFORM 1 FROM wallet_wallet w WHERE w.id = NEW.wallet_id FOR SHARE;\n                    IF EXISTS (SELECT FROM wallet_wallet w WHERE w.id = NEW.wallet_id AND w.status = 'CLOSED') THEN\n                        RAISE EXCEPTION 'wallet % is closed', NEW.wallet_id\n                            USING ERRCODE = '23514', CONSTRAINT = 'intent_on_open_wallet';\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="885323af324bea474f13f0ad89f1a436222a22dd",
                    operation="INSERT",
                    pgid="pgtrigger_intent_created_4ca44",
                    table="payments_paymentintent",
                    when="BEFORE",
                ),
            ),
        ),
    ]
