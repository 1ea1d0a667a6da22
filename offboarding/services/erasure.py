"""Forgetting a person and keeping the books (docs/security.md, Erasure). The highest room that it touches is this one.

The person goes at once, in one transaction. What they wrote (texts of transactions, holds, schedules, monitors, stored
answers, return addresses of payments) goes right after, in batches by a job: a history may be long.
Then `User.texts_erased_at` is set. KYC data stays for as long as the law requires. Each room erases its own rows.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from django.conf import settings

from compliance import selectors as kyc
from compliance.services import erase_submissions
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import idempotency
from fintech_core.exceptions import DomainError
from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from offboarding.services.leftovers import Obstacle, close_wallets, lock_open_wallets, obstacles_of
from organizations.services import forget_invitations
from payments.services import erase_return_addresses
from transactions.holds.services import erase_texts_of_holds
from transactions.ledger.services import erase_texts_of_transactions
from transactions.monitors.services import delete_monitors_of
from transactions.schedules.locks import lock_transfer_schedules
from transactions.schedules.selectors import open_schedules_of_others_naming
from transactions.schedules.services.schedules import cancel_schedules_naming, erase_texts_of_schedules
from users.locks import lock_user
from users.models import User
from users.selectors import api_key_ids_of
from users.services import erase_person, mark_texts_erased
from wallet.models import Wallet
from wallet.owners import Owner

ERASE_TASK = "offboarding.erase_texts"
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
    # Any membership, not only that of a last administrator (for which a deactivation is refused by its guard): the
    # person leaves first, or appoints another administrator, or the organization is closed (`close_organization`).
    found += [{"kind": "membership", "id": str(member.organization_id)} for member in user.memberships.order_by("pk")]
    return found


def erase_texts(*, user_id: uuid.UUID, now: datetime) -> bool:
    """A batch of what an erased person wrote. Whether there may be more of theirs."""
    if any(eraser(user_id, TEXTS_AT_ONCE) for eraser in _ERASERS):
        return True
    mark_texts_erased(actor=Actor.system("beat.erase_texts"), user_id=user_id, now=now)
    return False


def _forget_answers(user_id: uuid.UUID, limit: int) -> int:
    """Stored answers: the person's own, and those to staff that show something of the person's."""
    own = idempotency.forget(principals=[user_id, *api_key_ids_of(user_id)])
    wallets = Wallet.objects.filter(owner_user_id=user_id).values_list("pk", flat=True)
    return own + idempotency.forget_staff_answers_naming([user_id, *wallets])


# Each erases a part of what a person wrote, a bounded number of rows, and returns how many. They belong to the rooms
# whose rows they write.
_ERASERS: tuple[Callable[[uuid.UUID, int], int], ...] = (
    delete_monitors_of,
    erase_texts_of_holds,
    erase_texts_of_schedules,
    erase_texts_of_transactions,
    _forget_answers,
    erase_return_addresses,
)
