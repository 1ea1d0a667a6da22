"""The journal: transactions and their entries; holds; seals. Their guarantees stand in triggers, in the database."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from fintech_core import ids
from fintech_core.dbtriggers import append_only
from fintech_core.fields import enum_check, times_check
from fintech_core.money import AMOUNT_LIMIT
from transactions.enums import Direction, HoldStatus, TransactionKind, TransactionStatus
from transactions.seal_triggers import seal_triggers, sealed_head_triggers
from transactions.triggers import (
    entry_triggers,
    fee_schedule_triggers,
    hold_triggers,
    quote_triggers,
    transaction_triggers,
)
from wallet.models import Wallet


class Transaction(models.Model):
    """One journal entry. Its facts never change; a correction is a new, linked transaction.

    `source_owner` is the owner of the source wallet (NULL: the system's), within which `reference` is unique for ever.
    `text_digest` commits to description and metadata under a random salt, so that both can be erased.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=TransactionKind.choices)
    status = models.CharField(max_length=16, choices=TransactionStatus.choices)
    reference = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - NULL is "none"
    source_owner = models.UUIDField(null=True)
    initiator_kind = models.CharField(max_length=16)
    initiator_id = models.UUIDField(null=True)
    description = models.TextField(blank=True, default="")
    metadata = models.JSONField(default=dict)
    salt = models.BinaryField(max_length=16, null=True)
    text_digest = models.CharField(max_length=64)
    reverses = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="reversals")
    # Where a capture takes its money from.
    hold = models.ForeignKey("Hold", null=True, on_delete=models.PROTECT, related_name="captures", db_index=False)
    # The operator whose reversal or adjustment may debit a frozen wallet.
    override_by = models.UUIDField(null=True)
    effective_at = models.DateTimeField()
    posted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("kind", TransactionKind, "transaction_kind_known"),
            enum_check("status", TransactionStatus, "transaction_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=["POSTED", "REVERSED"], posted_at__isnull=False)
                | Q(status__in=["PENDING", "REJECTED"], posted_at__isnull=True),
                name="transaction_posted_at_when_posted",
            ),
            models.CheckConstraint(
                condition=Q(kind="REVERSAL", reverses__isnull=False) | (~Q(kind="REVERSAL") & Q(reverses__isnull=True)),
                name="transaction_reversal_is_linked",
            ),
            models.CheckConstraint(
                condition=Q(reverses__isnull=True) | ~Q(reverses=F("id")), name="transaction_reverses_another"
            ),
            models.CheckConstraint(
                condition=Q(kind="HOLD_CAPTURE", hold__isnull=False) | (~Q(kind="HOLD_CAPTURE") & Q(hold__isnull=True)),
                name="transaction_takes_from_hold",
            ),
            times_check("effective_at", "posted_at", "created_at", name="transaction_times_finite"),
            models.CheckConstraint(
                condition=Q(override_by__isnull=True) | Q(kind__in=["REVERSAL", "ADJUSTMENT"]),
                name="transaction_override_kinds",
            ),
            models.CheckConstraint(
                condition=Q(reference__isnull=True) | Q(reference__regex=r"^[A-Za-z0-9._:-]{1,64}$"),
                name="transaction_reference_form",
            ),
            models.UniqueConstraint(fields=["reverses"], name="transaction_reversed_once"),
            models.UniqueConstraint(
                fields=["source_owner", "reference"],
                condition=Q(reference__isnull=False),
                nulls_distinct=False,
                name="transaction_reference_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="transaction_newest"),
            models.Index(fields=["posted_at", "id"], name="transaction_posted"),  # the general journal's order
            models.Index(fields=["hold"], condition=Q(hold__isnull=False), name="transaction_of_hold"),
        ]
        triggers: ClassVar = transaction_triggers()

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class LedgerEntry(models.Model):
    """One side of one leg. `leg` pairs the debit of a source with the credit of a destination."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    transaction = models.ForeignKey(Transaction, on_delete=models.PROTECT, related_name="entries", db_index=False)
    leg = models.PositiveSmallIntegerField()
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="entries", db_index=False)
    direction = models.CharField(max_length=6, choices=Direction.choices)
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=3)
    sequence = models.BigIntegerField()
    balance_after = models.DecimalField(max_digits=38, decimal_places=8)
    posted_at = models.DateTimeField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [
            enum_check("direction", Direction, "entry_direction_known"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="entry_amount_positive"),
            models.UniqueConstraint(fields=["wallet", "sequence"], name="entry_sequence_once"),
            models.UniqueConstraint(fields=["transaction", "leg", "direction"], name="entry_leg_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["wallet", "posted_at", "sequence"], name="entry_balance_at")]
        triggers: ClassVar = entry_triggers()

    def __str__(self) -> str:
        return f"{self.direction} {self.amount} {self.currency}"


class Hold(models.Model):
    """Money reserved on a wallet: captured + released = amount once it is no longer ACTIVE."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="holds")
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=3)
    captured = models.DecimalField(max_digits=24, decimal_places=8, default=Decimal(0))
    released = models.DecimalField(max_digits=24, decimal_places=8, default=Decimal(0))
    status = models.CharField(max_length=16, choices=HoldStatus.choices, default=HoldStatus.ACTIVE)
    multi_capture = models.BooleanField(default=False)
    description = models.TextField(blank=True, default="")
    created_by = models.UUIDField(null=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("status", HoldStatus, "hold_status_known"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="hold_amount_positive"),
            models.CheckConstraint(condition=Q(captured__gte=0, released__gte=0), name="hold_parts_not_negative"),
            models.CheckConstraint(
                condition=Q(status="ACTIVE", amount__gt=F("captured") + F("released"))
                | (~Q(status="ACTIVE") & Q(amount=F("captured") + F("released"))),
                name="hold_parts_add_up",
            ),
            times_check("expires_at", "created_at", name="hold_times_finite"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["wallet"], condition=Q(status="ACTIVE"), name="hold_active"),
            models.Index(fields=["expires_at"], condition=Q(status="ACTIVE"), name="hold_due"),
            models.Index(fields=["wallet", "-created_at", "-id"], name="hold_newest_of_wallet"),
        ]
        triggers: ClassVar = hold_triggers()

    def __str__(self) -> str:
        return f"{self.status} {self.amount} {self.currency}"

    @property
    def remaining(self) -> Decimal:
        """What it still reserves as booked; nothing once it is due."""
        return self.amount - self.captured - self.released

    def status_at(self, now: datetime) -> str:
        return self.status if self.status != HoldStatus.ACTIVE or self.is_open(now) else HoldStatus.EXPIRED

    def is_open(self, now: datetime) -> bool:
        """May be captured, voided and extended. At `expires_at` itself it is expired, whoever has or hasn't come by."""
        return self.status == HoldStatus.ACTIVE and now < self.expires_at


