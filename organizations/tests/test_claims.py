"""Several organizations that claim one tax number: whose turn it is, what each may try, and what officers see."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from organizations.models import Organization
from organizations.tests.verification import URL, decide, made_by, statuses, submit
from tests.answers import problem
from tests.cast import Client, browser_for, client_for, clock_at, kyc
from users.models import User

pytestmark = pytest.mark.django_db
TAKEN, CONTESTED = (409, "tax_number_taken"), (409, "tax_number_contested")
CONTEST = "organization.tax_number_contested"


def close(user: User, organization: Organization) -> Any:
    return client_for(user).post(f"{URL}/{organization.pk}/close")


@pytest.fixture
def squatted(alice: User, mallory: User, officer_client: Client) -> tuple[Organization, Organization]:
    """mallory's claim, which was rejected, and alice's, which was refused because of it."""
    stolen, rightful = made_by(kyc(mallory, 1)), made_by(kyc(alice, 1))
    assert submit(mallory, stolen).status_code == 200
    assert problem(submit(alice, rightful)) == TAKEN
    assert decide(officer_client, stolen, "reject").status_code == 200
    return stolen, rightful


def test_who_was_rejected_waits_for_who_contested_the_number(
    alice: User, mallory: User, squatted: tuple[Organization, Organization], officer_client: Client
) -> None:
    stolen, rightful = squatted

    refused = submit(mallory, stolen)

    assert problem(refused) == CONTESTED
    assert statuses() == ["REJECTED", "NOT_SUBMITTED"]
    assert submit(alice, rightful).status_code == 200
    assert decide(officer_client, rightful, "approve").status_code == 200
    assert problem(submit(mallory, stolen)) == TAKEN


@pytest.mark.parametrize("way", ["close", "new number and back", "another organization"])
def test_no_way_round_gets_the_rejected_person_before_the_other(
    mallory: User, squatted: tuple[Organization, Organization], way: str
) -> None:
    again, _ = squatted
    if way == "close":
        assert close(mallory, again).status_code == 200
        again = made_by(mallory)
    elif way == "another organization":
        again = made_by(mallory)
    else:
        for number in ("7830002293", "7707083893"):
            assert client_for(mallory).patch(f"{URL}/{again.pk}", {"tax_number": number}).status_code == 200

    assert problem(submit(mallory, again)) == CONTESTED


def test_an_organization_that_was_rejected_waits_whichever_member_submits(
    bob: User, squatted: tuple[Organization, Organization]
) -> None:
    stolen, _ = squatted
    stolen.members.create(user=kyc(bob, 1), role="admin", created_at=clock.now())

    assert problem(submit(bob, stolen)) == CONTESTED


@pytest.mark.parametrize("end", ["time", "closed", "another number"])
def test_the_wait_ends(alice: User, mallory: User, squatted: tuple[Organization, Organization], end: str) -> None:
    stolen, rightful = squatted
    later = clock.now()
    if end == "time":
        with clock_at(later + timedelta(days=30, minutes=-1)):
            assert problem(submit(mallory, stolen)) == CONTESTED
        later += timedelta(days=30, seconds=1)
    elif end == "closed":
        assert close(alice, rightful).status_code == 200
    else:
        other = {"tax_number": "7830002293"}
        assert client_for(alice).patch(f"{URL}/{rightful.pk}", other).status_code == 200

    with clock_at(later):
        assert submit(mallory, stolen).status_code == 200


def test_who_was_rejected_alone_submits_again(mallory: User, alice: User, officer_client: Client) -> None:
    """A claim that was never submitted keeps no one waiting."""
    first, _ = made_by(kyc(mallory, 1)), made_by(alice)
    submit(mallory, first)
    decide(officer_client, first, "reject")

    assert submit(mallory, first).status_code == 200


def test_a_person_has_two_undecided_submissions(mallory: User, officer_client: Client) -> None:
    made = [made_by(kyc(mallory, 1), tax_number=number) for number in ("7707083893", "7736050003", "7702070139")]
    assert [submit(mallory, one).status_code for one in made[:2]] == [200, 200]

    assert problem(submit(mallory, made[2])) == (422, "too_many")
    assert statuses() == ["SUBMITTED", "SUBMITTED", "NOT_SUBMITTED"]
    decide(officer_client, made[0], "approve")
    assert submit(mallory, made[2]).status_code == 200


def test_contesting_is_bounded_and_audited_once_a_day(alice: User, mallory: User, officer_client: Client) -> None:
    rightful, other = made_by(kyc(alice, 1)), made_by(kyc(mallory, 1))
    free = made_by(mallory, tax_number="7736050003")
    submit(alice, rightful)

    answers = [problem(submit(mallory, other)) for _ in range(7)]

    assert answers == [TAKEN] * 5 + [(429, "too_many_attempts")] * 2
    assert AuditLog.objects.filter(action=CONTEST).count() == 1
    # What isn't taken is no longer said either.
    assert problem(submit(mallory, free)) == (429, "too_many_attempts")
    with clock_at(clock.now() + timedelta(days=1, minutes=1)):
        assert problem(submit(mallory, other)) == TAKEN
    assert AuditLog.objects.filter(action=CONTEST).count() == 2


def test_closing_hides_no_rejection_from_officers(mallory: User, officer: User, officer_client: Client) -> None:
    rejected = made_by(kyc(mallory, 1), legal_name="First try")
    submit(mallory, rejected)
    decide(officer_client, rejected, "reject")
    closed_at = clock.now()
    with clock_at(closed_at):
        close(mallory, rejected)
    never = made_by(mallory, legal_name="Never submitted")
    close(mallory, never)

    second = made_by(mallory)

    shown = officer_client.get(f"{URL}/{second.pk}").json()
    assert shown["has_other_claims"] is True
    (claim,) = shown["other_claims"]
    assert (claim["id"], claim["kyb_status"]) == (str(rejected.pk), "REJECTED")
    assert datetime.fromisoformat(claim["closed_at"]) == closed_at
    page = browser_for(officer).get(f"/admin/organizations/organization/{second.pk}/change/").content.decode()
    assert "First try</a> (RU, REJECTED, closed)" in page
    assert "Never submitted" not in page


def test_a_person_founds_ten_organizations_a_day_also_when_they_are_closed(mallory: User) -> None:
    for _ in range(10):
        assert close(mallory, made_by(mallory)).status_code == 200

    refused = client_for(mallory).post(URL, {"legal_name": "More", "country": "RU", "tax_number": "7707083893"})

    assert problem(refused) == (429, "too_many_attempts")
    assert Organization.objects.count() == 10
    with clock_at(clock.now() + timedelta(days=1, minutes=1)):
        made_by(mallory)
