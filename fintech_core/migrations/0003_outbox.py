"""The outbox: events, and how far each consumer has come."""

import django.db.models.functions.datetime
import fintech_core.db.triggers
import fintech_core.db.fields
import fintech_core.db.ids
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("fintech_core", "0002_contrib_grants"),
    ]

    operations = [
        migrations.CreateModel(
            name="OutboxCursor",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("txid", fintech_core.db.fields.TransactionIdField(db_default=models.Value("0"), editable=False)),
                ("last_id", models.BigIntegerField(default=0)),
                ("moved_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "txid",
                    fintech_core.db.fields.TransactionIdField(
                        db_default=fintech_core.db.fields.CurrentTransactionId(), editable=False
                    ),
                ),
                ("event_id", models.UUIDField(default=fintech_core.db.ids.uuid7, editable=False, unique=True)),
                ("type", models.CharField(max_length=64)),
                ("entity_type", models.CharField(max_length=64)),
                ("entity_id", models.UUIDField()),
                ("owner_user_id", models.UUIDField(null=True)),
                ("payload", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [
                    models.Index(fields=["txid", "id"], name="outbox_order"),
                    models.Index(
                        condition=models.Q(("owner_user_id__isnull", False)),
                        fields=["owner_user_id", "txid", "id"],
                        name="outbox_of_owner",
                    ),
                    models.Index(fields=["entity_id", "txid", "id"], name="outbox_of_entity"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("type__regex", "^[a-z_]+\\.[a-z_]+$")), name="outbox_type_form"
                    )
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="outboxevent",
            trigger=pgtrigger.compiler.Trigger(
                name="outbox_no_update",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="RAISE EXCEPTION 'events never change' USING ERRCODE = '23514', CONSTRAINT = 'outbox_no_update';",
                    hash="62fc9273264452b8297bdfc5fe828bd7eb1ac083",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_outbox_no_update_dcef0",
                    table="fintech_core_outboxevent",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="outboxevent",
            trigger=pgtrigger.compiler.Trigger(
                name="outbox_no_delete",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="RAISE EXCEPTION 'events are never deleted' USING ERRCODE = '23514', CONSTRAINT = 'outbox_no_delete';",
                    hash="adb96c421a7c285559a147d2406135df891b5321",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_outbox_no_delete_91e27",
                    table="fintech_core_outboxevent",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="outboxevent",
            trigger=pgtrigger.compiler.Trigger(
                name="outbox_no_truncate",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="RAISE EXCEPTION 'events are never deleted' USING ERRCODE = '23514', CONSTRAINT = 'outbox_no_truncate';",
                    hash="71ba57f7ed483a66353ed4cbb815218f02035067",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_outbox_no_truncate_efce0",
                    table="fintech_core_outboxevent",
                    when="BEFORE",
                ),
            ),
        ),
        GrantToApp("fintech_core_outboxevent", insert=True),
        GrantToApp("fintech_core_outboxcursor", insert=True, update=("txid", "last_id", "moved_at")),
    ]
