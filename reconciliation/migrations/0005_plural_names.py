"""The admin's names of several rows."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0004_accounts_and_lines_of_statements"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="match",
            options={"verbose_name_plural": "matches"},
        ),
        migrations.AlterModelOptions(
            name="matchedentry",
            options={"verbose_name_plural": "matched entries"},
        ),
    ]
