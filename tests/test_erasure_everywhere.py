"""A person leaves a mark in every free text that the API takes, is erased, and is nowhere in the database any more.

Audit rows are part of it: they hold ids, states and the reasons that staff gave, never what the person said.
"""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from drf_spectacular.generators import SchemaGenerator

from compliance.services import submit_kyc
from compliance.tests.factories import said
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import EncryptedTextField
from messaging.models import Message
from messaging.tasks import send_message
from offboarding.services import erasure
from offboarding.services.erasure import erase_user
from offboarding.tasks import erase_texts
from organizations.roles import MEMBER_CAPABILITIES
from organizations.services import accept_invitation
from organizations.tasks import erase_closed, purge_invitations
from organizations.tests.factories import organization_of
from payments.services import create_intent
from tests import leaks
from tests.cast import (
    Client,
    actor_for,
    anonymous_client,
    client_for,
    customer,
    fund_wallet,
    key_client,
    kyc,
    with_personal,
)
from tests.racing import race
from tests.world import Route, api_v1
from transactions.holds.services import create_hold
from transactions.monitors.services import create_monitor
from transactions.schedules.models import TransferSchedule
from transactions.schedules.services.schedules import create_schedule
from transactions.transfers.services.destinations import Destination
from users.enums import CUSTOMER_ROLES
from users.models import User
from users.roles import CAPABILITIES
from users.services import create_api_key, update_profile
from users.tests.log_in_codes import deliver
from wallet.models import Blocker, Wallet
from wallet.services import open_own_wallet

pytestmark = pytest.mark.django_db(transaction=True)
REASON = {"reason": "asked to be forgotten"}
BROWSER = "Quillbrowser/77 (Zephyrine)"
# What is left of a person somewhere, by where it was put; unmistakable, with letters beyond ASCII.
MARKS = {
    "first name": "Здравка-Aloysia",
    "last name": "Quetzalcöatl-Ilse",
    "email": "bob@customer.example",
    "phone": "+14155552671",
    "browser": BROWSER,
    "network": "198.51.100.77",
    "name of a key": "Zwiebelkey-Marie",
    "transfer": "Mark-of-transfer-Xanthe",
    "metadata": "Mark-of-metadata-Xanthe",
    "transfer by key": "Mark-of-keyed-Xanthe",
    "hold": "Mark-of-hold-Xanthe",
    "schedule": "Mark-of-schedule-Xanthe",
    "monitor": "Mark-of-monitor-Xanthe",
    "return address": "mark-of-return-xanthe",
    "reason of a void": "Reason-of-void-Xanthe",
    "reason of a cancelling": "Reason-of-cancelling-Xanthe",
    "reason of a payment's end": "Reason-of-payment-Xanthe",
    "reason of a closing": "Reason-of-closing-Xanthe",
    "reason of a forfeiture": "Reason-of-forfeiture-Xanthe",
    "KYC first name": "Ermenegilda",
    "KYC last name": "Schnürschuh",
    "KYC birth": "1971-08-23",
    "KYC address": "Zwiebelgasse 17b",
    "KYC document": "ZQ8814623X",
    "name of a claim": "Claimant-Xanthe",
    "earlier email": "robert.earlier@customer.example",
    "legal name": "Xanthe Zwiebel, sole trader",
    "tax number": "XQ77319540Z",
    "payout account": "NL91ABNA0417164300",
    "address of a stranger": "stranger.of.xanthe@invited.example",
    "reason of an organization's closing": "Reason-of-dissolving-Xanthe",
}
# What the API takes and never stores: an owner's reason, since the audit log is kept for ever.
NEVER_STORED = {name for name in MARKS if name.startswith("reason of")}
# Journals that are kept by rule, and hold nothing of the above by theirs.
JOURNALS = {"fintech_core_auditlog", "fintech_core_auditchain", "fintech_core_outboxevent"}


def tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


