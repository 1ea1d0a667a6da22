"""Which actions of the rooms below the ledger's are heard of, and by whom."""

import ast
import re

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.audit.models import AuditLog
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from fintech_core.outbox import event_types
from fintech_core.outbox.models import OutboxEvent
from fintech_core.outbox.publishing import Event
from fintech_core.security.actors import Actor
from tests.cast import Client
from tests.source_code import sources
from users.models import User

pytestmark = pytest.mark.django_db


def heard(prefix: str) -> list[tuple[str, object, object]]:
    rows = OutboxEvent.objects.filter(type__startswith=prefix).order_by("id")
    return [(row.type, row.owner_id, row.payload) for row in rows]


def test_the_life_of_a_wallet(alice: User, alice_client: Client, officer_client: Client) -> None:
    wallet = f"/api/v1/wallets/{alice.wallets.get().pk}"
    reason = {"reason": "Card reported stolen"}

    for client, action in ((officer_client, "freeze"), (officer_client, "unfreeze"), (alice_client, "close")):
        assert client.post(f"{wallet}/{action}", reason).status_code == 200

    assert heard("wallet.") == [
        ("wallet.opened", alice.pk, {"status": "ACTIVE", "currency": "USD"}),
        ("wallet.frozen", alice.pk, {"status": "FROZEN", "currency": "USD"}),
        ("wallet.unfrozen", alice.pk, {"status": "ACTIVE", "currency": "USD"}),
        ("wallet.closed", alice.pk, {"status": "CLOSED", "currency": "USD"}),
    ]


APPLICATION = {
    "level": 1,
    "first_name": "Alice",
    "last_name": "Liddell",
    "date_of_birth": "1990-05-04",
    "country": "GB",
    "address": "1 Folly Bridge, Oxford",
    "document_type": "passport",
    "document_number": "P1234567",
}


@pytest.mark.parametrize(
    ("action", "said", "payload"),
    [
        ("approve", {"level": 1}, {"status": "APPROVED", "granted_level": 1}),
        ("reject", {"reason": "Blurred"}, {"status": "REJECTED", "granted_level": None}),
    ],
)
def test_a_decision_on_kyc_names_no_person(
    alice: User,
    alice_client: Client,
    officer_client: Client,
    action: str,
    said: dict[str, object],
    payload: dict[str, object],
) -> None:
    submission = alice_client.post("/api/v1/kyc/submissions", APPLICATION).json()["id"]

    assert officer_client.post(f"/api/v1/kyc/submissions/{submission}/{action}", said).status_code == 200

    assert heard("kyc.") == [("kyc.decided", alice.pk, payload)]


# --- Who may read them ------------------------------------------------------------------------------------------------


def test_a_type_that_is_not_declared_is_not_published() -> None:
    with pytest.raises(ValueError, match="event_types"):
        Event(type="wallet.melted", entity_type="wallet", entity_id=ids.uuid7())


def test_an_action_has_a_payload_where_its_event_is_declared_and_only_there() -> None:
    thing, actor = EntityRef("wallet", ids.uuid7()), Actor.system("test")

    for action, payload in (("wallet.frozen", None), ("kyc.rejected", None), ("wallet.viewed", {})):
        with pytest.raises(ValueError, match="event_types"):
            unit_of_work(lambda: record_and_publish(actor, action, thing, payload=payload))  # noqa: B023

    assert (AuditLog.objects.count(), OutboxEvent.objects.count()) == (0, 0)


def test_an_action_and_its_event_are_one_statement_each() -> None:
    things = [EntityRef("wallet", ids.uuid7()) for _ in range(3)]

    def freeze() -> None:
        for thing in things:
            record_and_publish(Actor.system("test"), "wallet.frozen", thing, after={"a": 1}, payload={"b": 2})

    with CaptureQueriesContext(connection) as captured:
        unit_of_work(freeze)

    assert [sum(table in query["sql"] for query in captured) for table in ("auditlog", "outboxevent")] == [1, 1]
    assert list(AuditLog.objects.order_by("id").values_list("entity_id", "after")) == [
        (str(thing.pk), {"a": 1}) for thing in things
    ]
    assert list(OutboxEvent.objects.order_by("id").values_list("entity_id", "payload")) == [
        (thing.pk, {"b": 2}) for thing in things
    ]


def test_only_these_are_published_without_the_action_of_their_name() -> None:
    """The ledger's and the monitors', published directly. All others have their audit row beside them."""
    direct = set()
    for path, tree in sources():
        if path != "fintech_core/audit/records.py":
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Event":
                    kind = next(keyword.value for keyword in node.keywords if keyword.arg == "type")
                    direct.add(ast.literal_eval(kind))

    assert direct == event_types.WITHOUT_AUDIT_ROW


def test_the_documentation_lists_exactly_the_types_that_are_declared() -> None:
    section = (settings.BASE_DIR / "API_DOCUMENTATION.md").read_text().split("\n## Events\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", row)}

    declared = {name for name in event_types.READERS if not name.startswith("payment_intent.")}
    assert listed == declared
    assert "| `payment_intent.` and its new status |" in section


def test_no_type_is_declared_that_no_code_names() -> None:
    """By the name of an action that publishes it, or its own. `Event` refuses what isn't declared."""
    named = set()
    for path, tree in sources():
        if path != "fintech_core/outbox/event_types.py":
            constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            named |= {value for value in constants if isinstance(value, str)}

    declared = {name for name in event_types.READERS if not name.startswith("payment_intent.")}
    published = {event_types.event_of(name) for name in named} | event_types.WITHOUT_AUDIT_ROW & named
    assert declared - published == set()
