"""Messages. Their table was made by `users`, whose migration 0019 renames it."""

from django.db import migrations, models

import fintech_core.db.ids
import fintech_core.security.encrypted_fields

_KINDS = [("email", "email"), ("sms", "text message")]
_STATES = [
    ("queued", "to be sent"),
    ("sent", "taken by the mail server or provider"),
    ("withheld", "there was nothing to send"),
    ("refused", "refused for good"),
    ("unknown", "perhaps sent: no answer in time"),
    ("expired", "not sent in time"),
]
_REFUSALS = [
    ("country", "country not served"),
    ("account_day", "cap per day of the account"),
    ("network_day", "cap per day of the network that asked"),
    ("prefix_hour", "cap per hour of its prefix"),
    ("prefix_day", "cap per day of its prefix"),
    ("all_hour", "cap per hour of all messages"),
    ("all_day", "cap per day of all messages"),
]


class Migration(migrations.Migration):
    dependencies = [("users", "0019_messages_move")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Message",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=fintech_core.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("kind", models.CharField(choices=_KINDS, max_length=8)),
                        ("template", models.CharField(max_length=40)),
                        ("recipient", fintech_core.security.encrypted_fields.EncryptedTextField(null=True)),
                        ("context", fintech_core.security.encrypted_fields.EncryptedTextField(null=True)),
                        ("state", models.CharField(choices=_STATES, default="queued", max_length=8)),
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        (
                            "refusal",
                            models.CharField(blank=True, choices=_REFUSALS, db_default="", default="", max_length=16),
                        ),
                        ("provider_code", models.IntegerField(null=True)),
                        ("provider_id", models.CharField(blank=True, max_length=64)),
                        ("created_at", models.DateTimeField()),
                        ("due_at", models.DateTimeField()),
                        ("expires_at", models.DateTimeField()),
                        ("settled_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                condition=models.Q(("state", "queued")), fields=["due_at"], name="message_due"
                            ),
                            models.Index(fields=["expires_at"], name="message_expiry"),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("kind__in", [value for value, _ in _KINDS])), name="message_kind"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("state__in", [value for value, _ in _STATES])),
                                name="message_state",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("refusal", ""),
                                    models.Q(("refusal__in", [value for value, _ in _REFUSALS]), ("state", "refused")),
                                    _connector="OR",
                                ),
                                name="message_refusal_has_reason",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(
                                        ("recipient__isnull", False),
                                        ("settled_at__isnull", True),
                                        ("state", "queued"),
                                    ),
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
            ],
        ),
    ]