def stored(table: str) -> bytes:
    """Every column of every row as text; bytea in hex, which the search reads too."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM \"{table}\" t")
        return str(cursor.fetchone()[0]).encode()


def opened(table: str) -> bytes:
    """What the encrypted columns say: a ciphertext that somebody could open is no erasure."""
    found = []
    for model in apps.get_models():
        sealed = [f.attname for f in model._meta.concrete_fields if isinstance(f, EncryptedTextField)]
        if model._meta.db_table == table and sealed:
            found += [str(getattr(row, name)) for row in model._base_manager.all() for name in sealed]
    return "\n".join(found).encode()


def marks_by_table() -> dict[str, set[str]]:
    """Which marks are where, in clear or behind a key of ours."""
    found = {table: set(leaks.find(stored(table) + b"\n" + opened(table), MARKS)) for table in tables()}
    return {table: {hit.split(" (")[0] for hit in hits} for table, hits in found.items() if hits}


def done(answer: Any) -> dict[str, Any]:
    assert answer.status_code in (200, 201, 202, 204), (answer.status_code, answer.content)
    return dict(json.loads(answer.content)) if answer.content else {}


def moves_money(bob: User, alice: User, client: Client, operator: Client) -> None:
    """Transfers, holds, schedules, monitors and payments with words of Bob's, repeated by staff's stored answers."""
    source, target = str(bob.wallets.get(currency="USD").pk), str(alice.wallets.get().pk)
    money = {"amount": "5.00", "currency": "USD"}
    transfer = {"source_wallet": source, "destination_wallet": target, **money}
    texts = {"description": MARKS["transfer"], "metadata": {"for": MARKS["metadata"]}}
    paid = done(client.post("/api/v1/transfers", {**transfer, **texts}, key="new"))
    done(operator.post(f"/api/v1/transactions/{paid['id']}/reverse", {"reason": "asked for"}, key="new"))
    keyed = key_client(bob, "transfers:write")
    done(keyed.post("/api/v1/transfers", {**transfer, "description": MARKS["transfer by key"]}, key="new"))
    hold = {"wallet": source, **money, "description": MARKS["hold"]}
    for holder in (client, operator):
        made = done(client.post("/api/v1/holds", hold, key="new"))
        reason = {"reason": "asked for" if holder is operator else MARKS["reason of a void"]}
        done(holder.post(f"/api/v1/holds/{made['id']}/void", reason, key="new"))
    start = (clock.now() + timedelta(days=9)).isoformat()
    plan = {**transfer, "frequency": "ONCE", "start_at": start, "description": MARKS["schedule"]}
    for canceler in (client, operator):
        made = done(client.post("/api/v1/scheduled-transfers", plan, key="new"))
        reason = {"reason": "asked for" if canceler is operator else MARKS["reason of a cancelling"]}
        done(canceler.post(f"/api/v1/scheduled-transfers/{made['id']}/cancel", reason, key="new"))
    watch = {"condition": "available_below", "threshold": "1.00", "currency": "USD", "description": MARKS["monitor"]}
    done(client.post(f"/api/v1/wallets/{source}/monitors", watch))
    back = f"https://shop.example/{MARKS['return address']}"
    intent = {"wallet": source, **money, "gateway": "simulator", "return_url": back}
    made = done(client.post("/api/v1/payment-intents", intent, key="new"))
    why = {"reason": MARKS["reason of a payment's end"]}
    done(client.post(f"/api/v1/payment-intents/{made['id']}/cancel", why, key="new"))
    done(client.post("/api/v1/transfers", {**transfer, "amount": "15.00"}, key="new"))  # all that is left


def closes_wallets(bob: User, client: Client) -> None:
    """One that is empty, and one with a cent that Bob can't send on."""
    empty = done(client.post("/api/v1/wallets", {"currency": "EUR"}))
    done(client.post(f"/api/v1/wallets/{empty['id']}/close", {"reason": MARKS["reason of a closing"]}, key="new"))
    dust = fund_wallet(bob, "0.01", "GBP")
    kyc(bob, 0)
    consent = {"forfeit": {"amount": "0.01", "currency": "GBP"}, "reason": MARKS["reason of a forfeiture"]}
    done(client.post(f"/api/v1/wallets/{dust.pk}/close", consent, key="new"))
    kyc(bob, 1)


