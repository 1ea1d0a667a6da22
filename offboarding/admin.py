"""Organizations in the admin, with the action that closes one."""

import uuid
from datetime import datetime

from django.contrib import admin

from fintech_core.admin.base import reason_action
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from offboarding.services.organizations import close_organization
from organizations.admin import OrganizationAdmin
from organizations.models import Organization


def _close(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return close_organization(actor=actor, organization_id=object_id, reason=reason)


# What keeps an organization open lies in rooms that its own room doesn't know.
admin.site.unregister(Organization)


@admin.register(Organization)
class ClosableOrganizationAdmin(OrganizationAdmin):
    actions = (
        *OrganizationAdmin.actions,
        reason_action(
            "Close organization",
            Capability.ORGANIZATIONS_CLOSE,
            _close,
            explanation="For good, with its empty wallets and all memberships; its members are notified. Refused while "
            "there is money, a hold, a schedule, a payment under way or an undecided KYB submission.",
            sensitive=True,
        ),
    )
