"""Real threads on real connections: one file, one proposal and one match have one effect, however many come at once."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from io import StringIO

import pytest
from django.core.management import call_command

from fintech_core.db.work import unit_of_work
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
from tests.racing import no_deadlocks, race_outcomes
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _books_stay_right() -> Iterator[None]:
    with no_deadlocks():
        yield
    call_command("verify_ledger", stdout=StringIO())


def test_one_file_that_comes_four_times_at_once_enters_once() -> None:
    outcomes = Counter(race_outcomes(*[partial(import_file, "day.xml")] * 4))

    assert outcomes == {"done": 1, "statement_exists": 3}
    counts = [model.objects.count() for model in (ReconciledAccount, ExternalAccount, Statement, StatementLine)]
    assert counts == [1, 1, 1, 1]


def test_one_day_in_two_formats_at_once_enters_once() -> None:
    import_file("notprovided-1.xml")

    outcomes = Counter(race_outcomes(partial(import_file, "day.xml"), partial(import_file, "day.sta")))

    assert outcomes == {"done": 1, "statement_repeats": 1}
    assert StatementLine.objects.count() == 2


def test_a_run_beside_imports_sees_each_of_them_whole_or_not_at_all(alice: User) -> None:
    deposit(alice, "1.00", "a")
    import_(csv_of((OLD, "1.00", "a")))

    outcomes = Counter(
        race_outcomes(reconcile, reconcile, *(partial(import_, csv_of((OLD, "2.00", name))) for name in "bcd"))
    )
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

    outcomes = Counter(race_outcomes(*[lambda: unit_of_work(add)] * 4))

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

    outcomes = Counter(
        race_outcomes(*(partial(unit_of_work, call) for call in (confirm, confirm, reject, resolve)), reconcile)
    )

    assert outcomes["done"] in {2, 3}  # the run, and one or two of the decisions (reject and resolve go together)
    assert set(outcomes) <= {"done", "invalid_transition", "proposal_outdated"}
    assert MatchedLine.objects.filter(line=line, live=True).count() <= 1
    assert Proposal.objects.get().status != "OPEN"


def test_a_match_is_taken_back_once(alice: User) -> None:
    deposit(alice, "1.00", "a")
    import_(csv_of((OLD, "1.00", "a")))
    reconcile()
    take_back = partial(services.take_back_match, actor=SYSTEM, match_id=Match.objects.get().pk, reason="wrong")

    outcomes = Counter(race_outcomes(*[partial(unit_of_work, take_back)] * 3, reconcile))

    assert outcomes == {"done": 2, "invalid_transition": 2}
    assert MatchedLine.objects.filter(live=True).count() == 0
    assert reconcile().matched == {}
