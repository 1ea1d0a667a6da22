"""Inputs and outputs of seals and proofs. The names are those of docs/proofs.md; bytes are hex."""

from typing import Any

from rest_framework import serializers

from fintech_core.http.serializers import QueryNumberField, StrictInput
from transactions.ledger.enums import Direction, TransactionKind
from transactions.seals import sealing
from transactions.seals.models import Seal


class ProofQuery(StrictInput):
    seal = QueryNumberField(
        min_value=1, max_value=2**63 - 1, required=False, help_text="Default: the first seal that covers it."
    )


class SealOutput(serializers.Serializer[Seal]):
    number = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    leaves = serializers.IntegerField(help_text="The audit chain's head and every wallet's.")
    root = serializers.CharField()  # type: ignore[assignment]
    audit_seq = serializers.IntegerField()
    audit_head = serializers.CharField()
    previous = serializers.CharField(help_text="Hash of the seal before.")
    key_id = serializers.CharField(help_text="The first 8 bytes of SHA-256 of the public key.")
    public_key = serializers.CharField(help_text="Ed25519.")
    signature = serializers.CharField()
    hash = serializers.CharField()

    def to_representation(self, instance: Seal) -> dict[str, Any]:
        return sealing.as_json(instance)


class ProvenEntryOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    transaction = serializers.UUIDField()
    facts = serializers.CharField()
    wallet = serializers.UUIDField()
    sequence = serializers.IntegerField()
    direction = serializers.ChoiceField(choices=Direction.choices)
    amount = serializers.CharField()
    currency = serializers.CharField()
    balance_after = serializers.CharField()
    posted_at = serializers.CharField()
    hash = serializers.CharField()


class ProvenTextsOutput(serializers.Serializer[Any]):
    salt = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    metadata = serializers.DictField()


class ProvenFactsOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=TransactionKind.choices)
    initiator = serializers.UUIDField(allow_null=True)
    reference = serializers.CharField(allow_null=True)
    effective_at = serializers.CharField()
    reverses = serializers.UUIDField(allow_null=True)
    text_digest = serializers.CharField()
    texts = ProvenTextsOutput(allow_null=True)


class ProvenLeafOutput(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    sequence = serializers.IntegerField()
    head = serializers.CharField()


class ProofOutput(serializers.Serializer[Any]):
    """One entry under one seal: complete for `tools/verify_proof.py`."""

    format = serializers.CharField()
    entry = ProvenEntryOutput()
    previous_hash = serializers.CharField()
    facts = ProvenFactsOutput(allow_null=True, help_text="For the initiator and for staff; others get the digest.")
    later = serializers.ListField(child=serializers.CharField(), help_text="Lines of the wallet's later entries.")
    leaf = ProvenLeafOutput()
    path = serializers.ListField(child=serializers.CharField(), help_text="From the leaf's sibling up to the root.")
    seal = SealOutput()


class TransactionProofOutput(serializers.Serializer[Any]):
    transaction = serializers.UUIDField()
    proofs = ProofOutput(many=True, help_text="One per entry on a wallet that the caller may see.")
