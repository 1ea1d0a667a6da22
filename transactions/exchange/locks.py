"""The lock of a quote, before its wallets, and that of a load of exchange rates."""

import uuid

from django.db import connection

from transactions.exchange.models import ExchangeQuote


def lock_quote(quote_id: uuid.UUID) -> ExchangeQuote | None:
    """The business row of an exchange, before its wallets; the source is read with it, for whose it is."""
    rows = ExchangeQuote.objects.filter(pk=quote_id).select_related("source_wallet")
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_rates() -> None:
    """One load of exchange rates after another, until COMMIT: an advisory lock, as loads share no permanent row.

    Two sources may load one day, and each set is compared with what is loaded.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('transactions.exchange_rates', 0))")
