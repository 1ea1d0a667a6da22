"""The plain columns go, and the ciphertexts get their rules. Apart from the encryption: PostgreSQL won't alter a table
whose rows the same transaction has changed."""

from django.db import migrations, models
from django.db.models import Q

from fintech_core.security.encrypted_fields import EncryptedTextField

_NAMES = ("email", "phone", "first_name", "last_name")


class Migration(migrations.Migration):
    dependencies = [("users", "0004_personal_data")]

    operations = [
        *(migrations.RemoveField(model, f"plain_{name}") for model in ("user", "registration") for name in _NAMES),
        migrations.AlterField("registration", "email", EncryptedTextField()),
        migrations.AddIndex("registration", models.Index(fields=["email_index_a"], name="registration_email_a")),
        migrations.AddIndex("registration", models.Index(fields=["email_index_b"], name="registration_email_b")),
        *(
            migrations.AddConstraint(
                "user", models.UniqueConstraint(fields=[f"email_index_{slot}"], name=f"user_email_once_{slot}")
            )
            for slot in ("a", "b")
        ),
        *(
            migrations.AddConstraint(
                "user",
                models.UniqueConstraint(
                    fields=[f"phone_index_{slot}"],
                    condition=Q(phone_verified_at__isnull=False),
                    name=f"user_verified_phone_once_{slot}",
                ),
            )
            for slot in ("a", "b")
        ),
        migrations.AddConstraint(
            "user",
            models.CheckConstraint(
                condition=Q(email_verified_at__isnull=True) | Q(email__isnull=False),
                name="user_verified_email_is_there",
            ),
        ),
        migrations.AddConstraint(
            "user",
            models.CheckConstraint(
                condition=Q(phone_verified_at__isnull=True) | Q(phone__isnull=False),
                name="user_verified_phone_is_there",
            ),
        ),
        migrations.AddConstraint(
            "user",
            models.CheckConstraint(
                condition=Q(email__isnull=False) | Q(phone__isnull=False) | Q(is_active=False),
                name="user_can_be_reached",
            ),
        ),
    ]
