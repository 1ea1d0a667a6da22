"""What the use cases share: the lock with the actor's right checked again under it, roles that follow."""

import uuid
from datetime import datetime
from http import HTTPStatus

from fintech_core.exceptions import DomainError, NotFound, PermissionDenied
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from organizations.enums import MemberRole
from organizations.locks import lock_organization
from organizations.models import Organization
from organizations.roles import MEMBER_CAPABILITIES
from organizations.selectors import has_another_admin, role_in, roles_of
from users.enums import Role
from users.locks import lock_user
from users.models import User
from users.services import notices, set_customer_role


class LastAdmin(DomainError):
    code = "last_admin"
    status = HTTPStatus.CONFLICT
    title = "An organization must keep an administrator who can log in. Appoint another administrator first."


class AlreadyMember(DomainError):
    code = "already_member"
    status = HTTPStatus.CONFLICT
    title = "This person is already a member."


class TooManyInOrganization(DomainError):
    code = "too_many"
    title = "The maximum number has been reached."


def locked_for(*, actor: Actor, organization_id: uuid.UUID, capability: Capability) -> Organization:
    """The organization, locked, for an actor who acts in it and may do this.

    The membership is read again under the lock: who was removed meanwhile decides nothing any more. Raises NotFound,
    PermissionDenied.
    """
    if actor.organization_id != organization_id or actor.user_id is None:
        raise NotFound
    actor.require(capability)
    organization = lock_organization(organization_id)
    role = role_in(organization_id, actor.user_id)
    if role is None:
        raise NotFound
    if capability not in MEMBER_CAPABILITIES[role]:
        raise PermissionDenied(f"This needs the capability {capability}.")
    return organization


def refuse_the_last_admin(organization_id: uuid.UUID, user_id: uuid.UUID) -> None:
    """Raises LastAdmin where no other member could administer the organization. The caller holds its lock."""
    if not has_another_admin(organization_id, user_id):
        raise LastAdmin(extensions={"organization": str(organization_id)})


def follow_role(*, actor: Actor, user_id: uuid.UUID, now: datetime) -> None:
    """Let the user's own role follow the memberships: agency admin while they administer any organization.

    Afterwards an agent, if they are one in an organization or can come by a text message only, else a client.
    """
    user = lock_user(user_id)
    roles = roles_of(user_id)
    if MemberRole.ADMIN in roles:
        role = Role.AGENCY_ADMIN
    elif user.role != Role.AGENCY_ADMIN:
        return
    elif MemberRole.AGENT in roles or user.email_verified_at is None:
        role = Role.AGENT
    else:
        role = Role.CLIENT
    set_customer_role(actor=actor, user_id=user_id, role=role, now=now)


def notify_member(*, user: User, organization: Organization, template: str, now: datetime, role: str = "") -> None:
    """Members who can't log in, or have never proved an address or number, aren't written to."""
    if user.is_active and (user.email_verified_at is not None or user.phone_verified_at is not None):
        at = now.strftime("%Y-%m-%d %H:%M UTC")
        context = {"organization": organization.legal_name, "at": at, "role": role}
        notices.send_to_user(user=user, template=template, context=context, now=now)
