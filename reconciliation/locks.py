"""Row locks of this room. The account is locked before anything of it: imports, runs and resolutions take turns."""

import uuid

from reconciliation.models import Break, ReconciledAccount


def lock_account(account_id: uuid.UUID) -> ReconciledAccount | None:
    rows = ReconciledAccount.objects.filter(pk=account_id).order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_break(break_id: uuid.UUID) -> Break | None:
    """The break under its account's lock."""
    account_id = Break.objects.filter(pk=break_id).values_list("account_id", flat=True).first()
    if account_id is None or lock_account(account_id) is None:
        return None
    rows = Break.objects.filter(pk=break_id).order_by("pk").select_related("account", "line", "entry")
    return rows.select_for_update(of=("self",), no_key=True).first()
