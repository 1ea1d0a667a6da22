"""Which log-in methods of an account its owner wants. Agents log in by text message, and have no other method."""

from http import HTTPStatus

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from users.enums import CredentialChange
from users.locks import lock_user
from users.models import User
from users.services import notices, step_up
from users.services.revocation import end_open_credentials


class NoOtherLogIn(DomainError):
    """Set a password first (POST /users/me/password), and verify the address."""

    code = "no_other_log_in"
    status = HTTPStatus.CONFLICT
    title = "Mailed codes are the only log-in method of the account: it has no password, or no verified address."


def set_email_code_log_in(*, actor: Actor, enabled: bool) -> User:
    """Switch log-in by mailed codes off or on again. Raises NoOtherLogIn, StepUpRequired.

    Switching it on takes a step-up code as well: a stolen session must not reopen this log-in method.
    """
    actor.require(Capability.CREDENTIALS_WRITE)
    if actor.user_id is None:
        raise NotFound
    user = lock_user(actor.user_id)
    if user.email_code_log_in == enabled:
        return user
    if not enabled and (user.email_verified_at is None or not user.has_usable_password()):
        raise NoOtherLogIn
    step_up.spend(actor=actor)
    now = clock.now()
    user.email_code_log_in = enabled
    user.save(update_fields=["email_code_log_in"])
    ended = end_open_credentials(actor=actor, user=user, reason=None, now=now)
    record_and_publish(
        actor,
        "user.email_code_log_in_set",
        user,
        before={"email_code_log_in": not enabled},
        after={"email_code_log_in": enabled, **ended},
    )
    what = CredentialChange.EMAIL_CODE_LOG_IN_ON if enabled else CredentialChange.EMAIL_CODE_LOG_IN_OFF
    notices.notify_credential_change(user=user, what=what, now=now)
    return user
