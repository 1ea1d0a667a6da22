"""What ends when a credential of a person changes: sessions, familiar networks, API keys, links, codes,
confirmations, invitations.

A password, an address, a number, a second factor or a role that changed may have been in other hands. So every change
calls `end_open_credentials` under the user's lock, in its own transaction; docs/security.md has the table. A link to
reset the password that was requested earlier and isn't mailed yet is refused by `credentials_changed_at`.
"""

import uuid
from datetime import datetime

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.wiring import wired
from users.enums import CodePurpose, EndReason
from users.locks import lock_user
from users.models import PasswordReset, StepUpChallenge, TotpDevice, User
from users.services import codes
from users.services.api_keys import revoke_keys_of
from users.services.lockout import forget_networks
from users.services.sessions import close_sessions

# Sessions that end for these reasons leave no doubt about the rest: keys have an end of their own.
KEEPS_API_KEYS = frozenset({EndReason.LOGOUT, EndReason.ADMINISTRATOR})
KEEPS_INVITATIONS = frozenset({EndReason.LOGOUT})
# A stolen session alone can cause these. Its thief must not take from the owner the networks that a flood leaves open.
KEEPS_NETWORKS = frozenset({EndReason.LOGOUT, EndReason.ROLE_CHANGED})


def end_open_credentials(
    *,
    actor: Actor,
    user: User,
    reason: EndReason | None,
    keep: uuid.UUID | None = None,
    former_email: str | None = None,
    former_phone: str | None = None,
    now: datetime,
) -> dict[str, int]:
    """End what is open of the user, whose lock the caller holds. Returns counts for the caller's audit row.

    Links, codes and confirmations always end. `reason` is why sessions end; None where a log-in method was added and
    none replaced: then sessions, networks, keys and invitations stay. `keep` is the session in which the person made
    the change. `former_*` are the address and number that the account had before, where it gave them up.

    Requests lock a code of a confirmation, then the confirmation, then what they make with it: so does this.
    """
    links = codes.end_codes(purpose=CodePurpose.STEP_UP, subjects=[codes.subject_of("user", str(user.pk))])
    links += StepUpChallenge.objects.filter(user=user, spent_at__isnull=True, expires_at__gt=now).delete()[0]
    links += _end_other_codes(user, former_email, former_phone)
    links += PasswordReset.objects.filter(user=user, used_at__isnull=True).delete()[0]
    links += TotpDevice.objects.filter(user=user, confirmed=False).delete()[0]
    counts = {"links_and_codes_ended": links} if links else {}
    if reason is not None:
        counts["sessions_ended"] = close_sessions(user_id=user.pk, reason=reason, keep=keep, now=now)
        if reason not in KEEPS_NETWORKS:
            networks = forget_networks(actor=actor, user_id=user.pk)
            counts |= {"networks_forgotten": networks} if networks else {}
        if reason not in KEEPS_API_KEYS:
            counts["api_keys_revoked"] = revoke_keys_of(user_id=user.pk, now=now)
        if reason not in KEEPS_INVITATIONS:
            invitations = _end_invitations(actor, user, reason, former_email, now)
            counts |= {"invitations_revoked": invitations} if invitations else {}
    # Under the lock: `now` may be older, and what was requested while the caller waited must not outlive the change.
    user.credentials_changed_at = clock.now()
    user.save(update_fields=["credentials_changed_at"])
    return counts


def _end_other_codes(user: User, former_email: str | None, former_phone: str | None) -> int:
    of_user = [codes.subject_of("user", str(user.pk))]
    emails = [codes.subject_of("email", email) for email in {user.email, former_email} if email]
    phones = [codes.subject_of("phone", phone) for phone in {user.phone, former_phone} if phone]
    return (
        codes.end_codes(purpose=CodePurpose.EMAIL_CHANGE, subjects=of_user)
        + codes.end_codes(purpose=CodePurpose.PHONE_CHANGE, subjects=of_user)
        + codes.end_codes(purpose=CodePurpose.CLIENT_LOG_IN, subjects=emails)
        + codes.end_codes(purpose=CodePurpose.AGENT_LOG_IN, subjects=phones)
    )


def _end_invitations(actor: Actor, user: User, reason: EndReason, former_email: str | None, now: datetime) -> int:
    """Those that the person made, and those to an address that is theirs no longer."""
    lost = user.email if reason == EndReason.DEACTIVATED else former_email
    return wired().end_invitations_of(actor=actor, user_id=user.pk, email=lost, now=now)


def end_sessions(*, actor: Actor, user_id: uuid.UUID, reason: str, now: datetime) -> int:
    """End every session of a user with what is open, by an administrator. Returns how many sessions there were."""
    actor.require(Capability.USERS_MANAGE)
    return _end_sessions(actor, lock_user(user_id), EndReason.ADMINISTRATOR, reason, now)


def log_out_everywhere(*, actor: Actor, now: datetime) -> int:
    """End every session of the actor, this one as well. Returns how many there were."""
    actor.require(Capability.SESSIONS_END)
    if actor.user_id is None:
        raise NotFound
    return _end_sessions(actor, lock_user(actor.user_id), EndReason.LOGOUT, EndReason.LOGOUT, now)


def _end_sessions(actor: Actor, user: User, end_reason: EndReason, reason: str, now: datetime) -> int:
    ended = end_open_credentials(actor=actor, user=user, reason=end_reason, now=now)
    record_and_publish(actor, "user.sessions_ended", user, after=ended, reason=reason)
    return ended["sessions_ended"]
