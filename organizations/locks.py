"""The organization is the business row of all that happens in it: it is locked first, then people, then wallets."""

import uuid
from collections.abc import Collection
from datetime import datetime

from fintech_core.exceptions import NotFound
from organizations.models import Organization


def lock_organization(organization_id: uuid.UUID) -> Organization:
    """The organization; its members, invitations and payout accounts change under this lock alone. Raises NotFound."""
    rows = Organization.objects.select_for_update(of=("self",), no_key=True)
    organization = rows.filter(pk=organization_id).first()
    if organization is None:
        raise NotFound
    return organization


def lock_open_organization(organization_id: uuid.UUID) -> bool:
    """Lock the organization's row for who needs nothing of it; False where it was closed, or never was."""
    rows = Organization.objects.filter(pk=organization_id, closed_at__isnull=True)
    return rows.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True).first() is not None


def lock_closed_organizations(*, closed_before: datetime, limit: int) -> list[Organization]:
    """Those that were closed by then and aren't erased yet. Rows that another transaction has locked are left to the
    next run."""
    rows = Organization.objects.filter(closed_at__lte=closed_before, tax_number__isnull=False).order_by(
        "closed_at", "pk"
    )
    return list(rows.select_for_update(of=("self",), no_key=True, skip_locked=True)[:limit])


def lock_organizations(organization_ids: Collection[uuid.UUID]) -> list[Organization]:
    """Several, by primary key."""
    rows = Organization.objects.select_for_update(of=("self",), no_key=True)
    return list(rows.filter(pk__in=organization_ids).order_by("pk"))
