"""A tax number is an organization's from the submission of its KYB on, and not before: no squatting, no leak."""

import base64
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.security.crypto import index_digest, index_key_ids
from organizations import services
from organizations.enums import KybStatus
from organizations.models import Organization
from organizations.tests.factories import member_actor, organization_of
from organizations.tests.verification import BODY, NUMBER, URL, decide, made_by, statuses, submit
from tests.answers import problem
from tests.cast import Client, browser_for, client_for, customer, kyc
from tests.racing import race_outcomes
from users.models import User


@pytest.mark.django_db
@pytest.mark.parametrize("squatter", ["NOT_SUBMITTED", "REJECTED"])
def test_an_unproven_claim_keeps_no_one_from_the_number(
    alice: User, mallory: User, officer_client: Client, squatter: str
) -> None:
    stolen = made_by(kyc(mallory, 1))
    if squatter == "REJECTED":
        submit(mallory, stolen)
        decide(officer_client, stolen, "reject")

    rightful = made_by(kyc(alice, 1))

    assert submit(alice, rightful).status_code == 200
    assert decide(officer_client, rightful, "approve").status_code == 200
    assert statuses() == [squatter, "APPROVED"]


@pytest.mark.django_db
def test_who_has_not_proved_who_they_are_submits_nothing(mallory: User) -> None:
    """So that an account which anyone can register neither holds a stranger's number nor learns whether it is taken."""
    squatted = made_by(mallory)

    refused = submit(mallory, squatted)

    assert problem(refused) == (422, "kyc_required")
    assert refused.json()["required_level"] == 1
    assert statuses() == ["NOT_SUBMITTED"]
    assert not AuditLog.objects.filter(action="organization.kyb_submitted").exists()


@pytest.mark.django_db
def test_making_and_correcting_one_say_the_same_whether_the_number_is_taken(
    alice: User, bob: User, mallory: User, officer_client: Client
) -> None:
    proved = made_by(kyc(alice, 1))
    submit(alice, proved)
    decide(officer_client, proved, "approve")

    taken = client_for(mallory).post(URL, BODY)
    free = client_for(bob).post(URL, {**BODY, "tax_number": "7830002293"})
    other = client_for(mallory).post(URL, {**BODY, "tax_number": "7830002293"})
    corrected = client_for(mallory).patch(f"{URL}/{other.json()['id']}", {"tax_number": NUMBER})

    assert (taken.status_code, free.status_code, corrected.status_code) == (201, 201, 200)
    same = {"tax_number": "****3893", "has_other_claims": False, "kyb_status": "NOT_SUBMITTED"}
    for answer in (taken, corrected, client_for(mallory).get(f"{URL}/{other.json()['id']}")):
        assert same.items() <= answer.json().items()
    assert client_for(mallory).get(f"{URL}/{other.json()['id']}").json()["other_claims"] == []


@pytest.mark.django_db
@pytest.mark.parametrize("held", ["SUBMITTED", "IN_REVIEW", "APPROVED"])
def test_a_second_submission_is_refused_and_officers_see_both(
    alice: User, mallory: User, officer: User, officer_client: Client, held: str
) -> None:
    holder, second = made_by(kyc(mallory, 1), legal_name="Evil Inc"), made_by(kyc(alice, 1))
    submit(mallory, holder)
    if held == "IN_REVIEW":
        Organization.objects.filter(pk=holder.pk).update(kyb_status=held)
    elif held == "APPROVED":
        decide(officer_client, holder, "approve")

    refused = submit(alice, second)

    assert problem(refused) == (409, "tax_number_taken")
    assert not {"Evil Inc", str(holder.pk), NUMBER} & set(refused.content.decode().split('"'))
    assert statuses() == [held, "NOT_SUBMITTED"]
    row = AuditLog.objects.get(action="organization.tax_number_contested")
    assert (row.actor_id, row.entity_id) == (alice.pk, str(second.pk))
    assert row.after == {"organization": str(second.pk), "holder": str(holder.pk), "holder_kyb_status": held}
    listed = officer_client.get(URL).json()["results"]
    assert [item["has_other_claims"] for item in listed] == [True, True]
    shown = officer_client.get(f"{URL}/{holder.pk}").json()["other_claims"]
    assert [(claim["id"], claim["kyb_status"]) for claim in shown] == [(str(second.pk), "NOT_SUBMITTED")]
    page = browser_for(officer).get(f"/admin/organizations/organization/{holder.pk}/change/").content.decode()
    assert f"/admin/organizations/organization/{second.pk}/change/" in page


@pytest.mark.django_db
def test_officers_see_other_claims_in_the_answers_to_their_decisions(
    alice: User, mallory: User, officer_client: Client
) -> None:
    rejected, other = made_by(kyc(mallory, 1)), made_by(kyc(alice, 1))
    submit(mallory, rejected)
    decisions = [decide(officer_client, rejected, "reject")]
    closed = officer_client.post(f"{URL}/{rejected.pk}/close", {"reason": "not theirs"})
    submit(alice, other)
    decisions.append(decide(officer_client, other, "approve"))

    for answer in (*decisions, closed):
        assert (answer.status_code, answer.json()["has_other_claims"]) == (200, True)


