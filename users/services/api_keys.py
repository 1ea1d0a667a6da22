"""API keys: making, using, revoking. The secret exists in the answer that makes it, and nowhere else.

Keys end by revocation, expiry, and by what ends the sessions of their owner for good: a new password, another second
factor, another role, deactivation (requirement 5). An intruder may have made one.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, NotFound, PermissionDenied, ValidationFailed
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from fintech_core.wiring import wired
from users.credentials import hash_token, new_key_prefix, new_token
from users.enums import CUSTOMER_ROLES, CredentialChange
from users.locks import lock_user
from users.models import ApiKey
from users.selectors import api_keys_visible_to, live_api_keys
from users.services import step_up
from users.services.notices import notify_credential_change

MAX_LIVE_KEYS = 20
# How exact `last_used_at` is: a busy key writes its row once in this time, not at every request.
USE_RESOLUTION = timedelta(minutes=1)


class TooManyApiKeys(DomainError):
    code = "too_many_api_keys"
    status = 422
    title = f"There are {MAX_LIVE_KEYS} live keys already. Revoke one first."


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made, with the text that only its owner will ever have."""

    api_key: ApiKey
    text: str


def create_api_key(*, actor: Actor, name: str, scopes: Sequence[str], expires_at: datetime | None = None) -> NewApiKey:
    """A key of the actor, bound to the organization that it acts in. Raises TooManyApiKeys, ValidationFailed."""
    now = clock.now()
    actor.require(Capability.API_KEYS_WRITE)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person makes keys.")
    if expires_at is not None and expires_at <= now:
        raise ValidationFailed(
            [{"field": "expires_at", "code": "not_in_the_future", "message": "This is not in the future."}]
        )
    owner = lock_user(actor.user_id)
    if not owner.is_active or owner.role not in CUSTOMER_ROLES:
        raise PermissionDenied("Only customers have keys.")
    if actor.organization_id is not None:  # read again: what changes a membership locks the user, then revokes keys
        member = wired().acting_in(actor, actor.organization_id)
        if member is None:
            raise NotFound
        member.require(Capability.API_KEYS_WRITE)
    if live_api_keys(now=now).filter(user=owner).count() >= MAX_LIVE_KEYS:
        raise TooManyApiKeys
    step_up.spend(actor=actor)
    secret = new_token()
    api_key = ApiKey(
        prefix=new_key_prefix(),
        secret_hash=hash_token(secret),
        name=name,
        scopes=sorted(set(scopes)),
        user=owner,
        organization_id=actor.organization_id,
        created_by=owner,
        created_at=now,
        expires_at=expires_at,
    )
    api_key.save(force_insert=True)
    expiry = expires_at.isoformat() if expires_at else None
    after = {**_facts(api_key), "scopes": api_key.scopes, "expires_at": expiry}
    record_and_publish(actor, "api_key.created", api_key, after=after)
    notify_credential_change(user=owner, what=CredentialChange.API_KEY_MADE, now=now)
    return NewApiKey(api_key, f"{api_key.prefix}.{secret}")


def revoke_api_key(*, actor: Actor, key_id: uuid.UUID) -> None:
    """End a key at once. Again is fine. Raises NotFound for a key that the actor doesn't see."""
    now = clock.now()
    actor.require(Capability.API_KEYS_WRITE)
    visible = api_keys_visible_to(actor).filter(pk=key_id)
    if not visible.exists():
        raise NotFound
    step_up.spend(actor=actor)
    _revoke_one(actor, visible, "", now)


def revoke_key_of_any_user(*, actor: Actor, key_id: uuid.UUID, reason: str, now: datetime) -> ApiKey:
    """End any key, by an administrator. Raises NotFound."""
    actor.require(Capability.USERS_MANAGE)
    return _revoke_one(actor, ApiKey.objects.filter(pk=key_id), reason, now)


def _revoke_one(actor: Actor, rows: QuerySet[ApiKey], reason: str, now: datetime) -> ApiKey:
    api_key = rows.select_related("user").first()
    if api_key is None:
        raise NotFound
    if _revoke(Q(pk=api_key.pk), now):
        record_and_publish(actor, "api_key.revoked", api_key, after=_facts(api_key), reason=reason)
        notify_credential_change(user=api_key.user, what=CredentialChange.API_KEY_REVOKED, now=now)
    return api_key


def revoke_keys_of(*, user_id: uuid.UUID, organization_id: uuid.UUID | None = None, now: datetime) -> int:
    """Every key of the user, or those in one organization (a membership that ended or changed). Returns how many.

    The caller writes the audit row and holds the user's lock.
    """
    condition = Q(user_id=user_id)
    if organization_id is not None:
        condition &= Q(organization_id=organization_id)
    return _revoke(condition, now)


def note_use(*, api_key: ApiKey, now: datetime) -> None:
    """Remember that the key was used, at most once in USE_RESOLUTION: one conditional UPDATE, in no transaction."""
    stale = now - USE_RESOLUTION
    if api_key.last_used_at is None or api_key.last_used_at <= stale:
        unused = Q(last_used_at__isnull=True) | Q(last_used_at__lte=stale)
        ApiKey.objects.filter(unused, pk=api_key.pk).update(last_used_at=now)


def _revoke(condition: Q, now: datetime) -> int:
    return ApiKey.objects.filter(condition, revoked_at__isnull=True).update(revoked_at=now)


def _facts(api_key: ApiKey) -> dict[str, Any]:
    organization = api_key.organization_id
    return {"user": str(api_key.user_id), "organization": str(organization) if organization else None}
