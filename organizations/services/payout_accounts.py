"""Payout accounts: added with a cool-down, never edited, archived or replaced."""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime

from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.exceptions import InvalidTransition, NotFound, PermissionDenied, ValidationFailed
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from organizations import payout_details
from organizations.enums import PayoutMethod
from organizations.models import PayoutAccount
from organizations.selectors import payout_accounts_of
from organizations.services.common import TooManyInOrganization, locked_for
from users.services import step_up

MAX_ACCOUNTS = 20  # that aren't archived


def add_payout_account(
    *,
    actor: Actor,
    organization_id: uuid.UUID,
    method: PayoutMethod,
    details: Mapping[str, str],
    replaces: uuid.UUID | None = None,
    now: datetime,
) -> PayoutAccount:
    """Add one, usable after settings.PAYOUT_ACCOUNT_COOL_DOWN; `replaces` archives the one whose place it takes.

    Raises NotFound (also for `replaces`), PermissionDenied, ValidationFailed, InvalidTransition (`replaces` is archived
    already), TooManyInOrganization.
    """
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.PAYOUT_ACCOUNTS_WRITE)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person adds payout accounts.")
    checked = _checked(method, details)
    old = _open_account(organization.pk, replaces) if replaces is not None else None
    step_up.spend(actor=actor)
    if old is not None:
        archive(actor=actor, account=old, now=now)
    if payout_accounts_of(organization.pk).filter(archived_at__isnull=True).count() >= MAX_ACCOUNTS:
        raise TooManyInOrganization(f"An organization has at most {MAX_ACCOUNTS} payout accounts.")
    account = PayoutAccount(
        organization=organization,
        method=method,
        details=json.dumps(dict(checked.details), sort_keys=True),
        label=checked.label,
        replaces=old,
        created_by_id=actor.user_id,
        created_at=now,
        usable_from=now + settings.PAYOUT_ACCOUNT_COOL_DOWN,
    )
    account.save(force_insert=True)
    facts = {
        "method": method,
        "usable_from": account.usable_from.isoformat(),
        "replaces": str(old.pk) if old is not None else None,
    }
    record_and_publish(
        actor,
        "payout_account.added",
        account,
        owner_id=organization.pk,
        after={"organization": str(organization.pk), **facts},
        payload=facts,
    )
    return account


def _checked(method: PayoutMethod, details: Mapping[str, str]) -> payout_details.Checked:
    try:
        return payout_details.check(method, details)
    except payout_details.InvalidDetails as error:
        refusal = {"field": f"details.{error.field}", "code": error.code, "message": str(error)}
        raise ValidationFailed([refusal]) from error


def archive_payout_account(*, actor: Actor, organization_id: uuid.UUID, account_id: uuid.UUID, now: datetime) -> None:
    """Nothing is paid out to it any more. Raises NotFound, PermissionDenied, InvalidTransition (archived already)."""
    organization = locked_for(actor=actor, organization_id=organization_id, capability=Capability.PAYOUT_ACCOUNTS_WRITE)
    account = _open_account(organization.pk, account_id)
    step_up.spend(actor=actor)
    archive(actor=actor, account=account, now=now)


def _open_account(organization_id: uuid.UUID, account_id: uuid.UUID) -> PayoutAccount:
    account = payout_accounts_of(organization_id).filter(pk=account_id).first()
    if account is None:
        raise NotFound("There is no such payout account.")
    if account.archived_at is not None:
        raise InvalidTransition("The payout account is archived.")
    return account


def archive(*, actor: Actor, account: PayoutAccount, now: datetime) -> None:
    """Archive an account that isn't yet. The caller holds the organization's lock."""
    account.archived_at, account.archived_by_id = now, actor.user_id
    account.save(update_fields=["archived_at", "archived_by"])
    record_and_publish(
        actor,
        "payout_account.archived",
        account,
        owner_id=account.organization_id,
        after={"organization": str(account.organization_id), "method": account.method},
        payload={"method": account.method},
    )
