"""API keys (A-63): what is stored, what they open, how they end, that their secret is nowhere to be read."""

import hashlib
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import structlog
from django.db import IntegrityError, connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import PermissionDenied
from fintech_core.http.endpoints import endpoint, endpoint_of
from fintech_core.outbox.models import OutboxEvent
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability, alternatives
from messaging.models import Message
from tests.answers import problem
from tests.api_routes import api_routes
from tests.cast import (
    PASSWORD,
    SYSTEM,
    Client,
    actor_for,
    anonymous_client,
    client_for,
    clock_at,
    key_client,
    kyc,
    staff,
    written_log,
)
from transactions.ledger.models import Transaction
from users import services
from users.api_key_authentication import actor_of_key
from users.enums import STAFF_ROLES, CredentialChange, Role, Scope
from users.models import ApiKey, User
from users.scopes import SCOPES
from users.services.api_keys import MAX_LIVE_KEYS
from users.tests.helpers import field_errors

pytestmark = pytest.mark.django_db
KEYS = "/api/v1/api-keys"
WALLETS = "/api/v1/wallets"
BODY = {"name": "Shop", "scopes": ["wallets:read", "transfers:write"]}


def make(client: Client, **changes: Any) -> dict[str, Any]:
    answer = client.post(KEYS, {**BODY, **changes})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def with_key(text: str, path: str = WALLETS) -> Any:
    return anonymous_client().get(path, headers={"Authorization": f"Api-Key {text}"})


# --- Making one -------------------------------------------------------------------------------------------------------


def test_a63_a_key_is_shown_once_and_stored_as_a_hash(alice: User, alice_client: Client) -> None:
    answer = alice_client.post(KEYS, {**BODY, "expires_at": "2100-01-01T00:00:00Z"})

    assert answer.status_code == 201
    body = answer.json()
    key = body.pop("key")
    prefix, secret = key.split(".")
    row = ApiKey.objects.get()
    assert body == {
        "id": str(row.pk),
        "name": "Shop",
        "prefix": prefix,
        "scopes": ["transfers:write", "wallets:read"],
        "organization": None,
        "created_at": body["created_at"],
        "expires_at": "2100-01-01T00:00:00.000000Z",
        "last_used_at": None,
        "revoked_at": None,
    }
    assert re.fullmatch(r"fc_[0-9a-f]{16}", prefix)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)  # 256 bits
    assert row.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
    assert (row.user_id, row.created_by_id, row.organization_id) == (alice.pk, alice.pk, None)
    listed = alice_client.get(KEYS)
    assert listed.json()["results"] == [body]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_jsonb(k)::text FROM users_apikey k UNION SELECT to_jsonb(a)::text FROM fintech_core_auditlog a"
        )
        assert secret not in "".join(text for (text,) in cursor.fetchall())
    assert not IdempotencyRecord.objects.exists()


def test_the_action_is_audited_without_name_prefix_and_hash(alice: User, alice_client: Client) -> None:
    made = make(alice_client, expires_at="2100-01-01T02:00:00+02:00")
    alice_client.delete(f"{KEYS}/{made['id']}")

    created, revoked = AuditLog.objects.filter(entity_type="api_key").order_by("id")
    whose = {"user": str(alice.pk), "organization": None}
    assert (created.action, created.actor_id, created.entity_id) == ("api_key.created", alice.pk, made["id"])
    assert created.after == {
        **whose,
        "scopes": ["transfers:write", "wallets:read"],
        "expires_at": "2100-01-01T00:00:00+00:00",
    }
    assert (revoked.action, revoked.after) == ("api_key.revoked", whose)


