"""What erased persons wrote on their transactions is erased after them, by a job."""

from django.db import migrations, models

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0010_password_resets"),
    ]

    operations = [
        GrantToApp("users_apikey", update=("name",)),
        migrations.RemoveConstraint(
            model_name="session",
            name="session_end_has_reason",
        ),
        migrations.AddField(
            model_name="user",
            name="texts_erased_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="session",
            name="end_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("logout", "logged out"),
                    ("reuse", "a spent refresh token was used again"),
                    ("administrator", "ended by an administrator"),
                    ("deactivated", "account deactivated"),
                    ("role_changed", "role changed"),
                    ("password_changed", "password changed"),
                    ("second_factor_changed", "second factor changed"),
                    ("erased", "person erased"),
                ],
                max_length=24,
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                condition=models.Q(("erased_at__isnull", False)), fields=["erased_at"], name="user_erased"
            ),
        ),
        migrations.AddConstraint(
            model_name="session",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("end_reason", ""), ("ended_at__isnull", True)),
                    models.Q(
                        (
                            "end_reason__in",
                            [
                                "logout",
                                "reuse",
                                "administrator",
                                "deactivated",
                                "role_changed",
                                "password_changed",
                                "second_factor_changed",
                                "erased",
                            ],
                        ),
                        ("ended_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="session_end_has_reason",
            ),
        ),
    ]
