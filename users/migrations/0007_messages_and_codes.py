"""Mails and text messages to be sent, and one-time codes."""

import fintech_core.security.encrypted_fields
import fintech_core.db.ids
from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0006_familiar_networks"),
    ]

    operations = [
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(choices=[("email", "email"), ("sms", "text message")], max_length=8)),
                ("template", models.CharField(max_length=40)),
                ("recipient", fintech_core.security.encrypted_fields.EncryptedTextField(null=True)),
                ("context", fintech_core.security.encrypted_fields.EncryptedTextField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "to be sent"),
                            ("sent", "taken by the mail server or provider"),
                            ("withheld", "there was nothing to send"),
                            ("refused", "refused for good"),
                            ("unknown", "perhaps sent: no answer in time"),
                            ("expired", "not sent in time"),
                        ],
                        default="queued",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("provider_code", models.IntegerField(null=True)),
                ("provider_id", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("state", "queued")), fields=["due_at"], name="message_due"),
                    models.Index(fields=["expires_at"], name="message_expiry"),
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("kind__in", ["email", "sms"])), name="message_kind"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["queued", "sent", "withheld", "refused", "unknown", "expired"])
                        ),
                        name="message_state",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("recipient__isnull", False), ("settled_at__isnull", True), ("state", "queued")),
                            models.Q(
                                models.Q(("state", "queued"), _negated=True),
                                ("context__isnull", True),
                                ("recipient__isnull", True),
                                ("settled_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="message_is_forgotten_once_settled",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="OneTimeCode",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("agent_log_in", "log-in by text message"),
                            ("client_log_in", "log-in by mail"),
                            ("step_up", "a sensitive request"),
                            ("email_change", "a new email address"),
                            ("phone_change", "a new phone number"),
                        ],
                        max_length=16,
                    ),
                ),
                ("subject", models.BinaryField(max_length=32)),
                ("binding", models.BinaryField(max_length=32)),
                ("code_digest", models.BinaryField(max_length=32)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="code_expiry")],
                "constraints": [
                    models.UniqueConstraint(fields=("purpose", "subject"), name="code_once_per_subject"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "purpose__in",
                                ["agent_log_in", "client_log_in", "step_up", "email_change", "phone_change"],
                            )
                        ),
                        name="code_purpose",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("expires_at__gt", models.F("created_at"))), name="code_expires_later"
                    ),
                ],
            },
        ),
        GrantToApp(
            "users_message",
            insert=True,
            update=(
                "recipient",
                "context",
                "state",
                "attempts",
                "provider_code",
                "provider_id",
                "due_at",
                "settled_at",
            ),
            delete=True,
        ),
        GrantToApp(
            "users_onetimecode",
            insert=True,
            update=("binding", "code_digest", "created_at", "expires_at", "used_at"),
            delete=True,
        ),
    ]
