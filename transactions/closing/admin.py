"""Wallets in the admin, with the action that closes one and forfeits what can't be paid out."""

import uuid
from datetime import datetime

from django.contrib import admin

from fintech_core.admin.base import ReasonForm, reason_action
from fintech_core.exceptions import ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import InvalidAmount, Money, parse_amount
from transactions.closing import services
from wallet.admin import AmountTextField, WalletAdmin
from wallet.models import Wallet


class CloseForm(ReasonForm):
    field_order = ("forfeit", "reason")
    forfeit = AmountTextField(
        help_text="Only to give up a remainder that no transfer can move: the wallet's exact balance. Else empty."
    )


def _close_wallet(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime, forfeit: str) -> object:
    currency = Wallet.objects.values_list("currency", flat=True).get(pk=object_id)
    remainder = _remainder(forfeit, currency) if forfeit else None
    return services.close_wallet(actor=actor, wallet_id=object_id, reason=reason, forfeit=remainder)


def _remainder(text: str, currency: str) -> Money:
    try:
        return Money(parse_amount(text, currency), currency)
    except InvalidAmount as error:
        raise ValidationFailed(
            [{"field": "forfeit", "code": error.code, "message": error.message}], f"forfeit: {error.message}"
        ) from error


# Closing may post a remainder to the ledger, which the wallets' own room doesn't know.
admin.site.unregister(Wallet)


@admin.register(Wallet)
class ClosableWalletAdmin(WalletAdmin):
    actions = (
        *WalletAdmin.actions,
        reason_action(
            "Close",
            Capability.WALLETS_CLOSE,
            _close_wallet,
            explanation="For good. Needs a zero balance, no holds and nothing open on the wallet.",
            form=CloseForm,
            sensitive=True,
        ),
    )
