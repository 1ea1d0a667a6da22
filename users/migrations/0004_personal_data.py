"""Addresses, numbers and names become ciphertexts with blind indexes. What stands in plain columns is encrypted here."""

from django.db import migrations, models

from fintech_core.security.encrypted_fields import BlindIndexField
from fintech_core.security.encrypted_fields import EncryptedTextField

_NAMES = ("email", "phone", "first_name", "last_name")
_INDEXED = {"user": ("email", "phone"), "registration": ("email",)}
_BATCH = 500


def _encrypt(apps, schema_editor):
    for name in _INDEXED:
        model = apps.get_model("users", name)
        columns = list(_NAMES)
        for source in _INDEXED[name]:
            columns += [f"{source}_index_a", f"{source}_index_b"]
        last = None
        while True:
            rows = model.objects.order_by("pk")
            batch = list((rows.filter(pk__gt=last) if last else rows)[:_BATCH])
            if not batch:
                break
            for row in batch:
                for column in _NAMES:
                    setattr(row, column, getattr(row, f"plain_{column}"))
                row.save(update_fields=columns)
            last = batch[-1].pk


def _decrypt(apps, schema_editor):
    for name in _INDEXED:
        for row in apps.get_model("users", name).objects.order_by("pk").iterator(_BATCH):
            for column in _NAMES:
                setattr(row, f"plain_{column}", getattr(row, column))
            row.save(update_fields=[f"plain_{column}" for column in _NAMES])


def _renamed():
    return [migrations.RenameField(model, name, f"plain_{name}") for model in _INDEXED for name in _NAMES] + [
        # So that the way back can add them empty before it decrypts.
        migrations.AlterField("user", "plain_email", models.EmailField(max_length=254, default="")),
        migrations.AlterField("registration", "plain_email", models.EmailField(max_length=254, default="")),
    ]


def _added():
    operations = []
    for model, indexed in _INDEXED.items():
        for name in _NAMES:
            operations.append(
                migrations.AddField(
                    model, name, EncryptedTextField(empty=True) if "name" in name else EncryptedTextField(null=True)
                )
            )
        for name in indexed:
            for slot in ("a", "b"):
                field = BlindIndexField(purpose=name, slot=slot, source=name)
                operations.append(migrations.AddField(model, f"{name}_index_{slot}", field))
    return operations


class Migration(migrations.Migration):
    dependencies = [("users", "0003_api_keys")]

    operations = [
        migrations.RemoveConstraint("user", "user_email_once"),
        migrations.RemoveConstraint("user", "user_verified_phone_once"),
        migrations.RemoveConstraint("user", "user_email_lower_case"),
        migrations.RemoveConstraint("user", "user_verified_phone_is_there"),
        migrations.RemoveConstraint("registration", "registration_email_lower_case"),
        migrations.RemoveIndex("registration", "registration_email"),
        *_renamed(),
        *_added(),
        migrations.RunPython(_encrypt, _decrypt),
    ]
