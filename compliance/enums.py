"""States of a KYC submission and the one map of their changes. The database repeats the map (triggers.py)."""

from django.db import models

from fintech_core.values.states import StateMap


class SubmissionStatus(models.TextChoices):
    SUBMITTED = "SUBMITTED"
    IN_REVIEW = "IN_REVIEW"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class DocumentType(models.TextChoices):
    PASSPORT = "passport"
    ID_CARD = "id_card"
    DRIVING_LICENSE = "driving_license"


TRANSITIONS = StateMap(
    {
        SubmissionStatus.SUBMITTED: frozenset(
            {
                SubmissionStatus.IN_REVIEW,
                SubmissionStatus.APPROVED,
                SubmissionStatus.REJECTED,
            }
        ),
        SubmissionStatus.IN_REVIEW: frozenset({SubmissionStatus.APPROVED, SubmissionStatus.REJECTED}),
        SubmissionStatus.APPROVED: frozenset({SubmissionStatus.EXPIRED}),
        SubmissionStatus.REJECTED: frozenset(),
        SubmissionStatus.EXPIRED: frozenset(),
    },
    subject="The submission",
    shown_as="submission_status",
)

OPEN = frozenset({SubmissionStatus.SUBMITTED, SubmissionStatus.IN_REVIEW})

# The levels that can be asked for and granted. A further level is one more number here and in the CHECKs.
MIN_LEVEL, MAX_LEVEL = 1, 2
