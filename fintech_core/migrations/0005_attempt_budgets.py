"""Counters of attempts: codes, passwords, second factors, rates where the cache is down."""

import datetime
import fintech_core.db.ids
from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("fintech_core", "0004_audit_chain"),
    ]

    operations = [
        migrations.CreateModel(
            name="AttemptBudget",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("scope", models.CharField(max_length=64)),
                ("subject", models.BinaryField(max_length=32)),
                ("attempts", models.PositiveIntegerField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="attempt_budget_expiry")],
                "constraints": [
                    models.UniqueConstraint(fields=("scope", "subject"), name="attempt_budget_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "expires_at__range",
                                (
                                    datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
                                    datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc),
                                ),
                            )
                        ),
                        name="attempt_budget_times_finite",
                    ),
                ],
            },
        ),
        GrantToApp("fintech_core_attemptbudget", insert=True, update=("attempts", "expires_at"), delete=True),
    ]
