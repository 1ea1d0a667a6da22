"""Closing a wallet, also one with a remainder that its owner can't get rid of by a transfer.

That is so where any transfer would cost more than it, where the owner's KYC level forbids transfers, and where it came
from a wallet that has been closed since. Without this a stranger's transfer of 0.01 would keep such a wallet open, and
its owner from being erased, for ever. The remainder goes to the platform (account `fees`) in the transaction that
closes the wallet.
The exact amount must be stated as consent, and it is bounded (`largest_untransferable`): more is never forfeited.
"""

import uuid
from http import HTTPStatus

from fintech_core.audit.records import reason_of, record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import CurrencyMismatch, DomainError
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import money
from fintech_core.values.money import Money
from transactions.holds.selectors import due_total
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import FEES
from transactions.ledger.enums import TransactionKind
from transactions.transfers.services import outflows
from transactions.transfers.services.planning import largest_untransferable
from wallet import services as wallets
from wallet.models import Wallet


class RemainderTransferable(DomainError):
    """`at_most` is what could be forfeited now."""

    code = "remainder_transferable"
    status = HTTPStatus.CONFLICT
    title = "Only a remainder that no transfer could move can be forfeited. Transfer this amount instead."


def close_wallet(*, actor: Actor, wallet_id: uuid.UUID, reason: str = "", forfeit: Money | None = None) -> Wallet:
    """Close for good. Its owner or compliance may. `forfeit` is the exact remainder that is given up on the way.

    Raises NotFound, PermissionDenied, ValidationFailed (compliance without a reason), InvalidTransition (frozen,
    closed), CurrencyMismatch, WalletNotEmpty (no `forfeit`, another balance than that, or an active hold),
    RemainderTransferable, WalletInUse, InsufficientFunds (a minimum balance keeps it), StepUpRequired (it is too much
    without a code). A wallet is closed once, so a remainder
    is forfeited once, with or without a key.
    """
    actor.require(Capability.WALLETS_CLOSE)
    if forfeit is not None:
        if not actor.is_staff:  # staff have confirmed it with their authenticator
            outflow = outflows.locked(actor=actor, currencies=[forfeit.currency])
            outflow.admit([(forfeit.currency, forfeit.amount)])
            outflow.count([(forfeit.currency, forfeit.amount)])
        _forfeit(actor, wallet_id, reason, forfeit)
    return wallets.close_wallet(actor=actor, wallet_id=wallet_id, reason=reason, now=clock.now())


def _forfeit(actor: Actor, wallet_id: uuid.UUID, reason: str, remainder: Money) -> None:
    """Post the remainder to the fees. Credits that come in wait for the wallet's lock, and then find it closed."""
    wallet = wallets.lock_wallet_to_close(actor=actor, wallet_id=wallet_id)
    if wallet.currency != remainder.currency:
        raise CurrencyMismatch
    if wallet.balance != remainder.amount or wallet.held > due_total(wallet.pk, clock.now()):
        raise wallets.WalletNotEmpty
    at_most = largest_untransferable(wallet)
    if remainder.amount > at_most:
        raise RemainderTransferable(extensions={"at_most": money.format_amount(at_most, wallet.exponent)})
    fees = ledger.SystemAccount(FEES, wallet.currency)
    posting = ledger.Posting(
        kind=TransactionKind.FEE,
        legs=(ledger.Leg(wallet.pk, fees, remainder.amount, wallet.currency),),
        description="Remainder forfeited at the closing of the wallet",
    )
    transaction = ledger.post_one(posting, actor=actor)
    record_and_publish(
        actor,
        "wallet.remainder_forfeited",
        wallet,
        after={"money": str(remainder), "transaction": str(transaction.pk)},
        reason=reason_of(reason, is_own=wallets.is_own_wallet(actor=actor, wallet=wallet)),
    )
