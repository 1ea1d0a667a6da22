"""What the tests of organizations share: an organization with its members, KYB done, and money in its wallet."""

import secrets
from decimal import Decimal
from typing import Any

from django.utils import timezone

from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from organizations.enums import KybStatus, MemberRole
from organizations.models import Organization, OrganizationMember
from organizations.selectors import acting_in
from tests.cast import SYSTEM, Client, actor_for, client_for
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import clearing
from transactions.ledger.enums import TransactionKind
from users.models import User
from wallet.models import Wallet
from wallet.services import open_wallet


def organization_of(admin: User, name: str = "Acme Ltd", **members: User) -> Organization:
    """An organization whose administrator is `admin`; further members by their role: `finance=bob`."""
    now = timezone.now()

    def write() -> Organization:
        organization = Organization.objects.create(
            legal_name=name, country="KZ", tax_number=secrets.token_hex(6).upper(), created_at=now
        )
        for role, user in {"admin": admin, **members}.items():
            OrganizationMember.objects.create(
                organization=organization, user=user, role=MemberRole(role), created_at=now
            )
        return organization

    return unit_of_work(write)


def approve_kyb(organization: Organization) -> Organization:
    """Approved, without the officer: for tests that are about something else."""
    for status in (KybStatus.SUBMITTED, KybStatus.APPROVED):
        Organization.objects.filter(pk=organization.pk).update(kyb_status=status)
    organization.refresh_from_db()
    return organization


def wallet_for(organization: Organization, amount: str = "0", currency: str = "USD") -> Wallet:
    """The organization's wallet, with money from the outside world in it."""
    now = timezone.now()
    wallet = Wallet.objects.filter(owner_organization=organization, currency=currency).first() or unit_of_work(
        lambda: open_wallet(actor=SYSTEM, owner_organization_id=organization.pk, currency=currency, now=now)
    )
    if Decimal(amount):
        legs = (ledger.Leg(clearing("simulator", currency), wallet.pk, Decimal(amount), currency),)
        posting = ledger.Posting(kind=TransactionKind.DEPOSIT, legs=legs)
        unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))
        wallet.refresh_from_db()
    return wallet


def member_actor(user: User, organization: Organization) -> Actor:
    """The Actor that authentication makes of a member with the X-Organization header."""
    actor = acting_in(actor_for(user), organization.pk)
    assert actor is not None
    return actor


def client_in(user: User, organization: Organization) -> Client:
    """A client that acts in the organization with every request."""
    client = client_for(user)
    credentials: dict[str, Any] = dict(client._credentials)
    client.credentials(**credentials, HTTP_X_ORGANIZATION=str(organization.pk))
    return client
