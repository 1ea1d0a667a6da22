"""What owners send without a fresh code is counted; schedules that are there were made under the rules of their time."""

import datetime
import django.db.models.deletion
import fintech_core.db.ids
from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("transactions", "0015_texts_only_of_erased_persons"),
    ]

    operations = [
        migrations.AddField(
            model_name="transferschedule",
            name="confirmed",
            field=models.BooleanField(default=True),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name="OutflowOwner",
            fields=[
                ("owner_id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("asked_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "asked_at__range",
                                (
                                    datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
                                    datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc),
                                ),
                            )
                        ),
                        name="outflow_owner_times_finite",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UnconfirmedOutflow",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("quarter", models.DateTimeField()),
                ("currency", models.CharField(max_length=3)),
                ("amount", models.DecimalField(decimal_places=8, max_digits=38)),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="transactions.outflowowner",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["quarter"], name="outflow_quarter")],
                "constraints": [
                    models.UniqueConstraint(fields=("owner", "quarter", "currency"), name="outflow_once"),
                    models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="outflow_amount_positive"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "quarter__range",
                                (
                                    datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
                                    datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc),
                                ),
                            )
                        ),
                        name="outflow_times_finite",
                    ),
                ],
            },
        ),
        GrantToApp("transactions_outflowowner", insert=True, update=("asked_at",), delete=True),
        GrantToApp("transactions_unconfirmedoutflow", insert=True, update=("amount",), delete=True),
    ]
