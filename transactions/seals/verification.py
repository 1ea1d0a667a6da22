"""Recomputes the books from their rows: what `verify_ledger` reports. Reads only, in one snapshot, at bounded memory.

Nothing here trusts the triggers: sums, chains, hashes and states are worked out again from what is stored.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import localcontext
from typing import Any

from django.db import connection

from transactions.ledger import hashing, journal
from transactions.ledger.enums import Direction
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.seals import seal_verification
from transactions.seals.findings import Finding, Progress
from wallet.models import Wallet, genesis

CHUNK = 2_000


# Set-based checks: each selects its bad rows as (id, what is wrong), first one first.
_QUERIES: dict[str, str] = {
    "zero sum per transaction and currency": """
        SELECT transaction_id, 'signed entries in ' || currency || ' add up to '
            || sum(CASE direction WHEN 'CREDIT' THEN amount ELSE -amount END)
        FROM transactions_ledgerentry GROUP BY transaction_id, currency
        HAVING sum(CASE direction WHEN 'CREDIT' THEN amount ELSE -amount END) <> 0 ORDER BY 1 LIMIT 1""",
    "zero sum per currency": """
        SELECT currency, 'all balances add up to ' || sum(balance) FROM wallet_wallet
        GROUP BY currency HAVING sum(balance) <> 0 ORDER BY 1 LIMIT 1""",
    "held is what active holds reserve": """
        SELECT w.id, 'held is ' || w.held || ', its active holds reserve ' || coalesce(h.reserved, 0)
        FROM wallet_wallet w LEFT JOIN (
            SELECT wallet_id, sum(amount - captured - released) AS reserved FROM transactions_hold
            WHERE status = 'ACTIVE' GROUP BY wallet_id) h ON h.wallet_id = w.id
        WHERE w.held <> coalesce(h.reserved, 0) ORDER BY 1 LIMIT 1""",
    "floors": """
        SELECT id, 'available is ' || balance - held || ', its floor ' || floor FROM wallet_wallet
        WHERE balance - held < floor ORDER BY 1 LIMIT 1""",
    "closed wallets are empty": """
        SELECT id, 'CLOSED with a balance of ' || balance FROM wallet_wallet
        WHERE status = 'CLOSED' AND (balance <> 0 OR held <> 0) ORDER BY 1 LIMIT 1""",
    "posted transactions have entries": """
        SELECT t.id, t.status || ' without entries' FROM transactions_transaction t
        WHERE t.status IN ('POSTED', 'REVERSED')
          AND NOT EXISTS (SELECT 1 FROM transactions_ledgerentry e WHERE e.transaction_id = t.id) ORDER BY 1 LIMIT 1""",
    "unposted transactions have none": """
        SELECT t.id, t.status || ' with entries' FROM transactions_transaction t
        WHERE t.status NOT IN ('POSTED', 'REVERSED')
          AND EXISTS (SELECT 1 FROM transactions_ledgerentry e WHERE e.transaction_id = t.id) ORDER BY 1 LIMIT 1""",
    "captures add up to what their holds say": """
        SELECT h.id, 'captured is ' || h.captured || ', its captures posted ' || coalesce(sum(e.amount), 0)
        FROM transactions_hold h LEFT JOIN transactions_transaction t ON t.hold_id = h.id
        LEFT JOIN transactions_ledgerentry e
            ON e.transaction_id = t.id AND e.wallet_id = h.wallet_id AND e.direction = 'DEBIT'
            AND e.leg = 0  -- the others are fees, which come out of what is available
        GROUP BY h.id HAVING h.captured <> coalesce(sum(e.amount), 0) ORDER BY 1 LIMIT 1""",
    "holds that are over add up": """
        SELECT id, status || ' with ' || captured || ' captured and ' || released || ' released of ' || amount
        FROM transactions_hold WHERE (status = 'ACTIVE') <> (captured + released < amount)
           OR captured + released > amount ORDER BY 1 LIMIT 1""",
    "reversals and reversed go together": """
        SELECT t.id, 'status ' || t.status || ', reversal ' || coalesce(r.id::text, 'none')
        FROM transactions_transaction t LEFT JOIN transactions_transaction r ON r.reverses_id = t.id
        WHERE (t.status = 'REVERSED') <> (r.id IS NOT NULL) ORDER BY 1 LIMIT 1""",
    "legs are paired": """
        SELECT transaction_id, 'leg ' || leg || ' has not one debit and one credit of one amount'
        FROM transactions_ledgerentry GROUP BY transaction_id, leg
        HAVING count(*) <> 2 OR count(DISTINCT direction) <> 2 OR count(DISTINCT (amount, currency)) <> 1
        ORDER BY 1 LIMIT 1""",
}


def row_count() -> int:
    """How many rows the walks below will report progress on."""
    rows = LedgerEntry.objects.count() + Transaction.objects.count() + Wallet.objects.count()
    return rows + seal_verification.row_count()


def verify(progress: Progress = lambda _: None, *, exported: Iterable[str] = ()) -> list[Finding]:
    """The first bad row of every kind; none when the books are right. Call inside read_only_snapshot().

    `exported` are the lines of a file of seals kept elsewhere (`export_seals`).
    """
    queries = {**_QUERIES, **seal_verification.QUERIES}
    findings = [finding for check, query in queries.items() if (finding := _run_query(check, query))]
    walks = (
        _walk_chains(progress),
        _walk_wallets(progress),
        _walk_texts(progress),
        seal_verification.walk_audit_chain(progress),
        seal_verification.walk_seals(progress),
        seal_verification.compare_exported(exported),
    )
    with localcontext(prec=60):  # balances have up to 38 digits, the default context 28
        findings += _walked(walks)
    return findings


def _walked(walks: Iterable[Iterator[Finding]]) -> list[Finding]:
    findings = []
    for walk in walks:
        seen: set[str] = set()
        for finding in walk:
            if finding.check not in seen:
                seen.add(finding.check)
                findings.append(finding)
    return findings


def _run_query(check: str, query: str) -> Finding | None:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return Finding(check, str(row[0]), row[1]) if row else None


@dataclass(slots=True)
class _Chain:
    """Where a wallet's walk has got to."""

    wallet: Wallet
    sequence: int
    balance: Any
    head: bytes
    posted_at: Any = None


