"""Adjustments: how a difference gets into the books, and the match that it completes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import money
from reconciliation.enums import BreakAction, BreakClass, LineStatus, MatchRule
from reconciliation.models import Break, Match, MatchedEntry, MatchedLine, StatementLine
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import LedgerEntry, Transaction


def auto_post_limit(currency: str) -> Decimal:
    """Up to where a difference of this currency may be posted without a person; zero: never."""
    text = settings.RECONCILE_AUTO_POST_MAX.get(currency, "0")
    return Decimal(0) if text == "0" else money.parse_amount(text, currency)


def posting_of(found: Break, action: BreakAction) -> ledger.Posting:
    """The posting that brings the clearing account to what the statement says.

    The other side: `fees` for a fee that the gateway kept and for a write-off, else `suspense`, until it is known.
    """
    currency = found.account.currency
    clearing = ledger.SystemAccount(found.account.account_code, currency)
    to_fees = action == BreakAction.WRITE_OFF or found.break_class == BreakClass.FEE_NETTED
    other = ledger.SystemAccount("fees" if to_fees else "suspense", currency)
    # More on the statement than in the ledger: a DEBIT of clearing, which is then the source.
    source, destination = (clearing, other) if found.difference > 0 else (other, clearing)
    return ledger.Posting(
        kind=TransactionKind.ADJUSTMENT,
        legs=(ledger.Leg(source, destination, abs(found.difference), currency),),
        reference=f"reconciliation:{found.pk}",
        description=f"Reconciliation of {found.account.account_code}: {found.break_class}",
        metadata={"break": str(found.pk), "action": str(action)},
    )


def post_adjustments(
    *, actor: Actor, breaks: Sequence[Break], action: BreakAction, now: datetime
) -> Mapping[Break, Transaction]:
    """Post the differences of open breaks of one account in one batch, and match line, entry and adjustment.

    The caller holds the account's lock and resolves the breaks. Raises PermissionDenied, and the DomainError that
    refuses a posting.
    """
    actor.require(Capability.RECONCILE)
    outcomes = ledger.post([posting_of(found, action) for found in breaks], actor=actor)
    posted: dict[Break, Transaction] = {}
    for found, outcome in zip(breaks, outcomes, strict=True):
        if isinstance(outcome, ledger.Refusal):
            raise outcome.error
        posted[found] = outcome
    _match(posted, now)
    return posted


def _match(posted: Mapping[Break, Transaction], now: datetime) -> None:
    account_code = next(iter(posted)).account.account_code
    entries = dict(
        LedgerEntry.objects.filter(
            transaction__in=list(posted.values()), wallet__account_code=account_code
        ).values_list("transaction_id", "pk")
    )
    matches: list[Match] = []
    lines: list[MatchedLine] = []
    parts: list[MatchedEntry] = []
    for found, transaction in posted.items():
        match = Match(account=found.account, rule=MatchRule.ADJUSTMENT, created_at=now)
        matches.append(match)
        if found.line_id is not None:
            lines.append(MatchedLine(match=match, line_id=found.line_id))
        if found.entry_id is not None:
            parts.append(MatchedEntry(match=match, entry_id=found.entry_id))
        parts.append(MatchedEntry(match=match, entry_id=entries[transaction.pk]))
    Match.objects.bulk_create(matches)
    MatchedLine.objects.bulk_create(lines)
    MatchedEntry.objects.bulk_create(parts)
    StatementLine.objects.filter(pk__in=[part.line_id for part in lines]).update(status=LineStatus.MATCHED)
