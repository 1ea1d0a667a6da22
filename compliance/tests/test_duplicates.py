"""One document used by several people: found however it is spelled, shown to officers alone, approved knowingly."""

import json
from typing import Any

import pytest
from django.contrib.messages import get_messages

from compliance.documents import normal_number
from compliance.models import KycSubmission
from compliance.services import reject_submission
from compliance.tests.factories import actions_on, application, approve, row_of, standing, submit
from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security.crypto import index_digest, index_key_ids
from tests.cast import Client, actor_for, browser_for, client_for, customer
from users.models import User

pytestmark = pytest.mark.django_db
PATH = "/api/v1/kyc/submissions"
NUMBER = "AB 012345"
SPELLINGS = [
    "AB012345",
    "ab 012345",
    "AB-01.23/45",
    "АВ 012345",  # noqa: RUF001 - Cyrillic
    "\uff21\uff22\uff10\uff11\uff12\uff13\uff14\uff15",
    "ав٠١٢٣٤٥",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_six_spellings_are_one_document(spelling: str) -> None:
    assert normal_number(spelling) == normal_number(NUMBER) == "AB012345"


@pytest.mark.parametrize(
    ("number", "normal"),
    [
        ("авекмнорстух", "ABEKMH0PCTYX"),
        ("é1ü2", "E1U2"),
        ("00-12", "0012"),
        ("АБ12", "AБ12"),  # noqa: RUF001 - what has no Latin look-alike stays
        ("O0", "00"),
        ("оИІl1i", "0И1111"),  # noqa: RUF001
        ("_ ./-", ""),
    ],
)
def test_the_normal_form(number: str, normal: str) -> None:
    assert normal_number(number) == normal


@pytest.mark.parametrize(
    "changed",
    [
        {"country": "FR"},
        {"document_type": "id_card"},
        {"country": "FR", "document_type": "driving_license"},
        {"document_number": "AB O12345"},
        {"document_number": "AB 0l2345"},
        {"document_number": "AB OI2345", "country": "FR"},
    ],
)
def test_a_document_stays_one_with_another_country_or_kind_and_with_look_alikes(
    alice: User, bob: User, officer: User, officer_client: Client, changed: dict[str, str]
) -> None:
    first = submit(alice, **{"document_number": NUMBER, "country": "LI", "document_type": "passport"})
    second = submit(bob, **{"document_number": NUMBER, "country": "LI", "document_type": "passport", **changed})

    (found,) = officer_client.get(f"{PATH}/{second.pk}").json()["possible_duplicates"]
    (other,) = officer_client.get(f"{PATH}/{first.pk}").json()["possible_duplicates"]
    refused = officer_client.post(f"{PATH}/{second.pk}/approve", {"level": 1})

    assert (found["id"], found["document_type"], found["country"]) == (str(first.pk), "passport", "LI")
    assert (other["document_type"], other["country"]) == (second.document_type, second.country)
    assert (refused.status_code, refused.json()["code"]) == (409, "kyc_document_in_use")
    page = browser_for(officer).get(f"/admin/compliance/kycsubmission/{second.pk}/change/").content.decode()
    assert f"{first.pk}</a> (SUBMITTED, {first.get_document_type_display()}, LI)" in page


def test_the_index_is_a_keyed_digest_and_follows_the_row(alice: User) -> None:
    submission = submit(alice, document_number=SPELLINGS[3])

    (key_id,) = index_key_ids()
    column = "document_index_a" if key_id % 2 else "document_index_b"
    stored = bytes(KycSubmission.objects.values_list(column, flat=True).get())
    assert stored == index_digest("kyc_document", "AB012345", key_id=key_id)
    assert submission.document_number == SPELLINGS[3]  # as the applicant spelled it


def six(*, spellings: list[str] = SPELLINGS) -> list[KycSubmission]:
    return [submit(customer(f"person{n}"), document_number=text) for n, text in enumerate(spellings)]


def shown(client: Client, submission: KycSubmission) -> list[str]:
    return [row["id"] for row in client.get(f"{PATH}/{submission.pk}").json()["possible_duplicates"]]


def test_officers_see_all_six_and_applicants_none(officer_client: Client, auditor_client: Client) -> None:
    made = six()
    first, others = made[0], made[1:]

    assert shown(officer_client, first) == [str(row.pk) for row in others]
    assert shown(auditor_client, first) == [str(row.pk) for row in others]
    listed = officer_client.get(PATH).json()["results"]
    assert {row["id"]: row["has_possible_duplicates"] for row in listed} == {str(row.pk): True for row in made}
    own = client_for(first.user)
    assert shown(own, first) == []
    assert [row["has_possible_duplicates"] for row in own.get(PATH).json()["results"]] == [False]


def test_applying_with_anothers_document_answers_as_with_ones_own(alice: User, bob: User, mallory: User) -> None:
    """No oracle: neither the answer nor the statements say whether the document is known."""
    submit(alice)

    known = client_for(bob).post(PATH, application())
    unknown = client_for(mallory).post(PATH, application(document_number="Never seen 1"))

    assert known.status_code == unknown.status_code == 201
    varying = {"id", "user", "document_number", "created_at", "updated_at"}
    assert {k: v for k, v in known.json().items() if k not in varying} == {
        k: v for k, v in unknown.json().items() if k not in varying
    }
    assert known.json()["possible_duplicates"] == []


def test_ones_own_former_and_rejected_submissions_of_others_dont_count(
    alice: User, bob: User, officer: User, officer_client: Client
) -> None:
    approve(submit(alice), officer, level=1)
    second = submit(alice, level=2)
    rejected = submit(bob)
    actor = actor_for(officer)
    unit_of_work(
        lambda: reject_submission(actor=actor, submission_id=rejected.pk, reason="Not theirs", now=clock.now())
    )

    assert shown(officer_client, second) == []
    assert officer_client.post(f"{PATH}/{second.pk}/approve", {"level": 2}).status_code == 200


def test_a_second_use_is_approved_only_knowingly_and_with_a_reason(
    alice: User, bob: User, officer: User, officer_client: Client
) -> None:
    first = approve(submit(alice), officer, level=1)
    second = submit(bob, document_number="xq-773 1954")
    path, before = f"{PATH}/{second.pk}/approve", row_of(second)

    refused = officer_client.post(path, {"level": 1})
    silent = officer_client.post(path, {"level": 1, "acknowledge_duplicates": True})
    unsure = officer_client.post(path, {"level": 1, "acknowledge_duplicates": "yes", "reason": "Twins, seen both."})

    assert (refused.status_code, refused.json()["code"]) == (409, "kyc_document_in_use")
    assert refused.json()["possible_duplicates"] == [str(first.pk)]
    assert (silent.status_code, silent.json()["errors"][0]["field"]) == (400, "reason")
    assert (unsure.status_code, unsure.json()["errors"][0]["field"]) == (400, "acknowledge_duplicates")
    assert (row_of(second), standing(bob), actions_on(second)) == (before, ("SUBMITTED", 0), ["kyc.submitted"])

    done = officer_client.post(path, {"level": 1, "acknowledge_duplicates": True, "reason": "Typing error of Alice's."})

    assert (done.status_code, done.json()["status"]) == (200, "APPROVED")
    assert [row["id"] for row in done.json()["possible_duplicates"]] == [str(first.pk)]
    row = AuditLog.objects.get(action="kyc.approved", entity_id=str(second.pk))
    assert (row.reason, row.after["acknowledged_duplicates"]) == ("Typing error of Alice's.", [str(first.pk)])


def test_without_duplicates_nothing_is_asked(alice: User, officer_client: Client) -> None:
    submission = submit(alice)

    assert officer_client.post(f"{PATH}/{submission.pk}/approve", {"level": 1}).status_code == 200
    assert "acknowledged_duplicates" not in AuditLog.objects.get(action="kyc.approved").after


def act(officer: User, submission: KycSubmission, **answers: str) -> list[str]:
    form = {"action": "approve_at_level_1", "_selected_action": [str(submission.pk)], "reason_confirmed": "yes"}
    page: Any = browser_for(officer).post("/admin/compliance/kycsubmission/", {**form, **answers})
    return [str(message) for message in get_messages(page.wsgi_request)]


def test_the_admin_shows_them_and_asks(alice: User, bob: User, officer: User) -> None:
    first, second = submit(alice), submit(bob)
    browser = browser_for(officer)

    listed = browser.get("/admin/compliance/kycsubmission/").content.decode()
    page = browser.get(f"/admin/compliance/kycsubmission/{second.pk}/change/").content.decode()

    assert "document of another too" in listed.lower()
    assert f"/admin/compliance/kycsubmission/{first.pk}/change/" in page
    (refusal,) = act(officer, second, reason="Looks right to me")
    assert "kyc_document_in_use" in refusal
    assert standing(bob) == ("SUBMITTED", 0)
    assert act(officer, second, reason="Both seen in person", acknowledge_duplicates="on") == [
        "Approve at level 1: 1 done."
    ]
    assert standing(bob) == ("APPROVED", 1)


def test_a_list_costs_the_same_for_any_number_of_duplicates(
    officer_client: Client, django_assert_num_queries: Any
) -> None:
    six(spellings=SPELLINGS[:2])
    with django_assert_num_queries(2):
        assert len(json.loads(officer_client.get(PATH).content)["results"]) == 2
    submit(customer("further"), document_number=NUMBER)
    with django_assert_num_queries(2):
        assert len(json.loads(officer_client.get(PATH).content)["results"]) == 3
