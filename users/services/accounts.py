"""Accounts: making customers and staff, their profile, role, KYC standing, password and end."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db.work import LostRace
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import crypto_columns
from fintech_core.values.identifiers import normalise_email
from fintech_core.wiring import wired
from users.credentials import is_short
from users.enums import CUSTOMER_ROLES, STAFF_ROLES, CredentialChange, EndReason, KycStatus, Role
from users.locks import lock_user
from users.models import User
from users.passwords import unusable_password
from users.selectors import confirmed_device, user_for_log_in
from users.services import notices, step_up
from users.services.new_passwords import hash_new_password
from users.services.revocation import end_open_credentials
from wallet.services import open_wallet

PERSONAL_FIELDS = ("email", "phone", "first_name", "last_name")
_PROFILE_FIELDS = frozenset({"first_name", "last_name", "phone"})


class EmailTaken(DomainError):
    """For staff and commands. Registration never shows it: it would disclose who has an account."""

    code = "email_taken"
    status = HTTPStatus.CONFLICT
    title = "An account with this address already exists."


class LastVerifiedContact(DomainError):
    """Verify the other one first, or the new one by /users/me/phone."""

    code = "last_verified_contact"
    status = HTTPStatus.CONFLICT
    title = "This phone number is the only verified log-in method of the account."


def create_customer(
    *,
    actor: Actor,
    email: str,
    password: str,
    phone: str = "",
    first_name: str = "",
    last_name: str = "",
    verified: bool = True,
    now: datetime,
) -> User:
    """A customer with a first wallet in settings.DEFAULT_CURRENCY. Raises EmailTaken, ValidationFailed.

    `verified` says that the address is proved; without that the customer can't log in and isn't found as a payee.
    """
    return create_customer_with_hash(
        actor=actor,
        email=normalise_email(email),
        password_hash=hash_new_password(password, personal=(email, first_name, last_name)),
        phone=phone or None,
        first_name=first_name,
        last_name=last_name,
        verified=verified,
        now=now,
    )


def create_customer_with_hash(
    *,
    actor: Actor,
    email: str,
    password_hash: str,
    phone: str | None,
    first_name: str,
    last_name: str,
    verified: bool,
    now: datetime,
) -> User:
    """As create_customer, for a password that was hashed when it was chosen (a registration's)."""
    user = User(
        email=email,
        password=password_hash,
        phone=phone,
        first_name=first_name,
        last_name=last_name,
        role=Role.CLIENT,
        email_verified_at=now if verified else None,
        created_at=now,
    )
    return _insert_customer(actor, user, now)


def create_agent(*, actor: Actor, phone: str, now: datetime) -> User:
    """Who proved a number that no account has: an agent, without an address and a password, with a first wallet."""
    user = User(phone=phone, phone_verified_at=now, password=unusable_password(), role=Role.AGENT, created_at=now)
    return _insert_customer(actor, user, now)


def _insert_customer(actor: Actor, user: User, now: datetime) -> User:
    _insert(actor, user)
    open_wallet(actor=actor, owner_user_id=user.pk, currency=settings.DEFAULT_CURRENCY, now=now)
    return user


def create_staff(*, actor: Actor, email: str, password: str, role: Role, now: datetime) -> User:
    """A member of staff, whose address counts as proved and who has no wallet. Raises EmailTaken, ValidationFailed."""
    actor.require(Capability.USERS_MANAGE)
    if role not in STAFF_ROLES:
        raise ValueError("customers are made by create_customer")
    user = User(
        email=normalise_email(email),
        password=hash_new_password(password, personal=(email,)),
        role=role,
        email_verified_at=now,
        created_at=now,
    )
    _insert(actor, user)
    return user


def _insert(actor: Actor, user: User) -> None:
    if user.email is not None and user_for_log_in(user.email) is not None:
        raise EmailTaken
    user.save(force_insert=True)
    record_and_publish(
        actor, "user.created", user, after={"role": user.role, "email_verified": user.email_verified_at is not None}
    )


def adopt_unverified(
    *, actor: Actor, user: User, password_hash: str, phone: str | None, first_name: str, last_name: str, now: datetime
) -> User:
    """A person verified the address of an unverified account: it becomes theirs, the old password is deleted."""
    locked = lock_user(user.pk)
    if locked.email_verified_at is not None:
        raise LostRace  # someone else proved it meanwhile; the second try sees that
    former_phone = locked.phone
    locked.password, locked.password_is_short = password_hash, False
    locked.phone, locked.phone_verified_at = phone, None
    locked.first_name, locked.last_name, locked.email_verified_at = first_name, last_name, now
    locked.save(
        update_fields=[
            "password",
            "password_is_short",
            *crypto_columns("phone"),
            "phone_verified_at",
            "first_name",
            "last_name",
            "email_verified_at",
        ]
    )
    ended = end_open_credentials(
        actor=actor, user=locked, reason=EndReason.PASSWORD_CHANGED, former_phone=former_phone, now=now
    )
    record_and_publish(
        actor, "user.email_verified", locked, after={"email_verified": True, "fields": ["password"], **ended}
    )
    return locked


def create_or_adopt(
    *,
    actor: Actor,
    unproved: User | None,
    email: str,
    password_hash: str,
    phone: str | None,
    first_name: str,
    last_name: str,
    now: datetime,
) -> User:
    """The account of someone who just proved `email`: a new one, or `unproved`, which has the address and is theirs."""
    chosen: dict[str, Any] = {
        "password_hash": password_hash,
        "phone": phone,
        "first_name": first_name,
        "last_name": last_name,
    }
    if unproved is not None:
        return adopt_unverified(actor=actor, user=unproved, now=now, **chosen)
    try:
        return create_customer_with_hash(actor=actor, email=email, verified=True, now=now, **chosen)
    except EmailTaken as error:
        raise LostRace from error  # since the caller looked; the second try sees whose it is


def update_profile(*, actor: Actor, user_id: uuid.UUID, changes: Mapping[str, str | None], now: datetime) -> User:
    """Names and phone. A changed phone is a claim again, until it is verified.

    Giving up a verified one asks for a step-up code. Raises StepUpRequired, LastVerifiedContact.
    """
    actor.require(Capability.PROFILE_WRITE)
    if not set(changes) <= _PROFILE_FIELDS:
        raise ValueError("not a profile field")
    user = lock_user(user_id)
    changed = sorted(name for name, value in changes.items() if getattr(user, name) != value)
    if not changed:
        return user
    ended: dict[str, int] = {}
    given_up = user.phone if "phone" in changed and user.phone_verified_at is not None else None
    if given_up is not None:
        if user.email_verified_at is None:
            raise LastVerifiedContact
        step_up.spend(actor=actor)
        notices.notify_credential_change(user=user, what=CredentialChange.PHONE, now=now)
    for name in changed:
        setattr(user, name, changes[name])
    fields = list(changed)
    if "phone" in changed:
        user.phone_verified_at = None
        fields += [*crypto_columns("phone"), "phone_verified_at"]
    user.save(update_fields=fields)
    if given_up is not None:
        ended = end_open_credentials(
            actor=actor,
            user=user,
            reason=EndReason.CONTACT_CHANGED,
            keep=actor.credential_id,
            former_phone=given_up,
            now=now,
        )
    record_and_publish(actor, "user.profile_updated", user, after={"fields": changed, **ended})
    return user


def record_view(*, actor: Actor, user_id: uuid.UUID) -> None:
    """Record that a member of staff reads a person's personal data; reading one's own isn't recorded."""
    actor.require(Capability.USERS_READ_PERSONAL)
    if actor.user_id != user_id:
        record_and_publish(actor, "user.viewed", EntityRef("user", user_id), after={"fields": list(PERSONAL_FIELDS)})


def set_kyc(*, actor: Actor, user_id: uuid.UUID, status: KycStatus, level: int, now: datetime) -> User:
    """Write what compliance decided; the caller (compliance's services) has checked that the actor may."""
    user = lock_user(user_id)
    before = {"kyc_status": user.kyc_status, "kyc_level": user.kyc_level}
    user.kyc_status, user.kyc_level = status, level
    user.save(update_fields=["kyc_status", "kyc_level"])
    record_and_publish(
        actor, "user.kyc_set", user, before=before, after={"kyc_status": user.kyc_status, "kyc_level": level}
    )
    return user


class RoleNotAllowed(DomainError):
    """A person who is both a customer and staff has two accounts."""

    code = "role_not_allowed"
    status = HTTPStatus.CONFLICT
    title = "Only the roles of staff can be changed, and only to other staff roles."


def set_role(*, actor: Actor, user_id: uuid.UUID, role: Role, reason: str = "", now: datetime) -> User:
    """Move a member of staff to another staff role and end every session: rights of the old role die at once.

    Raises RoleNotAllowed. That a second person agrees isn't asked yet.
    """
    actor.require(Capability.USERS_MANAGE)
    user = lock_user(user_id)
    if user.role not in STAFF_ROLES or role not in STAFF_ROLES:
        raise RoleNotAllowed
    before = user.role
    user.role = role
    user.save(update_fields=["role"])
    ended = end_open_credentials(actor=actor, user=user, reason=EndReason.ROLE_CHANGED, now=now)
    record_and_publish(
        actor, "user.role_set", user, before={"role": before}, after={"role": role, **ended}, reason=reason
    )
    return user


def set_customer_role(*, actor: Actor, user_id: uuid.UUID, role: Role, now: datetime) -> User:
    """Write what a customer has become by organizations; the caller (organizations' services) has decided it.

    Sessions and API keys end. A person who becomes an agency admin by an act of their own (creating an organization,
    accepting an invitation) keeps the session in which they did so; one who loses the role keeps none. By the act of
    another customer, who administers an organization of both, nothing of the person's own ends: their own rights are
    the same in every customers' role. Staff stay staff (ValueError).
    """
    user = lock_user(user_id)
    if user.role not in CUSTOMER_ROLES or role not in CUSTOMER_ROLES:
        raise ValueError("only customers change between customers' roles")
    before = user.role
    if before == role:
        return user
    user.role = role
    user.save(update_fields=["role"])
    ended: dict[str, int] = {}
    if actor.user_id in (None, user.pk) or actor.is_staff:
        keep = actor.credential_id if role == Role.AGENCY_ADMIN else None
        ended = end_open_credentials(actor=actor, user=user, reason=EndReason.ROLE_CHANGED, keep=keep, now=now)
    record_and_publish(actor, "user.role_set", user, before={"role": before}, after={"role": role, **ended})
    return user


def set_password(*, actor: Actor, user_id: uuid.UUID, password: str, now: datetime, field: str = "password") -> User:
    """Replace the password and end whatever is open. The caller has checked that the actor may.

    Raises ValidationFailed, naming `field`, for a password against the policy.
    """
    user = lock_user(user_id)
    user.password = hash_new_password(
        password,
        personal=(user.email, user.first_name, user.last_name),
        has_second_factor=confirmed_device(user.pk) is not None,
        field=field,
    )
    user.password_is_short = is_short(password)
    user.save(update_fields=["password", "password_is_short"])
    ended = end_open_credentials(actor=actor, user=user, reason=EndReason.PASSWORD_CHANGED, now=now)
    record_and_publish(actor, "user.password_set", user, after={"fields": ["password"], **ended})
    return user


def deactivate_user(*, actor: Actor, user_id: uuid.UUID, reason: str, now: datetime) -> User:
    """No log-in, no session, no API key, no payee any more. The wallets stay as they are.

    Raises what the guards of rooms above raise (`wiring.Wiring.run_deactivation_guards`).
    """
    actor.require(Capability.USERS_MANAGE)
    wired().run_deactivation_guards(user_id=user_id)
    user = lock_user(user_id)
    wired().run_deactivation_guards(user_id=user_id)  # re-check: they may have created an organization before the lock
    before = user.is_active
    user.is_active = False
    user.save(update_fields=["is_active"])
    ended = end_open_credentials(actor=actor, user=user, reason=EndReason.DEACTIVATED, now=now)
    record_and_publish(
        actor,
        "user.deactivated",
        user,
        before={"is_active": before},
        after={"is_active": False, **ended},
        reason=reason,
    )
    return user
