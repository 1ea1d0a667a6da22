"""The one clock: what time it is, and when this transaction began, for the product and its triggers.

A clock that is set back must not give a transaction a time before its own start, hence `greatest`. That an event is
dated at the start of its transaction, before that transaction had an id, is what tells which times are final
(`finality.py`).
"""

from django.db import migrations, models

import fintech_core.db.clock

CREATE = """
    CREATE FUNCTION public.ledger_clock() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
        AS 'SELECT greatest(pg_catalog.clock_timestamp(), pg_catalog.transaction_timestamp())';
    CREATE FUNCTION public.ledger_transaction_start() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
        AS 'SELECT pg_catalog.transaction_timestamp()';
"""
DROP = """
    DROP FUNCTION public.ledger_transaction_start();
    DROP FUNCTION public.ledger_clock();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("fintech_core", "0007_ledger_transaction_ids"),
    ]

    operations = [
        migrations.RunSQL(CREATE, DROP),
        migrations.AlterField(
            model_name="outboxevent",
            name="created_at",
            field=models.DateTimeField(db_default=fintech_core.db.clock.TransactionStart()),
        ),
    ]
