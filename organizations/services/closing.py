"""The end of an organization as far as this room knows it: who may close it, what blocks that here, and what ends.

The use case is `offboarding.services.organizations.close_organization`, which also looks at the money.
A closed organization never opens again; its row stays, because the books name it, and who it was is erased when the
retention is over.
"""

import uuid
from http import HTTPStatus
from typing import Any

from django.conf import settings

from fintech_core.audit.records import reason_of, record_and_publish
from fintech_core.db import clock, ids
from fintech_core.exceptions import DomainError, ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import crypto_columns
from organizations.enums import KYB_UNDECIDED, MemberRole
from organizations.locks import lock_closed_organizations, lock_organization
from organizations.models import ERASED, Organization, PayoutAccount
from organizations.selectors import members_of, open_invitations_of, payout_accounts_of
from organizations.services.common import locked_for, notify_member
from organizations.services.members import end_membership
from organizations.services.payout_accounts import archive
from users.locks import lock_users
from users.services import step_up

TEMPLATE = "organization_closed"


class OrganizationClosed(DomainError):
    code = "organization_closed"
    status = HTTPStatus.CONFLICT
    title = "The organization is closed."


def lock_to_close(*, actor: Actor, organization_id: uuid.UUID, reason: str) -> Organization:
    """The organization and then the people in it, locked, for an administrator of it or for staff with a reason.

    Spends an administrator's step-up code; that of staff is spent by the interface. Raises NotFound, PermissionDenied,
    ValidationFailed (staff without a reason), OrganizationClosed, StepUpRequired.
    """
    actor.require(Capability.ORGANIZATIONS_CLOSE)
    if actor.organization_id is not None:
        organization = locked_for(
            actor=actor, organization_id=organization_id, capability=Capability.ORGANIZATIONS_CLOSE
        )
    else:
        if not reason:
            message = "Closing the organization of a customer needs a reason."
            raise ValidationFailed([{"field": "reason", "code": "required", "message": message}])
        organization = lock_organization(organization_id)
    if organization.closed_at is not None:
        raise OrganizationClosed
    # Before any wallet is locked. No member is added meanwhile: that takes the organization's lock.
    lock_users(list(members_of(organization.pk).values_list("user_id", flat=True)))
    if actor.organization_id is not None:
        step_up.spend(actor=actor)  # after the person whose it is (the lock order); of staff the frame spends it
    return organization


def obstacles_to_closing(*, actor: Actor, organization: Organization) -> list[dict[str, str]]:
    """What has to end first: an undecided KYB submission; for a member also every other administrator, who would have
    to agree, and the time in which one who was removed or demoted may object. The caller holds the organization's lock.
    """
    found = []
    if organization.kyb_status in KYB_UNDECIDED:
        found.append({"kind": "kyb_submission", "id": str(organization.pk)})
    if actor.organization_id is not None:
        admins = members_of(organization.pk).filter(role=MemberRole.ADMIN, user__is_active=True)
        others = admins.exclude(user_id=actor.user_id or ids.NIL).order_by("pk").values_list("pk", flat=True)
        found += [{"kind": "administrator", "id": str(pk)} for pk in others]
        removed_at = organization.admin_removed_at
        if removed_at is not None and clock.now() < removed_at + settings.CLOSE_AFTER_ADMIN_REMOVED:
            found.append({"kind": "administrator_removed", "id": str(organization.pk)})
    return found


def end_organization(
    *, actor: Actor, organization: Organization, reason: str, ended_elsewhere: dict[str, Any]
) -> Organization:
    """Close the organization, whose money is gone, with its memberships, keys, invitations and payout accounts.

    The caller has called `lock_to_close`; `ended_elsewhere` are its counts for the audit row. Members get a message.
    """
    now = clock.now()
    is_own = actor.organization_id == organization.pk
    invitations = open_invitations_of(organization.pk).update(revoked_at=now)
    members = list(members_of(organization.pk).order_by("user_id"))
    for member in members:
        notify_member(user=member.user, organization=organization, template=TEMPLATE, now=now)
        end_membership(actor=actor, member=member, action="organization_member.removed", now=now)
    accounts = list(payout_accounts_of(organization.pk).filter(archived_at__isnull=True).order_by("pk"))
    for account in accounts:
        archive(actor=actor, account=account, now=now)
    organization.closed_at = now
    organization.save(update_fields=["closed_at"])
    facts = {
        "members_removed": len(members),
        "invitations_revoked": invitations,
        "payout_accounts_archived": len(accounts),
        **ended_elsewhere,
    }
    record_and_publish(
        actor,
        "organization.closed",
        organization,
        owner_id=organization.pk,
        after={"organization": str(organization.pk), **facts},
        payload=facts,
        reason=reason_of(reason, is_own=is_own),
    )
    return organization


def erase_closed_organizations(*, limit: int) -> int:
    """Drop who closed organizations were, once the law no longer wants it kept (settings.KYC_RETENTION): name, tax
    number, payout accounts. Country, KYB and the books stay. Returns how many organizations."""
    now = clock.now()
    due = lock_closed_organizations(closed_before=now - settings.KYC_RETENTION, limit=limit)
    for organization in due:
        accounts = PayoutAccount.objects.filter(organization=organization, details__isnull=False)
        count = accounts.update(details=None, label=ERASED)
        organization.legal_name, organization.tax_number = ERASED, None
        organization.save(update_fields=["legal_name", *crypto_columns("tax_number")])
        record_and_publish(
            Actor.system("beat.erase_organizations"),
            "organization.erased",
            organization,
            after={"fields": ["legal_name", "tax_number"], "payout_accounts": count},
        )
    return len(due)
