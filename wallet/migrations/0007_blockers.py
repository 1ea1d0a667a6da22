"""What keeps a wallet open is a blocker, in the terms of docs/glossary.md: table, constraints and index are renamed.

After the migrations of the rooms above that name the table by its old name.
"""

import datetime

from django.db import migrations, models


def renamed(old: str, new: str) -> migrations.RunSQL:
    statement = "ALTER TABLE wallet_blocker RENAME CONSTRAINT {} TO {}"
    return migrations.RunSQL(statement.format(old, new), statement.format(new, old))


class Migration(migrations.Migration):
    dependencies = [
        ("wallet", "0006_plain_names"),
        ("payments", "0003_reviews_keep_the_wallet"),
        ("transactions", "0010_no_claims_of_payees"),
    ]

    operations = [
        migrations.RenameModel("Claim", "Blocker"),
        migrations.AlterField(
            model_name="blocker",
            name="wallet",
            field=models.ForeignKey(on_delete=models.deletion.PROTECT, related_name="blockers", to="wallet.wallet"),
        ),
        migrations.RenameIndex(model_name="blocker", old_name="claim_due", new_name="blocker_due"),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                renamed("claim_once", "blocker_once"),
                renamed("claim_times_finite", "blocker_times_finite"),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="blocker", name="claim_once"),
                migrations.RemoveConstraint(model_name="blocker", name="claim_times_finite"),
                migrations.AddConstraint(
                    model_name="blocker",
                    constraint=models.UniqueConstraint(fields=("kind", "ref"), name="blocker_once"),
                ),
                migrations.AddConstraint(
                    model_name="blocker",
                    constraint=models.CheckConstraint(
                        condition=models.Q(
                            (
                                "expires_at__range",
                                (
                                    datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.UTC),
                                    datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.UTC),
                                ),
                            )
                        ),
                        name="blocker_times_finite",
                    ),
                ),
            ],
        ),
    ]
