"""Coincidences are proposed, not matched; and a match can be taken back, for good."""

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from reconciliation import services
from reconciliation.enums import BreakAction
from reconciliation.models import Break, Match, MatchedEntry, MatchedLine, Proposal, StatementLine
from reconciliation.services import take_back_match
from reconciliation.services.breaks import close_breaks, reopen_breaks
from reconciliation.tests.samples import OLD, SYSTEM, account, breaks, csv_of, deposit, import_, import_file, reconcile
from tests.cast import Client, browser_for
from transactions.ledger.models import LedgerEntry
from users.models import User

pytestmark = pytest.mark.django_db

MATCHES, PROPOSALS = "/api/v1/reconciliation/matches", "/api/v1/reconciliation/proposals"
REASON = {"reason": "looked into it"}


@pytest.fixture
def coincidence(alice: User) -> tuple[LedgerEntry, LedgerEntry]:
    """Two deposits that add up to what another customer paid that day."""
    day = date(2026, 11, 27)
    entries = [deposit(alice, amount, f"p{amount}", day=day, currency="GBP") for amount in ("10.00", "24.00")]
    import_file("coincidence.sta", "GBP")
    report = reconcile(currency="GBP")
    assert (report.matched, report.proposed) == ({}, 1)
    return entries[0], entries[1]


def test_a_sum_of_a_day_is_proposed_to_a_payment_with_a_reference(
    coincidence: tuple[LedgerEntry, LedgerEntry], auditor_client: Client
) -> None:
    (shown,) = auditor_client.get(PROPOSALS, {"status": "OPEN", "currency": "GBP"}).json()["results"]

    line = StatementLine.objects.get()
    assert (shown["rule"], shown["amount"], shown["status"]) == ("ONE_TO_MANY", "34.00", "OPEN")
    assert (shown["lines"], sorted(shown["entries"])) == ([str(line.pk)], sorted(str(e.pk) for e in coincidence))
    assert auditor_client.get(f"{PROPOSALS}/{shown['id']}").json() == shown
    found = Break.objects.get()
    assert (found.break_class, sorted(found.candidates)) == ("missing_in_ledger", sorted(shown["entries"]))
    again = reconcile(currency="GBP")
    assert (again.proposed, Proposal.objects.count()) == (0, 1)


def test_a_confirmed_proposal_is_a_match_and_ends_the_breaks(
    coincidence: tuple[LedgerEntry, LedgerEntry], operator_client: Client
) -> None:
    path = f"{PROPOSALS}/{Proposal.objects.get().pk}/confirm"

    assert operator_client.post(path, {}).status_code == 400
    first, second = operator_client.post(path, REASON), operator_client.post(path, REASON)

    assert (first.status_code, first.json()["status"]) == (200, "CONFIRMED")
    assert (second.status_code, second.json()["code"]) == (409, "invalid_transition")
    match = Match.objects.get()
    assert (first.json()["match"], match.rule) == (str(match.pk), "ONE_TO_MANY")
    assert set(MatchedEntry.objects.values_list("entry", flat=True)) == {entry.pk for entry in coincidence}
    assert (StatementLine.objects.get().status, breaks()) == ("MATCHED", [])
    row = AuditLog.objects.get(action="reconciliation_proposal.confirmed")
    assert (row.reason, row.actor_id, row.after["match"]) == (REASON["reason"], operator_client.user.pk, str(match.pk))
    assert reconcile(currency="GBP").matched == {}


def test_a_rejected_proposal_does_not_come_back(
    coincidence: tuple[LedgerEntry, LedgerEntry], operator_client: Client, auditor_client: Client
) -> None:
    found = Proposal.objects.get()

    assert auditor_client.post(f"{PROPOSALS}/{found.pk}/reject", REASON).status_code == 403
    assert auditor_client.post(f"{PROPOSALS}/{found.pk}/confirm", REASON).status_code == 403
    assert operator_client.post(f"{PROPOSALS}/{found.pk}/reject", REASON).json()["status"] == "REJECTED"
    assert operator_client.post(f"{PROPOSALS}/{found.pk}/confirm", REASON).status_code == 409
    report = reconcile(currency="GBP")

    assert (report.matched, report.proposed, Match.objects.count()) == ({}, 0, 0)
    assert Break.objects.exclude(status="RESOLVED").get().candidates == []
    assert operator_client.post(f"{PROPOSALS}/{ids.uuid7()}/reject", REASON).status_code == 404