def test_the_owner_is_notified_of_a_key_that_is_made_and_of_one_that_is_revoked(
    alice: User, alice_client: Client, admin_user: User
) -> None:
    made, other = make(alice_client), make(alice_client)
    alice_client.delete(f"{KEYS}/{made['id']}")
    alice_client.delete(f"{KEYS}/{made['id']}")
    actor = actor_for(admin_user)
    unit_of_work(
        lambda: services.revoke_key_of_any_user(actor=actor, key_id=other["id"], reason="leaked", now=timezone.now())
    )

    rows = Message.objects.order_by("created_at", "id")
    told = [(row.recipient, row.template, json.loads(row.context)["what"]) for row in rows]
    made_text, revoked_text = CredentialChange.API_KEY_MADE.label, CredentialChange.API_KEY_REVOKED.label
    assert told == [
        ("alice@customer.example", "credential_changed", text)
        for text in (made_text, made_text, revoked_text, revoked_text)
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": ""}, ("name", "blank")),
        ({"name": "x" * 101}, ("name", "max_length")),
        ({"name": "two\nlines"}, ("name", "control_characters")),
        ({"name": 5}, ("name", "invalid")),
        ({"scopes": []}, ("scopes", "min_length")),
        ({"scopes": ["wallets:write"]}, ("scopes[0]", "invalid_choice")),
        ({"scopes": [["wallets:read"]]}, ("scopes[0]", "invalid_choice")),
        ({"scopes": "wallets:read"}, ("scopes", "not_a_list")),
        ({"scopes": ["wallets:read"] * 8}, ("scopes", "max_length")),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ("expires_at", "not_in_the_future")),
        ({"expires_at": "2100-01-01T00:00:00"}, ("expires_at", "invalid")),
        ({"expires_at": 4102444800}, ("expires_at", "invalid")),
        ({"user": "01a2053d-03df-71d1-8045-26d288669fea"}, ("user", "unknown_field")),
        ({"organization": None}, ("organization", "unknown_field")),
        ({"prefix": "fc_0000000000000000"}, ("prefix", "unknown_field")),
    ],
)
def test_a_body_that_is_no_key_is_refused(
    alice_client: Client, changes: dict[str, Any], error: tuple[str, str]
) -> None:
    answer = alice_client.post(KEYS, {**BODY, **changes})

    assert error in field_errors(answer)
    assert not ApiKey.objects.exists()


def test_there_is_a_limit_of_live_keys(alice: User, alice_client: Client) -> None:
    made = [make(alice_client) for _ in range(MAX_LIVE_KEYS)]

    assert problem(alice_client.post(KEYS, BODY)) == (422, "too_many_api_keys")
    assert ApiKey.objects.count() == MAX_LIVE_KEYS
    alice_client.delete(f"{KEYS}/{made[0]['id']}")
    make(alice_client)


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_staff_have_no_keys(db: None, role: Role) -> None:
    client = client_for(staff(role))

    assert problem(client.get(KEYS)) == problem(client.post(KEYS, BODY)) == (403, "permission_denied")
    assert not ApiKey.objects.exists()


def test_no_service_makes_a_key_for_anything_but_a_person(alice: User) -> None:
    key = make_row(alice)
    everything = frozenset(Capability)
    key_actor = Actor(kind=ActorKind.API_KEY, id=key.pk, user_id=alice.pk, capabilities=everything)

    for actor in (SYSTEM, key_actor):
        with pytest.raises(PermissionDenied):
            unit_of_work(
                lambda actor=actor: services.create_api_key(  # type: ignore[misc]
                    actor=actor, name="x", scopes=["wallets:read"]
                )
            )
    assert ApiKey.objects.count() == 1


def make_row(user: User, *scopes: str) -> ApiKey:
    key_client(user, *(scopes or ("wallets:read",)))
    return ApiKey.objects.filter(user=user).latest("created_at")


# --- Using one --------------------------------------------------------------------------------------------------------


def test_a_key_acts_as_its_owner_and_sees_the_owners_things_only(alice: User, bob: User) -> None:
    mine = key_client(alice, "wallets:read").get(WALLETS).json()["results"]

    assert [row["owner"] for row in mine] == [str(alice.pk)]


