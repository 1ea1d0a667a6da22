"""Making an organization, correcting who it is, and KYB: submitting it and the officers' decisions."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from fintech_core.actors import Actor, ActorKind
from fintech_core.capabilities import Capability
from fintech_core.encrypted_fields import crypto_columns, indexed
from fintech_core.exceptions import DomainError, InvalidTransition, PermissionDenied, ValidationFailed
from organizations import tax_numbers
from organizations.enums import KYB_OPEN, KYB_TRANSITIONS, KybStatus, MemberRole
from organizations.locks import lock_organization
from organizations.models import Organization, OrganizationMember
from organizations.selectors import role_in
from organizations.services.common import TooManyInOrganization, follow_role, locked_for, tell
from users.locks import lock_user

ENTITY = "organization"
MAX_MEMBERSHIPS = 20  # of one person
IDENTITY = frozenset({"legal_name", "country", "tax_number"})


class TaxNumberTaken(DomainError):
    code = "tax_number_taken"
    status = HTTPStatus.CONFLICT
    title = "There is an organization with this tax number already. Ask its administrator for an invitation."


def create_organization(*, actor: Actor, legal_name: str, country: str, tax_number: str, now: datetime) -> Organization:
    """A new organization, with the actor as its administrator and agency admin.

    Raises ValidationFailed (no tax number of the country), TaxNumberTaken, TooManyInOrganization.
    """
    actor.require(Capability.ORGANIZATIONS_CREATE)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person makes organizations.")
    organization = Organization(
        legal_name=legal_name, country=country, tax_number=_normal(tax_number, country), created_at=now
    )
    _refuse_taken(organization)
    organization.save(force_insert=True)
    if not lock_user(actor.user_id).is_active:
        raise PermissionDenied("The account is not active.")
    if OrganizationMember.objects.filter(user_id=actor.user_id).count() >= MAX_MEMBERSHIPS:
        raise TooManyInOrganization(f"A person is a member of at most {MAX_MEMBERSHIPS} organizations.")
    OrganizationMember.objects.create(
        organization=organization, user_id=actor.user_id, role=MemberRole.ADMIN, created_at=now
    )
    tell(
        actor=actor,
        action="organization.created",
        entity_type=ENTITY,
        entity_id=organization.pk,
        organization_id=organization.pk,
        after={"kyb_status": KybStatus.NOT_SUBMITTED, "admin": str(actor.user_id)},
    )
    follow_role(actor=actor, user_id=actor.user_id, now=now)
    return organization


def update_organization(
    *, actor: Actor, organization_id: uuid.UUID, changes: Mapping[str, str], now: datetime
) -> Organization:
    """Correct name, country or tax number, while no officer looks at them or has approved them.

    Raises NotFound, PermissionDenied, InvalidTransition, ValidationFailed, TaxNumberTaken.
    """
    if not set(changes) <= IDENTITY:
        raise ValueError("not a field of the organization's identity")
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.ORGANIZATIONS_WRITE)
    if organization.kyb_status not in KYB_OPEN:
        raise _wrong_state(organization, "Who an organization is doesn't change under or after its review.")
    country = changes.get("country", organization.country)
    wanted = {"legal_name": organization.legal_name, "country": country, **changes}
    wanted["tax_number"] = _normal(changes.get("tax_number", organization.tax_number), country)
    changed = sorted(name for name, value in wanted.items() if getattr(organization, name) != value)
    if not changed:
        return organization
    for name in changed:
        setattr(organization, name, wanted[name])
    _refuse_taken(organization)
    organization.save(update_fields=["legal_name", "country", *crypto_columns("tax_number")])
    tell(
        actor=actor,
        action="organization.updated",
        entity_type=ENTITY,
        entity_id=organization.pk,
        organization_id=organization.pk,
        after={"fields": changed},
    )
    return organization


def submit_kyb(*, actor: Actor, organization_id: uuid.UUID, now: datetime) -> Organization:
    """Ask for the review. Raises NotFound, PermissionDenied, InvalidTransition."""
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.ORGANIZATIONS_WRITE)
    return _move(actor, organization, KybStatus.SUBMITTED, "organization.kyb_submitted")


def start_kyb_review(*, actor: Actor, organization_id: uuid.UUID, reason: str, now: datetime) -> Organization:
    """An officer takes it up. Raises NotFound, PermissionDenied (a member), InvalidTransition."""
    return _decide(actor, organization_id, KybStatus.IN_REVIEW, "organization.kyb_review_started", reason)


def approve_kyb(*, actor: Actor, organization_id: uuid.UUID, now: datetime, reason: str = "") -> Organization:
    """From now on its wallets count as level 2. Raises NotFound, PermissionDenied (a member), InvalidTransition."""
    return _decide(actor, organization_id, KybStatus.APPROVED, "organization.kyb_approved", reason)


def reject_kyb(*, actor: Actor, organization_id: uuid.UUID, reason: str, now: datetime) -> Organization:
    """Refuse, or take an approval back: the organization's wallets can receive only. As for approving."""
    return _decide(actor, organization_id, KybStatus.REJECTED, "organization.kyb_rejected", reason)


def _decide(actor: Actor, organization_id: uuid.UUID, status: KybStatus, action: str, reason: str) -> Organization:
    actor.require(Capability.KYB_DECIDE)
    organization = lock_organization(organization_id)
    if actor.user_id is None or role_in(organization_id, actor.user_id) is not None:
        raise PermissionDenied("KYB is decided by a person who is no member of the organization.")
    return _move(actor, organization, status, action, reason)


def _move(actor: Actor, organization: Organization, status: KybStatus, action: str, reason: str = "") -> Organization:
    before = KybStatus(organization.kyb_status)
    if status not in KYB_TRANSITIONS[before]:
        raise _wrong_state(organization, f"The organization's KYB is {before}.")
    organization.kyb_status = status
    organization.save(update_fields=["kyb_status"])
    tell(
        actor=actor,
        action=action,
        entity_type=ENTITY,
        entity_id=organization.pk,
        organization_id=organization.pk,
        before={"kyb_status": before},
        after={"kyb_status": status},
        reason=reason,
    )
    return organization


def _wrong_state(organization: Organization, detail: str) -> InvalidTransition:
    return InvalidTransition(detail, extensions={"kyb_status": organization.kyb_status})


def _normal(tax_number: str, country: str) -> str:
    try:
        return tax_numbers.normalise(tax_number, country=country)
    except tax_numbers.InvalidTaxNumber as error:
        message = "This is not a tax number of this country."
        raise ValidationFailed([{"field": "tax_number", "code": "invalid", "message": message}]) from error


def _refuse_taken(organization: Organization) -> None:
    rows = Organization.objects.filter(country=organization.country, **indexed("tax_number", organization.tax_number))
    if rows.exclude(pk=organization.pk).exists():
        raise TaxNumberTaken
