"""Invitations: a mailed token of 256 random bits, stored as a hash, good once, for the owner of the address alone."""

import uuid
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db.models import Q

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, InvalidTransition, NotFound, PermissionDenied
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import crypto_columns, indexed
from fintech_core.values.messages import MessageContent, QueuedMessage
from messaging.services.messages import send_mail
from organizations.enums import InvitationStatus, MemberRole
from organizations.locks import lock_organization
from organizations.models import Invitation, OrganizationMember
from organizations.selectors import invitation_by_token, invitations_of, members_of, open_invitations_of, role_in
from organizations.services.common import (
    AlreadyMember,
    TooManyInOrganization,
    follow_role,
    locked_for,
)
from organizations.services.organizations import MAX_MEMBERSHIPS
from users.credentials import hash_token, new_token
from users.locks import lock_user
from users.models import User
from users.selectors import user_by_verified_email
from users.services import step_up

LIFETIME = timedelta(days=7)
MAX_OPEN = 100
MAX_MEMBERS = 500
_NO_ADDRESS: dict[str, Any] = dict.fromkeys(crypto_columns("email"))


class InvitationInvalid(DomainError):
    """One answer for unknown, used, revoked and expired, and for another address."""

    code = "invitation_invalid"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The invitation is unknown, no longer valid, or for another address. Ask for a new one."


def create_invitation(
    *, actor: Actor, organization_id: uuid.UUID, email: str, role: MemberRole, now: datetime
) -> Invitation:
    """Mail an invitation to a normalised address; an earlier one to it is revoked.

    Raises NotFound, PermissionDenied, AlreadyMember, TooManyInOrganization.
    """
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.MEMBERS_WRITE)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person invites.")
    step_up.spend(actor=actor)
    user = user_by_verified_email(email)
    if user is not None and role_in(organization.pk, user.pk) is not None:
        raise AlreadyMember
    open_invitations_of(organization.pk).filter(**indexed("email", email)).update(revoked_at=now)
    if open_invitations_of(organization.pk).filter(expires_at__gt=now).count() >= MAX_OPEN:
        raise TooManyInOrganization(f"At most {MAX_OPEN} invitations are open at a time.")
    token = new_token()
    invitation = Invitation(
        organization=organization,
        email=email,
        role=role,
        token_hash=hash_token(token),
        invited_by_id=actor.user_id,
        created_at=now,
        expires_at=now + LIFETIME,
    )
    invitation.save(force_insert=True)
    words = {"organization": organization.legal_name, "role": role.label, "token": token, "days": LIFETIME.days}
    send_mail(template="organization_invitation", address=email, context=words, lifetime=LIFETIME, now=now)
    facts = {"role": role, "expires_at": invitation.expires_at.isoformat()}
    record_and_publish(
        actor,
        "organization_invitation.created",
        invitation,
        owner_id=organization.pk,
        after={"organization": str(organization.pk), **facts},
        payload=facts,
    )
    return invitation


def revoke_invitation(*, actor: Actor, organization_id: uuid.UUID, invitation_id: uuid.UUID, now: datetime) -> None:
    """Raises NotFound, PermissionDenied, InvalidTransition (it is over already)."""
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.MEMBERS_WRITE)
    invitation = invitations_of(organization.pk).filter(pk=invitation_id).first()
    if invitation is None:
        raise NotFound
    status = invitation.status_at(now)
    if status != InvitationStatus.OPEN:
        raise InvalidTransition(f"The invitation is {status}.", extensions={"invitation_status": status})
    open_invitations_of(organization.pk).filter(pk=invitation.pk).update(revoked_at=now)
    _record_revoked(actor, invitation)


def _record_revoked(actor: Actor, invitation: Invitation) -> None:
    record_and_publish(
        actor,
        "organization_invitation.revoked",
        invitation,
        owner_id=invitation.organization_id,
        after={"organization": str(invitation.organization_id), "role": invitation.role},
        payload={"role": invitation.role},
    )


def end_invitations_of(*, actor: Actor, user_id: uuid.UUID, email: str | None, now: datetime) -> int:
    """Revoke the open invitations that a person made, and those to an address that is theirs no longer; of all
    invitations to that address, also of those that are over, it goes.

    Wired to every change of a credential; the caller holds the user's lock. Returns how many there were.
    """
    condition = Q(invited_by_id=user_id)
    if email is not None:
        condition |= Q(**indexed("email", email))
    still_open = Invitation.objects.filter(condition, accepted_at__isnull=True, revoked_at__isnull=True)
    found = list(still_open.filter(expires_at__gt=now).select_for_update(of=("self",), no_key=True).order_by("pk"))
    Invitation.objects.filter(pk__in=[invitation.pk for invitation in found]).update(revoked_at=now)
    for invitation in found:
        _record_revoked(actor, invitation)
    if email is not None:
        _forget(Q(**indexed("email", email)), now)
    return len(found)


