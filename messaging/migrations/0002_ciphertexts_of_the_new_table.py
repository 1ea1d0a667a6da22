"""A ciphertext is bound to the name of its table: those of queued messages are made anew."""

from django.db import migrations

from fintech_core.security import crypto
from fintech_core.security.encrypted_fields import Sealed

_COLUMNS = ("recipient", "context")


def _rebind(old, new):
    def rebind(apps, schema_editor):
        rows = apps.get_model("messaging", "Message").objects.filter(recipient__isnull=False).order_by("pk")
        for row in rows.iterator(500):
            for column in _COLUMNS:
                sealed = row.__dict__[column]
                if sealed is not None:
                    text = crypto.decrypt(sealed.token, place=f"{old}.{column}:{row.pk}")
                    setattr(row, column, Sealed(crypto.encrypt(text, place=f"{new}.{column}:{row.pk}")))
            row.save(update_fields=_COLUMNS)

    return rebind


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial")]

    operations = [
        migrations.RunPython(
            _rebind("users_message", "messaging_message"), _rebind("messaging_message", "users_message")
        )
    ]
