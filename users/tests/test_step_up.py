"""Step-up codes before sensitive requests (requirements 9 and 11): what binds, spends and refuses them."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.models import IdempotencyRecord
from messaging import tasks
from messaging.models import Message
from tests.answers import problem
from tests.cast import Client, client_for, fund_wallet, key_client, kyc, stop_clock
from tests.racing import race
from tests.wallets import wallet_of
from transactions.ledger.models import Transaction
from users.models import ApiKey, OneTimeCode, StepUpChallenge, User
from users.tests.authenticators import enrol
from users.tests.helpers import field_errors

pytestmark = pytest.mark.django_db
STEP_UP, KEYS, TRANSFERS = "/api/v1/auth/step-up", "/api/v1/api-keys", "/api/v1/transfers"
ORGANIZATION = {"legal_name": "Romashka LLC", "country": "RU", "tax_number": "7707083893"}
KEY = {"name": "Shop", "scopes": ["wallets:read"]}


@pytest.fixture
def client(alice: User) -> Client:
    return person(alice)


def person(user: User) -> Client:
    """A client that confirms nothing by itself."""
    client = client_for(user)
    client.confirms = False
    return client


def ask(client: Client, path: str, body: Any = None, method: str = "POST", **extra: Any) -> Any:
    request = {"method": method, "path": path} | ({} if body is None else {"body": body})
    return client.post(STEP_UP, request, **extra)


def sent() -> str:
    """The text of the newest message, as the worker sends it."""
    mail.outbox.clear()
    tasks.send_message(str(Message.objects.order_by("created_at", "id").last().pk))
    return str(mail.outbox[-1].body)


def sent_code() -> str:
    found = re.search(r"Code: ([0-9]{6})", sent())
    assert found
    return found.group(1)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def code_for(client: Client, path: str, body: Any = None, method: str = "POST", **extra: Any) -> str:
    answer = ask(client, path, body, method, **extra)
    assert answer.status_code == 202, answer.content
    assert answer.json()["channel"] == "email"
    return sent_code()


def make(client: Client, code: str | None, body: Any = None, **extra: Any) -> Any:
    headers = {} if code is None else {"Step-Up-Code": code}
    return client.post(KEYS, body or KEY, headers={**headers, **extra.pop("headers", {})}, **extra)


# --- The way ----------------------------------------------------------------------------------------------------------


def test_a_sensitive_request_asks_and_is_done_once_with_the_code(client: Client, alice: User) -> None:
    assert problem(make(client, None)) == (403, "step_up_required")
    code = code_for(client, KEYS, KEY)

    done = make(client, code)
    again = make(client, code)

    assert done.status_code == 201, done.content
    assert problem(again) == (403, "step_up_required")
    assert ApiKey.objects.filter(user=alice).count() == 1
    actions = AuditLog.objects.filter(entity_type="step_up").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["step_up.begun", "step_up.passed", "step_up.spent"]


def test_the_message_says_what_it_is_for_and_the_answer_shows_no_code(client: Client) -> None:
    answer = ask(client, KEYS, KEY)
    text = sent()

    assert "Make an API key" in text
    code = re.search(r"[0-9]{6}", text).group()
    assert code not in answer.content.decode()
    assert code.encode() not in bytes(OneTimeCode.objects.get().code_digest)
    assert set(answer.json()) == {"channel", "expires_at"}


def test_the_code_is_for_exactly_this_request(client: Client) -> None:
    code = code_for(client, KEYS, KEY)

    other = [
        make(client, code, {**KEY, "scopes": ["wallets:read", "transfers:write"]}),
        make(client, code, {**KEY, "name": "shop"}),
        client.post("/api/v1/users/me/second-factor", {}, headers={"Step-Up-Code": code}),
    ]

    assert [problem(answer) for answer in other] == [(403, "step_up_required")] * 3
    assert not ApiKey.objects.exists()
    assert make(client, code, {"scopes": ["wallets:read"], "name": "Shop"}).status_code == 201  # order is nothing


def test_the_code_is_for_this_session_and_this_user(client: Client, alice: User, bob: User) -> None:
    code = code_for(client, KEYS, KEY)

    answers = [make(person(user), code) for user in (alice, bob)]

    assert [problem(answer) for answer in answers] == [(403, "step_up_required")] * 2
    assert make(client, code).status_code == 201


def test_another_acting_organization_is_another_request(alice: User, bob: User) -> None:
    client = person(kyc(alice, 1))
    made = client.post("/api/v1/organizations", ORGANIZATION)
    assert made.status_code == 201, made.content
    inside = {"X-Organization": made.json()["id"]}
    outside = code_for(client, KEYS, KEY)
    assert problem(make(client, outside, headers=inside)) == (403, "step_up_required")

    request = {"method": "POST", "path": KEYS, "body": KEY, "organization": inside["X-Organization"]}
    assert problem(person(bob).post(STEP_UP, request)) == (404, "not_found")
    assert client.post(STEP_UP, request).status_code == 202
    code = sent_code()

    assert problem(make(client, code)) == (403, "step_up_invalid")  # the older question's code isn't the newer's
    assert make(client, code, headers=inside).status_code == 201
    assert str(ApiKey.objects.get().organization_id) == inside["X-Organization"]


def test_roles_of_members_and_payout_accounts_ask(alice: User) -> None:
    client = person(kyc(alice, 1))
    organization = client.post("/api/v1/organizations", ORGANIZATION).json()["id"]
    base = f"/api/v1/organizations/{organization}"
    member = client.get(f"{base}/members").json()["results"][0]["id"]
    account = {"method": "iban", "details": {"iban": "GR1601101050000010547023795"}}
    actions = [
        ("PATCH", f"{base}/members/{member}", {"role": "finance"}),
        ("POST", f"{base}/payout-accounts", account),
        ("POST", f"{base}/invitations", {"email": "bob@customer.example", "role": "admin"}),
    ]

    answers = [getattr(client, method.lower())(path, body) for method, path, body in actions]

    assert [problem(answer) for answer in answers] == [(403, "step_up_required")] * 3
    for method, path, body in actions:
        code = code_for(client, path, body, method)
        answer = getattr(client, method.lower())(path, body, headers={"Step-Up-Code": code})
        assert answer.status_code in {200, 201, 409}, answer.content  # the last administrator stays one


def test_a_wrong_code_changes_nothing_and_five_are_enough(client: Client) -> None:
    code = code_for(client, KEYS, KEY)

    tries = [problem(make(client, wrong(code))) for _ in range(5)]
    sixth = make(client, code)

    assert tries == [(403, "step_up_invalid")] * 5
    assert problem(sixth) == (429, "too_many_attempts")
    assert problem(make(client, code_for(client, KEYS, KEY))) == (
        429,
        "too_many_attempts",
    )  # a new code gives no new tries
    assert not ApiKey.objects.exists()
    assert AuditLog.objects.filter(action="step_up.refused").count() == 5


def test_ten_minutes_are_enough(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    code = code_for(client, KEYS, KEY)
    later = timezone.now() + timedelta(minutes=10, seconds=1)
    stop_clock(later)

    answer = make(client, code)

    assert answer.status_code in {401, 403}  # the access token is ten minutes old as well
    assert not ApiKey.objects.exists()


def test_a_new_code_kills_the_old_one(client: Client) -> None:
    old = code_for(client, KEYS, KEY)
    new = code_for(client, KEYS, KEY)

    if old != new:
        assert problem(make(client, old)) == (403, "step_up_invalid")
    assert make(client, new).status_code == 201


def test_an_action_that_failed_may_be_tried_again_with_the_same_code(client: Client, alice: User) -> None:
    path = f"{TRANSFERS}"
    body = transfer(alice, "15000.00", to="nobody@customer.example")
    code = code_for(client, path, body)

    answers = [client.post(path, body, key="new", headers={"Step-Up-Code": code}) for _ in range(2)]

    assert [problem(answer) for answer in answers] == [(422, "kyc_required")] * 2
    assert StepUpChallenge.objects.get().spent_at is None


@pytest.mark.django_db(transaction=True)
def test_of_parallel_requests_with_one_code_one_is_done(alice: User) -> None:
    client = person(alice)
    code = code_for(client, KEYS, KEY)

    statuses = race(*[lambda: make(client, code).status_code] * 4)

    assert sorted(statuses) == [201, 403, 403, 403]
    assert ApiKey.objects.count() == 1


# --- With an authenticator --------------------------------------------------------------------------------------------


def test_who_has_an_authenticator_uses_its_code_and_nothing_is_sent(alice: User) -> None:
    device = enrol(alice)
    client = person(alice)
    Message.objects.all().delete()

    answer = ask(client, KEYS, KEY)
    assert answer.json()["channel"] == "totp"
    assert not Message.objects.exists()
    code = device.code()

    assert problem(make(client, device.wrong())) == (403, "step_up_invalid")
    assert make(client, code).status_code == 201
    ask(client, KEYS, KEY)
    assert problem(make(client, code)) == (403, "step_up_invalid")  # used
    assert make(client, device.recovery_codes[0]).status_code == 201


def test_a_payment_gets_a_message_also_then(alice: User, bob: User) -> None:
    device = enrol(alice)
    client = person(kyc(alice, 1))
    fund_wallet(alice, "50000.00")
    body = transfer(alice, "15000.00", to=bob.email)

    assert ask(client, TRANSFERS, body).json()["channel"] == "email"
    text = sent()

    assert "15000.00 USD to bob@customer.example" in text
    answer = client.post(TRANSFERS, body, key="new", headers={"Step-Up-Code": device.code()})
    assert problem(answer) == (403, "step_up_invalid")


# --- Payments ---------------------------------------------------------------------------------------------------------


def transfer(user: User, amount: str, to: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "source_wallet": str(wallet_of(user).pk),
        "destination_email": to or "bob@customer.example",
        "amount": amount,
        "currency": "USD",
        **more,
    }


@pytest.fixture
def rich(alice: User, bob: User) -> Client:
    fund_wallet(kyc(alice, 1), "100000.00")
    kyc(bob, 1)
    return person(alice)


def test_a_transfer_below_the_limit_asks_nothing(rich: Client, alice: User) -> None:
    assert rich.post(TRANSFERS, transfer(alice, "9999.99"), key="new").status_code == 201


def test_a_large_transfer_asks_and_a_replay_does_not(rich: Client, alice: User) -> None:
    body = transfer(alice, "10000.00")
    assert problem(rich.post(TRANSFERS, body, key="k1")) == (403, "step_up_required")
    assert not IdempotencyRecord.objects.exists()
    code = code_for(rich, TRANSFERS, body)

    done = rich.post(TRANSFERS, body, key="k1", headers={"Step-Up-Code": code})
    replays = [rich.post(TRANSFERS, body, key="k1", headers=headers) for headers in ({"Step-Up-Code": code}, {})]

    assert done.status_code == 201, done.content
    assert [answer.content for answer in replays] == [done.content] * 2
    assert problem(rich.post(TRANSFERS, body, key="k2", headers={"Step-Up-Code": code})) == (403, "step_up_required")
    assert Transaction.objects.filter(kind="TRANSFER").count() == 1


def test_a_changed_amount_or_payee_is_another_request(rich: Client, alice: User) -> None:
    code = code_for(rich, TRANSFERS, transfer(alice, "10000.00"))

    for changed in (transfer(alice, "10000.01"), transfer(alice, "10000.00", to="mallory@customer.example")):
        answer = rich.post(TRANSFERS, changed, key="new", headers={"Step-Up-Code": code})
        assert problem(answer) == (403, "step_up_required")
    assert not Transaction.objects.filter(kind="TRANSFER").exists()


@pytest.mark.parametrize(
    ("amounts", "asks"), [(["9999.99"], False), (["5000.00", "5000.00"], True), (["1.00", "10000.00"], True)]
)
@pytest.mark.parametrize("mode", ["atomic", "independent"])
def test_a_batch_asks_when_it_adds_up(rich: Client, alice: User, mode: str, amounts: list[str], asks: bool) -> None:
    path = f"{TRANSFERS}/batch"
    body = {"mode": mode, "transfers": [transfer(alice, amount) for amount in amounts]}

    answer = rich.post(path, body, key="new")

    assert answer.status_code == (403 if asks else 200), answer.content
    if asks:
        ask(rich, path, body)
        text = sent()
        assert f"{len(amounts)} transfers of together" in text
        assert "bob@customer.example" in text
        assert rich.post(path, body, key="new", headers={"Step-Up-Code": sent_code_of(text)}).status_code == 200


def sent_code_of(text: str) -> str:
    return re.search(r"Code: ([0-9]{6})", text).group(1)


def test_a_schedule_and_a_capture_ask(rich: Client, alice: User, bob: User) -> None:
    start = (timezone.now() + timedelta(days=30)).isoformat()
    schedule = transfer(alice, "10000.00", frequency="MONTHLY", start_at=start)
    hold = {"wallet": str(wallet_of(alice).pk), "amount": "20000.00", "currency": "USD"}
    held = rich.post("/api/v1/holds", hold, key="new").json()["id"]
    capture = {"destination_wallet": str(wallet_of(bob).pk)}
    asked: dict[str, tuple[dict[str, Any], str]] = {
        "/api/v1/scheduled-transfers": (schedule, "10000.00 USD to bob@customer.example, monthly"),
        f"/api/v1/holds/{held}/capture": (capture, f"20000.00 USD to wallet {wallet_of(bob).pk}"),
    }

    for path, (body, words) in asked.items():
        assert problem(rich.post(path, body, key="new")) == (403, "step_up_required")
        ask(rich, path, body)
        text = sent()
        assert words in text
        answer = rich.post(path, body, key="new", headers={"Step-Up-Code": sent_code_of(text)})
        assert answer.status_code == 201, answer.content
    small = {**capture, "amount": "10.00"}
    other = rich.post("/api/v1/holds", {**hold, "amount": "20.00"}, key="new").json()["id"]
    assert rich.post(f"/api/v1/holds/{other}/capture", small, key="new").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_asks_nothing(rich: Client, alice: User) -> None:
    answer = rich.post(TRANSFERS, transfer(alice, "50000.00", dry_run=True))

    assert (answer.status_code, answer.json()["accepted"], answer.json()["step_up_required"]) == (200, True, True)


def test_an_api_key_is_refused_and_can_not_ask(rich: Client, alice: User) -> None:
    key = key_client(alice, "transfers:write")

    answer = key.post(TRANSFERS, transfer(alice, "10000.00"), key="new", headers={"Step-Up-Code": "123456"})

    assert problem(answer) == (403, "step_up_required")
    assert problem(ask(key, TRANSFERS, transfer(alice, "10000.00"))) == (403, "permission_denied")
    assert key.post(TRANSFERS, transfer(alice, "9999.99"), key="new").status_code == 201


def test_the_limit_is_a_setting(rich: Client, alice: User, settings: Any) -> None:
    settings.LARGE_TRANSFER_FROM = {"USD": "0"}
    assert problem(rich.post(TRANSFERS, transfer(alice, "0.01"), key="new")) == (403, "step_up_required")
    settings.LARGE_TRANSFER_FROM = {}
    assert rich.post(TRANSFERS, transfer(alice, "20000.00"), key="new").status_code == 201


# --- What else asks ---------------------------------------------------------------------------------------------------

ACTIONS: dict[str, Callable[[Client], Any]] = {
    "enrol": lambda client: client.post("/api/v1/users/me/second-factor"),
    "remove": lambda client: client.delete("/api/v1/users/me/second-factor"),
    "phone": lambda client: client.post("/api/v1/users/me/phone", {"phone": "+12025550123"}),
    "email": lambda client: client.post("/api/v1/users/me/email", {"email": "new@customer.example"}),
    "recovery codes": lambda client: client.post("/api/v1/users/me/second-factor/recovery-codes"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_changes_of_credentials_ask(alice: User, action: str) -> None:
    enrol(alice)
    client = person(alice)
    before = list(StepUpChallenge.objects.all())

    assert problem(ACTIONS[action](client)) == (403, "step_up_required")
    assert list(StepUpChallenge.objects.all()) == before
    client.confirms = True
    assert ACTIONS[action](client).status_code < 300


def test_revoking_a_key_asks(alice: User) -> None:
    key_client(alice, "wallets:read")
    path = f"{KEYS}/{ApiKey.objects.get().pk}"
    client = person(alice)

    assert problem(client.delete(path)) == (403, "step_up_required")
    assert ApiKey.objects.get().revoked_at is None
    code = code_for(client, path, method="DELETE")

    assert client.delete(path, headers={"Step-Up-Code": code}).status_code == 204


# --- Bad questions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"path": "https://evil.example/api/v1/api-keys"}, "path"),
        ({"path": "//evil.example/api/v1/api-keys"}, "path"),
        ({"path": "/api/v1/api-keys?x=1"}, "path"),
        ({"path": "/api/v1/../../admin/"}, "path"),
        ({"path": "/api/v1/users/me"}, "path"),
        ({"path": "/api/v1/nothing"}, "path"),
        ({"path": "/admin/"}, "path"),
        ({"path": "/api/v1/" + "x" * 300}, "path"),
        ({"path": 5}, "path"),
        ({"method": "GET"}, "method"),
        ({"method": "TRACE"}, "method"),
        ({"body": []}, "body"),
        ({"body": "x"}, "body"),
        ({"more": 1}, "more"),
    ],
)
def test_a_question_about_nothing_of_ours_is_400(client: Client, change: dict[str, Any], field: str) -> None:
    answer = client.post(STEP_UP, {"method": "POST", "path": KEYS, "body": KEY} | change)

    assert field_errors(answer)[0][0] == field
    assert not StepUpChallenge.objects.exists()
    assert not Message.objects.exists()


@pytest.mark.parametrize("body", [{}, {"amount": 5}, {"amount": "1.00", "currency": "XXX"}, {"transfers": [{}]}])
def test_a_payment_that_is_none_is_400(client: Client, body: dict[str, Any]) -> None:
    for path in (TRANSFERS, f"{TRANSFERS}/batch", "/api/v1/scheduled-transfers"):
        assert field_errors(ask(client, path, body))
    assert not Message.objects.exists()


def test_a_strangers_hold_is_404(client: Client, bob: User) -> None:
    fund_wallet(kyc(bob, 1), "100.00")
    hold = {"wallet": str(wallet_of(bob).pk), "amount": "20.00", "currency": "USD"}
    held = client_for(bob).post("/api/v1/holds", hold, key="new").json()["id"]

    answer = ask(client, f"/api/v1/holds/{held}/capture", {"destination_wallet": str(wallet_of(bob).pk)})

    assert problem(answer) == (404, "not_found")


@pytest.mark.parametrize("code", ["x" * 500, "ünïcode", "12345", "\xff" * 6])
def test_an_odd_code_is_wrong_and_no_500(client: Client, code: str) -> None:
    code_for(client, KEYS, KEY)

    answer = make(client, code)

    assert answer.status_code == 403


def test_an_empty_code_is_not_taken_for_none(client: Client) -> None:
    code_for(client, KEYS, KEY)

    assert problem(make(client, "")) == (400, "header_invalid")


def test_the_channel_is_the_phone_for_who_has_no_address(alice: User) -> None:
    alice.email, alice.email_verified_at = None, None
    alice.phone, alice.phone_verified_at = "+12025550123", timezone.now()
    from fintech_core.security.encrypted_fields import crypto_columns

    alice.save(update_fields=[*crypto_columns("email", "phone"), "email_verified_at", "phone_verified_at"])

    assert ask(person(alice), KEYS, KEY).json()["channel"] == "sms"


def test_old_challenges_are_purged(client: Client) -> None:
    from users import services

    ask(client, KEYS, KEY)

    assert services.purge_challenges(now=timezone.now()) == 0
    assert services.purge_challenges(now=timezone.now() + timedelta(minutes=11)) == 1
