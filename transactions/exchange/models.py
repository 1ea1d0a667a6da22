"""Exchange rates and quotes."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.triggers import append_only
from fintech_core.values.money import RATE_LIMIT
from transactions.exchange.fx import BASE_CURRENCY, BASE_RATE
from transactions.exchange.triggers import quote_triggers
from transactions.ledger.models import Transaction
from wallet.models import Wallet


class ExchangeRate(models.Model):
    """Units of `currency` for one euro, as of a day. Loaded once, never changed."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    source = models.CharField(max_length=32)
    as_of = models.DateField()
    currency = models.CharField(max_length=3)
    per_base = models.DecimalField(max_digits=30, decimal_places=12)
    loaded_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(per_base__gt=0), name="rate_positive"),
            # The upper limit keeps NaN out, which is above all numbers.
            models.CheckConstraint(condition=Q(per_base__lt=RATE_LIMIT), name="rate_within_limit"),
            models.CheckConstraint(
                condition=~Q(currency=BASE_CURRENCY) | Q(per_base=BASE_RATE), name="rate_of_base_is_one"
            ),
            models.UniqueConstraint(fields=["source", "as_of", "currency"], name="rate_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["currency", "-as_of"], name="rate_newest")]
        triggers: ClassVar = append_only("rate", "exchange rates")

    def __str__(self) -> str:
        return f"{self.per_base} {self.currency} on {self.as_of}"


class ExchangeQuote(models.Model):
    """What a customer was offered: every figure of the exchange, fixed until `expires_at`, used at most once.

    The source wallet's owner may use it; `owner_user` is who asked, for themselves or for their organization.
    """

    entity_type: ClassVar = "exchange_quote"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    owner_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    source_wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="+")
    destination_wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="+")
    source_currency = models.CharField(max_length=3)
    destination_currency = models.CharField(max_length=3)
    source_amount = models.DecimalField(max_digits=24, decimal_places=8)
    destination_amount = models.DecimalField(max_digits=24, decimal_places=8)
    spread_amount = models.DecimalField(max_digits=24, decimal_places=8)
    rounding_amount = models.DecimalField(max_digits=24, decimal_places=8)
    rate = models.DecimalField(max_digits=30, decimal_places=10)
    spread = models.DecimalField(max_digits=10, decimal_places=8)
    rates_as_of = models.DateField()
    rates_source = models.CharField(max_length=32, default="", db_default="")  # "" in quotes of before it was kept
    transaction = models.OneToOneField(Transaction, null=True, on_delete=models.PROTECT, related_name="quote")
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(source_amount__gt=0, destination_amount__gt=0), name="quote_amounts_positive"
            ),
            models.CheckConstraint(
                condition=Q(spread_amount__gte=0, rounding_amount__gte=0), name="quote_never_in_the_users_favour"
            ),
            models.CheckConstraint(
                condition=~Q(source_currency=F("destination_currency")), name="quote_two_currencies"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["owner_user", "-created_at", "-id"], name="quote_newest")]
        triggers: ClassVar = quote_triggers()

    def __str__(self) -> str:
        return f"{self.source_amount} {self.source_currency} for {self.destination_amount} {self.destination_currency}"
