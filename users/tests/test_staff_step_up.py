"""What staff do to customers over the API needs a step-up code of their authenticator, as the admin demands it."""

from typing import Any

import pytest

from fintech_core.audit.models import AuditLog
from messaging.models import Message
from tests.answers import problem
from tests.cast import Client, client_for, fund_wallet
from users.models import StepUpChallenge, User
from users.tests.authenticators import Authenticator, enrol
from wallet.models import Wallet

pytestmark = pytest.mark.django_db
STEP_UP = "/api/v1/auth/step-up"
REASON = {"reason": "Police file 4711/26"}


@pytest.fixture(autouse=True)
def _as_in_production(settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = True


@pytest.fixture
def wallet(alice: User) -> Wallet:
    return fund_wallet(alice, "100.00")


@pytest.fixture
def device(officer: User) -> Authenticator:
    return enrol(officer)


@pytest.fixture
def client(officer: User, device: Authenticator) -> Client:
    client = client_for(officer)
    client.confirms = False
    return client


def freeze(client: Client, wallet: Wallet, code: str | None = None, **extra: Any) -> Any:
    headers = {"Step-Up-Code": code} if code else {}
    return client.post(f"/api/v1/wallets/{wallet.pk}/freeze", REASON, headers=headers, **extra)


def ask(client: Client, wallet: Wallet) -> Any:
    return client.post(STEP_UP, {"method": "POST", "path": f"/api/v1/wallets/{wallet.pk}/freeze", "body": REASON})


def status_of(wallet: Wallet) -> str:
    wallet.refresh_from_db()
    return wallet.status


def test_a_code_of_the_authenticator_freezes_once(client: Client, device: Authenticator, wallet: Wallet) -> None:
    assert problem(freeze(client, wallet)) == (403, "step_up_required")
    assert status_of(wallet) == "ACTIVE"
    messages = Message.objects.count()
    assert ask(client, wallet).json()["channel"] == "totp"

    done = freeze(client, wallet, device.code())

    assert done.status_code == 200, done.content
    assert status_of(wallet) == "FROZEN"
    assert Message.objects.count() == messages
    actions = AuditLog.objects.filter(entity_type="step_up").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["step_up.begun", "step_up.passed", "step_up.spent"]
    assert problem(freeze(client, wallet, device.code())) == (403, "step_up_required")


def test_the_code_is_for_this_wallet_and_this_reason(
    client: Client, device: Authenticator, wallet: Wallet, bob: User
) -> None:
    other = fund_wallet(bob, "1.00")
    ask(client, wallet)
    path = f"/api/v1/wallets/{wallet.pk}/freeze"

    answers = [
        freeze(client, other, device.code()),
        client.post(path, {"reason": "Another"}, headers={"Step-Up-Code": device.code()}),
        client.post(path.replace("freeze", "unfreeze"), REASON, headers={"Step-Up-Code": device.code()}),
    ]

    assert [problem(answer) for answer in answers] == [(403, "step_up_required")] * 3
    assert (status_of(wallet), status_of(other)) == ("ACTIVE", "ACTIVE")


def test_a_wrong_code_changes_nothing(client: Client, device: Authenticator, wallet: Wallet) -> None:
    ask(client, wallet)

    assert problem(freeze(client, wallet, device.wrong())) == (403, "step_up_invalid")
    assert status_of(wallet) == "ACTIVE"


def test_what_was_refused_may_be_repeated_with_the_same_code(
    client: Client, device: Authenticator, wallet: Wallet, officer: User
) -> None:
    """The refusal undoes the spending, since both are one unit of work."""
    Wallet.objects.filter(pk=wallet.pk).update(status="FROZEN")
    ask(client, wallet)
    code = device.code()
    assert problem(freeze(client, wallet, code)) == (409, "invalid_transition")
    Wallet.objects.filter(pk=wallet.pk).update(status="ACTIVE")

    done = freeze(client, wallet, code)

    assert done.status_code == 200, done.content
    assert StepUpChallenge.objects.get().spent_at is not None


def test_a_replay_needs_no_code(client: Client, device: Authenticator, wallet: Wallet) -> None:
    ask(client, wallet)
    done = freeze(client, wallet, device.code(), key="k")

    again = freeze(client, wallet, key="k")

    assert (again.status_code, again.content) == (200, done.content)


def test_without_second_factors_those_without_one_are_not_asked(
    settings: Any, officer: User, operator: User, wallet: Wallet
) -> None:
    """Development alone: `check --deploy` refuses it. Who has an authenticator confirms nevertheless."""
    settings.STAFF_SECOND_FACTOR = False
    client = client_for(officer)
    client.confirms = False
    assert freeze(client, wallet).status_code == 200

    enrol(officer)
    client = client_for(officer)
    client.confirms = False
    answer = client.post(f"/api/v1/wallets/{wallet.pk}/unfreeze", REASON)

    assert problem(answer) == (403, "step_up_required")
    assert status_of(wallet) == "FROZEN"
