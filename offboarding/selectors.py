"""Reads across the rooms about one person: the data export, and texts that are still to be erased."""

import uuid
from datetime import datetime
from typing import Any

from compliance.selectors import submissions_of
from users.models import ApiKey, Session, User
from wallet.models import Wallet
from wallet.selectors import with_figures

_NEWEST = 200


def personal_data_of(user_id: uuid.UUID, *, now: datetime) -> dict[str, Any]:
    """What the rooms below know of a person, bounded. Their transactions are paged by the caller."""
    return {
        "profile": User.objects.get(pk=user_id),
        "sessions": Session.objects.filter(user_id=user_id).order_by("-created_at", "-pk")[:_NEWEST],
        "api_keys": ApiKey.objects.filter(user_id=user_id).order_by("-created_at", "-pk")[:_NEWEST],
        "kyc_submissions": submissions_of(user_id)[:_NEWEST],
        "wallets": with_figures(Wallet.objects.filter(owner_user_id=user_id), now=now).order_by("pk")[:_NEWEST],
    }


def erased_with_texts(*, limit: int) -> list[uuid.UUID]:
    """Persons who were erased and whose texts may still be there; the longest waiting first."""
    rows = User.objects.filter(erased_at__isnull=False, texts_erased_at__isnull=True)
    return list(rows.order_by("erased_at", "pk").values_list("pk", flat=True)[:limit])
