"""What must exist in a migrated database: roles for the admin, system accounts. Idempotent; run after every migrate."""

from transactions.ledger.accounts import ensure_accounts
from users.roles import ensure_roles


def ensure_all() -> None:
    ensure_roles()
    ensure_accounts()
