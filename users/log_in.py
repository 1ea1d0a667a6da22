"""Log-in, and every other place where an interface has a password or a code checked. Views and forms make one call.

The protocol has several transactions, because a count must survive the refusal that follows it:

1. Count the attempt, and commit. An attempt over the limit ends here: nothing is looked at.
2. Prove the first factor.
3. Count the attempt of the second factor, where there is one and the first factor was right, and commit.
4. Check the second factor and act on the result: open the session, set the password, confirm.

So this module is between interfaces and services. Services open no transaction; what is below `_counted` here runs
steps 1 to 3 in units of work of their own. Step 4 is returned as a use case, which the interface runs in its unit of
work like any other (`self.write(...)`, `unit_of_work_with_trace(...)`), so that the session commits with its audit row.
Without that call nothing has happened but the counting.

The functions of services that look at a password or a code are called from here alone (tests/test_house.py): another
way of logging in can't leave out a count.
"""

import uuid
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TypeVar

from fintech_core.db.work import unit_of_work, unit_of_work_with_trace
from fintech_core.exceptions import TooManyAttempts
from fintech_core.limits import budgets
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest
from fintech_core.values.identifiers import InvalidIdentifier, normalise_email
from users.enums import CodePurpose, Role
from users.models import Session, User
from users.passwords import password_matches
from users.services import (
    code_log_ins,
    contacts,
    enrolment,
    lockout,
    passwords,
    second_factor,
    sessions,
    step_up,
)

T = TypeVar("T")
UseCase = Callable[[], T]
F = TypeVar("F", bound=Callable[..., object])

REAUTHENTICATION = "reauthentication"
REAUTHENTICATION_TRIES, REAUTHENTICATION_WINDOW = 5, timedelta(minutes=15)


# --- The protocol -----------------------------------------------------------------------------------------------------


def _counted(count: Callable[[], object], use_case: F) -> F:
    """The use case that looks at a secret, once the attempt is counted and committed. Raises TooManyAttempts."""
    unit_of_work(count)
    return use_case


def _second_factor_counted(actor: Actor, user_id: uuid.UUID | None, otp: str, use_case: F) -> F:
    """The same for the second factor of a user whose first factor was right; None where it wasn't.

    A stranger to the first factor can't use up the owner's attempts.
    """
    if user_id is None:
        return use_case
    return _counted(lambda: second_factor.count_try(actor=actor, user_id=user_id, otp=otp), use_case)


def _prove_password(actor: Actor, address: str, password: str, roles: Collection[Role] = tuple(Role)) -> User:
    return unit_of_work_with_trace(
        _counted(
            lambda: lockout.count_try(actor=actor, address=address),
            lambda: sessions.authenticate_password(actor=actor, email=address, password=password, roles=roles),
        )
    )


# --- Log-in -----------------------------------------------------------------------------------------------------------


def log_in_by_password(
    *, actor: Actor, email: str, password: str, otp: str = "", roles: Collection[Role], user_agent: str, ip: str
) -> UseCase[sessions.TokenPair]:
    """A session of the API for the password behind a normalised address, of those who have one of `roles`.

    Raises TooManyAttempts, InvalidCredentials; the use case raises what `sessions.open_session` raises.
    """
    user = _prove_password(actor, email, password, roles)
    return _second_factor_counted(
        actor,
        user.pk,
        otp,
        lambda: sessions.open_session(actor=actor, user=user, address=email, otp=otp, user_agent=user_agent, ip=ip),
    )


def log_in_by_code(
    *, actor: Actor, purpose: CodePurpose, contact: str, code: str, otp: str = "", user_agent: str, ip: str
) -> UseCase[sessions.TokenPair]:
    """A session of the API for the code that was sent to a normalised address or number.

    Raises TooManyAttempts; the use case raises InvalidCode, and what `sessions.open_session` raises.
    """
    user_id = unit_of_work(
        _counted(
            lambda: code_log_ins.count_try(actor=actor, purpose=purpose, contact=contact),
            lambda: code_log_ins.proved(actor=actor, purpose=purpose, contact=contact, code=code),
        )
    )
    return _second_factor_counted(
        actor,
        user_id,
        otp,
        lambda: code_log_ins.log_in(
            actor=actor, purpose=purpose, contact=contact, code=code, otp=otp, user_agent=user_agent, ip=ip
        ),
    )


