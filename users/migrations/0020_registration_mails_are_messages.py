"""Mails of registrations that wait to be sent become messages; the columns that queued them go."""

import json

from django.db import migrations
from django.db.models.functions import Now


def _queue(apps, schema_editor):
    message = apps.get_model("messaging", "Message")
    waiting = apps.get_model("users", "Registration").objects.filter(mailed_at__isnull=True, expires_at__gt=Now())
    for claim in waiting.order_by("pk").iterator(500):
        message.objects.create(
            kind="email",
            template="verify_email",
            recipient=claim.email,
            context=json.dumps({"registration": str(claim.pk)}),
            created_at=claim.created_at,
            due_at=claim.mail_due_at,
            expires_at=claim.expires_at,
        )


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0019_messages_move"),
        ("messaging", "0002_ciphertexts_of_the_new_table"),
    ]

    operations = [
        migrations.RunPython(_queue, migrations.RunPython.noop),
        migrations.RemoveIndex("registration", "registration_mail_due"),
        migrations.RemoveField("registration", "mail_attempts"),
        migrations.RemoveField("registration", "mail_due_at"),
        migrations.RemoveField("registration", "mailed_at"),
    ]