def test_the_scheme_is_read_in_any_case(alice: User) -> None:
    key = key_client(alice, "wallets:read").key

    assert anonymous_client().get(WALLETS, headers={"Authorization": f"aPI-kEY {key}"}).status_code == 200


def test_the_actor_is_the_key_with_the_rights_of_its_scopes(alice: User) -> None:
    key = make_row(alice, "holds:write", "payouts:write")

    actor = actor_of_key(api_key=key, request_id="r")

    assert actor == Actor(
        kind=ActorKind.API_KEY,
        id=key.pk,
        user_id=alice.pk,
        roles=frozenset({"client"}),
        capabilities=frozenset({Capability.HOLDS_WRITE, Capability.HOLDS_VOID}),
        scopes=frozenset({"holds:write", "payouts:write"}),
        credential_id=key.pk,
        request_id="r",
    )


def test_authentication_takes_one_query(alice: User) -> None:
    client = key_client(alice, "wallets:read")
    client.get(WALLETS)

    with CaptureQueriesContext(connection) as queries:
        client.get(WALLETS)

    of_keys = [query["sql"] for query in queries if "users_apikey" in query["sql"]]
    assert len(of_keys) == 1
    assert of_keys[0].startswith("SELECT")
    assert not [query for query in queries if "users_session" in query["sql"]]


def test_the_last_use_is_written_at_most_once_a_minute(alice: User) -> None:
    client = key_client(alice, "wallets:read")
    start = timezone.now()

    seen = []
    for seconds in (0, 1, 59, 60, 61):
        with clock_at(start + timedelta(seconds=seconds)):
            client.get(WALLETS)
        used = ApiKey.objects.get().last_used_at
        assert used is not None
        seen.append((used - start).total_seconds())

    assert seen == [0, 0, 0, 60, 60]


def test_a_refused_use_is_not_noted(alice: User, alice_client: Client) -> None:
    made = make(alice_client)

    assert with_key(f"{made['prefix']}.wrong").status_code == 401

    assert ApiKey.objects.get().last_used_at is None


def test_a63_everything_that_is_wrong_with_a_key_gets_one_answer(alice: User, bob: User) -> None:
    good, other = key_client(alice, "wallets:read").key, key_client(bob, "wallets:read").key
    revoked = key_client(alice, "wallets:read").key
    ApiKey.objects.filter(prefix=revoked.split(".")[0]).update(revoked_at=timezone.now())
    prefix, secret = good.split(".")
    wrong = {
        "unknown": f"fc_{'0' * 16}.{secret}",
        "another's secret": f"{prefix}.{other.split('.')[1]}",
        "cut": good[:-1],
        "hash": f"{prefix}.{ApiKey.objects.get(prefix=prefix).secret_hash}",
        "no secret": prefix,
        "empty secret": f"{prefix}.",
        "revoked": revoked,
        "letters": "é" * 8,
        "nul": "fc_\x00.x",
    }

    answers = {name: with_key(text) for name, text in wrong.items()}

    assert {name: problem(answer) for name, answer in answers.items()} == dict.fromkeys(
        wrong, (401, "not_authenticated")
    )
    assert len({json.dumps({**answer.json(), "trace_id": ""}) for answer in answers.values()}) == 1
    assert with_key(good).status_code == 200


@pytest.mark.parametrize("header", ["Api-Key", "Api-Key ", "Api-Key a b", "Token x", "Basic eDp5"])
def test_a_header_that_is_no_key_is_a_401(alice: User, header: str) -> None:
    assert problem(anonymous_client().get(WALLETS, headers={"Authorization": header})) == (401, "not_authenticated")


