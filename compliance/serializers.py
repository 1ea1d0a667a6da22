"""Shapes of KYC submissions and audit rows. Error messages never repeat what was sent: it is personal."""

from datetime import date
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compliance import selectors
from compliance.enums import MAX_LEVEL, MIN_LEVEL, DocumentType, SubmissionStatus
from compliance.models import KycSubmission
from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.http import json_schema
from fintech_core.http.serializers import (
    DayField,
    FlagField,
    IdField,
    InstantField,
    StrictInput,
    TextField,
    WholeNumberField,
)
from fintech_core.values.countries import COUNTRIES

_EARLIEST_BIRTH = date(1900, 1, 1)
_NO_ECHO: dict[str, Any] = {"invalid_choice": "Not one of the choices."}


class PersonalTextField(TextField):
    """A line of text about a person."""

    forbidden = json_schema.CONTROLS


class PersonalLinesField(TextField):
    """A few lines of text about a person."""

    forbidden = json_schema.CONTROLS_BUT_LINE_FEED


class LevelField(WholeNumberField):
    """A KYC level."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=MIN_LEVEL, max_value=MAX_LEVEL, **kwargs)


class SubmissionInput(StrictInput):
    level = LevelField()
    first_name = PersonalTextField(max_length=100)
    last_name = PersonalTextField(max_length=100)
    date_of_birth = DayField()
    country = serializers.ChoiceField(
        choices=sorted(COUNTRIES), error_messages=_NO_ECHO, help_text="ISO 3166-1 alpha-2, upper case."
    )
    address = PersonalLinesField(max_length=500)
    document_type = serializers.ChoiceField(choices=DocumentType.choices, error_messages=_NO_ECHO)
    document_number = PersonalTextField(
        max_length=32,
        # Begins with a letter or digit: the number is compared by these alone.
        validators=[
            RegexValidator(
                r"\A[^\W_](?:[^\W_]|[ ./-]){3,}\Z", "4 to 32 letters, digits, spaces, dots, slashes, hyphens."
            )
        ],
    )

    def validate_date_of_birth(self, value: date) -> date:
        if not _EARLIEST_BIRTH <= value < clock.now().date():
            raise serializers.ValidationError("A day in the past, not before 1900.", code="out_of_range")
        return value


class ApproveInput(StrictInput):
    level = LevelField(help_text="The level to grant: the one asked for, or a lower one.")
    acknowledge_duplicates = FlagField(
        required=False, help_text="The document is another person's too, and `reason` says why it is approved."
    )
    reason = TextField(required=False, min_length=3, max_length=500, help_text="Goes into the audit log.")


class SubmissionFilter(StrictInput):
    status = serializers.ChoiceField(choices=SubmissionStatus.choices, required=False)


_FATE = (
    "id",
    "user",
    "level",
    "status",
    "granted_level",
    "reject_reason",
    "decided_at",
    "created_at",
    "updated_at",
)
_PERSON = (
    "first_name",
    "last_name",
    "date_of_birth",
    "country",
    "address",
    "document_type",
    "document_number",
)


class SubmissionSummaryOutput(serializers.ModelSerializer[KycSubmission]):
    """A row of the list: the application's fate, without personal data."""

    user = serializers.UUIDField(source="user_id", read_only=True)
    has_possible_duplicates = serializers.SerializerMethodField(
        help_text="Whether another person's open or approved submission has this document number. Staff; else false."
    )

    class Meta:
        model = KycSubmission
        fields = (*_FATE, "has_possible_duplicates")
        read_only_fields = fields

    def get_has_possible_duplicates(self, submission: KycSubmission) -> bool:
        return bool(getattr(submission, "has_possible_duplicates", False))


class DuplicateOutput(serializers.ModelSerializer[KycSubmission]):
    """Another person's submission with the same document number. Kind and country may differ: an officer compares."""

    user = serializers.UUIDField(source="user_id", read_only=True)

    class Meta:
        model = KycSubmission
        fields = ("id", "user", "status", "document_type", "country", "created_at")
        read_only_fields = fields


class SubmissionOutput(serializers.ModelSerializer[KycSubmission]):
    """The whole application. The document's number is masked for everyone. Of an erased person nothing is left."""

    user = serializers.UUIDField(source="user_id", read_only=True)
    first_name = serializers.CharField(read_only=True, allow_null=True)
    last_name = serializers.CharField(read_only=True, allow_null=True)
    date_of_birth = serializers.DateField(read_only=True, allow_null=True)
    address = serializers.CharField(read_only=True, allow_null=True)
    document_number = serializers.CharField(source="masked_document_number", read_only=True, allow_null=True)
    possible_duplicates = serializers.SerializerMethodField(
        help_text="Open and approved submissions of other persons with the same document number. Staff; else empty."
    )

    class Meta:
        model = KycSubmission
        fields = (*_FATE, *_PERSON, "possible_duplicates")
        read_only_fields = fields

    @extend_schema_field(DuplicateOutput(many=True))
    def get_possible_duplicates(self, submission: KycSubmission) -> Any:
        """Nothing: what others submitted is no business of the applicant's. Not even the look-up is made."""
        return []


class StaffSubmissionOutput(SubmissionOutput):
    """The same for staff."""

    def get_possible_duplicates(self, submission: KycSubmission) -> Any:
        found = selectors.possible_duplicates_of(submission)[: selectors.MAX_DUPLICATES]
        return DuplicateOutput(found, many=True).data


class AuditLogFilter(StrictInput):
    action = TextField(required=False, max_length=64)
    entity_type = TextField(required=False, max_length=64)
    entity_id = TextField(required=False, max_length=64)
    actor_id = IdField(required=False)
    created_after = InstantField(required=False, source="recorded_at__gte", help_text="At or after.")
    created_before = InstantField(required=False, source="recorded_at__lt", help_text="Before.")


class AuditLogOutput(serializers.ModelSerializer[AuditLog]):
    class Meta:
        model = AuditLog
        fields = (
            "id",
            "recorded_at",
            "actor_kind",
            "actor_id",
            "actor_name",
            "actor_roles",
            "action",
            "entity_type",
            "entity_id",
            "before",
            "after",
            "reason",
            "request_id",
        )
        read_only_fields = fields
