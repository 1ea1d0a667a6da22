"""One-time codes per requesting network; log-in by mailed codes can be switched off."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0015_sms_refusals"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="onetimecode",
            name="code_once_per_subject",
        ),
        migrations.AddField(
            model_name="onetimecode",
            name="network",
            field=models.BinaryField(db_default=b"", max_length=32),
        ),
        migrations.AddField(
            model_name="user",
            name="email_code_log_in",
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddConstraint(
            model_name="onetimecode",
            constraint=models.UniqueConstraint(fields=("purpose", "subject", "network"), name="code_once_per_network"),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("email_code_log_in", True),
                    models.Q(
                        ("email_verified_at__isnull", False), models.Q(("password__startswith", "!"), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="user_without_code_log_in_has_password",
            ),
        ),
    ]
