"""A return address is blanked of an erased person only; payments under review keep their wallet open."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0002_expiry_of_intents"),
        ("users", "0013_texts_only_of_erased_persons"),
        ("wallet", "0004_organizations"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="paymentintent",
            name="intent_facts",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="paymentintent",
            trigger=pgtrigger.compiler.Trigger(
                name="intent_facts",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n            IF (OLD.id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.gateway, OLD.created_by, OLD.created_at) IS DISTINCT FROM (NEW.id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.gateway, NEW.created_by, NEW.created_at) THEN\n                RAISE EXCEPTION 'facts of payment intents never change' USING ERRCODE = '23514', CONSTRAINT = 'intent_facts';\n            END IF;\n            \n            IF OLD.return_url IS DISTINCT FROM NEW.return_url\n               AND (NEW.return_url <> '' OR NOT EXISTS (SELECT FROM wallet_wallet w JOIN users_user u ON u.id = w.owner_user_id\n               WHERE w.id = OLD.wallet_id AND u.erased_at IS NOT NULL)) THEN\n                RAISE EXCEPTION 'a text is erased whole or kept' USING ERRCODE = '23514', CONSTRAINT = 'intent_facts';\n            END IF;\n    \n            IF OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (('canceled', 'requires_review'), ('canceled', 'succeeded'), ('failed', 'requires_review'), ('failed', 'succeeded'), ('partially_refunded', 'refunded'), ('processing', 'canceled'), ('processing', 'failed'), ('processing', 'requires_review'), ('processing', 'succeeded'), ('requires_payment', 'canceled'), ('requires_payment', 'failed'), ('requires_payment', 'processing'), ('requires_payment', 'requires_review'), ('requires_payment', 'succeeded'), ('requires_review', 'refunded'), ('requires_review', 'succeeded'), ('succeeded', 'partially_refunded'), ('succeeded', 'refunded')) THEN\n                RAISE EXCEPTION 'a payment intent can''t go from % to %', OLD.status, NEW.status\n                    USING ERRCODE = '23514', CONSTRAINT = 'intent_moves';\n            END IF;\n    \n            IF (OLD.transaction_id IS NOT NULL AND OLD.transaction_id IS DISTINCT FROM NEW.transaction_id) OR (OLD.suspense_transaction_id IS NOT NULL AND OLD.suspense_transaction_id IS DISTINCT FROM NEW.suspense_transaction_id) THEN\n                RAISE EXCEPTION 'a booking is recorded once' USING ERRCODE = '23514', CONSTRAINT = 'intent_booked_once';\n            END IF;\n    \n            RETURN NEW;\n        ",
                    hash="2daa00c9dc23c673e08d176c85079d9314200f66",
                    operation="UPDATE",
                    pgid="pgtrigger_intent_facts_f4229",
                    table="payments_paymentintent",
                    when="BEFORE",
                ),
            ),
        ),
        # Reviews of payments that came after their intent had ended carried no claim.
        migrations.RunSQL(
            """
            INSERT INTO wallet_claim (id, wallet_id, kind, ref, created_at)
            SELECT gen_random_uuid(), i.wallet_id, 'payment_intent', i.id, now()
            FROM payments_paymentintent i JOIN wallet_wallet w ON w.id = i.wallet_id
            WHERE i.status = 'requires_review' AND w.status <> 'CLOSED' ON CONFLICT DO NOTHING
            """,
            migrations.RunSQL.noop,
        ),
    ]