def was_reached_elsewhere(bob: User, client: Client, mallory: Client) -> set[str]:
    """Joined one organization and was invited into another one under an earlier address, changed it, and left.

    Returns the marks of that time: what is left of the address goes with its change.
    """
    with_personal(bob, email=MARKS["earlier email"])
    joined, other = organization_of(mallory.user, "Joined"), organization_of(mallory.user, "Other")
    for organization in (other, joined):
        path = f"/api/v1/organizations/{organization.pk}/invitations"
        done(mallory.post(path, {"email": MARKS["earlier email"], "role": "agent"}))
    done(client.post("/api/v1/invitations/accept", {"token": _in_mail("organization_invitation", "token")}))
    found = set().union(*marks_by_table().values())
    done(client.post("/api/v1/users/me/email", {"email": MARKS["email"]}))
    proof = {"email": MARKS["email"], "code": _in_mail("contact_code", "code")}
    done(client.post("/api/v1/users/me/email/verify", proof))
    done(client.post(f"/api/v1/organizations/{joined.pk}/leave"))
    deliver()  # the worker sends, and forgets, within seconds
    bob.refresh_from_db()
    return found


def _in_mail(template: str, what: str) -> str:
    message = Message.objects.filter(template=template).latest("created_at")
    return str(json.loads(message.context or "{}")[what])


def has_an_organization(client: Client) -> None:
    """Founded, with a payout account and an invitation to a stranger, and closed: which ends Bob's session."""
    body = {"legal_name": MARKS["legal name"], "country": "KZ", "tax_number": MARKS["tax number"]}
    path = f"/api/v1/organizations/{done(client.post('/api/v1/organizations', body))['id']}"
    account = {"method": "iban", "details": {"iban": MARKS["payout account"]}}
    done(client.post(f"{path}/payout-accounts", account))
    done(client.post(f"{path}/invitations", {"email": MARKS["address of a stranger"], "role": "viewer"}))
    send_message(str(Message.objects.filter(template="organization_invitation").latest("created_at").pk))
    done(client.post(f"{path}/close", {"reason": MARKS["reason of an organization's closing"]}))


def says_who_it_is(bob: User, client: Client, officer: Client, mallory: Client) -> None:
    """Profile, KYC, keys, sessions, and what others do with Bob's address."""
    names = {"first_name": MARKS["first name"], "last_name": MARKS["last name"]}
    done(client.patch("/api/v1/users/me", names))
    with_personal(bob, phone=MARKS["phone"], phone_verified_at=clock.now())
    application = {
        "level": 2,
        "first_name": MARKS["KYC first name"],
        "last_name": MARKS["KYC last name"],
        "date_of_birth": MARKS["KYC birth"],
        "country": "AT",
        "address": MARKS["KYC address"],
        "document_type": "passport",
        "document_number": MARKS["KYC document"],
    }
    submission = done(client.post("/api/v1/kyc/submissions", application))
    done(officer.post(f"/api/v1/kyc/submissions/{submission['id']}/approve", {"level": 2}))
    done(client.post("/api/v1/api-keys", {"name": MARKS["name of a key"], "scopes": ["wallets:read"]}))
    log_in = {"email": MARKS["email"], "password": "correct horse battery staple"}
    where = {"HTTP_USER_AGENT": BROWSER, "REMOTE_ADDR": MARKS["network"]}
    done(anonymous_client().post("/api/v1/auth/token", log_in, **where))
    done(anonymous_client().post("/api/v1/auth/password/reset", {"email": MARKS["email"]}))
    register = {**log_in, "first_name": MARKS["name of a claim"], "last_name": "X"}
    done(anonymous_client().post("/api/v1/auth/register", register))
    organization = organization_of(mallory.user)
    acting = {"HTTP_X_ORGANIZATION": str(organization.pk)}
    path = f"/api/v1/organizations/{organization.pk}/invitations"
    done(mallory.post(path, {"email": MARKS["email"], "role": "agent"}, **acting))
    done(anonymous_client().post("/api/v1/auth/client/email/send", {"email": MARKS["email"]}))


