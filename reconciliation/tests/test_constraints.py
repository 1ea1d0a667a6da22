"""What the database refuses, whoever writes: as the app's own role, past the services."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from fintech_core.db import ids
from reconciliation.models import (
    Break,
    ExternalAccount,
    Match,
    MatchedEntry,
    MatchedLine,
    Proposal,
    ReconciledAccount,
    Statement,
    StatementLine,
)
from reconciliation.tests.samples import ACCOUNT, OLD, account, csv_of, deposit, import_, reconcile
from transactions.ledger.models import LedgerEntry
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(alice: User) -> None:
    deposit(alice, "1.00", "a")
    import_(csv_of((OLD, "1.00", "a"), (OLD, "2.00", "b")))
    reconcile()


def refused(attack: Callable[[], object]) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        attack()


def test_journals_do_not_change(scene: None) -> None:
    for model in (Statement, StatementLine, Match, MatchedLine, MatchedEntry, Break):
        refused(lambda model=model: model.objects.all()._raw_delete("default"))
    for model, change in (
        (Statement, {"total": 5}),
        (StatementLine, {"amount": 5}),
        (Match, {"rule": "AMOUNT_DATE"}),
        (Match, {"created_at": timezone.now()}),
        (MatchedLine, {"live": False}),
        (MatchedEntry, {"live": False}),
        (Break, {"difference": 5}),
        (Break, {"opened_at": timezone.now()}),
    ):
        refused(lambda model=model, change=change: model.objects.update(**change))


def test_a_matched_line_stays_matched_and_a_resolved_break_resolved(scene: None) -> None:
    refused(lambda: StatementLine.objects.filter(status="MATCHED").update(status="UNMATCHED"))
    Break.objects.update(status="RESOLVED", action="ignore", resolved_at=timezone.now())
    refused(lambda: Break.objects.update(resolution="otherwise"))
    refused(lambda: Break.objects.update(status="OPEN", action="", resolved_at=None))


def test_a_line_and_an_entry_are_matched_at_most_once(scene: None) -> None:
    line, entry = MatchedLine.objects.get(), MatchedEntry.objects.get()

    def attack(model: type[MatchedLine | MatchedEntry], **part: object) -> None:
        other = Match.objects.create(account=account(), rule="REFERENCE", created_at=timezone.now())
        model.objects.create(match=other, **part)

    with pytest.raises(IntegrityError, match="unique"), transaction.atomic():
        attack(MatchedLine, line_id=line.line_id)
    with pytest.raises(IntegrityError, match="unique"), transaction.atomic():
        attack(MatchedEntry, entry_id=entry.entry_id)


def test_a_match_is_taken_back_once_with_a_reason_and_whole(scene: None) -> None:
    now = timezone.now()
    refused(lambda: Match.objects.update(taken_back_at=now))
    refused(lambda: Match.objects.update(reason="because"))

    def half() -> None:
        Match.objects.update(taken_back_at=now, reason="because")
        MatchedLine.objects.update(live=False)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    refused(half)
    Match.objects.update(taken_back_at=now, reason="because")
    refused(lambda: StatementLine.objects.filter(status="MATCHED").update(status="UNMATCHED"))
    MatchedLine.objects.update(live=False)
    MatchedEntry.objects.update(live=False)
    StatementLine.objects.filter(status="MATCHED").update(status="UNMATCHED")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    refused(lambda: Match.objects.update(taken_back_at=None, reason=""))
    refused(lambda: Match.objects.update(reason="otherwise"))
    refused(lambda: MatchedLine.objects.update(live=True))

    def grown() -> None:
        MatchedLine.objects.create(match=Match.objects.get(), line=StatementLine.objects.get(reference="b"))
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    refused(grown)


def test_a_proposal_is_decided_once_and_an_external_account_retired_once(scene: None) -> None:
    now = timezone.now()
    facts = {"account": account(), "rule": "ONE_TO_MANY", "lines": [], "entries": [], "amount": 1, "created_at": now}
    found = Proposal.objects.create(fingerprint="0" * 64, **facts)
    rows = Proposal.objects.filter(pk=found.pk)
    refused(lambda: Proposal.objects.create(fingerprint="0" * 64, **facts))
    refused(lambda: rows.update(amount=2))
    refused(lambda: rows.update(status="CONFIRMED", decided_at=now))
    refused(lambda: rows.update(status="REJECTED"))
    rows.update(status="REJECTED", decided_at=now)
    refused(lambda: rows.update(status="OPEN", decided_at=None))
    refused(lambda: Proposal.objects.create(fingerprint="0" * 64, **facts))
    refused(lambda: rows._raw_delete("default"))

    named = {"account": account(), "identifier": "DE1", "created_at": now}
    external = ExternalAccount.objects.create(**named)
    refused(lambda: ExternalAccount.objects.create(**named))
    refused(lambda: ExternalAccount.objects.update(identifier="DE2"))
    ExternalAccount.objects.update(retired_at=now)
    refused(lambda: ExternalAccount.objects.update(retired_at=None))
    ExternalAccount.objects.create(**named)
    refused(lambda: ExternalAccount.objects.filter(pk=external.pk)._raw_delete("default"))


def test_a_match_whose_sides_differ_does_not_commit(alice: User, scene: None) -> None:
    entry = deposit(alice, "3.00", "c", day=OLD + timedelta(days=1))
    line = StatementLine.objects.get(reference="b")

    def attack(*, with_line: bool) -> None:
        match = Match.objects.create(account=account(), rule="REFERENCE", created_at=timezone.now())
        MatchedEntry.objects.create(match=match, entry=entry)
        if with_line:
            MatchedLine.objects.create(match=match, line=line)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    for with_line in (True, False):
        with pytest.raises(IntegrityError, match="do not add up"), transaction.atomic():
            attack(with_line=with_line)
    assert not MatchedEntry.objects.filter(entry=entry).exists()


def test_no_row_belongs_to_another_account(alice: User, scene: None) -> None:
    """A match with an entry of a customer's wallet adds up as well."""
    customers = LedgerEntry.objects.exclude(wallet__account_code=ACCOUNT).get()
    mine = deposit(alice, "2.00", "c", day=OLD + timedelta(days=1))
    line = StatementLine.objects.get(reference="b")
    import_(csv_of((OLD, "-1.00", "minus")))
    minus = StatementLine.objects.get(reference="minus")
    now = timezone.now()
    other = ReconciledAccount.objects.create(account_code=ACCOUNT, currency="EUR", created_at=now)

    def match(of: ReconciledAccount, line: StatementLine, entry: LedgerEntry) -> None:
        found = Match.objects.create(account=of, rule="REFERENCE", created_at=now)
        MatchedLine.objects.create(match=found, line=line)
        MatchedEntry.objects.create(match=found, entry=entry)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def open_break(of: ReconciledAccount, **sides: object) -> None:
        amounts = {f"{side}_amount": 1 for side in sides}
        Break.objects.create(
            account=of, break_class="amount_mismatch", difference=1, opened_at=now, created_at=now, **sides, **amounts
        )

    for attack, constraint in (
        (lambda: match(account(), minus, customers), "of another account"),
        (lambda: match(other, line, mine), "of another account"),
        (lambda: open_break(account(), entry=customers), "recon_break_account"),
        (lambda: open_break(other, line=minus), "recon_break_account"),
        (lambda: copy(minus, currency="EUR", ordinal=9), "recon_line_account"),
        (lambda: copy(minus.statement, currency="EUR", file_digest="0" * 64), "recon_statement_account"),
    ):
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            attack()
    match(account(), line, mine)


def copy(row: Statement | StatementLine, **changes: object) -> None:
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} | changes
    type(row).objects.create(**values | {"id": ids.uuid7()})


def test_a_statement_is_stored_once_whatever_its_file(scene: None) -> None:
    found = Statement.objects.get()
    found.pk, found.file_digest, found.reader = None, "0" * 64, "csv/2"

    with pytest.raises(IntegrityError, match="recon_statement_identity_once"), transaction.atomic():
        found.save(force_insert=True)


def test_a_statement_that_does_not_add_up_is_not_stored(scene: None) -> None:
    found = Statement.objects.get()
    found.pk, found.number, found.file_digest = None, "other", "0" * 64
    found.opening, found.closing = 1, 5

    with pytest.raises(IntegrityError, match="recon_statement_adds_up"), transaction.atomic():
        found.save(force_insert=True)
