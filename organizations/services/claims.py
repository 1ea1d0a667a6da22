"""Whose turn it is when several organizations claim one tax number.

A claim that is undecided or approved keeps all others out. An organization that is refused because of it has contested
it, and comes first once it is rejected: the organization that was rejected, and the person who submitted it, can't
submit the same number again for settings.KYB_REJECTED_WAIT while another organization that contested it waits for its
turn.
"""

import uuid
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock, prepared
from fintech_core.exceptions import DomainError, NotFound, TooManyAttempts
from fintech_core.limits import budgets
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest
from organizations.enums import KYB_OPEN, KYB_UNDECIDED
from organizations.locks import lock_organization
from organizations.models import Organization
from organizations.selectors import holder_of_tax_number, is_contested_by_others
from organizations.services.common import TooManyInOrganization

MAX_UNDECIDED = 2  # submissions of one person
CONTESTS_PER_DAY = 5  # of one person: each says that a number is taken
DAY = timedelta(days=1)
_CONTESTS, _NOTED, _REJECTED = "kyb.contests", "kyb.contest_noted", "kyb.rejected"


class TaxNumberTaken(DomainError):
    """Says that there is a claim and nothing about whose; officers see both."""

    code = "tax_number_taken"
    status = HTTPStatus.CONFLICT
    title = "The tax number is under review or approved for another organization. If it is yours, contact support."


class TaxNumberContested(DomainError):
    """Only for those whose claim to this number was rejected before."""

    code = "tax_number_contested"
    status = HTTPStatus.CONFLICT
    title = "Another organization's claim to this tax number is processed first, as yours was rejected. Wait."


def refuse_out_of_turn(*, actor: Actor, organization: Organization) -> None:
    """The caller holds the locks of the organization and of the person.

    Raises TooManyInOrganization, TooManyAttempts, TaxNumberTaken (which counts), TaxNumberContested.
    """
    if actor.user_id is None:
        raise NotFound
    undecided = Organization.objects.filter(submitted_by_id=actor.user_id, kyb_status__in=KYB_UNDECIDED)
    if undecided.count() >= MAX_UNDECIDED:
        raise TooManyInOrganization(f"A person has at most {MAX_UNDECIDED} undecided submissions.")
    used_up = [wait for number, wait in _used(_CONTESTS, actor.user_id) if number >= CONTESTS_PER_DAY]
    if used_up:
        raise TooManyAttempts(max(used_up))
    holder = holder_of_tax_number(organization)
    if holder is not None:
        raise _taken(actor, organization, holder)
    was_rejected = [*_used(_REJECTED, actor.user_id, organization), *_used(_REJECTED, organization.pk, organization)]
    if was_rejected and is_contested_by_others(organization):
        raise TaxNumberContested


def remember_rejection(organization: Organization) -> None:
    """The wait begins anew with each rejection. The caller holds the organization's lock."""
    for subject in (organization.pk, organization.submitted_by_id):
        if subject is not None:
            digest = _digest(_REJECTED, subject, organization)
            budgets.clear(scope=_REJECTED, subject=digest)
            budgets.count(scope=_REJECTED, subject=digest, number=1, window=settings.KYB_REJECTED_WAIT)


def _taken(actor: Actor, organization: Organization, holder: Organization) -> TaxNumberTaken:
    """The refusal. What it leaves behind stays though everything else of the request is undone."""
    error = TaxNumberTaken()
    error.trace = lambda: _contest(actor, organization, holder)
    return error


def _contest(actor: Actor, organization: Organization, holder: Organization) -> None:
    """Count it, remember that the organization waits for its turn, and let officers know: one audit row a day for a
    pair. Raises TooManyAttempts."""
    if actor.user_id is None:
        raise NotFound
    current = lock_organization(organization.pk)
    budgets.consume(scope=_CONTESTS, subject=_digest(_CONTESTS, actor.user_id), limit=CONTESTS_PER_DAY, window=DAY)
    is_same = (current.country, current.tax_number) == (organization.country, organization.tax_number)
    if is_same and current.closed_at is None and current.kyb_status in KYB_OPEN:
        current.contested_at = clock.now()
        current.save(update_fields=["contested_at"])
    pair = keyed_digest(_NOTED, f"{organization.pk} {holder.pk}")
    times, _ = budgets.count(scope=_NOTED, subject=pair, number=1, window=DAY)
    if times == 1:
        record_and_publish(
            actor,
            "organization.tax_number_contested",
            organization,
            after={
                "organization": str(organization.pk),
                "holder": str(holder.pk),
                "holder_kyb_status": holder.kyb_status,
            },
        )


def _used(scope: str, subject: uuid.UUID, organization: Organization | None = None) -> list[tuple[int, int]]:
    with prepared.one_round_trip():
        pending = budgets.used(scope=scope, subjects=[_digest(scope, subject, organization)])
    return [(number, wait) for _, number, wait in pending.rows() if number]


def _digest(scope: str, subject: uuid.UUID, organization: Organization | None = None) -> bytes:
    """Of a person or organization, where it is about a number with it."""
    number = "" if organization is None else f" {organization.country} {organization.tax_number}"
    return keyed_digest(scope, f"{subject}{number}")