def invitation_content(queued: QueuedMessage) -> MessageContent | None:
    """What the mail says; None where the invitation isn't open any more. Called by the worker (fintech_core.wiring)."""
    found = invitation_by_token(hash_token(queued.context["token"]))
    still_open = found is not None and found.status_at(clock.now()) == InvitationStatus.OPEN
    return MessageContent(queued.template, queued.context) if still_open else None


def forget_invitations(*, user: User, now: datetime) -> int:
    """Drop the addresses of a person who is being erased: of what they accepted, under whatever address that was, and
    of all invitations to the address that is theirs. Open ones are revoked. Returns how many there were.

    What was sent to an earlier address has lost it when the person gave that up (`end_invitations_of`). The caller, who
    holds the user's lock, writes the audit row.
    """
    theirs = Q(accepted_by=user)
    if user.email is not None and user.email_verified_at is not None:
        theirs |= Q(**indexed("email", user.email))
    return _forget(theirs, now)


def purge_invitation_addresses(*, limit: int) -> int:
    """Drop the addresses of invitations that have been over for settings.INVITATION_ADDRESS_RETENTION. How many."""
    before = clock.now() - settings.INVITATION_ADDRESS_RETENTION
    over = Q(accepted_at__lte=before) | Q(revoked_at__lte=before) | Q(expires_at__lte=before)
    rows = Invitation.objects.filter(over, email__isnull=False).order_by("expires_at", "pk")
    free = rows.select_for_update(of=("self",), no_key=True, skip_locked=True).values_list("pk", flat=True)
    return Invitation.objects.filter(pk__in=list(free[:limit])).update(**_NO_ADDRESS)


def _forget(condition: Q, now: datetime) -> int:
    rows = Invitation.objects.filter(condition, email__isnull=False).order_by("pk")
    found = list(rows.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
    mine = Invitation.objects.filter(pk__in=found)
    mine.filter(accepted_at__isnull=True, revoked_at__isnull=True).update(revoked_at=now)
    return mine.update(**_NO_ADDRESS)


def accept_invitation(*, actor: Actor, token: str) -> OrganizationMember:
    """Become a member, by the token and a log-in whose verified address is the invited one.

    Raises InvitationInvalid, AlreadyMember, TooManyInOrganization.
    """
    actor.require(Capability.ORGANIZATIONS_JOIN)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person joins.")
    found = invitation_by_token(hash_token(token))
    if found is None:
        raise InvitationInvalid
    organization = lock_organization(found.organization_id)
    user = lock_user(actor.user_id)
    now = clock.now()
    if not user.is_active or user.email_verified_at is None or user.email != found.email:
        raise InvitationInvalid
    open_until_now = open_invitations_of(organization.pk).filter(pk=found.pk, expires_at__gt=now)
    if not open_until_now.update(accepted_at=now, accepted_by=user):
        raise InvitationInvalid
    if role_in(organization.pk, user.pk) is not None:
        raise AlreadyMember
    if OrganizationMember.objects.filter(user=user).count() >= MAX_MEMBERSHIPS:
        raise TooManyInOrganization(f"A person is a member of at most {MAX_MEMBERSHIPS} organizations.")
    if members_of(organization.pk).count() >= MAX_MEMBERS:
        raise TooManyInOrganization(f"An organization has at most {MAX_MEMBERS} members.")
    member = _join(organization.pk, user.pk, MemberRole(found.role), now)
    facts = {"user": str(user.pk), "role": member.role, "invitation": str(found.pk)}
    record_and_publish(
        actor,
        "organization_member.joined",
        member,
        owner_id=organization.pk,
        after={"organization": str(organization.pk), **facts},
        payload=facts,
    )
    follow_role(actor=actor, user_id=user.pk, now=now)
    return member


def _join(organization_id: uuid.UUID, user_id: uuid.UUID, role: MemberRole, now: datetime) -> OrganizationMember:
    return OrganizationMember.objects.create(
        organization_id=organization_id, user_id=user_id, role=role, created_at=now
    )
