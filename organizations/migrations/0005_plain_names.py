"""The name of a constraint in the terms of docs/glossary.md: renamed, so that no row is checked again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0004_claims_in_turn"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE organizations_payoutaccount RENAME CONSTRAINT payout_account_archived_by_somebody TO payout_account_archival_complete",
                    "ALTER TABLE organizations_payoutaccount RENAME CONSTRAINT payout_account_archival_complete TO payout_account_archived_by_somebody",
                ),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="payoutaccount", name="payout_account_archived_by_somebody"),
                migrations.AddConstraint(
                    model_name="payoutaccount",
                    constraint=models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("archived_at__isnull", True), ("archived_by__isnull", True)),
                            models.Q(("archived_at__isnull", False), ("archived_by__isnull", False)),
                            _connector="OR",
                        ),
                        name="payout_account_archival_complete",
                    ),
                ),
            ],
        ),
    ]
