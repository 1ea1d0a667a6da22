"""Seals over the heads of all wallets."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from fintech_core.db.fields import times_check
from transactions.seals.triggers import seal_triggers, sealed_head_triggers
from wallet.models import Wallet


class Seal(models.Model):
    """A signed Merkle root over every wallet's head and the audit chain's, chained to the seal before (sealing.py).

    `subtrees` are the roots of the tree's blocks, each after the id of its first wallet: worked out again from the
    sealed heads at any time.
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