def test_after_the_erasure_no_mark_of_the_person_is_left_anywhere(
    alice: User,
    bob: User,
    bob_client: Client,
    mallory_client: Client,
    officer_client: Client,
    operator_client: Client,
    settings: Any,
) -> None:
    settings.KYC_RETENTION = timedelta(0)
    settings.INVITATION_ADDRESS_RETENTION = timedelta(0)
    settings.RATE_LIMITS = {name: (10**6, 60) for name in settings.RATE_LIMITS}
    earlier = was_reached_elsewhere(bob, bob_client, mallory_client)
    kyc(bob, 1)
    fund_wallet(bob, "20.00")
    moves_money(bob, alice, bob_client, operator_client)
    closes_wallets(bob, bob_client)
    says_who_it_is(bob, bob_client, officer_client, mallory_client)
    has_an_organization(bob_client)
    before = marks_by_table()

    done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))
    erase_texts()
    erase_closed()
    purge_invitations()

    # Each mark was somewhere to be found, but for reasons: they go nowhere, not even for a moment.
    assert set().union(earlier, *before.values()) == set(MARKS) - NEVER_STORED
    assert not JOURNALS & set(before)
    assert {
        "users_user",
        "users_session",
        "users_apikey",
        "users_registration",
        "messaging_message",
        "organizations_invitation",
        "organizations_organization",
        "organizations_payoutaccount",
        "compliance_kycsubmission",
        "transactions_transaction",
        "transactions_hold",
        "transactions_transferschedule",
        "transactions_monitor",
        "payments_paymentintent",
        "fintech_core_idempotencyrecord",
    } <= set(before)
    assert marks_by_table() == {}
    assert User.objects.get(pk=bob.pk).texts_erased_at is not None


def test_answers_to_who_was_staff_then_go_too(
    bob: User, alice: User, bob_client: Client, operator_client: Client, officer_client: Client
) -> None:
    """What decides is whether staff were answered, not who is staff on the day of the erasure."""
    kyc(bob, 1)
    wallet = fund_wallet(bob, "5.00")
    hold = {"wallet": str(wallet.pk), "amount": "5.00", "currency": "USD", "description": MARKS["hold"]}
    made = done(bob_client.post("/api/v1/holds", hold, key="new"))
    done(operator_client.post(f"/api/v1/holds/{made['id']}/void", {"reason": "asked for"}, key="new"))
    User.objects.filter(pk=operator_client.user.pk).update(role="client")
    away = {"source_wallet": str(wallet.pk), "destination_wallet": str(alice.wallets.get().pk)}
    done(bob_client.post("/api/v1/transfers", {**away, "amount": "5.00", "currency": "USD"}, key="new"))

    done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))
    erase_texts()

    assert marks_by_table() == {}


def test_what_others_were_answered_stays(alice: User, bob: User, alice_client: Client, officer_client: Client) -> None:
    """Only answers of the person, and of staff about the person, go."""
    kyc(alice, 1)
    fund_wallet(alice, "20.00")
    wallet = str(alice.wallets.get(currency="USD").pk)
    hold = {"wallet": wallet, "amount": "1.00", "currency": "USD", "description": "Alice's own"}
    first = alice_client.post("/api/v1/holds", hold, key="alices-key")

    done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))
    erase_texts()

    again = alice_client.post("/api/v1/holds", hold, key="alices-key")
    assert (again.status_code, again.content) == (201, first.content)


