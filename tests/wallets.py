"""A person's wallets, and that nothing moved."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from django.db import connection

from tests.invariants import nothing_changes
from users.models import User
from wallet.models import Wallet


def wallet_of(user: User, currency: str = "USD") -> Wallet:
    return Wallet.objects.get(owner_user=user, currency=currency)


def balances(*users: User) -> list[Decimal]:
    return [wallet_of(user).balance for user in users]


@contextmanager
def nothing_moves() -> Iterator[None]:
    """INV-14, on the test's own connection."""
    with connection.cursor() as cursor, nothing_changes(cursor):  # type: ignore[arg-type]
        yield
