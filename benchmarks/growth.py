"""Grows the journal by millions of entries, as the superuser and without triggers: years of other people's history."""

from rich.console import Console
from rich.progress import Progress

from benchmarks.stage import Stage

CHUNK = 100_000  # transactions per statement
WALLETS = 5_000

_MAKE_WALLETS = """
    INSERT INTO public.wallet_wallet (id, account_code, lane, currency, exponent, status, balance, held, sequence, head,
            created_at)
    SELECT gen_random_uuid(), 'history', n, 'USD', 2, 'ACTIVE', 0, 0, 0, sha256(n::text::bytea), now()
    FROM generate_series(1, %s) n
"""
_GROW = """
    WITH wallets AS (
        SELECT array_agg(id ORDER BY lane) AS ids FROM public.wallet_wallet WHERE account_code = 'history'
    ), t AS MATERIALIZED (
        SELECT uuidv7() AS id, n, ids[1 + n %% %(wallets)s] AS source, ids[1 + (n + 1) %% %(wallets)s] AS destination
        FROM wallets, generate_series(%(start)s::bigint, %(start)s::bigint + %(count)s - 1) n
    ), made AS (
        INSERT INTO public.transactions_transaction (id, kind, status, source_owner, initiator_kind, description,
            metadata, text_digest, effective_at, posted_at, created_at)
        SELECT id, 'TRANSFER', 'POSTED', NULL, 'system', '', '{}', repeat('0', 64), now(), now(), now() FROM t
    )
    INSERT INTO public.transactions_ledgerentry (id, transaction_id, leg, wallet_id, direction, amount, currency,
        sequence, balance_after, posted_at, hash)
    SELECT uuidv7(), id, 0, source, 'DEBIT', 1, 'USD', 2 * n + 1, 0, now(), sha256(id::text::bytea) FROM t
    UNION ALL
    SELECT uuidv7(), id, 0, destination, 'CREDIT', 1, 'USD', 2 * n + 2, 0, now(), sha256(id::text::bytea) FROM t
"""


def grow(stage: Stage, entries: int, console: Console) -> None:
    with stage.superuser() as connection, Progress(console=console) as progress:
        bar = progress.add_task(f"growing the journal by {entries:,} entries", total=entries // 2)
        connection.execute("SET session_replication_role = replica")
        connection.execute(_MAKE_WALLETS, [WALLETS])
        for start in range(0, entries // 2, CHUNK):
            count = min(CHUNK, entries // 2 - start)
            connection.execute(_GROW, {"wallets": WALLETS, "start": start, "count": count})
            progress.advance(bar, count)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
