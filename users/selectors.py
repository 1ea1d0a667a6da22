"""Reads about people and their sessions. What others may look up by address goes by verified addresses only."""

import uuid
from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.db.models import Q, QuerySet, Value

from fintech_core.db.clock import DatabaseNow
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import under_any_key
from fintech_core.security.encrypted_fields import indexed, indexed_in
from fintech_core.values.identifiers import InvalidIdentifier, normalise_email
from users.enums import SessionKind
from users.models import (
    ApiKey,
    FamiliarNetwork,
    RecoveryCode,
    RefreshToken,
    Session,
    StepUpChallenge,
    TotpDevice,
    User,
)


def user_by_verified_email(email: str) -> User | None:
    """The active customer or member of staff who proved this address, however it is written."""
    try:
        address = normalise_email(email)
    except InvalidIdentifier:
        return None  # no account can have it
    return User.objects.filter(**indexed("email", address), email_verified_at__isnull=False, is_active=True).first()


def users_by_verified_emails(emails: Collection[str]) -> dict[str, User]:
    """The active users who proved one of these (normalised) addresses, by address. One statement, however many."""
    found, _ = indexed_in("email", set(emails))
    rows = User.objects.filter(**found, email_verified_at__isnull=False, is_active=True)
    return {user.email: user for user in rows if user.email is not None}


def users_by_verified_phones(phones: Collection[str]) -> dict[str, User]:
    """The active users who proved one of these E.164 numbers, by number. One statement, however many."""
    found, _ = indexed_in("phone", set(phones))
    rows = User.objects.filter(**found, phone_verified_at__isnull=False, is_active=True)
    return {user.phone: user for user in rows if user.phone is not None}


def api_key_ids_of(user_id: uuid.UUID) -> list[uuid.UUID]:
    """Of every key that the person ever had."""
    return list(ApiKey.objects.filter(user_id=user_id).values_list("pk", flat=True))


def user_for_log_in(email: str) -> User | None:
    """The user behind a normalised address, active or not: the caller hashes first and judges after."""
    return User.objects.filter(**indexed("email", email)).first()


def is_familiar_network(*, user_id: uuid.UUID, network: bytes) -> bool:
    """Whether the user has proved who they are in this network before."""
    return FamiliarNetwork.objects.filter(user_id=user_id, network__in=under_any_key(network)).exists()


def is_familiar_to_email(email: str, network: bytes) -> bool:
    """Whether the owner who has proved a normalised address has. The same statement for an unknown address."""
    known = FamiliarNetwork.objects.filter(network__in=under_any_key(network), user__email_verified_at__isnull=False)
    return known.filter(**indexed("user__email", email)).exists()


def is_familiar_to_phone(phone: str, network: bytes) -> bool:
    """Whether the one who has proved this E.164 number has."""
    known = FamiliarNetwork.objects.filter(network__in=under_any_key(network), user__phone_verified_at__isnull=False)
    return known.filter(**indexed("user__phone", phone)).exists()


def user_by_phone(phone: str) -> User | None:
    """Who has proved this E.164 number, active or not: the caller judges."""
    return User.objects.filter(**indexed("phone", phone), phone_verified_at__isnull=False).first()


def user_id_by_phone(phone: str) -> uuid.UUID | None:
    """The id of who has proved this E.164 number, active or not."""
    holder = user_by_phone(phone)
    return holder.pk if holder else None


def email_is_taken(email: str) -> bool:
    return User.objects.filter(**indexed("email", email), email_verified_at__isnull=False).exists()


def live_session(*, session_id: uuid.UUID, user_id: uuid.UUID) -> Session | None:
    """The session with its user, if neither has ended, and when that was so: `read_at`."""
    return (
        live_sessions()
        .filter(pk=session_id, user_id=user_id, user__is_active=True)
        .annotate(**{"read_at": DatabaseNow()})
        .select_related("user")
        .first()
    )


def live_sessions() -> QuerySet[Session]:
    """Sessions that weren't ended, haven't expired, and in the admin aren't idle for too long."""
    awake = Q(kind=SessionKind.API) | Q(last_used_at__gt=DatabaseNow() - Value(settings.ADMIN_IDLE))
    return Session.objects.filter(awake, ended_at__isnull=True, expires_at__gt=DatabaseNow())


def live_admin_session(*, session_id: uuid.UUID, user_id: uuid.UUID) -> Session | None:
    """The admin's session of a cookie, if it lives and the user is staff still; a token's id opens nothing here."""
    session = live_session(session_id=session_id, user_id=user_id)
    return session if session is not None and session.kind == SessionKind.ADMIN and session.user.is_staff else None


def confirmed_device(user_id: uuid.UUID) -> TotpDevice | None:
    """The user's second factor, if there is one."""
    return TotpDevice.objects.filter(user_id=user_id, confirmed=True).first()


def open_step_up(*, user_id: uuid.UUID, binding: bytes) -> StepUpChallenge | None:
    """The newest challenge of exactly this request that isn't spent."""
    unspent = StepUpChallenge.objects.filter(
        user_id=user_id, binding__in=under_any_key(binding), spent_at__isnull=True, expires_at__gt=DatabaseNow()
    )
    return unspent.order_by("-created_at", "-id").first()


def recovery_codes_left(user_id: uuid.UUID) -> int:
    return RecoveryCode.objects.filter(user_id=user_id, used_at__isnull=True).count()


def sessions_of(*, user_id: uuid.UUID) -> QuerySet[Session]:
    """The sessions that the user could end."""
    return live_sessions().filter(user_id=user_id)


def refresh_token_by_hash(token_hash: str) -> RefreshToken | None:
    return RefreshToken.objects.filter(token_hash=token_hash).select_related("session__user").first()


def api_key_by_prefix(prefix: str) -> ApiKey | None:
    """The key with its user, whatever has become of either: the caller judges."""
    return ApiKey.objects.filter(prefix=prefix).select_related("user").first()


def api_keys_visible_to(actor: Actor) -> QuerySet[ApiKey]:
    """The actor's own keys; while it acts in an organization, the organization's instead."""
    if actor.organization_id is not None:
        return ApiKey.objects.filter(organization_id=actor.organization_id)
    if actor.user_id is None:
        return ApiKey.objects.none()
    return ApiKey.objects.filter(user_id=actor.user_id, organization_id__isnull=True)


def live_api_keys(*, now: datetime) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True)
