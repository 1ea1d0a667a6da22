"""Row locks of compliance. A submission is locked before its user (`users.locks.lock_user`), never after."""

import uuid

from compliance.models import KycSubmission


def lock_submission(submission_id: uuid.UUID) -> KycSubmission | None:
    """Lock and read one submission; None where there is none."""
    rows = KycSubmission.objects.filter(pk=submission_id).order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True).first()
