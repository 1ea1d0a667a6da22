"""Intents expire; a return address may be erased."""

import datetime
import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

from fintech_core.db.grants import APP


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0001_initial"),
        ("transactions", "0010_no_claims_of_payees"),
        ("wallet", "0004_organizations"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="paymentintent",
            name="intent_facts",
        ),
        migrations.AddField(
            model_name="paymentintent",
            name="expires_at",
            field=models.DateTimeField(default=datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)),
            preserve_default=False,
        ),
        # Intents that are open have a day from now on, and their claims as long: a deployment cancels nothing at once.
        migrations.RunSQL(
            """
            UPDATE payments_paymentintent SET expires_at = interval '24 hours'
                + CASE WHEN status IN ('requires_payment', 'processing') THEN now() ELSE created_at END;
            UPDATE wallet_claim c SET expires_at = i.expires_at FROM payments_paymentintent i
            WHERE c.kind = 'payment_intent' AND c.ref = i.id AND i.status IN ('requires_payment', 'processing');
            """,
            migrations.RunSQL.noop,
        ),
        # Not GrantToApp: undone, that takes every right on the table.
        migrations.RunSQL(
            f'GRANT UPDATE ("expires_at", "return_url") ON "payments_paymentintent" TO {APP}',
            f'REVOKE UPDATE ("expires_at", "return_url") ON "payments_paymentintent" FROM {APP}',
        ),
        migrations.AddIndex(
            model_name="paymentintent",
            index=models.Index(
                condition=models.Q(("status__in", ["requires_payment", "processing"])),
                fields=["expires_at"],
                name="intent_due",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="paymentintent",
            trigger=pgtrigger.compiler.Trigger(
                name="intent_facts",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n            IF (OLD.id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.gateway, OLD.created_by, OLD.created_at) IS DISTINCT FROM (NEW.id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.gateway, NEW.created_by, NEW.created_at) THEN\n                RAISE EXCEPTION 'facts of payment intents never change' USING ERRCODE = '23514', CONSTRAINT = 'intent_facts';\n            END IF;\n            \n            IF OLD.return_url IS DISTINCT FROM NEW.return_url AND NEW.return_url <> '' THEN\n                RAISE EXCEPTION 'a text is erased whole or kept' USING ERRCODE = '23514', CONSTRAINT = 'intent_facts';\n            END IF;\n    \n            IF OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (('canceled', 'requires_review'), ('canceled', 'succeeded'), ('failed', 'requires_review'), ('failed', 'succeeded'), ('partially_refunded', 'refunded'), ('processing', 'canceled'), ('processing', 'failed'), ('processing', 'requires_review'), ('processing', 'succeeded'), ('requires_payment', 'canceled'), ('requires_payment', 'failed'), ('requires_payment', 'processing'), ('requires_payment', 'requires_review'), ('requires_payment', 'succeeded'), ('requires_review', 'refunded'), ('requires_review', 'succeeded'), ('succeeded', 'partially_refunded'), ('succeeded', 'refunded')) THEN\n                RAISE EXCEPTION 'a payment intent can''t go from % to %', OLD.status, NEW.status\n                    USING ERRCODE = '23514', CONSTRAINT = 'intent_moves';\n            END IF;\n    \n            IF (OLD.transaction_id IS NOT NULL AND OLD.transaction_id IS DISTINCT FROM NEW.transaction_id) OR (OLD.suspense_transaction_id IS NOT NULL AND OLD.suspense_transaction_id IS DISTINCT FROM NEW.suspense_transaction_id) THEN\n                RAISE EXCEPTION 'a booking is recorded once' USING ERRCODE = '23514', CONSTRAINT = 'intent_booked_once';\n            END IF;\n    \n            RETURN NEW;\n        ",
                    hash="1936ba6670cee4460de6a9ba8c35afb2be510963",
                    operation="UPDATE",
                    pgid="pgtrigger_intent_facts_f4229",
                    table="payments_paymentintent",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentintent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "expires_at__range",
                        (
                            datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
                            datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc),
                        ),
                    )
                ),
                name="intent_times_finite",
            ),
        ),
    ]
