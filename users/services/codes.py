"""One-time codes: six digits that confirm one thing, to one subject, once (requirement 9).

Stored as a keyed digest over purpose, subject and binding; the digits themselves are in the message alone. A try is
counted before it is looked at, in a unit of work of its own, and the count outlives codes, resends and restarts. Whose
a code is says `subject`: `subject_of("phone", <normalised number>)`, so that all spellings of a number share one.

A subject has a code for each network that asked for one. A try is compared with one of them alone: with that of its own
network, or where that has none with the newest. So strangers who ask for codes don't kill the owner's code where it was
asked for, and get no more out of a guess. An owner who types it in another network asks again there, if a stranger has
asked meanwhile.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock
from fintech_core.db.clock import DatabaseNow
from fintech_core.exceptions import DomainError
from fintech_core.security import crypto
from fintech_core.security.actors import Actor
from messaging.enums import MessageKind
from messaging.services import messages
from messaging.sms import CODE_DIGITS, test_code
from users.enums import CodePurpose
from users.models import OneTimeCode
from users.services import attempts
from users.services.attempts import Guard, Standing

LIFETIME = timedelta(minutes=10)
TRIES = 5
WINDOW = timedelta(minutes=15)
# Anyone can ask for these and try them; the others take a session. The two have budgets of their own: a thief of a
# session can't use up those of the log-in.
LOG_IN_PURPOSES = frozenset({CodePurpose.AGENT_LOG_IN, CodePurpose.CLIENT_LOG_IN})
# These go to a contact that isn't the user's yet, from as many accounts as someone makes: the tries of one account are
# counted together, so that it has five for each code that was sent, and no more by changing networks.
_OF_NEW_CONTACTS = frozenset({CodePurpose.EMAIL_CHANGE, CodePurpose.PHONE_CHANGE})
IN_SESSION = "code.in_session"  # wrong second factors in a session count there, too
GUARDS = {
    purpose: Guard(
        here=f"code:{purpose}",
        daily="code.log_in" if purpose in LOG_IN_PURPOSES else IN_SESSION,
        tries=TRIES,
        window=WINDOW,
        budgets=attempts.budgets_of_contact if purpose in LOG_IN_PURPOSES else attempts.budgets_of_user,
        by_network=purpose not in _OF_NEW_CONTACTS,
    )
    for purpose in CodePurpose
}


class InvalidCode(DomainError):
    """Wrong, used, expired, replaced by a newer one, or for an unknown contact: one answer."""

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
    """Make a code and hand the digits to `deliver`, which queues the message. Returns its end.

    The one that was asked for from here before is dead.

    `phone` is where it goes, if it goes by text message: in SMS_TEST_MODE test numbers have codes that testers know.
    """
    now = clock.now()
    digits = (test_code(phone) if phone else None) or f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
    row = OneTimeCode(
        purpose=purpose,
        subject=subject,
        network=actor.network,
        binding=binding,
        code_digest=_digest(purpose, subject, binding, digits),
        created_at=now,
        expires_at=now + LIFETIME,
    )
    OneTimeCode.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["purpose", "subject", "network"],
        update_fields=["binding", "code_digest", "created_at", "expires_at", "used_at"],
    )
    record_and_publish(actor, "code.issued", _entity(purpose))
    deliver(digits)
    return row.expires_at


def send_to_contact(
    *,
    actor: Actor,
    purpose: CodePurpose,
    subject: bytes,
    binding: bytes,
    kind: MessageKind,
    contact: str,
    template: str,
    context: Mapping[str, str] | None = None,
) -> messages.Sent:
    """Make a code and queue it for a normalised number or address. `context` is what the template needs besides."""
    now = clock.now()

    def queue(digits: str) -> object:
        words = {"code": digits, **(context or {})}
        if kind is MessageKind.SMS:
            return messages.send_sms(
                actor=actor, template=template, phone=contact, context=words, lifetime=LIFETIME, now=now
            )
        return messages.send_mail(template=template, address=contact, context=words, lifetime=LIFETIME, now=now)

    phone = contact if kind is MessageKind.SMS else ""
    issue(actor=actor, purpose=purpose, subject=subject, binding=binding, deliver=queue, phone=phone)
    return messages.Sent(int(LIFETIME.total_seconds()))


def take_try(
    *, actor: Actor, purpose: CodePurpose, subject: bytes, familiar: bool, notify_owner: Callable[[], object]
) -> None:
    """Count one try, in a unit of work of its own before `consume`. Raises TooManyAttempts.

    `familiar` says whether the owner has proved who they are in the actor's network. `notify_owner` queues the notice
    that too many codes were wrong; whether anyone gets it is decided by the worker.
    """
    standing = _standing(actor, purpose, subject, familiar=familiar)
    attempts.consume(actor=actor, guard=GUARDS[purpose], subject=subject, standing=standing, notify_owner=notify_owner)


def matches(*, actor: Actor, purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> bool:
    """Whether it would be the right code. It isn't spent; the caller has counted the try all the same."""
    return _right_one(actor, purpose, subject, binding, code) is not None


