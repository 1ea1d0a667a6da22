"""What an applicant said of themselves becomes ciphertexts. What stands in plain columns is encrypted here.

The trigger that keeps submissions as they were is away meanwhile; the next migration brings it back.
"""

import pgtrigger.migrations
from django.db import migrations, models

from fintech_core.security.encrypted_fields import EncryptedDateField
from fintech_core.security.encrypted_fields import EncryptedTextField

_FIELDS = {
    "first_name": (models.CharField(max_length=100, default=""), EncryptedTextField(null=True)),
    "last_name": (models.CharField(max_length=100, default=""), EncryptedTextField(null=True)),
    "date_of_birth": (models.DateField(null=True), EncryptedDateField(null=True)),
    "address": (models.CharField(max_length=500, default=""), EncryptedTextField(null=True)),
    "document_number": (models.CharField(max_length=32, default=""), EncryptedTextField(null=True)),
}
_BATCH = 500


def _copy(apps, *, source, target):
    for row in apps.get_model("compliance", "KycSubmission").objects.order_by("pk").iterator(_BATCH):
        for name in _FIELDS:
            setattr(row, target.format(name), getattr(row, source.format(name)))
        row.save(update_fields=[target.format(name) for name in _FIELDS])


def _encrypt(apps, schema_editor):
    _copy(apps, source="plain_{}", target="{}")


def _decrypt(apps, schema_editor):
    _copy(apps, source="{}", target="plain_{}")


class Migration(migrations.Migration):
    dependencies = [("compliance", "0001_initial")]

    operations = [
        pgtrigger.migrations.RemoveTrigger(model_name="kycsubmission", name="kyc_submission_map"),
        *(migrations.RenameField("kycsubmission", name, f"plain_{name}") for name in _FIELDS),
        *(migrations.AlterField("kycsubmission", f"plain_{name}", plain) for name, (plain, _) in _FIELDS.items()),
        *(migrations.AddField("kycsubmission", name, sealed) for name, (_, sealed) in _FIELDS.items()),
        migrations.RunPython(_encrypt, _decrypt),
    ]
