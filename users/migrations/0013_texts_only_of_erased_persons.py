"""Texts are gone of erased persons only; stored answers of those who are staff today count as answers to staff."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0012_step_up"),
        ("fintech_core", "0010_answers_to_staff"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("texts_erased_at__isnull", True), ("erased_at__isnull", False), _connector="OR"),
                name="user_texts_of_erased",
            ),
        ),
        migrations.RunSQL(
            """
            UPDATE fintech_core_idempotencyrecord r SET by_staff = true FROM users_user u
            WHERE u.id = r.principal_id AND r.principal_kind = 'user'
              AND u.role NOT IN ('client', 'agent', 'agency_admin')
            """,
            migrations.RunSQL.noop,
        ),
    ]
