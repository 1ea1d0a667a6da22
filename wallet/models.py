"""Wallets and blockers. Balance, held, sequence and head are moved by the ledger's triggers, never by code here."""

import hashlib
import uuid
from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from wallet.enums import WalletStatus
from wallet.triggers import GENESIS_PREFIX, wallet_triggers


def genesis(wallet_id: uuid.UUID) -> bytes:
    """The head of a wallet without entries: SHA-256 over a fixed prefix and the id (docs/ledger.md, The hash chain)."""
    return hashlib.sha256(f"{GENESIS_PREFIX}{wallet_id}".encode()).digest()


class Wallet(models.Model):
    """An account in one currency: of a user, of an organization, or (with an `account_code`) of the system, then one of
    several lanes."""

    entity_type: ClassVar = "wallet"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    owner_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="wallets"
    )
    owner_organization = models.ForeignKey(
        "organizations.Organization", null=True, blank=True, on_delete=models.PROTECT, related_name="wallets"
    )
    account_code = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - NULL is "not the system's"
    lane = models.PositiveSmallIntegerField(default=0)
    currency = models.CharField(max_length=3)
    exponent = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=16, choices=WalletStatus.choices, default=WalletStatus.ACTIVE)
    balance = models.DecimalField(max_digits=38, decimal_places=8, default=Decimal(0))
    held = models.DecimalField(max_digits=38, decimal_places=8, default=Decimal(0))
    # The lowest `available` allowed: 0, negative with a credit limit, NULL (unbounded) for the system's wallets.
    floor = models.DecimalField(max_digits=38, decimal_places=8, null=True, blank=True)
    # Asked before money is sent here, never of money that has arrived; so it is no CHECK against the balance.
    maximum_balance = models.DecimalField(max_digits=38, decimal_places=8, null=True, blank=True)
    sequence = models.BigIntegerField(default=0)
    head = models.BinaryField(max_length=32)
    last_posted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("status", WalletStatus, "wallet_status_known"),
            models.CheckConstraint(
                condition=Q(owner_user__isnull=False, owner_organization__isnull=True, account_code__isnull=True)
                | Q(owner_user__isnull=True, owner_organization__isnull=False, account_code__isnull=True)
                | Q(owner_user__isnull=True, owner_organization__isnull=True, account_code__isnull=False),
                name="wallet_one_owner",
            ),
            models.CheckConstraint(
                condition=Q(account_code__isnull=True, floor__isnull=False)
                | Q(account_code__isnull=False, floor__isnull=True),
                name="wallet_floor_unless_system",
            ),
            models.CheckConstraint(
                condition=Q(floor__isnull=True) | Q(balance__gte=F("floor") + F("held")), name="wallet_above_floor"
            ),
            models.CheckConstraint(condition=Q(held__gte=0), name="wallet_held_not_negative"),
            models.CheckConstraint(
                condition=Q(maximum_balance__isnull=True) | Q(maximum_balance__gte=0, account_code__isnull=True),
                name="wallet_maximum_of_customers",
            ),
            models.CheckConstraint(
                condition=~Q(status=WalletStatus.CLOSED) | Q(balance=0, held=0), name="wallet_closed_is_empty"
            ),
            models.CheckConstraint(condition=Q(exponent__lte=8), name="wallet_exponent_fits"),
            times_check("created_at", name="wallet_times_finite"),
            models.UniqueConstraint(
                fields=["owner_user", "currency"],
                condition=~Q(status=WalletStatus.CLOSED),
                name="wallet_one_per_user_and_currency",
            ),
            models.UniqueConstraint(
                fields=["owner_organization", "currency"],
                condition=~Q(status=WalletStatus.CLOSED),
                name="wallet_one_per_organization_and_currency",
            ),
            models.UniqueConstraint(
                fields=["account_code", "currency", "lane"],
                condition=Q(account_code__isnull=False),
                name="wallet_one_per_lane",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="wallet_newest")]
        triggers: ClassVar = wallet_triggers()

    def __str__(self) -> str:
        return f"{self.account_code or self.owner_id} {self.currency}"

    @property
    def owner_id(self) -> uuid.UUID | None:
        """The person or organization whose money it is; None: the system's."""
        return self.owner_user_id or self.owner_organization_id

    @property
    def available(self) -> Decimal:
        """balance - held as booked; what people are shown leaves out due holds (`selectors.with_figures`)."""
        return self.balance - self.held

    @property
    def credit_limit(self) -> Decimal:
        """How far below zero `available` may go."""
        return max(-(self.floor or Decimal(0)), Decimal(0))

    @property
    def minimum_balance(self) -> Decimal:
        """What must stay available. Either this or the credit limit is zero: both are the floor."""
        return max(self.floor or Decimal(0), Decimal(0))

    def would_exceed_maximum(self, amount: Decimal) -> bool:
        return self.maximum_balance is not None and self.balance + amount > self.maximum_balance

    @property
    def is_system(self) -> bool:
        return self.account_code is not None


class Blocker(models.Model):
    """Something that a room above has open on a wallet. Closing needs none left."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="blockers")
    kind = models.CharField(max_length=32)
    ref = models.UUIDField()
    # From then on it no longer keeps the wallet open, whether or not its room has come by to remove it.
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            times_check("expires_at", name="blocker_times_finite"),
            models.UniqueConstraint(fields=["kind", "ref"], name="blocker_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["kind", "expires_at"], condition=Q(expires_at__isnull=False), name="blocker_due")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.ref}"
