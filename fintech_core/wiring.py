"""What higher rooms plug into lower ones: one typed object, filled in by the composition root (composition.py).

Where a lower room needs a higher one, it calls a field of this object. So mypy checks both sides, and "find usages"
leads from one to the other (ADR 18).
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest

from fintech_core.outbox import events as outbox
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.messages import MessageRule


class EndInvitations(Protocol):
    def __call__(self, *, actor: Actor, user_id: uuid.UUID, email: str | None, now: datetime) -> int: ...


class DeactivationGuards(Protocol):
    def __call__(self, *, user_id: uuid.UUID) -> None: ...


class ConfirmStepUp(Protocol):
    def __call__(self, *, actor: Actor, fingerprint: bytes, code: str) -> uuid.UUID: ...


class SpendStepUp(Protocol):
    def __call__(self, *, actor: Actor) -> None: ...


class ReauthenticationForm(Protocol):
    def __call__(self, request: HttpRequest, *, answered: bool) -> forms.Form | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Every field is called from below the room that fills it in."""

    # --- Called by the kernel ---

    confirm_step_up: ConfirmStepUp
    """Checks a Step-Up-Code in units of work of its own: the challenge that was passed. Raises DomainErrors."""

    spend_step_up_of_staff: SpendStepUp
    """Uses up what a member of staff confirmed, in the unit of work of the action. Raises StepUpRequired."""

    actor_of_admin_request: Callable[[HttpRequest], Actor]
    """The Actor of a request to the admin."""

    reauthentication_form: ReauthenticationForm
    """What a sensitive action in the admin asks besides its reason; None while the last proof is fresh."""

    member_capabilities: Mapping[str, frozenset[Capability]]
    """By the role of a member of an organization; for the OpenAPI file and the tables of the docs."""

    outbox_consumers: Mapping[str, outbox.Handler]
    """Who is handed every settled event, by the consumer's name. The feed, GET /api/v1/events, reads by itself."""

    # --- Called by wallet ---

    held_by_due_holds: Callable[[datetime], QuerySet[Any]]
    """A subquery for rows of wallets: what holds that were due at the given time still have booked as reserved."""

    lock_living_user: Callable[[uuid.UUID], bool]
    """Locks the user who is to own a wallet; False where the person was erased, or never was."""

    lock_open_organization: Callable[[uuid.UUID], bool]
    """Locks the organization that is to own a wallet; False where it was closed, or never was."""

    # --- Called by messaging ---

    message_rules: Mapping[str, MessageRule]
    """By template of a message: what it says, and whether it is sent at all. One without a rule is sent as queued."""

    user_id_by_phone: Callable[[str], uuid.UUID | None]
    """Who has proved an E.164 number."""

    is_familiar_to_phone: Callable[[str, bytes], bool]
    """Whether the one who has proved the number has logged in from the network; the same statement for any number."""

    # --- Called by users ---

    acting_in: Callable[[Actor, uuid.UUID], Actor | None]
    """The actor as a member of the organization; None where it isn't one."""

    end_invitations_of: EndInvitations
    """Called by every change of a credential, under the user's lock. Returns how many invitations were revoked."""

    run_deactivation_guards: DeactivationGuards
    """Called before a user is deactivated: locks what depends on the user, and may refuse with a DomainError.
    Erasure doesn't call it: any membership prevents that."""

    # --- Called by transactions.ledger and transactions.holds ---

    available_changed: Callable[[Iterable[uuid.UUID], datetime], None]
    """Called with locked wallets whose available balance has changed, at the given time."""


_installed: list[Wiring] = []


def install(wiring: Wiring) -> None:
    """Called once, when the applications are ready. Tests replace fields by `tests.cast.wired_with`."""
    _installed[:] = [wiring]


def wired() -> Wiring:
    """The installed object. Raises RuntimeError before the applications are ready."""
    if not _installed:
        raise RuntimeError("the wiring is installed when the applications are ready (fintech_core.apps)")
    return _installed[0]
