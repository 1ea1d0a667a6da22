"""KYB ("know your business"): an organization submits it, and officers decide.

A tax number belongs to one organization while its KYB is submitted, in review or approved, and to none before: any
customer may write any number into an organization. So the number is compared at the submission, which takes a person
whose own KYC is approved, and officers see who else claims it. Whose turn it is then: `claims.py`.
"""

import uuid
from datetime import datetime

from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.exceptions import KycRequired, NotFound, PermissionDenied
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import crypto_columns
from fintech_core.values.states import require_transition, transition
from organizations.enums import KYB_TRANSITIONS, KybStatus
from organizations.locks import lock_organization
from organizations.models import Organization
from organizations.selectors import role_in
from organizations.services.claims import refuse_out_of_turn, remember_rejection
from organizations.services.closing import OrganizationClosed
from organizations.services.common import locked_for
from users.enums import KycGate
from users.locks import lock_user


def submit_kyb(*, actor: Actor, organization_id: uuid.UUID, now: datetime) -> Organization:
    """Submit it for review. A refusal because of the tax number leaves an audit row for the officers.

    Raises NotFound, PermissionDenied, InvalidTransition, KycRequired (of the actor), and as `refuse_out_of_turn`.
    """
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.ORGANIZATIONS_WRITE)
    require_transition(organization, KybStatus.SUBMITTED, KYB_TRANSITIONS)
    _require_own_kyc(actor)
    refuse_out_of_turn(actor=actor, organization=organization)
    organization.submitted_by_id, organization.contested_at = actor.user_id, None
    # With its blind indexes: while their keys rotate the number has to be held under each of them.
    organization.save(update_fields=["submitted_by", "contested_at", *crypto_columns("tax_number")])
    return _change_status(actor, organization, KybStatus.SUBMITTED, "organization.kyb_submitted")


def start_kyb_review(*, actor: Actor, organization_id: uuid.UUID, reason: str, now: datetime) -> Organization:
    """An officer takes it up. Raises NotFound, PermissionDenied (a member), OrganizationClosed, InvalidTransition."""
    return _decide(actor, organization_id, KybStatus.IN_REVIEW, "organization.kyb_review_started", reason)


def approve_kyb(*, actor: Actor, organization_id: uuid.UUID, now: datetime, reason: str = "") -> Organization:
    """From now on its wallets count as level 2. Raises as start_kyb_review."""
    return _decide(actor, organization_id, KybStatus.APPROVED, "organization.kyb_approved", reason)


def reject_kyb(*, actor: Actor, organization_id: uuid.UUID, reason: str, now: datetime) -> Organization:
    """Refuse, or take an approval back: the organization's wallets can receive only, and another organization may
    submit its tax number, before it if it has tried to. Raises as start_kyb_review."""
    organization = _decide(actor, organization_id, KybStatus.REJECTED, "organization.kyb_rejected", reason)
    remember_rejection(organization)
    return organization


def _require_own_kyc(actor: Actor) -> None:
    """Raises KycRequired unless the person who submits has proved who they are."""
    required = settings.KYC_REQUIRED[KycGate.KYB_SUBMIT]
    if actor.user_id is None:
        raise NotFound
    if lock_user(actor.user_id).kyc_level < required:
        detail = f"Submitting KYB needs KYC level {required} of the person who submits it."
        raise KycRequired(detail, extensions={"required_level": required})


def _decide(actor: Actor, organization_id: uuid.UUID, status: KybStatus, action: str, reason: str) -> Organization:
    actor.require(Capability.KYB_DECIDE)
    organization = lock_organization(organization_id)
    if actor.user_id is None or role_in(organization_id, actor.user_id) is not None:
        raise PermissionDenied("KYB is decided by a person who is no member of the organization.")
    if organization.closed_at is not None:
        raise OrganizationClosed
    return _change_status(actor, organization, status, action, reason)


def _change_status(
    actor: Actor, organization: Organization, status: KybStatus, action: str, reason: str = ""
) -> Organization:
    before = transition(organization, status, KYB_TRANSITIONS)
    organization.save(update_fields=["kyb_status"])
    record_and_publish(
        actor,
        action,
        organization,
        owner_id=organization.pk,
        before={"kyb_status": before},
        after={"organization": str(organization.pk), "kyb_status": status},
        payload={"kyb_status": status},
        reason=reason,
    )
    return organization