def _walk_chains(progress: Progress) -> Iterator[Finding]:
    """Every entry in order of wallet and sequence: gaps, balances, times and hashes."""
    entries = LedgerEntry.objects.select_related("wallet", "transaction").order_by("wallet_id", "sequence")
    chain: _Chain | None = None
    for entry in entries.iterator(chunk_size=CHUNK):
        if chain is None or chain.wallet.pk != entry.wallet_id:
            if chain is not None:
                yield from _check_end(chain)
            chain = _Chain(entry.wallet, 0, 0, genesis(entry.wallet_id))
        yield from _check_entry(chain, entry)
        progress(1)
    if chain is not None:
        yield from _check_end(chain)


def _check_entry(chain: _Chain, entry: LedgerEntry) -> Iterator[Finding]:
    change = entry.amount if entry.direction == Direction.CREDIT else -entry.amount
    if entry.sequence != chain.sequence + 1:
        yield Finding("sequences", str(entry.pk), f"sequence {entry.sequence} follows {chain.sequence}")
    if entry.balance_after != chain.balance + change:
        yield Finding("running balances", str(entry.pk), f"{entry.balance_after}, expected {chain.balance + change}")
    if entry.posted_at != entry.transaction.posted_at or (chain.posted_at and entry.posted_at < chain.posted_at):
        yield Finding("posting times", str(entry.pk), f"{entry.posted_at} after {chain.posted_at}")
    facts = journal.facts_of(entry.transaction)
    expected = hashing.entry_hash(entry, previous=chain.head, facts=facts, exponent=chain.wallet.exponent)
    if bytes(entry.hash) != expected:
        yield Finding("hash chain", str(entry.pk), f"sequence {entry.sequence} of wallet {entry.wallet_id}")
    chain.sequence, chain.balance, chain.head = entry.sequence, entry.balance_after, bytes(entry.hash)
    chain.posted_at = entry.posted_at


def _check_end(chain: _Chain) -> Iterator[Finding]:
    wallet = chain.wallet
    stored = (wallet.balance, wallet.sequence, bytes(wallet.head), wallet.last_posted_at)
    if stored != (chain.balance, chain.sequence, chain.head, chain.posted_at):
        problem = f"balance {wallet.balance} at {wallet.sequence}, entries say {chain.balance} at {chain.sequence}"
        yield Finding("wallet figures", str(wallet.pk), problem)


def _walk_wallets(progress: Progress) -> Iterator[Finding]:
    """Wallets without entries: still at their genesis."""
    untouched = Wallet.objects.filter(entries__isnull=True).order_by("pk")
    for wallet in untouched.iterator(chunk_size=CHUNK):
        if (wallet.balance, wallet.sequence, bytes(wallet.head)) != (0, 0, genesis(wallet.pk)):
            problem = f"balance {wallet.balance} at {wallet.sequence} without entries"
            yield Finding("wallet figures", str(wallet.pk), problem)
    progress(Wallet.objects.count())


def _walk_texts(progress: Progress) -> Iterator[Finding]:
    """Descriptions and metadata against their digests, where they weren't erased."""
    for transaction in Transaction.objects.order_by("pk").iterator(chunk_size=CHUNK):
        progress(1)
        if transaction.salt is None:
            continue
        digest = hashing.text_digest(
            salt=bytes(transaction.salt), description=transaction.description, metadata=transaction.metadata
        )
        if digest != transaction.text_digest:
            yield Finding("texts", str(transaction.pk), "description or metadata differ from their digest")


def account_totals() -> list[dict[str, Any]]:
    """Balances by currency and system account code ("customers" for the rest): what the demo and operators look at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT currency, coalesce(account_code, 'customers'), count(*), sum(balance), max(exponent)"
            " FROM wallet_wallet GROUP BY 1, 2 HAVING sum(sequence) > 0 ORDER BY 1, 2"
        )
        names = ("currency", "account", "wallets", "balance", "exponent")
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
