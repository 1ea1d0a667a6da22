"""Messages to the owner of an account about what happened to it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from messaging.enums import MessageKind
from messaging.services import messages
from users.enums import CredentialChange
from users.models import User

GUESSES, GUESSES_OF_CONTACT = "codes_guessed", "log_in_codes_guessed"


class Unreachable(Exception):
    """The account has no verified address or number: a bug of the caller."""


def send_to_user(
    *,
    user: User,
    template: str,
    context: Mapping[str, Any] | None = None,
    lifetime: timedelta = messages.NOTICE_LIFETIME,
    now: datetime,
) -> MessageKind:
    """To the owner of an account: by mail where the address is verified, else to the verified phone. Returns which.

    Both templates must exist. Raises Unreachable.
    """
    if user.email is not None and user.email_verified_at is not None:
        kind, contact = MessageKind.EMAIL, user.email
    elif user.phone is not None and user.phone_verified_at is not None:
        kind, contact = MessageKind.SMS, user.phone
    else:
        raise Unreachable
    messages.send_to_owner(kind=kind, template=template, contact=contact, context=context, lifetime=lifetime, now=now)
    return kind


def notify_credential_change(*, user: User, what: CredentialChange, now: datetime) -> None:
    """Notify the owner; before an address or number changes, so that the old one hears of it.

    Who was never verified can't have logged in and isn't notified.
    """
    if user.email_verified_at is None and user.phone_verified_at is None:
        return
    send_to_user(user=user, template="credential_changed", context={"what": what.label, **_moment(now)}, now=now)


def notify_of_guesses(*, user: User, now: datetime) -> None:
    """Notify the owner of an account that too many codes were wrong, unless the account was never verified."""
    if user.email_verified_at is not None or user.phone_verified_at is not None:
        send_to_user(user=user, template=GUESSES, context=_moment(now), now=now)


def notify_contact_of_guesses(*, kind: MessageKind, contact: str, now: datetime) -> None:
    """The same to a normalised address or number: the worker sends it to the account that has proved it, if any."""
    messages.send_to_owner(kind=kind, template=GUESSES_OF_CONTACT, contact=contact, context=_moment(now), now=now)


def _moment(now: datetime) -> dict[str, str]:
    return {"at": now.strftime("%Y-%m-%d %H:%M UTC")}
