"""The journal: transactions and their entries; and holds."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from transactions.ledger.enums import Direction, HoldStatus, TransactionKind, TransactionStatus
from transactions.ledger.triggers import entry_triggers, hold_triggers, transaction_triggers
from wallet.models import Wallet


class Transaction(models.Model):
    """One journal entry. Its facts never change; a correction is a new, linked transaction.

    `source_owner` is the owner of the source wallet (NULL: the system's), within which `reference` is unique for ever.
    `text_digest` commits to description and metadata under a random salt, so that both can be erased.
    """

    entity_type: ClassVar = "transaction"

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
        verbose_name_plural = "ledger entries"
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

    entity_type: ClassVar = "hold"

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
        """What is neither captured nor released by the row. Whether it is due doesn't count here: `is_open` says so."""
        return self.amount - self.captured - self.released

    def status_at(self, now: datetime) -> str:
        return self.status if self.status != HoldStatus.ACTIVE or self.is_open(now) else HoldStatus.EXPIRED

    def is_open(self, now: datetime) -> bool:
        """May be captured, voided and extended. From `expires_at` on it is expired, marked or not."""
        return self.status == HoldStatus.ACTIVE and now < self.expires_at