def test_a63_no_key_opens_what_no_scope_brings(alice: User) -> None:
    """Every route there is, with a key of all scopes: 403 wherever a scope doesn't bring the route's capability."""
    client = key_client(alice, *Scope.values)
    brought = frozenset().union(*SCOPES.values())
    wrong, opened = [], set()
    for path, view, actions in api_routes():
        if not path.startswith("api/v1/") or not view.authentication_classes:
            continue
        for method, action in list((actions or {}).items()):
            any_of = alternatives(endpoint_of(view, action).access)
            url = "/" + re.sub(r"<[^>]+>", "01a2053d-03df-71d1-8045-26d288669fea", path)
            status = client.generic(method.upper(), url, "{}", content_type="application/json").status_code
            # Below an organization a person's key is no member, and learns nothing.
            refused = status == 403 or (status == 404 and path.startswith("api/v1/organizations/"))
            if refused != any_of.isdisjoint(brought):
                wrong.append((method, path, status))
            if not refused:
                opened.add(path)

    assert wrong == []
    closed = ("api/v1/api-keys", "api/v1/kyc", "api/v1/users/me", "api/v1/auth/", "api/v1/organizations")
    assert {"api/v1/wallets", "api/v1/transfers", "api/v1/payment-intents"} <= opened
    assert not [path for path in opened if path.startswith(closed)]


def test_no_scope_brings_more_than_a_customer_has_or_anything_of_credentials() -> None:
    brought = frozenset().union(*SCOPES.values())

    assert set(SCOPES) == set(Scope)
    assert brought == {
        Capability.WALLETS_READ,
        Capability.RATES_READ,
        Capability.TRANSACTIONS_READ,
        Capability.TRANSFERS_WRITE,
        Capability.SCHEDULES_CANCEL,
        Capability.EXCHANGE_WRITE,
        Capability.HOLDS_WRITE,
        Capability.HOLDS_VOID,
        Capability.PAYMENTS_READ,
        Capability.PAYMENTS_WRITE,
        Capability.PAYMENTS_CANCEL,
    }


def test_the_documented_scopes_are_those_in_force(settings: Any) -> None:
    text = (settings.BASE_DIR / "docs" / "security.md").read_text()

    rows = dict(re.findall(r"^\| `([a-z]+:[a-z]+)` \| (.*) \|$", text, re.MULTILINE))

    documented = {scope: set(re.findall(r"`([a-z_.]+)`", cell)) for scope, cell in rows.items()}
    assert documented == {scope.value: {c.value for c in brings} for scope, brings in SCOPES.items()}


# --- The ends of one --------------------------------------------------------------------------------------------------


