"""One-time codes: six digits that confirm one thing, to one subject, once (security.md 9).

Stored as a keyed digest over purpose, subject and binding; the digits themselves are in the message alone. A try is
counted before it is looked at, in a unit of work of its own, and the count outlives codes, resends and restarts. Whose
a code is says `subject`: `subject_of("phone", <normalised number>)`, so that all spellings of a number share one.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from http import HTTPStatus

from fintech_core import audit, budgets, clock, crypto
from fintech_core.actors import Actor
from fintech_core.clock import DatabaseNow
from fintech_core.exceptions import DomainError
from users.enums import CodePurpose
from users.models import OneTimeCode
from users.sms import CODE_DIGITS, test_code

LIFETIME = timedelta(minutes=10)
TRIES = 5
WINDOW = timedelta(minutes=15)
# Every try of a log-in counts. Who confirms many deeds in a row counts the wrong ones only.
_RIGHT_ONES_COUNT = frozenset({CodePurpose.AGENT_LOG_IN, CodePurpose.CLIENT_LOG_IN})


class InvalidCode(DomainError):
    """Wrong, used, expired, replaced by a newer one, or nobody's: one answer."""

    code = "invalid_code"
    status = HTTPStatus.UNAUTHORIZED
    title = "The code is wrong or has expired."


def subject_of(kind: str, text: str) -> bytes:
    """Whose code it is: `kind` is user, phone or email, `text` the id or the normal form."""
    return crypto.keyed_digest(f"code-subject:{kind}", text)


def issue(
    *,
    actor: Actor,
    purpose: CodePurpose,
    subject: bytes,
    binding: bytes,
    deliver: Callable[[str], object],
    phone: str = "",
) -> datetime:
    """Make a code, kill the one before it, and hand the digits to `deliver`, which queues the message. Returns its end.

    `phone` is where it goes, if it goes by text message: in SMS_TEST_MODE test numbers have codes that testers know.
    """
    now = clock.now()
    digits = (test_code(phone) if phone else None) or f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
    row = OneTimeCode(
        purpose=purpose,
        subject=subject,
        binding=binding,
        code_digest=_digest(purpose, subject, binding, digits),
        created_at=now,
        expires_at=now + LIFETIME,
    )
    OneTimeCode.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["purpose", "subject"],
        update_fields=["binding", "code_digest", "created_at", "expires_at", "used_at"],
    )
    _record(actor, "code.issued", purpose)
    deliver(digits)
    return row.expires_at


def take_try(*, purpose: CodePurpose, subject: bytes) -> None:
    """Count one try, in a unit of work of its own before `consume`. Raises TooManyAttempts."""
    budgets.take(scope=f"code:{purpose}", subject=subject, limit=TRIES, window=WINDOW)


def matches(*, purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> bool:
    """Whether it would be the right code. It isn't spent; the caller has counted the try all the same."""
    return _right_one(purpose, subject, binding, code) is not None


def consume(*, actor: Actor, purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> bool:
    """Whether it was the right code, which is spent by that (one conditional UPDATE), with what it confirms."""
    row = _right_one(purpose, subject, binding, code)
    if row is None:
        return False
    spent = OneTimeCode.objects.filter(
        pk=row.pk, code_digest=row.code_digest, used_at__isnull=True, expires_at__gt=DatabaseNow()
    ).update(used_at=DatabaseNow())
    if not spent:
        return False
    if purpose not in _RIGHT_ONES_COUNT:
        budgets.give_back(scope=f"code:{purpose}", subject=subject)
    _record(actor, "code.used", purpose)
    return True


def still_good(*, purpose: CodePurpose, subject: bytes, code: str) -> bool:
    """Whether a message with this code is worth sending: nothing has spent it, ended it or taken its place."""
    live = OneTimeCode.objects.filter(used_at__isnull=True, expires_at__gt=DatabaseNow())
    return any(
        hmac.compare_digest(bytes(row.code_digest), digest)
        for row in live.filter(purpose=purpose, subject__in=crypto.under_any_key(subject))
        for digest in crypto.under_any_key(_digest(purpose, bytes(row.subject), bytes(row.binding), code))
    )


def end_codes(*, purpose: CodePurpose, subjects: Iterable[bytes]) -> int:
    """End what is open of these subjects; the caller holds the user's lock. Returns how many there were."""
    digests = [digest for subject in subjects for digest in crypto.under_any_key(subject)]
    open_ones = OneTimeCode.objects.filter(used_at__isnull=True, expires_at__gt=DatabaseNow())
    deleted, _ = open_ones.filter(purpose=purpose, subject__in=digests).delete() if digests else (0, {})
    return deleted


def purge_codes(*, now: datetime) -> int:
    deleted, _ = OneTimeCode.objects.filter(expires_at__lte=now).delete()
    return deleted


def _right_one(purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> OneTimeCode | None:
    """The newest code of the subject, whichever key of the ring it was stored under, if it is this one."""
    subjects = crypto.under_any_key(subject)
    newest = OneTimeCode.objects.filter(purpose=purpose, subject__in=subjects).order_by("-created_at", "pk").first()
    row = newest if newest and newest.used_at is None and newest.expires_at > clock.now() else None
    wanted = bytes(row.code_digest) if row else bytes(crypto.DIGEST_BYTES)
    own = bytes(row.subject) if row else subject
    digests = [
        digest
        for bound in crypto.under_any_key(binding)
        for digest in crypto.under_any_key(_digest(purpose, own, bound, code))
    ]
    right = [hmac.compare_digest(wanted, digest) for digest in digests]
    return row if any(right) else None


def _digest(purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> bytes:
    return crypto.keyed_digest(f"code:{purpose.value}", f"{subject.hex()}:{binding.hex()}:{code}")


def _record(actor: Actor, action: str, purpose: CodePurpose) -> None:
    """Whose it was is told by the actor, where there is one: a digest of a number would be personal data, too."""
    audit.record(actor=actor, action=action, entity_type="one_time_code", entity_id=purpose.value)
