"""From where users have logged in before, as digests."""

import datetime
import django.db.models.deletion
import fintech_core.db.ids
from django.conf import settings
from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0005_no_plain_data"),
    ]

    operations = [
        migrations.CreateModel(
            name="FamiliarNetwork",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("network", models.BinaryField(max_length=32)),
                ("last_seen_at", models.DateTimeField()),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["last_seen_at"], name="familiar_network_last_seen")],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "network"), name="familiar_network_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "last_seen_at__range",
                                (
                                    datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
                                    datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc),
                                ),
                            )
                        ),
                        name="familiar_network_times_finite",
                    ),
                ],
            },
        ),
        GrantToApp("users_familiarnetwork", insert=True, update=("last_seen_at",), delete=True),
    ]