def test_a63_revoking_takes_effect_at_once_and_again_is_fine(alice_client: Client) -> None:
    made, other = make(alice_client), make(alice_client)
    assert with_key(made["key"]).status_code == 200

    answers = [alice_client.delete(f"{KEYS}/{made['id']}") for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    assert with_key(made["key"]).status_code == 401
    assert with_key(other["key"]).status_code == 200
    assert AuditLog.objects.filter(action="api_key.revoked").count() == 1
    assert [row["revoked_at"] is None for row in alice_client.get(KEYS).json()["results"]] == [True, False]


def test_another_users_key_is_a_404(alice_client: Client, mallory_client: Client) -> None:
    made = make(alice_client)

    assert problem(mallory_client.delete(f"{KEYS}/{made['id']}")) == (404, "not_found")
    assert mallory_client.get(KEYS).json()["results"] == []
    assert with_key(made["key"]).status_code == 200


def test_a63_a_key_expires(alice_client: Client) -> None:
    made = make(alice_client, expires_at=(timezone.now() + timedelta(hours=1)).isoformat())
    assert with_key(made["key"]).status_code == 200
    expiry = ApiKey.objects.get().expires_at

    with clock_at(expiry):
        assert problem(with_key(made["key"])) == (401, "not_authenticated")


def test_deactivation_revokes_for_good(alice: User, alice_client: Client, admin_user: User) -> None:
    made = make(alice_client)

    unit_of_work(
        lambda: services.deactivate_user(
            actor=actor_for(admin_user), user_id=alice.pk, reason="asked for it", now=timezone.now()
        )
    )

    assert with_key(made["key"]).status_code == 401
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert with_key(made["key"]).status_code == 401
    assert AuditLog.objects.get(action="user.deactivated").after["api_keys_revoked"] == 1


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": Role.OPERATOR}])
def test_a_key_is_refused_while_its_owner_is_no_active_customer(alice: User, change: dict[str, Any]) -> None:
    client = key_client(alice, "wallets:read")
    User.objects.filter(pk=alice.pk).update(**change)

    assert problem(client.get(WALLETS)) == (401, "not_authenticated")


def test_a62_a_new_password_ends_the_keys(alice: User, alice_client: Client) -> None:
    made = make(alice_client)

    unit_of_work(
        lambda: services.set_password(
            actor=actor_for(alice), user_id=alice.pk, password="a completely new one", now=timezone.now()
        )
    )

    assert problem(with_key(made["key"])) == (401, "not_authenticated")
    assert AuditLog.objects.get(action="user.password_set").after["api_keys_revoked"] == 1


def test_an_administrator_revokes_with_a_reason_and_sees_no_hash(
    alice: User, alice_client: Client, admin_user: User, auditor: User
) -> None:
    made = make(alice_client)
    row = ApiKey.objects.get()
    pages = [reverse("admin:users_apikey_changelist"), reverse("admin:users_apikey_change", args=[row.pk])]
    form = {"action": "revoke", "_selected_action": str(row.pk), "reason": "leaked", "reason_confirmed": "yes"}

    for user, alive in ((auditor, 200), (admin_user, 401)):
        browser = Browser()
        browser.post("/admin/login/?next=/admin/", {"username": user.email, "password": PASSWORD})
        shown = [browser.get(page) for page in pages]
        assert [page.status_code for page in shown] == [200, 200]
        assert row.secret_hash not in "".join(page.content.decode() for page in shown)
        browser.post(pages[0], form)
        assert with_key(made["key"]).status_code == alive

    assert AuditLog.objects.get(action="api_key.revoked").reason == "leaked"


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"scopes": []}, "api_key_scopes"),
        ({"scopes": ["wallets:write"]}, "api_key_scopes"),
        ({"secret_hash": "a secret in clear"}, "api_key_secret_is_hashed"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "api_key_expires_later"),
        ({"prefix": "fc_taken"}, "api_key_prefix_once"),
    ],
)
def test_a_row_that_means_nothing_is_refused(alice: User, values: dict[str, Any], constraint: str) -> None:
    def insert(**values: Any) -> None:
        common = {"name": "x", "user": alice, "created_by": alice, "created_at": timezone.now()}
        good = {"prefix": "fc_0", "secret_hash": "0" * 64, "scopes": ["wallets:read"]}
        ApiKey.objects.create(**{**common, **good, **values})

    insert(prefix="fc_taken")

    with pytest.raises(IntegrityError, match=constraint):
        insert(**values)


# --- Its actions ------------------------------------------------------------------------------------------------------


def pay(client: Client, alice: User, bob: User, key: str = "order-1", **more: Any) -> Any:
    source, destination = (user.wallets.get() for user in (alice, bob))
    body = {"source_wallet": str(source.pk), "destination_wallet": str(destination.pk), "amount": "10.00"}
    return client.post("/api/v1/transfers", {**body, "currency": "USD", **more}, key=key)


