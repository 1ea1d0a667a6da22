"""The locks of identity. A user is a business row, locked before any wallet (ARCHITECTURE.md, Lock order)."""

import uuid
from collections.abc import Collection

from fintech_core.exceptions import NotFound
from fintech_core.security.encrypted_fields import indexed
from users.models import Registration, User


def lock_user(user_id: uuid.UUID) -> User:
    """The user, held against other changes until commit. Raises NotFound, also where the person was erased."""
    rows = User.objects.select_for_update(of=("self",), no_key=True)
    user = rows.filter(pk=user_id, erased_at__isnull=True).first()
    if user is None:
        raise NotFound
    return user


def lock_living_user(user_id: uuid.UUID) -> bool:
    """Lock the user's row for who needs nothing of it; False where the person was erased, or never was."""
    rows = User._base_manager.filter(pk=user_id, erased_at__isnull=True)
    return rows.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True).first() is not None


def lock_users(user_ids: Collection[uuid.UUID]) -> list[User]:
    """Several users in primary-key order, so that two who lock the same ones never wait for each other in a circle."""
    rows = User.objects.select_for_update(of=("self",), no_key=True)
    return list(rows.filter(pk__in=user_ids).order_by("pk"))


def lock_registrations(email: str) -> list[Registration]:
    """All pending registrations of an address in primary-key order, so that of two being proved one goes first."""
    return list(Registration.objects.select_for_update(of=("self",)).filter(**indexed("email", email)).order_by("pk"))