def log_in_to_admin(
    *, actor: Actor, username: str, password: str, otp: str = "", user_agent: str, ip: str
) -> UseCase[tuple[Session, second_factor.Proof]]:
    """A session of the admin for a member of staff. `username` is what was typed in as the address.

    Raises TooManyAttempts for a locked address, known or not. Everything that is wrong after that, too many attempts of
    the second factor included, is InvalidCredentials or one of the second factor's refusals.
    """
    try:
        address = normalise_email(username)
    except InvalidIdentifier as error:
        password_matches(None, password)  # takes as long as for an address
        raise sessions.InvalidCredentials from error
    user = _prove_password(actor, address, password)
    try:
        return _second_factor_counted(
            actor,
            user.pk,
            otp,
            lambda: sessions.open_admin_session(
                actor=actor, user=user, address=address, otp=otp, user_agent=user_agent, ip=ip
            ),
        )
    except TooManyAttempts as error:
        raise second_factor.SecondFactorInvalid from error


# --- Once more, within a session --------------------------------------------------------------------------------------


def authenticate_again(*, actor: Actor, user: User, password: str, otp: str) -> None:
    """Password and second factor once more in a session of the admin, which then counts as fresh.

    Raises TooManyAttempts, InvalidCredentials, and what `second_factor.require` raises.
    """
    subject = keyed_digest(REAUTHENTICATION, str(user.pk))

    def count() -> None:
        budgets.consume(
            scope=REAUTHENTICATION, subject=subject, limit=REAUTHENTICATION_TRIES, window=REAUTHENTICATION_WINDOW
        )
        second_factor.count_try(actor=actor, user_id=user.pk, otp=otp)

    unit_of_work_with_trace(
        _counted(count, lambda: sessions.authenticate_again(actor=actor, user=user, password=password, otp=otp))
    )
    unit_of_work(lambda: budgets.clear(scope=REAUTHENTICATION, subject=subject))


def confirm_step_up(*, actor: Actor, fingerprint: bytes, code: str) -> uuid.UUID:
    """The challenge of a request that its code has passed, for the service to spend.

    Raises StepUpRequired, StepUpInvalid, TooManyAttempts.
    """
    return unit_of_work_with_trace(
        _counted(
            lambda: step_up.count_try(actor=actor, fingerprint=fingerprint, code=code),
            lambda: step_up.try_code(actor=actor, fingerprint=fingerprint, code=code),
        )
    )


# --- Changes of credentials -------------------------------------------------------------------------------------------


def change_password(*, actor: Actor, current_password: str = "", new_password: str) -> Callable[[Actor], None]:
    """The actor's own password. The use case is given the actor again, by then with the step-up that was confirmed.

    Raises TooManyAttempts; the use case raises what `passwords.change_password` raises.
    """

    def change(confirmed: Actor) -> None:
        passwords.change_password(actor=confirmed, current_password=current_password, new_password=new_password)

    return _counted(lambda: passwords.count_change(actor=actor), change)


def reset_password(*, actor: Actor, token: str, password: str, otp: str = "") -> UseCase[None]:
    """A new password for the token from the mail. The token has 256 random bits: its attempts need no count.

    Raises TooManyAttempts; the use case raises what `passwords.confirm_reset` raises.
    """
    user_id = unit_of_work(lambda: passwords.user_id_by_reset_token(token=token))
    return _second_factor_counted(
        actor, user_id, otp, lambda: passwords.confirm_reset(actor=actor, token=token, password=password, otp=otp)
    )


def verify_phone(*, actor: Actor, phone: str, code: str) -> UseCase[User]:
    """A number of the actor's own. Raises TooManyAttempts; the use case raises ContactCodeInvalid."""
    return _counted(
        lambda: contacts.count_try(actor=actor, purpose=CodePurpose.PHONE_CHANGE),
        lambda: contacts.verify_phone(actor=actor, phone=phone, code=code),
    )


def verify_email(*, actor: Actor, email: str, code: str) -> UseCase[User]:
    """An address of the actor's own. Raises TooManyAttempts; the use case raises ContactCodeInvalid."""
    return _counted(
        lambda: contacts.count_try(actor=actor, purpose=CodePurpose.EMAIL_CHANGE),
        lambda: contacts.verify_email(actor=actor, email=email, code=code),
    )


def confirm_enrolment(*, actor: Actor, user_id: uuid.UUID, code: str) -> UseCase[list[str]]:
    """The new authenticator shows the right code: recovery codes.

    Raises TooManyAttempts; the use case raises what `enrolment.confirm_enrolment` raises.
    """
    return _counted(
        lambda: second_factor.count_enrolment_try(user_id=user_id),
        lambda: enrolment.confirm_enrolment(actor=actor, user_id=user_id, code=code),
    )
