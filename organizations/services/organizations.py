"""Making an organization and correcting who it is. What it says of itself is unproven until its KYB (`kyb.py`)."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from fintech_core.audit.records import record_and_publish
from fintech_core.exceptions import PermissionDenied, ValidationFailed
from fintech_core.limits import budgets
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from fintech_core.security.crypto import keyed_digest
from fintech_core.security.encrypted_fields import crypto_columns
from fintech_core.values.states import wrong_state
from organizations import tax_numbers
from organizations.enums import KYB_OPEN, KYB_TRANSITIONS, KybStatus, MemberRole
from organizations.models import Organization, OrganizationMember
from organizations.services.common import TooManyInOrganization, follow_role, locked_for
from users.locks import lock_user

MAX_MEMBERSHIPS = 20  # of one person
FOUNDED_PER_DAY = 10  # by one person, with those that are closed again
IDENTITY = frozenset({"legal_name", "country", "tax_number"})


def create_organization(*, actor: Actor, legal_name: str, country: str, tax_number: str, now: datetime) -> Organization:
    """A new organization, with the actor as its administrator and agency admin.

    Its tax number may be claimed by others as well, or be another's: that is checked when its KYB is submitted, so that
    an unproven number blocks no one, and creating an organization reveals nothing about others.

    Raises ValidationFailed (no tax number of the country), TooManyInOrganization, TooManyAttempts.
    """
    actor.require(Capability.ORGANIZATIONS_CREATE)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person makes organizations.")
    organization = Organization(
        legal_name=legal_name, country=country, tax_number=_normal(tax_number, country), created_at=now
    )
    organization.save(force_insert=True)
    if not lock_user(actor.user_id).is_active:
        raise PermissionDenied("The account is not active.")
    if OrganizationMember.objects.filter(user_id=actor.user_id).count() >= MAX_MEMBERSHIPS:
        raise TooManyInOrganization(f"A person is a member of at most {MAX_MEMBERSHIPS} organizations.")
    founder = keyed_digest("organization_founder", str(actor.user_id))
    budgets.consume(scope="organizations.founded", subject=founder, limit=FOUNDED_PER_DAY, window=timedelta(days=1))
    OrganizationMember.objects.create(
        organization=organization, user_id=actor.user_id, role=MemberRole.ADMIN, created_at=now
    )
    facts = {"kyb_status": KybStatus.NOT_SUBMITTED, "admin": str(actor.user_id)}
    record_and_publish(
        actor,
        "organization.created",
        organization,
        owner_id=organization.pk,
        after={"organization": str(organization.pk), **facts},
        payload=facts,
    )
    follow_role(actor=actor, user_id=actor.user_id, now=now)
    return organization


def update_organization(
    *, actor: Actor, organization_id: uuid.UUID, changes: Mapping[str, str], now: datetime
) -> Organization:
    """Correct name, country or tax number, while no officer looks at them or has approved them.

    Raises NotFound, PermissionDenied, InvalidTransition, ValidationFailed.
    """
    if not set(changes) <= IDENTITY:
        raise ValueError("not a field of the organization's identity")
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.ORGANIZATIONS_WRITE)
    if organization.kyb_status not in KYB_OPEN:
        detail = "Who an organization is doesn't change under or after its review."
        raise wrong_state(organization, KYB_TRANSITIONS, detail)
    country = changes.get("country", organization.country)
    wanted = {"legal_name": organization.legal_name, "country": country, **changes}
    wanted["tax_number"] = _normal(changes.get("tax_number", organization.tax_number or ""), country)
    changed = sorted(name for name, value in wanted.items() if getattr(organization, name) != value)
    if not changed:
        return organization
    for name in changed:
        setattr(organization, name, wanted[name])
    if {"country", "tax_number"} & set(changed):
        organization.contested_at = None
    organization.save(update_fields=["legal_name", "country", "contested_at", *crypto_columns("tax_number")])
    record_and_publish(
        actor,
        "organization.updated",
        organization,
        owner_id=organization.pk,
        after={"organization": str(organization.pk), "fields": changed},
        payload={"fields": changed},
    )
    return organization


def _normal(tax_number: str, country: str) -> str:
    try:
        return tax_numbers.normalise(tax_number, country=country)
    except tax_numbers.InvalidTaxNumber as error:
        message = "This is not a tax number of this country."
        raise ValidationFailed([{"field": "tax_number", "code": "invalid", "message": message}]) from error
