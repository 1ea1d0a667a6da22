"""Maximum balances of customers' wallets."""

from django.conf import settings
from django.db import migrations, models

from fintech_core.db.grants import APP


class Migration(migrations.Migration):
    dependencies = [
        ("wallet", "0002_claim_expiry"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="wallet",
            name="maximum_balance",
            field=models.DecimalField(blank=True, decimal_places=8, max_digits=38, null=True),
        ),
        migrations.AddConstraint(
            model_name="wallet",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("maximum_balance__isnull", True),
                    models.Q(("account_code__isnull", True), ("maximum_balance__gte", 0)),
                    _connector="OR",
                ),
                name="wallet_maximum_of_customers",
            ),
        ),
        # Not GrantToApp: undone, that takes every right on the table.
        migrations.RunSQL(
            f'GRANT UPDATE ("maximum_balance") ON "wallet_wallet" TO {APP}',
            f'REVOKE UPDATE ("maximum_balance") ON "wallet_wallet" FROM {APP}',
        ),
    ]
