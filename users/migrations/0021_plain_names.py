"""The name of a constraint in the terms of docs/glossary.md: renamed, so that no row is checked again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0020_registration_mails_are_messages"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE users_user RENAME CONSTRAINT user_erased_is_nobody TO user_erased_is_anonymous",
                    "ALTER TABLE users_user RENAME CONSTRAINT user_erased_is_anonymous TO user_erased_is_nobody",
                ),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="user", name="user_erased_is_nobody"),
                migrations.AddConstraint(
                    model_name="user",
                    constraint=models.CheckConstraint(
                        condition=models.Q(
                            ("erased_at__isnull", True),
                            models.Q(
                                ("email__isnull", True),
                                ("email_index_a__isnull", True),
                                ("email_index_b__isnull", True),
                                ("first_name__isnull", True),
                                ("is_active", False),
                                ("last_name__isnull", True),
                                ("phone__isnull", True),
                                ("phone_index_a__isnull", True),
                                ("phone_index_b__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="user_erased_is_anonymous",
                    ),
                ),
            ],
        ),
    ]