def test_a_transfer_by_key_is_the_keys_action_with_replay_audit_and_events(alice: User, bob: User, fund: Any) -> None:
    fund(kyc(alice, 1), "100.00")
    client = key_client(alice, "transfers:write")
    row = ApiKey.objects.get()

    first = pay(client, alice, bob, reference="R-1", metadata={"order": "17"})
    again = pay(client, alice, bob, reference="R-1", metadata={"order": "17"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert again["Idempotency-Replayed"] == "true"
    assert again.content == first.content
    assert first.json()["metadata"] == {"order": "17"}
    transaction = Transaction.objects.get(kind="TRANSFER")
    assert (transaction.initiator_kind, transaction.initiator_id) == ("api_key", row.pk)
    assert transaction.source_owner == alice.pk
    record = IdempotencyRecord.objects.get(key="order-1")
    assert (record.principal_kind, record.principal_id) == ("api_key", row.pk)
    audited = AuditLog.objects.filter(actor_kind="api_key")
    assert {audit.actor_id for audit in audited} == {row.pk}
    assert audited.exists()
    assert OutboxEvent.objects.filter(owner_id=alice.pk, type="transaction.posted").count() == 2


def test_keys_of_a_key_are_its_own(alice: User, bob: User, alice_client: Client, fund: Any) -> None:
    """The same Idempotency-Key from a person and from her key are two."""
    fund(kyc(alice, 1), "100.00")

    answers = [pay(client, alice, bob) for client in (alice_client, key_client(alice, "transfers:write"))]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


def test_the_owner_sees_the_metadata_of_what_a_key_did_and_the_payee_does_not(
    alice: User, bob: User, alice_client: Client, bob_client: Client, fund: Any
) -> None:
    fund(kyc(alice, 1), "100.00")
    path = (
        "/api/v1/transactions/"
        + pay(key_client(alice, "transfers:write"), alice, bob, metadata={"order": "17"}).json()["id"]
    )

    seen = [client.get(path).json()["metadata"] for client in (alice_client, key_client(alice, "transactions:read"))]

    assert seen == [{"order": "17"}] * 2
    assert bob_client.get(path).json()["metadata"] == {}
    assert key_client(bob, "transactions:read").get(path).json()["metadata"] == {}


def test_a_key_without_the_scope_moves_nothing(alice: User, bob: User, fund: Any) -> None:
    wallet = fund(kyc(alice, 1), "100.00")
    client = key_client(alice, *(scope for scope in Scope.values if scope != "transfers:write"))

    assert problem(pay(client, alice, bob)) == (403, "permission_denied")

    wallet.refresh_from_db()
    assert wallet.balance == 100
    assert problem(key_client(alice, "transfers:write").get(WALLETS)) == (403, "permission_denied")


def test_a_key_holds_captures_and_takes_payments(alice: User, bob: User, fund: Any) -> None:
    wallet = fund(kyc(alice, 1), "100.00")
    client = key_client(alice, "holds:write", "payments:write")
    money = {"wallet": str(wallet.pk), "amount": "10.00", "currency": "USD"}

    hold = client.post("/api/v1/holds", money, key="new")
    captured = client.post(
        f"/api/v1/holds/{hold.json()['id']}/capture", {"destination_wallet": str(bob.wallets.get().pk)}, key="new"
    )
    intent = client.post("/api/v1/payment-intents", {**money, "gateway": "simulator"}, key="new")

    assert [answer.status_code for answer in (hold, captured, intent)] == [201, 201, 201]
    assert client.get(f"/api/v1/payment-intents/{intent.json()['id']}").status_code == 200


# --- What is written down ---------------------------------------------------------------------------------------------


def test_a63_logs_name_the_key_and_never_its_secret(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = key_client(alice, "wallets:read")
    prefix, secret = client.key.split(".")

    @endpoint(access=Capability.WALLETS_READ)
    def fail(*_: Any, **__: Any) -> None:
        structlog.get_logger("test").warning("header", sent=f"Api-Key {client.key}", nested={"header": [client.key]})
        raise RuntimeError(f"failed with Api-Key {client.key} and {client.key}")

    monkeypatch.setattr("wallet.views.WalletViewSet.list", fail)
    with written_log() as log:
        assert client.get(WALLETS).status_code == 500

    written = log.getvalue()
    assert f"key_prefix={prefix}" in written
    assert "RuntimeError: failed with Api-Key [redacted]" in written
    assert secret not in written
