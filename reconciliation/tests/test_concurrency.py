"""Real threads on real connections: one file, one proposal and one match have one effect, however many come at once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from reconciliation import services
from reconciliation.enums import BreakAction
from reconciliation.models import (
    Break,
    ExternalAccount,
    Match,
    MatchedLine,
    Proposal,
    ReconciledAccount,
    Statement,
    StatementLine,
)
from reconciliation.tests.samples import (
    ACCOUNT,
    OLD,
    SYSTEM,
    csv_of,
    deposit,
    import_,
    import_file,
    reconcile,
)
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def together(*calls: Callable[[], Any]) -> Counter[str]:
    """Run all calls at the same moment, each on a connection of its own; "done" or the refusal's code, counted."""
    barrier = threading.Barrier(len(calls))
    outcomes: list[str] = []

    def run(call: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            call()
            outcomes.append("done")
        except DomainError as refusal:
            outcomes.append(refusal.code)
        except BaseException as error:
            outcomes.append(repr(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return Counter(outcomes)


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[1])


@pytest.fixture(autouse=True)
def _books_stay_right() -> Iterator[None]:
    before = deadlocks()
    yield
    assert deadlocks() == before
    call_command("verify_ledger", stdout=StringIO())


def test_one_file_that_comes_four_times_at_once_enters_once() -> None:
    outcomes = together(*[partial(import_file, "day.xml")] * 4)

    assert outcomes == {"done": 1, "statement_exists": 3}
    counts = [model.objects.count() for model in (ReconciledAccount, ExternalAccount, Statement, StatementLine)]
    assert counts == [1, 1, 1, 1]


def test_one_day_in_two_formats_at_once_enters_once() -> None:
    import_file("notprovided-1.xml")

    outcomes = together(partial(import_file, "day.xml"), partial(import_file, "day.sta"))

    assert outcomes == {"done": 1, "statement_repeats": 1}
    assert StatementLine.objects.count() == 2


def test_a_run_beside_imports_sees_each_of_them_whole_or_not_at_all(alice: User) -> None:
    deposit(alice, "1.00", "a")
    import_(csv_of((OLD, "1.00", "a")))

    outcomes = together(reconcile, reconcile, *(partial(import_, csv_of((OLD, "2.00", name))) for name in "bcd"))
    reconcile()

    assert outcomes == {"done": 5}
    assert Match.objects.count() == 1
    assert Break.objects.exclude(status="RESOLVED").count() == 3


def test_an_external_account_is_added_once() -> None:
    add = partial(
        services.add_external_account,
        actor=SYSTEM,
        account_code=ACCOUNT,
        currency="EUR",
        identifier="DE1",
        reason="our bank",
    )

    outcomes = together(*[lambda: unit_of_work(add)] * 4)

    assert outcomes == {"done": 1, "external_account_exists": 3}
    assert ExternalAccount.objects.count() == 1


def test_a_proposal_is_decided_once_whatever_comes_beside_it(alice: User) -> None:
    for amount in ("10.00", "24.00"):
        deposit(alice, amount, f"p{amount}")
    import_(csv_of((OLD, "34.00", "INVOICE-772")))
    reconcile()
    found, line = Proposal.objects.get(), StatementLine.objects.get()
    confirm = partial(services.confirm_proposal, actor=SYSTEM, proposal_id=found.pk, reason="seen")
    reject = partial(services.reject_proposal, actor=SYSTEM, proposal_id=found.pk, reason="seen")
    resolve = partial(
        services.resolve_break,
        actor=SYSTEM,
        break_id=Break.objects.get(line=line).pk,
        action=BreakAction.POST_ADJUSTMENT,
        reason="seen",
        now=line.created_at,
    )

    outcomes = together(*(partial(unit_of_work, call) for call in (confirm, confirm, reject, resolve)), reconcile)

    assert outcomes["done"] in {2, 3}  # the run, and one or two of the decisions (reject and resolve go together)
    assert set(outcomes) <= {"done", "invalid_transition", "proposal_outdated"}
    assert MatchedLine.objects.filter(line=line, live=True).count() <= 1
    assert Proposal.objects.get().status != "OPEN"


def test_a_match_is_taken_back_once(alice: User) -> None:
    deposit(alice, "1.00", "a")
    import_(csv_of((OLD, "1.00", "a")))
    reconcile()
    take_back = partial(services.take_back_match, actor=SYSTEM, match_id=Match.objects.get().pk, reason="wrong")

    outcomes = together(*[partial(unit_of_work, take_back)] * 3, reconcile)

    assert outcomes == {"done": 2, "invalid_transition": 2}
    assert MatchedLine.objects.filter(live=True).count() == 0
    assert reconcile().matched == {}
