"""Users can be erased: the row stays, without a person."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0008_second_factors"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="erased_at",
            field=models.DateTimeField(null=True),
        ),
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
                name="user_erased_is_nobody",
            ),
        ),
    ]
