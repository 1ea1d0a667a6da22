"""Members: their roles, their end, and that an administrator always remains."""

import uuid
from datetime import datetime

from fintech_core.audit.records import record_and_publish
from fintech_core.db import ids
from fintech_core.exceptions import NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from organizations.enums import MemberRole
from organizations.locks import lock_organization, lock_organizations
from organizations.models import Organization, OrganizationMember
from organizations.selectors import has_other_members, members_of, open_invitations_of
from organizations.services.common import follow_role, locked_for, notify_member, refuse_the_last_admin
from users.locks import lock_user
from users.services import revoke_keys_of, step_up

TEMPLATE = "membership_changed"


def change_member_role(
    *, actor: Actor, organization_id: uuid.UUID, member_id: uuid.UUID, role: MemberRole, now: datetime
) -> OrganizationMember:
    """Give a member another role; their keys in the organization end with the old one.

    Raises NotFound, PermissionDenied, LastAdmin.
    """
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.MEMBERS_WRITE)
    member = _member(organization, member_id)
    before = MemberRole(member.role)
    if before == role:
        return member
    # Before the confirmation, which may be theirs (the lock order); the message goes to the address of today.
    member.user = lock_user(member.user_id)
    step_up.spend(actor=actor)
    if before == MemberRole.ADMIN:
        refuse_the_last_admin(organization.pk, member.user_id)
    member.role = role
    member.save(update_fields=["role"])
    if before == MemberRole.ADMIN:
        _ended_by_another(actor, organization, member, before=before, after=role, now=now)
    _end_powers(actor, member, now, "organization_member.role_changed", before=before, after=role)
    return member


def remove_member(*, actor: Actor, organization_id: uuid.UUID, member_id: uuid.UUID, now: datetime) -> None:
    """Remove a member, with a step-up code. Raises NotFound, PermissionDenied, StepUpRequired, LastAdmin."""
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.MEMBERS_WRITE)
    member = _member(organization, member_id)
    member.user = lock_user(member.user_id)
    step_up.spend(actor=actor)
    before = MemberRole(member.role)
    _remove(actor, member, now, "organization_member.removed")
    _ended_by_another(actor, organization, member, before=before, after="", now=now)


def appoint_admin(*, actor: Actor, member_id: uuid.UUID, reason: str, now: datetime) -> OrganizationMember:
    """Make a member an administrator, by staff: where the administrators can't, or are to go. Raises NotFound."""
    actor.require(Capability.USERS_MANAGE)
    found = OrganizationMember.objects.filter(pk=member_id).first()
    if found is None:
        raise NotFound
    organization = lock_organization(found.organization_id)
    member = _member(organization, member_id)
    before = MemberRole(member.role)
    if before == MemberRole.ADMIN:
        return member
    member.role = MemberRole.ADMIN
    member.save(update_fields=["role"])
    _end_powers(
        actor, member, now, "organization_member.role_changed", before=before, after=MemberRole.ADMIN, reason=reason
    )
    return member


def leave_organization(*, actor: Actor, organization_id: uuid.UUID, now: datetime) -> None:
    """Leave the organization, with a step-up code. Raises NotFound, StepUpRequired, LastAdmin."""
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.ORGANIZATIONS_JOIN)
    member = members_of(organization.pk).filter(user_id=actor.user_id or ids.NIL).first()
    if member is None:
        raise NotFound
    lock_user(member.user_id)
    step_up.spend(actor=actor)
    _remove(actor, member, now, "organization_member.left")


def refuse_without_an_admin(*, user_id: uuid.UUID) -> None:
    """The guard of a deactivation: lock the user's organizations, and refuse where the user is the only administrator
    of one that has other members; `appoint_admin` makes another one. An organization with no other members doesn't
    block the deactivation.

    Erasure doesn't ask it: that is refused for any membership (`offboarding.services.erasure`). Raises LastAdmin.
    """
    memberships = OrganizationMember.objects.filter(user_id=user_id)
    locked = lock_organizations(list(memberships.values_list("organization_id", flat=True)))
    admin_of = set(memberships.filter(role=MemberRole.ADMIN).values_list("organization_id", flat=True))
    for organization in locked:
        if organization.pk in admin_of and has_other_members(organization.pk, user_id):
            refuse_the_last_admin(organization.pk, user_id)


def _member(organization: Organization, member_id: uuid.UUID) -> OrganizationMember:
    member = members_of(organization.pk).filter(pk=member_id).first()
    if member is None:
        raise NotFound
    return member


def _remove(actor: Actor, member: OrganizationMember, now: datetime, action: str) -> None:
    if member.role == MemberRole.ADMIN:
        refuse_the_last_admin(member.organization_id, member.user_id)
    end_membership(actor=actor, member=member, action=action, now=now)


def _ended_by_another(
    actor: Actor,
    organization: Organization,
    member: OrganizationMember,
    *,
    before: MemberRole,
    after: str,
    now: datetime,
) -> None:
    """Notify a member whom another has removed, or demoted from administrator. While a former administrator may
    object, the others can't close the organization (`obstacles_to_closing`)."""
    if member.user_id == actor.user_id:
        return
    notify_member(user=member.user, organization=organization, template=TEMPLATE, now=now, role=after)
    if before == MemberRole.ADMIN:
        organization.admin_removed_at = now
        organization.save(update_fields=["admin_removed_at"])


def end_membership(*, actor: Actor, member: OrganizationMember, action: str, now: datetime) -> None:
    """Delete the membership with what hung on it. The caller holds the organization's lock, and has made sure that an
    administrator remains or that the organization ends."""
    OrganizationMember.objects.filter(pk=member.pk).delete()
    _end_powers(actor, member, now, action, before=MemberRole(member.role), after=None)


def _end_powers(
    actor: Actor,
    member: OrganizationMember,
    now: datetime,
    action: str,
    *,
    before: MemberRole,
    after: MemberRole | None,
    reason: str = "",
) -> None:
    """What hung on the old role ends with it: keys, invitations that an administrator made, the user's own role."""
    lock_user(member.user_id)  # first: whatever ends a person's invitations does so under that lock
    revoked = 0
    if before == MemberRole.ADMIN:
        invitations = open_invitations_of(member.organization_id).filter(invited_by_id=member.user_id)
        revoked = invitations.update(revoked_at=now)
    follow_role(actor=actor, user_id=member.user_id, now=now)
    keys = revoke_keys_of(user_id=member.user_id, organization_id=member.organization_id, now=now)
    facts = {
        "user": str(member.user_id),
        "role": after,
        "api_keys_revoked": keys,
        "invitations_revoked": revoked,
    }
    record_and_publish(
        actor,
        action,
        member,
        owner_id=member.organization_id,
        before={"role": before},
        after={"organization": str(member.organization_id), **facts},
        payload=facts,
        reason=reason,
    )
