"""Row locks of this room, and their order.

The account is locked before anything of it: imports, runs, resolutions, proposals, matches that are taken back, and its
external accounts take turns. Then the row itself; after that the ledger's own locks, where an adjustment is posted.
"""

import uuid
from typing import Any, TypeVar

from django.db.models import QuerySet

from reconciliation.models import Break, ExternalAccount, Match, Proposal, ReconciledAccount

T = TypeVar("T", Break, ExternalAccount, Match, Proposal)


def lock_account(account_id: uuid.UUID) -> ReconciledAccount | None:
    rows = ReconciledAccount.objects.filter(pk=account_id).order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_break(break_id: uuid.UUID) -> Break | None:
    """The break under its account's lock."""
    return _below_account(Break.objects.select_related("account", "line", "entry"), break_id)


def lock_match(match_id: uuid.UUID) -> Match | None:
    """The match under its account's lock."""
    return _below_account(Match.objects.select_related("account"), match_id)


def lock_proposal(proposal_id: uuid.UUID) -> Proposal | None:
    """The proposal under its account's lock."""
    return _below_account(Proposal.objects.select_related("account"), proposal_id)


def lock_external_account(external_id: uuid.UUID) -> ExternalAccount | None:
    """The external account under its clearing account's lock."""
    return _below_account(ExternalAccount.objects.select_related("account"), external_id)


def _below_account(rows: QuerySet[T, Any], key: uuid.UUID) -> T | None:
    account_id = rows.filter(pk=key).values_list("account_id", flat=True).first()
    if account_id is None or lock_account(account_id) is None:
        return None
    return rows.filter(pk=key).order_by("pk").select_for_update(of=("self",), no_key=True).first()
