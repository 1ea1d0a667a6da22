"""Text messages are refused by account and by network, too."""

from django.db import migrations, models

REASONS = [
    ("country", "country not served"),
    ("account_day", "cap per day of the account"),
    ("network_day", "cap per day of the network that asked"),
    ("prefix_hour", "cap per hour of its prefix"),
    ("prefix_day", "cap per day of its prefix"),
    ("all_hour", "cap per hour of all messages"),
    ("all_day", "cap per day of all messages"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0016_code_networks"),
    ]

    operations = [
        migrations.AlterField(
            model_name="message",
            name="refusal",
            field=models.CharField(blank=True, choices=REASONS, db_default="", default="", max_length=16),
        ),
        migrations.RemoveConstraint(model_name="message", name="message_refusal_has_reason"),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("refusal", ""),
                    models.Q(("refusal__in", [value for value, _ in REASONS]), ("state", "refused")),
                    _connector="OR",
                ),
                name="message_refusal_has_reason",
            ),
        ),
    ]
