"""Monitors of wallets' available balance."""

import datetime
import django.db.models.deletion
import fintech_core.db.ids
from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("transactions", "0007_schedules"),
        ("wallet", "0003_policy"),
    ]

    operations = [
        migrations.CreateModel(
            name="Monitor",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "condition",
                    models.CharField(
                        choices=[("available_below", "Available Below"), ("available_above", "Available Above")],
                        max_length=16,
                    ),
                ),
                ("threshold", models.DecimalField(decimal_places=8, max_digits=38)),
                ("description", models.CharField(blank=True, default="", max_length=200)),
                ("state", models.CharField(choices=[("ARMED", "Armed"), ("FIRED", "Fired")], max_length=8)),
                ("fired_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                (
                    "wallet",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="monitors", to="wallet.wallet"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("condition__in", ["available_below", "available_above"])),
                        name="monitor_condition_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["ARMED", "FIRED"])), name="monitor_state_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("threshold__gte", 0)), name="monitor_threshold_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "created_at__range",
                                (
                                    datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
                                    datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc),
                                ),
                            ),
                            (
                                "fired_at__range",
                                (
                                    datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
                                    datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc),
                                ),
                            ),
                        ),
                        name="monitor_times_finite",
                    ),
                ],
            },
        ),
        GrantToApp("transactions_monitor", insert=True, update=("state", "fired_at"), delete=True),
    ]
