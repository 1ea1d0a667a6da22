"""A person's own copy of what is stored of them, what is left after an erasure, and how an organization is closed."""

from typing import Any, ClassVar

from rest_framework import serializers

from compliance.models import KycSubmission
from fintech_core.http.serializers import StrictInput, TextField
from offboarding.services.erasure import Erasure
from transactions.ledger.serializers import TransactionOutput
from users.enums import EndReason
from users.models import Session
from users.serializers.api_keys import ApiKeyOutput
from users.serializers.profile import UserOutput
from wallet.serializers import WalletOutput


class CloseOrganizationInput(StrictInput):
    reason = TextField(
        required=False,
        min_length=3,
        max_length=500,
        help_text="Required of staff, for the audit log. Its own administrator needs none, and none is kept.",
    )


class ExportedSession(serializers.ModelSerializer[Session]):
    ip = serializers.CharField(read_only=True)
    end_reason = serializers.ChoiceField(choices=EndReason.choices, read_only=True, allow_blank=True)

    class Meta:
        model = Session
        fields: ClassVar = [
            "id", "kind", "ip", "user_agent", "created_at", "last_used_at", "expires_at", "ended_at", "end_reason",
        ]  # fmt: skip
        read_only_fields = fields


class ExportedSubmission(serializers.ModelSerializer[KycSubmission]):
    """As it was submitted: the document's number is whole here."""

    first_name = serializers.CharField(read_only=True, allow_null=True)
    last_name = serializers.CharField(read_only=True, allow_null=True)
    date_of_birth = serializers.DateField(read_only=True, allow_null=True)
    address = serializers.CharField(read_only=True, allow_null=True)
    document_number = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = KycSubmission
        fields: ClassVar = [
            "id", "level", "status", "first_name", "last_name", "date_of_birth", "country", "address", "document_type",
            "document_number", "granted_level", "reject_reason", "decided_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class TransactionPage(serializers.Serializer[Any]):
    """Newest first; `next` is the address of the export with the next page."""

    results = TransactionOutput(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class PersonalDataOutput(serializers.Serializer[Any]):
    profile = UserOutput()
    sessions = ExportedSession(many=True, help_text="The newest 200.")
    api_keys = ApiKeyOutput(many=True, help_text="The newest 200.")
    kyc_submissions = ExportedSubmission(many=True)
    wallets = WalletOutput(many=True)
    transactions = TransactionPage()


class ErasureOutput(serializers.Serializer[Erasure]):
    id = serializers.UUIDField(source="user.id", read_only=True)
    erased_at = serializers.DateTimeField(source="user.erased_at", read_only=True)
    wallets_closed = serializers.IntegerField(read_only=True)
    kyc_kept_until = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        help_text="End of the legal retention period of the KYC data; null: nothing is kept.",
    )
