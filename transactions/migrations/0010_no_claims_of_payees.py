"""The payee's wallet carries no claim of somebody else's schedule any more; those that are there go."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("transactions", "0009_owners"),
        ("wallet", "0004_organizations"),
    ]

    operations = [
        migrations.RunSQL("DELETE FROM wallet_claim WHERE kind = 'schedule_payee'", reverse_sql=migrations.RunSQL.noop),
    ]