def test_a_proposal_whose_line_was_settled_otherwise_is_outdated_and_then_withdrawn(
    coincidence: tuple[LedgerEntry, LedgerEntry], operator_client: Client
) -> None:
    found = Proposal.objects.get()
    unit_of_work(
        lambda: services.resolve_break(
            actor=SYSTEM,
            break_id=Break.objects.get().pk,
            action=BreakAction.POST_ADJUSTMENT,
            reason="found",
            now=StatementLine.objects.get().created_at,
        )
    )

    answer = operator_client.post(f"{PROPOSALS}/{found.pk}/confirm", REASON)
    assert (answer.status_code, answer.json()["code"]) == (409, "proposal_outdated")
    assert Match.objects.filter(rule="ONE_TO_MANY").count() == 0
    reconcile(currency="GBP")

    found.refresh_from_db()
    assert found.status == "WITHDRAWN"
    rows = AuditLog.objects.filter(entity_id=str(found.pk)).order_by("pk").values_list("action", "before", "after")
    facts = {"rule": "ONE_TO_MANY", "amount": "34.00000000", "currency": "GBP", "lines": 1, "entries": 2, "match": None}
    assert list(rows) == [
        ("reconciliation_proposal.created", {}, {"status": "OPEN", **facts}),
        ("reconciliation_proposal.withdrawn", {"status": "OPEN"}, {"status": "WITHDRAWN", **facts}),
    ]
    runs = AuditLog.objects.filter(action="reconciliation.run").order_by("pk").values_list("after", flat=True)
    assert [(after["proposed"], after["withdrawn"]) for after in runs] == [(1, 0), (0, 1)]


def test_the_admin_confirms_and_rejects(coincidence: tuple[LedgerEntry, LedgerEntry], operator: User) -> None:
    found, client = Proposal.objects.get(), browser_for(operator)
    form = {"_selected_action": [str(found.pk)], "reason_confirmed": "yes", **REASON}

    client.post("/admin/reconciliation/proposal/", {**form, "action": "reject"})
    client.post("/admin/reconciliation/proposal/", {**form, "action": "confirm"})

    found.refresh_from_db()
    assert (found.status, found.decided_by, Match.objects.count()) == ("REJECTED", operator.pk, 0)


# --- Taking a match back ----------------------------------------------------------------------------------------------


@pytest.fixture
def matched(alice: User) -> Match:
    deposit(alice, "5.00", "a")
    import_(csv_of((OLD, "5.00", "a"), (OLD + timedelta(days=9), "7.00", "end")))
    reconcile()
    return Match.objects.get()


def test_what_was_taken_back_is_open_again_and_not_matched_so_again(
    matched: Match, operator_client: Client, alice: User
) -> None:
    path = f"{MATCHES}/{matched.pk}/take-back"

    assert operator_client.post(path, {}).status_code == 400
    first, second = operator_client.post(path, REASON), operator_client.post(path, REASON)

    assert (first.status_code, first.json()["reason"]) == (200, REASON["reason"])
    assert first.json()["taken_back_by"] == str(operator_client.user.pk)
    assert (second.status_code, second.json()["code"]) == (409, "invalid_transition")
    row = AuditLog.objects.get(action="reconciliation_match.taken_back")
    assert (row.entity_id, row.reason) == (str(matched.pk), REASON["reason"])
    for _ in range(2):
        report = reconcile()
        assert report.matched == {}
        assert breaks() == [
            ("missing_in_ledger", "5.00"),
            ("missing_in_ledger", "7.00"),
            ("missing_in_statement", "-5.00"),
        ]

    deposit(alice, "5.00", day=OLD + timedelta(days=1))
    assert {str(rule): count for rule, count in reconcile().matched.items()} == {"AMOUNT_DATE": 1}
    line = StatementLine.objects.get(reference="a")
    assert (line.status, MatchedLine.objects.filter(line=line).count()) == ("MATCHED", 2)
    assert operator_client.get(MATCHES, {"line": str(line.pk)}).json()["results"][0]["taken_back_at"] is None