@pytest.mark.django_db
def test_a_refused_submission_frees_the_number_for_its_owner(
    alice: User, mallory: User, officer_client: Client
) -> None:
    squatter, rightful = made_by(kyc(mallory, 1)), made_by(kyc(alice, 1))
    submit(mallory, squatter)
    assert problem(submit(alice, rightful)) == (409, "tax_number_taken")

    decide(officer_client, squatter, "reject")

    assert submit(alice, rightful).status_code == 200
    assert decide(officer_client, rightful, "approve").status_code == 200
    assert problem(submit(mallory, squatter)) == (409, "tax_number_taken")
    assert statuses() == ["REJECTED", "APPROVED"]


@pytest.mark.django_db
def test_a_closed_organization_holds_no_number(alice: User, bob: User, officer_client: Client) -> None:
    first, second = made_by(kyc(alice, 1)), made_by(kyc(bob, 1))
    submit(alice, first)
    decide(officer_client, first, "approve")
    assert client_for(alice).post(f"{URL}/{first.pk}/close").status_code == 200

    assert submit(bob, second).status_code == 200
    shown = officer_client.get(f"{URL}/{second.pk}").json()["other_claims"]
    assert [(claim["id"], claim["kyb_status"], bool(claim["closed_at"])) for claim in shown] == [
        (str(first.pk), "APPROVED", True)
    ]


@pytest.mark.django_db
def test_the_same_number_in_another_country_is_another_number_and_officers_see_it(
    alice: User, bob: User, officer_client: Client
) -> None:
    first, second = made_by(kyc(alice, 1)), made_by(kyc(bob, 1), country="KZ")

    assert (submit(alice, first).status_code, submit(bob, second).status_code) == (200, 200)
    shown = officer_client.get(f"{URL}/{first.pk}").json()
    assert shown["has_other_claims"] is True
    assert [(claim["id"], claim["country"]) for claim in shown["other_claims"]] == [(str(second.pk), "KZ")]


@pytest.mark.django_db
def test_a_number_is_held_under_every_index_key(alice: User, mallory: User, settings: Any) -> None:
    """Both wrote their number before the new key came, and are submitted while the keys rotate and after."""
    first, second = made_by(kyc(alice, 1)), made_by(kyc(mallory, 1))
    ring = settings.PII_INDEX_KEYS
    newer = int(ring.partition(":")[0]) + 1
    settings.PII_INDEX_KEYS = f"{newer}:{base64.b64encode(b'n' * 32).decode()},{ring}"
    assert submit(alice, first).status_code == 200
    first.refresh_from_db()
    stored = {key_id % 2: index_digest("tax_number", NUMBER, key_id=key_id) for key_id in index_key_ids()}
    assert (bytes(first.tax_number_index_a or b""), bytes(first.tax_number_index_b or b"")) == (stored[1], stored[0])

    assert problem(submit(mallory, second)) == (409, "tax_number_taken")


@pytest.mark.django_db
@pytest.mark.parametrize("status", [KybStatus.SUBMITTED, KybStatus.APPROVED])
def test_sql_holds_no_number_twice(alice: User, bob: User, status: KybStatus) -> None:
    first, second = made_by(alice), made_by(bob)
    for organization in (first, second):
        assert organization.tax_number == NUMBER
    Organization.objects.filter(pk=first.pk).update(kyb_status="SUBMITTED")
    Organization.objects.filter(pk=first.pk).update(kyb_status=status)

    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        Organization.objects.filter(pk=second.pk).update(kyb_status="SUBMITTED")

    assert refusal.value.__cause__.diag.constraint_name.startswith("organization_number_held_")  # type: ignore[union-attr]


@pytest.mark.django_db
def test_the_officers_list_costs_the_same_for_one_claim_and_for_many(alice: User, officer_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert officer_client.get(URL).status_code == 200
        return len(found)

    made_by(alice)
    once = queries()
    for name in ("anna", "boris", "clara"):
        made_by(customer(name))

    assert queries() == once


@pytest.mark.django_db(transaction=True)
def test_of_two_submissions_at_the_same_moment_one_holds_the_number() -> None:
    users = [kyc(customer(name), 1) for name in ("anna", "boris")]
    pairs = [(user, organization_of(user)) for user in users]
    for _, organization in pairs:
        organization.tax_number = NUMBER
        organization.save(update_fields=["tax_number", "tax_number_index_a", "tax_number_index_b"])
    actors = [(member_actor(user, organization), organization.pk) for user, organization in pairs]

    outcomes = race_outcomes(
        *[
            lambda actor=actor, pk=pk: unit_of_work(  # type: ignore[misc]
                lambda: services.submit_kyb(actor=actor, organization_id=pk, now=timezone.now())
            )
            for actor, pk in actors
        ]
    )

    assert outcomes == ["done", "tax_number_taken"]
    assert sorted(statuses()) == ["NOT_SUBMITTED", "SUBMITTED"]
