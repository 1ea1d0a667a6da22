"""Stored answers note whether staff were answered. Rows that are there: a migration of `users`, which has the roles."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fintech_core", "0009_events_at_their_start"),
    ]

    operations = [
        migrations.AddField(
            model_name="idempotencyrecord",
            name="by_staff",
            field=models.BooleanField(db_default=False),
        ),
    ]