class FeeSchedule(models.Model):
    """What a kind of transaction costs its payer: fixed + percentage of the amount, at least and at most so much.

    It holds from `valid_from` until before `ended_at`, for one KYC level or (NULL) for every level without a schedule
    of its own. It never changes but for being ended, once; no two of one kind, currency and level ever overlap.
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
            models.UniqueConstraint(fields=["source", "as_of", "currency"], name="rate_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["currency", "-as_of"], name="rate_newest")]
        triggers: ClassVar = append_only("rate", "exchange rates")

    def __str__(self) -> str:
        return f"{self.per_base} {self.currency} on {self.as_of}"


class ExchangeQuote(models.Model):
    """What a user was offered: every figure of the exchange, fixed until `expires_at`, used at most once."""

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


class Seal(models.Model):
    """A signed Merkle root over every wallet's head and the audit chain's, chained to the seal before (sealing.py).

    `subtrees` are the roots of the tree's blocks, each after the id of its first wallet: worked out again from the
    sealed heads whenever somebody doubts them.
    """

    number = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField()
    leaves = models.BigIntegerField()
    root = models.BinaryField(max_length=32)
    audit_seq = models.BigIntegerField()
    audit_head = models.BinaryField(max_length=32)
    previous = models.BinaryField(max_length=32)
    key_id = models.CharField(max_length=16)
    public_key = models.BinaryField(max_length=32)
    signature = models.BinaryField(max_length=64)
    hash = models.BinaryField(max_length=32)
    subtrees = models.BinaryField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(number__gte=1), name="seal_from_one"),
            times_check("created_at", name="seal_times_finite"),
        ]
        triggers: ClassVar = seal_triggers()

    def __str__(self) -> str:
        return f"{self.number}"


class SealedHead(models.Model):
    """A wallet's head in a seal, where it had moved since the seal before: so a leaf is the newest row up to a seal.

    No foreign key to the wallet in the database: its check would lock every wallet that has moved.
    """

    id = models.BigAutoField(primary_key=True)
    seal = models.ForeignKey(Seal, on_delete=models.PROTECT, related_name="heads", db_index=False)
    wallet = models.ForeignKey(
        Wallet, on_delete=models.PROTECT, related_name="sealed_heads", db_index=False, db_constraint=False
    )
    sequence = models.BigIntegerField()
    head = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["wallet", "seal"], name="sealed_head_once"),
            models.UniqueConstraint(fields=["wallet", "sequence"], name="sealed_head_sequence_once"),
        ]
        triggers: ClassVar = sealed_head_triggers()

    def __str__(self) -> str:
        return f"{self.wallet_id} {self.sequence}"