def test_breaks_that_a_match_ended_go_on_when_it_is_taken_back(
    alice: User, operator: User, operator_client: Client
) -> None:
    """Five days old and assigned: neither is lost, and the break shows before any run."""
    days_ago = datetime.now(UTC) - timedelta(days=5)
    import_(csv_of((OLD, "25.00", "zz1")))
    reconcile(now=days_ago)
    Break.objects.update(status="ASSIGNED", owner=operator)
    deposit(alice, "25.00", day=OLD)
    assert {str(rule): count for rule, count in reconcile().matched.items()} == {"AMOUNT_DATE": 1}
    assert breaks() == []

    assert operator_client.post(f"{MATCHES}/{Match.objects.get().pk}/take-back", REASON).status_code == 200

    again = Break.objects.exclude(status="RESOLVED").get()
    assert (again.break_class, again.opened_at, again.owner_id) == ("missing_in_ledger", days_ago, operator.pk)
    assert StatementLine.objects.get().status == "BROKEN"
    row = AuditLog.objects.get(action="reconciliation_match.taken_back")
    assert row.after == {"breaks": [str(again.pk)]}
    reconcile()
    assert Break.objects.exclude(status="RESOLVED").get(line__isnull=False).pk == again.pk


def test_a_break_whose_other_side_is_not_free_goes_on_with_its_line(alice: User) -> None:
    days_ago = datetime.now(UTC) - timedelta(days=5)
    deposit(alice, "9.00", "a")
    import_(csv_of((OLD, "5.00", "a")))
    reconcile(now=days_ago)
    supersede(Break.objects.get(break_class="amount_mismatch"))

    reopened = partial(reopen_breaks, account=account(), entry_ids=[], now=datetime.now(UTC))
    (again,) = unit_of_work(lambda: reopened(lines=[StatementLine.objects.get()]))

    assert (again.break_class, again.entry_id, again.difference) == ("missing_in_ledger", None, 5)
    assert again.opened_at == days_ago


def supersede(found: Break) -> None:
    close = partial(close_breaks, actor=SYSTEM, action=BreakAction.SUPERSEDED, reason="seen otherwise", adjustments={})
    unit_of_work(lambda: close(breaks=[found], now=datetime.now(UTC)))


def test_a_break_that_a_run_ended_for_want_of_statements_keeps_its_age(alice: User) -> None:
    days_ago = datetime.now(UTC) - timedelta(days=5)
    entry = deposit(alice, "3.00", "gone")
    import_(csv_of((OLD, "1.00", "x"), (OLD + timedelta(days=9), "2.00", "y")))
    reconcile(now=days_ago)
    supersede(Break.objects.get(entry=entry))

    reconcile()

    assert Break.objects.exclude(status="RESOLVED").get(entry=entry).opened_at == days_ago


def test_who_may_take_back_and_what_stays(
    matched: Match, auditor_client: Client, alice_client: Client, operator_client: Client
) -> None:
    for client in (auditor_client, alice_client):
        assert client.post(f"{MATCHES}/{matched.pk}/take-back", REASON).status_code == 403
    found = Break.objects.exclude(status="RESOLVED").get()
    unit_of_work(
        lambda: services.resolve_break(
            actor=SYSTEM, break_id=found.pk, action=BreakAction.WRITE_OFF, reason="lost", now=found.created_at
        )
    )
    adjusted = Match.objects.get(rule="ADJUSTMENT")

    answer = operator_client.post(f"{MATCHES}/{adjusted.pk}/take-back", REASON)

    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")
    assert MatchedLine.objects.filter(live=False).count() == MatchedEntry.objects.filter(live=False).count() == 0
    assert [row["rule"] for row in auditor_client.get(MATCHES).json()["results"]] == ["ADJUSTMENT", "REFERENCE"]
    assert auditor_client.get(MATCHES, {"rule": "REFERENCE"}).json()["results"][0]["id"] == str(matched.pk)
    assert auditor_client.get(f"{MATCHES}/{matched.pk}").json()["entries"] != []


def test_a_group_is_taken_back_whole_in_the_admin(alice: User, operator: User) -> None:
    for amount in ("1.00", "2.00"):
        deposit(alice, amount, f"batch-{amount}")
    import_(csv_of((OLD, "3.00", "batch")))
    reconcile()
    found: Any = Match.objects.get()
    form = {"_selected_action": [str(found.pk)], "reason_confirmed": "yes", "action": "take_back", **REASON}

    browser_for(operator).post("/admin/reconciliation/match/", form)

    found.refresh_from_db()
    assert found.taken_back_by == operator.pk
    assert (MatchedEntry.objects.filter(live=True).count(), StatementLine.objects.get().status) == (0, "BROKEN")
    assert reconcile().matched == {}


def test_a_match_that_is_not_there_is_404() -> None:
    with pytest.raises(services.breaks.NotFound):
        unit_of_work(lambda: take_back_match(actor=SYSTEM, match_id=ids.uuid7(), reason="because"))
