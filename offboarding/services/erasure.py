"""Forgetting a person and keeping the books (docs/security.md, Erasure). The highest room that it touches is this one.

The person goes at once, in one transaction. What they wrote (texts of transactions, holds, schedules, monitors, stored
answers, return addresses of payments) goes right after, in batches by a job: a history may be
long. `User.texts_erased_at` says that they are gone. KYC data stays for as long as the law wants it.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db.models import Q

from compliance import selectors as kyc
from compliance.services import erase_submissions
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import idempotency
from fintech_core.exceptions import DomainError
from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from offboarding.selectors import texts_of
from offboarding.services.leftovers import Obstacle, close_wallets, lock_open_wallets, obstacles_of
from organizations.services import forget_invitations
from payments.services import erase_return_addresses
from transactions.ledger.models import Hold, Transaction
from transactions.monitors.models import Monitor
from transactions.schedules.locks import lock_transfer_schedules
from transactions.schedules.models import TransferSchedule
from transactions.schedules.selectors import open_schedules_of_others_naming
from transactions.schedules.services.schedules import cancel_schedules_naming
from users.locks import lock_user
from users.models import User
from users.selectors import api_key_ids_of
from users.services import erase_person
from wallet.models import Wallet
from wallet.owners import Owner

ERASE_TASK = "transactions.erase_texts"
TEXTS_AT_ONCE = 500


class ErasureBlocked(DomainError):
    """`obstacles` says what has to end first, and of which object."""

    code = "erasure_blocked"
    status = HTTPStatus.CONFLICT
    title = "This person still has open items."


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of a person."""

    user: User
    wallets_closed: int
    kyc_kept_until: datetime | None


def erase_user(*, actor: Actor, user_id: uuid.UUID, reason: str, now: datetime) -> Erasure:
    """Drop the person behind a customer's account. Empty wallets are closed on the way.

    What others have set up (scheduled transfers to this person, or for an organization that the person has left) is
    canceled: nothing that another person did may keep this one from being erased.

    Raises NotFound (no such user, or erased already), ErasureBlocked: money, holds, schedules, payments under way or
    under review, a frozen wallet, an open KYC submission, a membership, a staff role.
    """
    actor.require(Capability.USERS_ERASE)
    owner = Owner.person(user_id)
    schedules = lock_transfer_schedules(open_schedules_of_others_naming(owner))
    user = lock_user(user_id)
    wallets = lock_open_wallets(owner)
    obstacles = [*_obstacles_of(user), *obstacles_of(owner, wallets, now)]
    if obstacles:
        raise ErasureBlocked(extensions={"obstacles": obstacles})
    canceled = cancel_schedules_naming(
        actor=actor, owner=owner, schedules=schedules, reason="The person whom it names is being erased."
    )
    close_wallets(actor=actor, wallets=wallets, reason=reason, now=now)
    invitations = forget_invitations(user=user, now=now)
    counts = {**erase_person(actor=actor, user=user, now=now), "invitations_forgotten": invitations}
    kept_until = now + settings.KYC_RETENTION if kyc.submissions_of(user_id).exists() else None
    if kept_until is not None and kept_until <= now:
        erase_submissions(user_id=user_id)
        kept_until = None
    record_and_publish(
        actor,
        "user.erased",
        EntityRef("user", user_id),
        after={
            **counts,
            "wallets_closed": len(wallets),
            "schedules_canceled": canceled,
            "kyc_kept_until": kept_until.isoformat() if kept_until else None,
        },
        reason=reason,
    )
    enqueue(ERASE_TASK)
    return Erasure(user, len(wallets), kept_until)


def _obstacles_of(user: User) -> list[Obstacle]:
    """What is a person's alone."""
    found = []
    if user.is_staff:
        found.append({"kind": "staff_role", "id": str(user.pk)})
    submission = kyc.open_submission_of(user.pk)
    if submission is not None:
        found.append({"kind": "kyc_submission", "id": str(submission.pk)})
    # The only administrator of an organization closes it first, or staff do: `close_organization`.
    found += [{"kind": "membership", "id": str(member.organization_id)} for member in user.memberships.order_by("pk")]
    return found


def erase_texts(*, user_id: uuid.UUID, now: datetime) -> bool:
    """A batch of what an erased person wrote. Whether there may be more of theirs."""
    if any(eraser(user_id, TEXTS_AT_ONCE) for eraser in _ERASERS):
        return True
    waiting = User.objects.filter(pk=user_id, erased_at__isnull=False, texts_erased_at__isnull=True)
    if waiting.update(texts_erased_at=now):  # once, where two do this at the same time
        actor = Actor.system("beat.erase_texts")
        record_and_publish(actor, "user.texts_erased", EntityRef("user", user_id))
    return False


def _erase_transactions(user_id: uuid.UUID, limit: int) -> int:
    nothing: dict[str, Any] = {"description": "", "metadata": {}, "salt": None}
    texts = list(texts_of(user_id)[:limit])
    return Transaction.objects.filter(Q(pk__in=texts), salt__isnull=False).update(**nothing)


def _erase_holds(user_id: uuid.UUID, limit: int) -> int:
    rows = Hold.objects.filter(wallet__owner_user_id=user_id).exclude(description="")
    return Hold.objects.filter(pk__in=list(rows.order_by("pk").values_list("pk", flat=True)[:limit])).update(
        description=""
    )


def _erase_schedules(user_id: uuid.UUID, limit: int) -> int:
    rows = TransferSchedule.objects.filter(source_wallet__owner_user_id=user_id).exclude(description="")
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    return TransferSchedule.objects.filter(pk__in=pks).update(description="")


def _delete_monitors(user_id: uuid.UUID, limit: int) -> int:
    """There is nothing left to watch."""
    rows = Monitor.objects.filter(wallet__owner_user_id=user_id)
    return Monitor.objects.filter(pk__in=list(rows.order_by("pk").values_list("pk", flat=True)[:limit])).delete()[0]


def _forget_answers(user_id: uuid.UUID, limit: int) -> int:
    """Stored answers: the person's own, and those to staff that show something of the person's."""
    own = idempotency.forget(principals=[user_id, *api_key_ids_of(user_id)])
    wallets = Wallet.objects.filter(owner_user_id=user_id).values_list("pk", flat=True)
    return own + idempotency.forget_staff_answers_naming([user_id, *wallets])


# Each erases a part of what a person wrote, at most so much, and returns how much it was.
_ERASERS: tuple[Callable[[uuid.UUID, int], int], ...] = (
    _delete_monitors,
    _erase_holds,
    _erase_schedules,
    _erase_transactions,
    _forget_answers,
    erase_return_addresses,
)
