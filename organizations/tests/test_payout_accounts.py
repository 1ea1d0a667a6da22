"""Payout accounts: added with a cool-down, shown masked, archived or replaced, never edited."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.outbox.models import OutboxEvent
from organizations.models import Organization, PayoutAccount
from tests.answers import problem
from tests.cast import Client, clock_at
from tests.forge import NOW, Forge
from users.models import User

URL = "/api/v1/organizations"
IBAN = "GR1601101050000010547023795"
BODY = {"method": "iban", "details": {"iban": IBAN}}


def path(organization: Organization, account: Any = "") -> str:
    return f"{URL}/{organization.pk}/payout-accounts" + (f"/{account}" if account else "")


def add(client: Client, organization: Organization, **changes: Any) -> dict[str, Any]:
    response = client.post(path(organization), {**BODY, **changes})
    assert response.status_code == 201, response.content
    answer: dict[str, Any] = response.json()
    return answer


def test_one_is_added_masked_and_not_usable_yet(bob: User, bob_in_acme: Client, acme: Organization) -> None:
    answer = add(bob_in_acme, acme)

    account = PayoutAccount.objects.get()
    assert {key: answer[key] for key in ("id", "method", "label", "replaces", "is_usable", "archived_at")} == {
        "id": str(account.pk),
        "method": "iban",
        "label": "IBAN GR ****3795",
        "replaces": None,
        "is_usable": False,
        "archived_at": None,
    }
    assert account.usable_from - account.created_at == timedelta(hours=24)
    assert (json.loads(account.details), account.created_by_id) == ({"iban": IBAN}, bob.pk)
    assert bob_in_acme.get(path(acme)).json()["results"] == [answer]


def test_after_the_cool_down_it_is_usable(bob_in_acme: Client, acme: Organization, settings: Any) -> None:
    settings.PAYOUT_ACCOUNT_COOL_DOWN = timedelta(0)

    assert add(bob_in_acme, acme)["is_usable"] is True


def test_its_number_stands_nowhere_in_clear(bob_in_acme: Client, acme: Organization) -> None:
    add(bob_in_acme, acme)

    rows = [row.after for row in AuditLog.objects.all()] + [event.payload for event in OutboxEvent.objects.all()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM organizations_payoutaccount t")
        stored = json.dumps(rows) + str(cursor.fetchall())
    assert IBAN not in stored
    assert IBAN.encode().hex() not in stored


def test_one_takes_the_place_of_another(bob: User, bob_in_acme: Client, acme: Organization) -> None:
    first = add(bob_in_acme, acme)

    now = clock.now()
    with clock_at(now):
        card = {"token": "tok_12345678", "last4": "4242"}
        second = add(bob_in_acme, acme, replaces=first["id"], method="card_token", details=card)

    assert second["replaces"] == first["id"]
    old = PayoutAccount.objects.get(pk=first["id"])
    assert (old.archived_at, old.archived_by_id) == (now, bob.pk)
    assert [row["id"] for row in bob_in_acme.get(path(acme) + "?archived=false").json()["results"]] == [second["id"]]
    again = bob_in_acme.post(path(acme), {**BODY, "replaces": first["id"]})
    assert problem(again) == (409, "invalid_transition")
    assert PayoutAccount.objects.count() == 2


def test_one_is_archived_once(bob_in_acme: Client, acme: Organization) -> None:
    account = add(bob_in_acme, acme)["id"]

    now = clock.now()
    with clock_at(now):
        assert bob_in_acme.delete(path(acme, account)).status_code == 204
    assert problem(bob_in_acme.delete(path(acme, account))) == (409, "invalid_transition")
    assert PayoutAccount.objects.get().archived_at == now


def test_there_is_no_editing(bob_in_acme: Client, acme: Organization) -> None:
    account = add(bob_in_acme, acme)["id"]

    assert problem(bob_in_acme.patch(path(acme, account), BODY)) == (405, "method_not_allowed")
    assert problem(bob_in_acme.put(path(acme, account), BODY, format="json")) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"details": {"iban": IBAN[:-1] + "6"}}, "details.iban", "invalid"),
        ({"details": {}}, "details.iban", "required"),
        ({"details": {"iban": IBAN, "bic": "X"}}, "details.bic", "unknown_field"),
        ({"details": {"iban": 5}}, "details", "invalid"),
        ({"details": [IBAN]}, "details", "invalid"),
        ({"details": None}, "details", "null"),
        ({"details": {str(number): "x" for number in range(11)}}, "details", "invalid"),
        ({"method": "cash"}, "method", "invalid_choice"),
        ({"method": {"a": 1}}, "method", "invalid_choice"),
        ({"method": ["iban"]}, "method", "invalid_choice"),
        ({"replaces": 5}, "replaces", "invalid"),
        ({"usable_from": "2020-01-01T00:00:00Z"}, "usable_from", "unknown_field"),
        ({"label": "mine"}, "label", "unknown_field"),
        ({"organization": str(uuid.uuid4())}, "organization", "unknown_field"),
    ],
)
def test_a_wrong_body_is_refused(
    bob_in_acme: Client, acme: Organization, change: dict[str, Any], field: str, code: str
) -> None:
    response = bob_in_acme.post(path(acme), {**BODY, **change})

    assert problem(response) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert IBAN[:-1] not in response.content.decode()
    assert not PayoutAccount.objects.exists()


def test_others_add_see_and_archive_none(
    alice_client: Client, carol_in_acme: Client, mallory_client: Client, mallory_in_evil: Client,
    operator_client: Client, acme: Organization, evil: Organization,
) -> None:  # fmt: skip
    account = add(alice_client, acme)["id"]
    theirs = add(mallory_in_evil, evil)["id"]

    for client, answer in (
        (carol_in_acme, (403, "permission_denied")),
        (operator_client, (403, "permission_denied")),
        (mallory_client, (404, "not_found")),
        (mallory_in_evil, (404, "not_found")),
    ):
        assert problem(client.post(path(acme), BODY)) == answer
        assert problem(client.delete(path(acme, account))) == answer
    # the id of another organization's, in the path and in the body.
    assert problem(mallory_in_evil.delete(path(evil, account))) == (404, "not_found")
    for absent in (account, str(uuid.uuid4())):
        assert problem(mallory_in_evil.post(path(evil), {**BODY, "replaces": absent})) == (404, "not_found")
    assert problem(alice_client.post(path(acme), {**BODY, "replaces": theirs})) == (404, "not_found")
    assert carol_in_acme.get(path(acme)).json()["results"][0]["id"] == account
    assert PayoutAccount.objects.filter(archived_at__isnull=True).count() == 2


def test_the_list_costs_the_same_for_one_and_for_many(alice_client: Client, acme: Organization) -> None:
    counts = []
    for size in (1, 6):
        for _ in range(PayoutAccount.objects.count(), size):
            add(alice_client, acme)
        with CaptureQueriesContext(connection) as queries:
            assert len(alice_client.get(path(acme)).json()["results"]) == size
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_there_are_at_most_twenty(alice_client: Client, alice: User, acme: Organization) -> None:
    now = timezone.now()
    for _ in range(20):
        PayoutAccount.objects.create(
            organization=acme, method="iban", details="{}", label="x", created_by=alice, created_at=now, usable_from=now
        )

    assert problem(alice_client.post(path(acme), BODY)) == (422, "too_many")
    assert PayoutAccount.objects.count() == 20


def _forged(forge: Forge) -> uuid.UUID:
    organization, account = forge.organization(), uuid.uuid4()
    forge(
        "INSERT INTO organizations_payoutaccount (id, organization_id, method, details, label, created_by_id,"
        " created_at, usable_from) VALUES (%s, %s, 'iban', '\\x00', 'IBAN', %s, %s, %s)",
        [account, organization, forge.user(), NOW, NOW],
    )
    return account


@pytest.mark.parametrize(
    "change", ["usable_from = now()", "created_at = now()", "method = 'sbp'", "id = gen_random_uuid()"]
)
def test_sql_changes_no_fact_of_an_account(forge: Forge, change: str) -> None:
    account = _forged(forge)

    with forge.owner_only("23514", constraint="payout_account_moves"):
        forge(f"UPDATE organizations_payoutaccount SET {change} WHERE id = %s", [account])


@pytest.mark.parametrize(
    "change", ["label = 'mine'", "label = 'erased'", "details = NULL", "details = NULL, label = 'erased'"]
)
def test_sql_erases_no_account_of_an_open_organization(forge: Forge, change: str) -> None:
    account = _forged(forge)

    with forge.refused("23514", constraint="payout_account_moves"):
        forge(f"UPDATE organizations_payoutaccount SET {change} WHERE id = %s", [account])


def test_sql_brings_no_archived_account_back(forge: Forge) -> None:
    account, user = _forged(forge), forge.user()
    forge(
        "UPDATE organizations_payoutaccount SET archived_at = %s, archived_by_id = %s WHERE id = %s",
        [NOW, user, account],
    )

    with forge.refused("23514", constraint="payout_account_moves"):
        forge(
            "UPDATE organizations_payoutaccount SET archived_at = NULL, archived_by_id = NULL WHERE id = %s", [account]
        )
    with forge.owner_only("23514", constraint="payout_account_no_delete"):
        forge("DELETE FROM organizations_payoutaccount WHERE id = %s", [account])