def forgive(*, actor: Actor, purpose: CodePurpose, subject: bytes, familiar: bool) -> None:
    """The code was right, so the try is none of the day's failures. Before a log-in code is spent: its network counts
    as one that asked for as long as the code lives.

    Who confirms many requests in a row counts the wrong ones only; every try of a log-in counts in its network.
    """
    guard = GUARDS[purpose]
    standing = _standing(actor, purpose, subject, familiar=familiar)
    if purpose not in LOG_IN_PURPOSES:
        attempts.forgive_here(actor=actor, guard=guard, subject=subject, standing=standing)
    attempts.forgive(actor=actor, guard=guard, subject=subject, standing=standing)


def consume(*, actor: Actor, purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> bool:
    """Whether it was the right code, which is spent by that (one conditional UPDATE), with what it confirms."""
    row = _right_one(actor, purpose, subject, binding, code)
    if row is None:
        return False
    spent = OneTimeCode.objects.filter(
        pk=row.pk, code_digest=row.code_digest, used_at__isnull=True, expires_at__gt=DatabaseNow()
    ).update(used_at=DatabaseNow())
    if not spent:
        return False
    record_and_publish(actor, "code.used", _entity(purpose))
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


def _standing(actor: Actor, purpose: CodePurpose, subject: bytes, *, familiar: bool) -> Standing:
    """By the same statements for an unknown contact."""
    asked = purpose in LOG_IN_PURPOSES and any(
        row.live for row in _codes(purpose, subject) if _is_from(row, actor.network)
    )
    if familiar:
        return Standing.FAMILIAR
    return Standing.ASKED if asked else Standing.FOREIGN


def purge_codes(*, now: datetime) -> int:
    deleted, _ = OneTimeCode.objects.filter(expires_at__lte=now).delete()
    return deleted


def _right_one(actor: Actor, purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> OneTimeCode | None:
    """The one code that a try from this network is compared with, whichever key it was stored under, if it is right."""
    rows = _codes(purpose, subject)
    own = next((row for row in rows if _is_from(row, actor.network)), None)
    others = (row for row in rows if row.live and not _is_from(row, actor.network))
    row = own if own and own.live else next(others, None)
    wanted = bytes(row.code_digest) if row else bytes(crypto.DIGEST_BYTES)
    whose = bytes(row.subject) if row else subject
    digests = [
        digest
        for bound in crypto.under_any_key(binding)
        for digest in crypto.under_any_key(_digest(purpose, whose, bound, code))
    ]
    right = [hmac.compare_digest(wanted, digest) for digest in digests]
    return row if any(right) else None


def _codes(purpose: CodePurpose, subject: bytes) -> list[Any]:
    """Of every network that asked, the newest first, with whether it is `live`."""
    live = ExpressionWrapper(Q(used_at__isnull=True, expires_at__gt=DatabaseNow()), output_field=BooleanField())
    found = OneTimeCode.objects.filter(purpose=purpose, subject__in=crypto.under_any_key(subject))
    return list(found.annotate(live=live).order_by("-created_at", "pk"))


def _is_from(row: OneTimeCode, network: bytes) -> bool:
    return bytes(row.network) in crypto.under_any_key(network)


def _digest(purpose: CodePurpose, subject: bytes, binding: bytes, code: str) -> bytes:
    return crypto.keyed_digest(f"code:{purpose.value}", f"{subject.hex()}:{binding.hex()}:{code}")


def _entity(purpose: CodePurpose) -> EntityRef:
    """The audit row names the actor, where there is one, and no number: its digest would be personal data, too."""
    return EntityRef("one_time_code", purpose.value)
