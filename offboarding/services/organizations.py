"""Closing an organization. The highest room that it touches is this one: its money decides."""

import uuid
from http import HTTPStatus

from fintech_core.db import clock
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from offboarding.services.leftovers import close_wallets, lock_open_wallets, obstacles_of
from organizations.models import Organization
from organizations.services import end_organization, lock_to_close, obstacles_to_closing
from transactions.schedules import selectors
from transactions.schedules.locks import lock_transfer_schedules
from transactions.schedules.services.schedules import cancel_schedules_naming
from wallet.owners import Owner


class OrganizationInUse(DomainError):
    """`obstacles` says what has to end first, and of which object."""

    code = "organization_in_use"
    status = HTTPStatus.CONFLICT
    title = "This organization still has open items."


def close_organization(*, actor: Actor, organization_id: uuid.UUID, reason: str = "") -> Organization:
    """Close an organization for good: its only administrator may, and compliance with a reason.

    Empty wallets are closed, memberships, keys, invitations and payout accounts end, and scheduled transfers of others
    to it are canceled. An owner's reason isn't kept (`reason_of`).

    Raises NotFound, PermissionDenied, ValidationFailed (staff without a reason), OrganizationClosed, StepUpRequired,
    OrganizationInUse: money, holds, schedules, payments under way or under review, a frozen wallet, an undecided KYB
    submission, for a member also another administrator.
    """
    owner = Owner.organization(organization_id)
    schedules = lock_transfer_schedules(selectors.open_schedules_of_others_naming(owner))
    organization = lock_to_close(actor=actor, organization_id=organization_id, reason=reason)
    wallets = lock_open_wallets(owner)
    now = clock.now()
    obstacles = [
        *obstacles_to_closing(actor=actor, organization=organization),
        *obstacles_of(owner, wallets, now),
    ]
    if obstacles:
        raise OrganizationInUse(extensions={"obstacles": obstacles})
    canceled = cancel_schedules_naming(
        actor=actor, owner=owner, schedules=schedules, reason="The organization that it pays is being closed."
    )
    close_wallets(actor=actor, wallets=wallets, reason=reason, now=now)
    return end_organization(
        actor=actor,
        organization=organization,
        reason=reason,
        ended_elsewhere={"wallets_closed": len(wallets), "schedules_canceled": canceled},
    )