# What an owner may give a reason for. Each is marked above: none may be stored.
REASONS_OF_OWNERS = {
    "POST /api/v1/holds/{id}/void",
    "POST /api/v1/scheduled-transfers/{id}/cancel",
    "POST /api/v1/payment-intents/{id}/cancel",
    "POST /api/v1/wallets/{id}/close",
    "POST /api/v1/organizations/{organization_id}/close",
}


def test_every_reason_that_a_customer_may_give_is_marked_above() -> None:
    """A new route that takes a `reason` of customers fails here: what becomes of it must be thought about."""
    schema = SchemaGenerator().get_schema(request=None, public=True)

    def takes_a_reason(route: Route) -> bool:
        body = schema["paths"][route.template][route.method.lower()].get("requestBody", {}).get("content", {})
        name = body.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        return "reason" in schema["components"]["schemas"].get(name, {}).get("properties", {})

    rights = [*(CAPABILITIES[role] for role in CUSTOMER_ROLES), *MEMBER_CAPABILITIES.values()]
    of_customers = frozenset[Capability]().union(*rights)
    routes = [route for route in api_v1() if route.opens_to(of_customers) and takes_a_reason(route)]

    assert {f"{route.method} {route.template}" for route in routes} == REASONS_OF_OWNERS


# --- At the same instant ----------------------------------------------------------------------------------------------


def attempts(bob: User, alice: User) -> dict[str, Callable[[], object]]:
    """What must not come into being for a person who is being erased."""
    now, wallet = clock.now(), bob.wallets.get()
    actor, amount = actor_for(bob), Decimal("1.00")
    start = now + timedelta(days=9)
    money: dict[str, Any] = {"amount": amount, "currency": "USD"}
    pay: dict[str, Any] = {**money, "frequency": "ONCE", "start_at": start, "now": now}
    return {
        "wallet": lambda: open_own_wallet(actor=actor, currency="EUR", now=now),
        "hold": lambda: create_hold(actor=actor, wallet_id=wallet.pk, **money),
        "schedule": lambda: create_schedule(
            actor=actor, source_wallet=wallet.pk, destination=Destination(wallet_id=alice.wallets.get().pk), **pay
        ),
        "schedule to them": lambda: create_schedule(
            actor=actor_for(alice),
            source_wallet=alice.wallets.get().pk,
            destination=Destination(wallet_id=wallet.pk),
            **pay,
        ),
        "payment": lambda: create_intent(actor=actor, wallet_id=wallet.pk, gateway="simulator", **money),
        "monitor": lambda: create_monitor(
            actor=actor, wallet_id=wallet.pk, condition="available_below", threshold=amount, currency="USD", now=now
        ),
        "submission": lambda: submit_kyc(actor=actor, now=now, **said(level=2)),
        "key": lambda: create_api_key(actor=actor, name="mine", scopes=["wallets:read"]),
        "profile": lambda: update_profile(actor=actor, user_id=bob.pk, changes={"first_name": "Bob"}, now=now),
        "membership": lambda: accept_invitation(actor=actor, token=invited(alice, bob)),
    }


def invited(alice: User, bob: User) -> str:
    """A token of an invitation that was made before (see `prepared`)."""
    message = Message.objects.filter(template="organization_invitation").latest("created_at")
    return str(json.loads(message.context or "{}")["token"])


@pytest.fixture
def prepared(alice: User, bob: User, alice_client: Client) -> None:
    for user in (alice, bob):
        kyc(user, 1)
    organization = organization_of(alice)
    body = {"email": str(bob.email), "role": "agent"}
    path = f"/api/v1/organizations/{organization.pk}/invitations"
    done(alice_client.post(path, body, HTTP_X_ORGANIZATION=str(organization.pk)))


