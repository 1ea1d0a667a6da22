"""Tokens for a new password; where a session was opened from."""

import django.db.models.deletion
import fintech_core.security.encrypted_fields
import fintech_core.db.ids
from django.conf import settings
from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0009_erasure"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="ip",
            field=fintech_core.security.encrypted_fields.EncryptedTextField(empty=True, null=True),
        ),
        migrations.CreateModel(
            name="PasswordReset",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("token_hash", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user",), name="password_reset_once_per_user"),
                    models.UniqueConstraint(fields=("token_hash",), name="password_reset_token_once"),
                    models.CheckConstraint(
                        condition=models.Q(("expires_at__gt", models.F("created_at"))),
                        name="password_reset_expires_later",
                    ),
                ],
            },
        ),
        GrantToApp(
            "users_passwordreset",
            insert=True,
            update=("token_hash", "created_at", "expires_at", "used_at"),
            delete=True,
        ),
        # To forget where sessions came from when a person is erased, and to encrypt it anew when keys rotate.
        migrations.RunSQL(
            "GRANT UPDATE (ip, user_agent) ON users_session TO fintech_app",
            "REVOKE UPDATE (ip, user_agent) ON users_session FROM fintech_app",
        ),
    ]
