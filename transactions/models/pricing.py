"""What things cost: fee schedules, exchange rates and quotes."""

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from fintech_core import ids
from fintech_core.dbtriggers import append_only
from fintech_core.fields import enum_check, times_check
from fintech_core.money import AMOUNT_LIMIT, RATE_LIMIT
from transactions.enums import TransactionKind
from transactions.fx import BASE_CURRENCY, BASE_RATE
from transactions.models.journal import Transaction
from transactions.triggers import (
    fee_schedule_triggers,
    quote_triggers,
)
from wallet.models import Wallet


class FeeSchedule(models.Model):
    """What a kind of transaction costs its payer: fixed + percentage of the amount, at least and at most so much.

    It holds from `valid_from` until before `ended_at`, for one KYC level or (NULL) for every level without a schedule
    of its own. It never changes but for its end, which can be taken back while it lies ahead; no two of one kind,
    currency and level ever overlap.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=TransactionKind.choices)
    currency = models.CharField(max_length=3)
    kyc_level = models.PositiveSmallIntegerField(null=True)
    fixed = models.DecimalField(max_digits=24, decimal_places=8, default=Decimal(0))
    percentage = models.DecimalField(max_digits=9, decimal_places=6, default=Decimal(0))
    minimum = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    maximum = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    valid_from = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("kind", TransactionKind, "fee_schedule_kind_known"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="fee_schedule_currency_form"),
            models.CheckConstraint(
                condition=Q(fixed__gte=0, fixed__lt=AMOUNT_LIMIT)
                & Q(percentage__gte=0, percentage__lte=100)
                & (Q(minimum__isnull=True) | Q(minimum__gt=0, minimum__lt=AMOUNT_LIMIT))
                & (Q(maximum__isnull=True) | Q(maximum__gt=0, maximum__lt=AMOUNT_LIMIT)),
                name="fee_schedule_parts_within_limits",  # the upper ones keep NaN out, which is above all numbers
            ),
            models.CheckConstraint(
                condition=Q(minimum__isnull=True) | Q(maximum__isnull=True) | Q(maximum__gte=F("minimum")),
                name="fee_schedule_maximum_above_minimum",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("valid_from")), name="fee_schedule_ends_later"
            ),
            times_check("valid_from", "ended_at", "created_at", name="fee_schedule_times_finite"),
            models.UniqueConstraint(
                fields=["kind", "currency", "kyc_level"],
                condition=Q(ended_at__isnull=True),
                nulls_distinct=False,
                name="fee_schedule_one_open",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["kind", "currency", "valid_from"], name="fee_schedule_in_force"),
            models.Index(fields=["-created_at", "-id"], name="fee_schedule_newest"),
        ]
        triggers: ClassVar = fee_schedule_triggers()

    def __str__(self) -> str:
        return f"{self.kind} {self.currency} from {self.valid_from:%Y-%m-%d}"


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
