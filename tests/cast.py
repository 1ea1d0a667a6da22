"""The fixed cast of the tests: alice owns, bob is the counterparty, mallory must see nothing, the officer is staff.

pytest fixtures, imported by `conftest.py`; accounts are made by the real services, clients carry real access
tokens. Nothing in the product imports this module.
"""

import io
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import structlog
from django.conf import settings
from django.test import Client as Browser
from rest_framework.test import APIClient

from devtools import testing
from fintech_core import wiring
from fintech_core.db import clock, ids
from fintech_core.db.work import unit_of_work
from fintech_core.ops import logging_config
from fintech_core.security import step_up
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest
from fintech_core.security.encrypted_fields import crypto_columns
from messaging.sms import memory
from tests.documented import require_documented
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from users import services
from users.admin_auth.middleware import SESSION_ID
from users.authentication import actor_of_user
from users.enums import KycStatus, Role, SessionKind, StepUpChannel
from users.models import Session, StepUpChallenge, User
from users.tokens import issue_access_token
from wallet.models import Wallet
from wallet.selectors import open_wallet_of
from wallet.services import open_wallet

PASSWORD = "correct horse battery staple"  # of accounts that live for one test
SYSTEM = Actor.system("tests")


class Client(APIClient):
    """Speaks JSON as one user, with a real access token. `client.user` is who; unsafe verbs take `key=`."""

    user: User
    key: str = ""
    session_id: uuid.UUID | None = None
    confirms = True  # whether it confirms what asks for a step-up code, as somebody with the mail at hand would

    def generic(self, method: str, path: str, data: Any = "", *args: Any, **extra: Any) -> Any:  # type: ignore[override]
        answer = super().generic(method, path, data, *args, **extra)
        if self.confirms and self.session_id and _asks_for_a_code(answer):
            headers = dict(extra.pop("headers", None) or {})
            credentials: dict[str, Any] = vars(self).get("_credentials", {})
            named = [value for name, value in headers.items() if name.lower() == "x-organization"]
            named += [
                str(given["HTTP_X_ORGANIZATION"]) for given in (extra, credentials) if "HTTP_X_ORGANIZATION" in given
            ]
            headers |= self.confirm(method, path, json.loads(data or "{}"), organization=named[0] if named else "")
            answer = super().generic(method, path, data, *args, headers=headers, **extra)
        require_documented(method, answer)
        return answer

    def confirm(self, method: str, path: str, body: Any, *, organization: str = "") -> dict[str, str]:
        """The header that confirms this request: a challenge of it that was passed, as begin and a right code leave it
        behind. `organization` is the request's X-Organization."""
        request = step_up.fingerprint(
            method=method,
            path=path.partition("?")[0],
            body=body,
            organization=uuid.UUID(organization) if organization else None,
        )
        now = clock.now()
        StepUpChallenge.objects.create(
            user=self.user,
            credential_id=str(self.session_id),
            binding=keyed_digest("step_up", f"{self.session_id}:{request.hex()}"),
            channel=StepUpChannel.EMAIL,
            created_at=now,
            passed_at=now,
            expires_at=now + timedelta(minutes=10),
        )
        return {step_up.HEADER: "000000"}

    def post(self, path: str, data: Any = None, *, key: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """POST JSON; `key` is the Idempotency-Key, "new" makes a fresh one."""
        headers = dict(extra.pop("headers", {}))
        if key is not None:
            headers["Idempotency-Key"] = str(ids.uuid7()) if key == "new" else key
        extra.setdefault("format", "json")
        return super().post(path, {} if data is None else data, headers=headers, **extra)

    def patch(self, path: str, data: Any = None, **extra: Any) -> Any:  # type: ignore[override]
        extra.setdefault("format", "json")
        return super().patch(path, {} if data is None else data, **extra)


def _asks_for_a_code(answer: Any) -> bool:
    return answer.status_code == 403 and b'"step_up_required"' in answer.content


@contextmanager
def wired_with(**fields: Any) -> Iterator[None]:
    """With other functions in the place of those that higher rooms plug into lower ones (wiring.py)."""
    before = wiring.wired()
    wiring.install(replace(before, **fields))
    try:
        yield
    finally:
        wiring.install(before)


def anonymous_client() -> Client:
    """Nobody's client."""
    return Client(raise_request_exception=False)


def client_for(user: User) -> Client:
    """A client with an access token of a session of its own, which is a row like any log-in's."""
    now = clock.now()
    session = Session.objects.create(user=user, created_at=now, last_used_at=now, expires_at=now + timedelta(days=1))
    client = anonymous_client()
    client.user, client.session_id = user, session.pk
    token = issue_access_token(user_id=user.pk, session_id=session.pk, now=now)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def key_client(user: User, *scopes: str) -> Client:
    """A client with an API key of the user, made by the real service; `client.key` is its text."""
    actor = actor_for(user)
    made = unit_of_work(lambda: services.create_api_key(actor=actor, name="tests", scopes=scopes))
    client = anonymous_client()
    client.user, client.key = user, made.text
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {made.text}")
    return client


def browser_for(user: User) -> Browser:
    """A browser in which the user logged in to the admin a moment ago."""
    now = clock.now()
    session = Session.objects.create(
        user=user,
        kind=SessionKind.ADMIN,
        created_at=now,
        last_used_at=now,
        authenticated_at=now,
        expires_at=now + timedelta(hours=1),
    )
    browser = Browser()
    browser.force_login(user, backend="users.admin_auth.backends.RoleBackend")
    cookie = browser.session
    cookie[SESSION_ID] = str(session.pk)
    cookie.save()
    return browser


def actor_for(user: User) -> Actor:
    """The Actor that authentication would make of the user, for services called directly."""
    return actor_of_user(user=user, request_id="test-request")


def customer(name: str) -> User:
    """A verified customer `name@customer.example` with a wallet in the default currency."""
    return unit_of_work(
        lambda: services.create_customer(
            actor=SYSTEM,
            email=f"{name}@customer.example",
            password=PASSWORD,
            first_name=name.capitalize(),
            now=clock.now(),
        )
    )


def staff(role: Role) -> User:
    """A member of staff `role@staff.example`."""
    return unit_of_work(
        lambda: services.create_staff(
            actor=SYSTEM, email=f"{role.value}@staff.example", password=PASSWORD, role=role, now=clock.now()
        )
    )


def with_personal(user: User, **values: Any) -> User:
    """Write columns of the user past the services, with the blind indexes of what is encrypted."""
    for name, value in values.items():
        setattr(user, name, value)
    columns = {column for name in values for column in (crypto_columns(name) if name in {"email", "phone"} else [name])}
    user.save(update_fields=columns)
    return user


def kyc(user: User, level: int) -> User:
    """Approve the user at a level (0 takes the approval away), as compliance's services would."""
    status = KycStatus.APPROVED if level else KycStatus.NOT_SUBMITTED
    changed = unit_of_work(
        lambda: services.set_kyc(actor=SYSTEM, user_id=user.pk, status=status, level=level, now=clock.now())
    )
    user.kyc_status, user.kyc_level = changed.kyc_status, changed.kyc_level
    return user


class _TestClock:
    """The database's clock, where product and triggers read it: for all connections, threads and processes at once."""

    def __init__(self) -> None:
        self.offset = timedelta(0)
        self.moment: datetime | None = None

    def set(self, *, offset: timedelta = timedelta(0), moment: datetime | None = None) -> None:
        if (offset, moment) == (self.offset, self.moment):
            return
        # A connection of its own: the test's may be in a transaction that was aborted.
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            testing.set_clock(connection, offset=offset, moment=moment)
        self.offset, self.moment = offset, moment


_clock = _TestClock()


@contextmanager
def clock_at(moment: datetime) -> Iterator[None]:
    """The clock stands still at `moment` meanwhile."""
    before = _clock.offset, _clock.moment
    _clock.set(moment=moment)
    try:
        yield
    finally:
        _clock.set(offset=before[0], moment=before[1])


@contextmanager
def clock_moved(by: timedelta) -> Iterator[None]:
    """The clock is `by` ahead of the true time meanwhile, and goes on."""
    before = _clock.offset, _clock.moment
    _clock.set(offset=by)
    try:
        yield
    finally:
        _clock.set(offset=before[0], moment=before[1])


def stop_clock(moment: datetime) -> None:
    """The clock stands still at `moment` until it is stopped elsewhere or the test ends."""
    _clock.set(moment=moment)


def move_clock(by: timedelta) -> None:
    """The clock is `by` ahead of the true time until the test ends."""
    _clock.set(offset=by)


@pytest.fixture(autouse=True)
def _right_clock() -> Iterator[None]:
    yield
    _clock.set()


@pytest.fixture(autouse=True)
def _empty_sms_outbox() -> None:
    memory.outbox.clear()


@contextmanager
def written_log(form: str = "console") -> Iterator[io.StringIO]:
    """What the product's handler writes meanwhile, as "json" or for the "console"."""
    root = logging.getLogger()
    before = root.handlers[:]  # bound to the real standard error, which a new one would not be during a test
    logging_config.configure({"format": form, "level": "INFO"})
    handler = next(h for h in root.handlers if isinstance(h, logging_config.RedactingHandler))
    written = io.StringIO()
    handler.setStream(written)
    structlog.contextvars.clear_contextvars()
    try:
        yield written
    finally:
        logging_config.configure(settings.LOGGING)
        root.handlers = before


@pytest.fixture
def alice(db: None) -> User:
    return customer("alice")


@pytest.fixture
def bob(db: None) -> User:
    return customer("bob")


@pytest.fixture
def mallory(db: None) -> User:
    return customer("mallory")


@pytest.fixture
def officer(db: None) -> User:
    return staff(Role.COMPLIANCE)


@pytest.fixture
def operator(db: None) -> User:
    return staff(Role.OPERATOR)


@pytest.fixture
def auditor(db: None) -> User:
    return staff(Role.AUDITOR)


@pytest.fixture
def admin_user(db: None) -> User:
    return staff(Role.ADMIN)


@pytest.fixture
def anonymous(db: None) -> Client:
    return anonymous_client()


@pytest.fixture
def alice_client(alice: User) -> Client:
    return client_for(alice)


@pytest.fixture
def bob_client(bob: User) -> Client:
    return client_for(bob)


@pytest.fixture
def mallory_client(mallory: User) -> Client:
    return client_for(mallory)


@pytest.fixture
def officer_client(officer: User) -> Client:
    return client_for(officer)


@pytest.fixture
def operator_client(operator: User) -> Client:
    return client_for(operator)


@pytest.fixture
def auditor_client(auditor: User) -> Client:
    return client_for(auditor)


@pytest.fixture
def admin_client(admin_user: User) -> Client:
    """The admin's client of the API (pytest-django's fixture of this name logs a superuser in, whom we don't have)."""
    return client_for(admin_user)


def fund_wallet(user: User, amount: str, currency: str = "USD") -> Wallet:
    """Money from the outside world, by the one door. Returns the wallet, which is opened where there is none yet."""
    now = clock.now()
    wallet = open_wallet_of(user.pk, currency) or unit_of_work(
        lambda: open_wallet(actor=SYSTEM, owner_user_id=user.pk, currency=currency, now=now)
    )
    source = ledger.SystemAccount("clearing:simulator", currency)
    leg = ledger.Leg(source, wallet.pk, Decimal(amount), currency)
    posting = ledger.Posting(kind=TransactionKind.DEPOSIT, legs=(leg,))
    unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))
    wallet.refresh_from_db()
    return wallet


@pytest.fixture
def fund(db: None) -> Callable[..., Wallet]:
    """`fund(user, "100.00", currency="USD")`: a deposit."""
    return fund_wallet
