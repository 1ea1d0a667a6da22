"""KYC submissions: what a customer declared, and what an officer decided about it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from compliance.documents import normal_number
from compliance.enums import MAX_LEVEL, MIN_LEVEL, OPEN, DocumentType, SubmissionStatus
from compliance.triggers import PERSONAL, submission_triggers
from fintech_core.db import ids
from fintech_core.db.fields import enum_check
from fintech_core.security.encrypted_fields import BlindIndexField, EncryptedDateField, EncryptedTextField

DOCUMENT_PURPOSE = "kyc_document"
_VISIBLE_DIGITS = 4
_UNDECIDED = Q(
    decided_by__isnull=True,
    decided_at__isnull=True,
    granted_level__isnull=True,
    reject_reason="",
)
_GRANTED = Q(
    decided_by__isnull=False,
    decided_at__isnull=False,
    granted_level__isnull=False,
    reject_reason="",
)
_REFUSED = Q(decided_by__isnull=False, decided_at__isnull=False, granted_level__isnull=True) & ~Q(reject_reason="")


class KycSubmission(models.Model):
    """One application for a KYC level. Its personal columns are encrypted, and go to no audit row, log or error."""

    entity_type: ClassVar = "kyc_submission"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="kyc_submissions",
    )
    level = models.PositiveSmallIntegerField()  # the level asked for
    status = models.CharField(
        max_length=16,
        choices=SubmissionStatus.choices,
        default=SubmissionStatus.SUBMITTED,
    )
    first_name = EncryptedTextField(null=True)  # these five are None once the person is erased
    last_name = EncryptedTextField(null=True)
    date_of_birth = EncryptedDateField(null=True)
    country = models.CharField(max_length=2)
    address = EncryptedTextField(null=True)
    document_type = models.CharField(max_length=16, choices=DocumentType.choices)
    document_number = EncryptedTextField(null=True)
    # Of the number in its normal form (documents.py): who else has submitted this document.
    document_index_a = BlindIndexField(source="document_key", slot="a", purpose=DOCUMENT_PURPOSE)
    document_index_b = BlindIndexField(source="document_key", slot="b", purpose=DOCUMENT_PURPOSE)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="kyc_decisions",
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    reject_reason = models.TextField(blank=True)
    granted_level = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = "KYC submission"
        constraints: ClassVar = [
            enum_check("status", SubmissionStatus, "kyc_submission_status_known"),
            enum_check("document_type", DocumentType, "kyc_submission_document_type_known"),
            models.CheckConstraint(
                condition=Q(level__gte=MIN_LEVEL, level__lte=MAX_LEVEL),
                name="kyc_submission_level_known",
            ),
            models.CheckConstraint(
                condition=Q(granted_level__isnull=True)
                | Q(granted_level__gte=MIN_LEVEL, granted_level__lte=F("level")),
                name="kyc_submission_granted_at_most_asked",
            ),
            models.CheckConstraint(
                condition=Q(country__regex=r"^[A-Z]{2}$"),
                name="kyc_submission_country_form",
            ),
            models.CheckConstraint(
                condition=(Q(status__in=sorted(OPEN)) & _UNDECIDED)
                | (Q(status__in=[SubmissionStatus.APPROVED, SubmissionStatus.EXPIRED]) & _GRANTED)
                | (Q(status=SubmissionStatus.REJECTED) & _REFUSED),
                name="kyc_submission_decision_fits_status",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("user")),
                name="kyc_submission_four_eyes",
            ),
            models.CheckConstraint(
                condition=Q(**{f"{name}__isnull": False for name in PERSONAL})
                | Q(**{f"{name}__isnull": True for name in PERSONAL}),
                name="kyc_submission_erased_whole",
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(status__in=sorted(OPEN)),
                name="kyc_submission_one_open_per_user",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="kyc_submission_newest"),
            models.Index(fields=["status", "-created_at", "-id"], name="kyc_submission_by_status"),
            models.Index(fields=["document_index_a"], name="kyc_document_a"),
            models.Index(fields=["document_index_b"], name="kyc_document_b"),
        ]
        triggers: ClassVar = submission_triggers()

    def __str__(self) -> str:
        return f"Level {self.level} for {self.user_id}: {self.status}"

    @property
    def document_key(self) -> str | None:
        """What the document's blind index is made of; None once the person is erased."""
        if self.document_number is None:
            return None
        return normal_number(self.document_number)

    @property
    def masked_document_number(self) -> str | None:
        """The last four characters (of a short number the last half): enough to recognise, too little to use."""
        if self.document_number is None:
            return None
        shown = min(_VISIBLE_DIGITS, len(self.document_number) // 2)
        return "****" + self.document_number[len(self.document_number) - shown :]