def outcome(use_case: Callable[[], object]) -> str:
    """ "done", or the code of the refusal; on a connection of the thread's own."""
    try:
        unit_of_work(use_case)
    except DomainError as refusal:
        return refusal.code
    finally:
        connection.close()
    return "done"


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # inside a transaction the view stands still otherwise
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


def leftovers(bob: User) -> dict[str, int]:
    """What an erased person must not have."""
    counts = {
        "open wallets": Wallet.objects.filter(owner_user=bob).exclude(status="CLOSED").count(),
        "claims": Blocker.objects.filter(wallet__owner_user=bob).count(),
        "schedules": TransferSchedule.objects.exclude(status="CANCELED").count(),
        "monitors": bob.wallets.filter(monitors__isnull=False).count(),
        "submissions": bob.kyc_submissions.count(),
        "keys": bob.api_keys.count(),
        "memberships": bob.memberships.count(),
    }
    return {name: count for name, count in counts.items() if count}


REFUSALS = {
    "wallet": "not_found",
    "hold": "wallet_closed",
    "schedule": "wallet_closed",
    "schedule to them": "destination_unavailable",
    "payment": "wallet_closed",
    "monitor": "wallet_closed",
    "submission": "not_found",
    "key": "not_found",
    "profile": "not_found",
    "membership": "not_found",
}


def test_what_comes_during_the_erasure_waits_and_is_refused(
    prepared: None, alice: User, bob: User, officer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, token = attempts(bob, alice), invited(alice, bob)
    monkeypatch.setattr(f"{__name__}.invited", lambda *_: token)
    inside, really = threading.Event(), erasure.erase_person
    outcomes: dict[str, str] = {}
    waited: list[int] = []

    def slowly(**given: Any) -> Any:
        inside.set()
        deadline = time.monotonic() + 20
        while waiting_for_locks() < len(asked) and time.monotonic() < deadline:
            time.sleep(0.05)
        waited.append(waiting_for_locks())
        return really(**given)

    monkeypatch.setattr(erasure, "erase_person", slowly)
    actor = actor_for(officer)

    def erase() -> None:
        outcomes["erasure"] = outcome(lambda: erase_user(actor=actor, user_id=bob.pk, reason="asked", now=clock.now()))

    def intrude(kind: str) -> None:
        inside.wait(timeout=20)
        outcomes[kind] = outcome(asked[kind])

    threads = [threading.Thread(target=erase), *(threading.Thread(target=intrude, args=(kind,)) for kind in asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert waited == [len(REFUSALS)]  # all of them stood at a lock while the person went
    assert outcomes == {"erasure": "done", **REFUSALS}
    assert leftovers(bob) == {}
    row = User.objects.get(pk=bob.pk)
    assert (row.erased_at is None, row.first_name) == (False, "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(REFUSALS))
def test_of_two_at_once_one_wins_and_nothing_is_left_half(
    prepared: None, alice: User, bob: User, officer: User, kind: str
) -> None:
    attempt, actor = attempts(bob, alice)[kind], actor_for(officer)

    outcomes = race(
        lambda: outcome(lambda: erase_user(actor=actor, user_id=bob.pk, reason="asked", now=clock.now())),
        lambda: outcome(attempt),
    )

    assert "done" in outcomes
    if User.objects.get(pk=bob.pk).erased_at is not None:
        allowed = {"keys", "monitors"}  # made a moment before: the key is revoked, the monitor goes with the texts
        assert set(leftovers(bob)) <= allowed
        erase_texts()
        assert set(leftovers(bob)) <= {"keys"}
        assert not bob.api_keys.filter(revoked_at__isnull=True).exists()
    else:
        assert sorted(outcomes) == ["done", "erasure_blocked"]


def test_a_client_of_an_erased_person_is_out(bob: User, bob_client: Client, officer_client: Client) -> None:
    done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))

    assert bob_client.post("/api/v1/wallets", {"currency": "EUR"}).status_code == 401
    assert client_for(customer("carol")).get("/api/v1/wallets").status_code == 200
