"""Reads of organizations, scoped by who asks, and what makes an actor act in one."""

import uuid
from dataclasses import replace

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from fintech_core.exceptions import NotFound
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import indexed, same_index
from organizations.enums import KYB_OPEN, KybStatus, MemberRole
from organizations.models import HOLDS_TAX_NUMBER, Invitation, Organization, OrganizationMember, PayoutAccount
from organizations.roles import MEMBER_CAPABILITIES

MAX_OTHER_CLAIMS = 20  # shown to officers
_NEVER_SUBMITTED_AND_CLOSED = Q(kyb_status=KybStatus.NOT_SUBMITTED, closed_at__isnull=False)


def acting_in(actor: Actor, organization_id: uuid.UUID) -> Actor | None:
    """The actor as a member of the organization, with a member's capabilities; None where it isn't one.

    Wired to authentication, which lies below this room. A key never gets more than its own.
    """
    if actor.user_id is None:
        return None
    role = role_in(organization_id, actor.user_id)
    if role is None:
        return None
    capabilities = MEMBER_CAPABILITIES[role]
    if actor.kind is ActorKind.API_KEY:
        capabilities &= actor.capabilities
    return replace(actor, organization_id=organization_id, member_role=role.value, capabilities=capabilities)


def acting_within(actor: Actor, organization_id: uuid.UUID) -> Actor:
    """The actor in the organization of a path. Staff who may read organizations stay who they are. Raises NotFound."""
    if actor.organization_id == organization_id:
        return actor
    if reads_all(actor):
        if not organizations_visible_to(actor).filter(pk=organization_id).exists():
            raise NotFound
        return actor
    is_person_outside = actor.kind is ActorKind.USER and actor.organization_id is None
    member = acting_in(actor, organization_id) if is_person_outside else None
    if member is None:
        raise NotFound
    return member


def reads_all(actor: Actor) -> bool:
    """Whether the actor is staff who may read every organization."""
    return actor.can(Capability.ORGANIZATIONS_READ_ALL)


def role_in(organization_id: uuid.UUID, user_id: uuid.UUID) -> MemberRole | None:
    """What the user is in the organization; None: no member."""
    rows = OrganizationMember.objects.filter(organization_id=organization_id, user_id=user_id)
    role = rows.values_list("role", flat=True).first()
    return None if role is None else MemberRole(role)


def organizations_visible_to(actor: Actor) -> QuerySet[Organization]:
    """The one that the actor acts in, else all that it is a member of; every one for staff who may read them."""
    if reads_all(actor):
        return Organization.objects.all()
    if actor.organization_id is not None:
        return Organization.objects.filter(pk=actor.organization_id)
    return Organization.objects.filter(members__user_id=actor.user_id) if actor.user_id else Organization.objects.none()


def organizations_shown_to(actor: Actor) -> QuerySet[Organization]:
    """Staff also see whether others claim the tax number; members learn nothing of other organizations."""
    rows = organizations_visible_to(actor)
    return with_other_claims(rows) if reads_all(actor) else rows


def shown_to(actor: Actor, organization: Organization) -> Organization:
    """What a write answers with: what reading the organization shows the caller."""
    return organizations_shown_to(actor).get(pk=organization.pk) if reads_all(actor) else organization


def with_other_claims(rows: QuerySet[Organization]) -> QuerySet[Organization]:
    """`has_other_claims`: for officers alone, since it says something about other organizations."""
    same = Organization.objects.filter(same_index("tax_number")).exclude(_NEVER_SUBMITTED_AND_CLOSED)
    return rows.annotate(has_other_claims=Exists(same.exclude(pk=OuterRef("pk"))))


def other_claims_of(organization: Organization) -> QuerySet[Organization]:
    """Other organizations with the same tax number, in any country, first those that have submitted KYB. For officers
    alone. Closed ones that had are among them, so that closing one hides no rejection."""
    rows = _others_with_number_of(organization).exclude(_NEVER_SUBMITTED_AND_CLOSED)
    is_unproven = ExpressionWrapper(Q(kyb_status=KybStatus.NOT_SUBMITTED), output_field=BooleanField())
    return rows.annotate(is_unproven=is_unproven).order_by("is_unproven", "created_at", "pk")


def holder_of_tax_number(organization: Organization) -> Organization | None:
    """The other organization in the country whose KYB with this number is submitted, in review or approved."""
    return _others_with_number_of(organization).filter(HOLDS_TAX_NUMBER, country=organization.country).first()


def is_contested_by_others(organization: Organization) -> bool:
    """Whether another open organization in the country was refused this number, and hasn't submitted it since."""
    rows = _others_with_number_of(organization).filter(country=organization.country, contested_at__isnull=False)
    return rows.filter(closed_at__isnull=True, kyb_status__in=KYB_OPEN).exists()


def _others_with_number_of(organization: Organization) -> QuerySet[Organization]:
    if organization.tax_number is None:
        return Organization.objects.none()
    rows = Organization.objects.filter(**indexed("tax_number", organization.tax_number))
    return rows.exclude(pk=organization.pk)


def members_of(organization_id: uuid.UUID) -> QuerySet[OrganizationMember]:
    """The members with their users, for who has been let into the organization."""
    return OrganizationMember.objects.filter(organization_id=organization_id).select_related("user")


def invitations_of(organization_id: uuid.UUID) -> QuerySet[Invitation]:
    return Invitation.objects.filter(organization_id=organization_id)


def open_invitations_of(organization_id: uuid.UUID) -> QuerySet[Invitation]:
    """Neither accepted nor revoked; they may be expired."""
    return invitations_of(organization_id).filter(accepted_at__isnull=True, revoked_at__isnull=True)


def invitation_by_token(token_hash: str) -> Invitation | None:
    return Invitation.objects.filter(token_hash=token_hash).first()


def payout_accounts_of(organization_id: uuid.UUID) -> QuerySet[PayoutAccount]:
    """The organization's payout accounts, the archived ones too."""
    return PayoutAccount.objects.filter(organization_id=organization_id)


def has_another_admin(organization_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    """Is there an administrator who can log in besides this user? The caller holds the organization's lock."""
    admins = OrganizationMember.objects.filter(organization_id=organization_id, role=MemberRole.ADMIN)
    return admins.filter(user__is_active=True).exclude(user_id=user_id).exists()


def has_other_members(organization_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    """Is there a member who can log in besides this user?"""
    members = OrganizationMember.objects.filter(organization_id=organization_id, user__is_active=True)
    return members.exclude(user_id=user_id).exists()


def roles_of(user_id: uuid.UUID) -> set[MemberRole]:
    """What the user is, in any organization."""
    roles = OrganizationMember.objects.filter(user_id=user_id).values_list("role", flat=True)
    return {MemberRole(role) for role in roles}
