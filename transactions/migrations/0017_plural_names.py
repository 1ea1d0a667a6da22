"""The admin's names of several rows."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("transactions", "0016_unconfirmed_outflows"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="ledgerentry",
            options={"verbose_name_plural": "ledger entries"},
        ),
    ]
