"""The admin's names of several rows."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0004_no_intents_on_closed_wallets"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="simulatordelivery",
            options={"verbose_name_plural": "simulator deliveries"},
        ),
    ]
