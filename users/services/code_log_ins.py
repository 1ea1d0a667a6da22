"""Passwordless log-in (one-time codes): agents by text message, clients by mail. Who is unknown gets an account.

The request does the same for every address and number: a code is made and a message queued. Whether the message goes
out is decided by the worker: none goes to staff and to accounts that are switched off, and the digits are in the
message alone.
"""

import uuid

from fintech_core.db import clock
from fintech_core.security.actors import Actor
from fintech_core.security.encrypted_fields import indexed
from messaging.enums import MessageKind
from messaging.services import messages, sms_caps
from users.enums import CodePurpose
from users.locks import lock_registrations, lock_user
from users.models import Registration, User
from users.passwords import unusable_password
from users.selectors import is_familiar_to_email, is_familiar_to_phone, user_by_phone, user_for_log_in
from users.services import accounts, codes, lockout, notices
from users.services.sessions import TokenPair, open_session

TEMPLATE = "log_in_code"


def send_agent_code(*, actor: Actor, phone: str) -> messages.Sent:
    """A code to a normalised number. The same work whether anybody has it. Raises CountryNotServed."""
    sms_caps.demand_served(phone, network=actor.network)
    return _send_code(actor, CodePurpose.AGENT_LOG_IN, phone)


def send_client_code(*, actor: Actor, email: str) -> messages.Sent:
    """A code to a normalised address. The same work whether anybody has it."""
    return _send_code(actor, CodePurpose.CLIENT_LOG_IN, email)


def _send_code(actor: Actor, purpose: CodePurpose, contact: str) -> messages.Sent:
    return codes.send_to_contact(
        actor=actor,
        purpose=purpose,
        subject=_subject(purpose, contact),
        binding=b"",
        kind=_kind_of(purpose),
        contact=contact,
        template=TEMPLATE,
    )


def may_have_code(user: User | None) -> bool:
    """Whether a log-in code is sent and taken: to strangers, and to customers whose account is on."""
    return user is None or (user.is_active and not user.is_staff)


def may_have_mailed_code(user: User | None) -> bool:
    """The same, for codes by mail: who has a password may have switched them off."""
    return may_have_code(user) and (user is None or user.email_code_log_in)


def count_try(*, actor: Actor, purpose: CodePurpose, contact: str) -> None:
    """Count a try, in a unit of work of its own before the log-in. Raises TooManyAttempts."""
    codes.take_try(
        actor=actor,
        purpose=purpose,
        subject=_subject(purpose, contact),
        familiar=_is_familiar(actor, purpose, contact),
        notify_owner=lambda: notices.notify_contact_of_guesses(
            kind=_kind_of(purpose), contact=contact, now=clock.now()
        ),
    )


def proved(*, actor: Actor, purpose: CodePurpose, contact: str, code: str) -> uuid.UUID | None:
    """Whose second factor comes next: the account behind the contact, if the code is the right one.

    Then the try wasn't a failure, whatever becomes of the log-in.
    """
    subject = _subject(purpose, contact)
    if not codes.matches(actor=actor, purpose=purpose, subject=subject, binding=b"", code=code):
        return None
    familiar = _is_familiar(actor, purpose, contact)
    codes.forgive(actor=actor, purpose=purpose, subject=subject, familiar=familiar)
    user = user_by_phone(contact) if purpose is CodePurpose.AGENT_LOG_IN else user_for_log_in(contact)
    return user.pk if user else None


def log_in(
    *, actor: Actor, purpose: CodePurpose, contact: str, code: str, otp: str, user_agent: str, ip: str
) -> TokenPair:
    """Spend the code for a session, by the rules of its purpose. Raises InvalidCode, and what `open_session` raises."""
    # In this order for tests/test_lock_order.py, which reads branches as if one came after the other.
    if purpose is CodePurpose.CLIENT_LOG_IN:
        return log_in_client(actor=actor, email=contact, code=code, otp=otp, user_agent=user_agent, ip=ip)
    return log_in_agent(actor=actor, phone=contact, code=code, otp=otp, user_agent=user_agent, ip=ip)


def log_in_agent(*, actor: Actor, phone: str, code: str, otp: str = "", user_agent: str, ip: str) -> TokenPair:
    """Spend the code for a session of the number's holder; where there is none, of a new agent. Raises InvalidCode."""
    subject = _subject(CodePurpose.AGENT_LOG_IN, phone)
    if not codes.matches(actor=actor, purpose=CodePurpose.AGENT_LOG_IN, subject=subject, binding=b"", code=code):
        raise _refusal(actor, phone)  # before any lock: a wrong code costs the same for known and unknown numbers
    holder = user_by_phone(phone)
    user = None if holder is None else lock_user(holder.pk)  # before the code, as whatever ends it
    if user is not None and (user.phone != phone or user.phone_verified_at is None):
        raise _refusal(actor, phone)  # given up in this moment
    if not codes.consume(actor=actor, purpose=CodePurpose.AGENT_LOG_IN, subject=subject, binding=b"", code=code):
        raise _refusal(actor, phone)
    sms_caps.confirmed(phone)
    if user is None:
        user = accounts.create_agent(actor=actor, phone=phone, now=clock.now())
    return _open(actor=actor, user=user, contact=phone, otp=otp, user_agent=user_agent, ip=ip)


def log_in_client(*, actor: Actor, email: str, code: str, otp: str = "", user_agent: str, ip: str) -> TokenPair:
    """Spend the code for a session of the address's owner, who is made a client if there is none. Raises InvalidCode.

    An account whose address was never proved is theirs now; its password and pending registrations end.
    """
    subject = _subject(CodePurpose.CLIENT_LOG_IN, email)
    if not codes.matches(actor=actor, purpose=CodePurpose.CLIENT_LOG_IN, subject=subject, binding=b"", code=code):
        raise _refusal(actor, email)  # before any lock: a wrong code costs the same for known and unknown addresses
    lock_registrations(email)  # before the look: a registration of the address may be proved in this moment
    found = user_for_log_in(email)
    owner = None if found is None else lock_user(found.pk)  # before the code, as whatever ends it
    if not may_have_mailed_code(owner) or (owner is not None and owner.email != email):
        raise _refusal(actor, email)  # the latter: given up in this moment
    if not codes.consume(actor=actor, purpose=CodePurpose.CLIENT_LOG_IN, subject=subject, binding=b"", code=code):
        raise _refusal(actor, email)
    user = owner if owner is not None and owner.email_verified_at is not None else _prove(actor, owner, email)
    return _open(actor=actor, user=user, contact=email, otp=otp, user_agent=user_agent, ip=ip)


def _prove(actor: Actor, unproved: User | None, email: str) -> User:
    user = accounts.create_or_adopt(
        actor=actor,
        unproved=unproved,
        email=email,
        password_hash=unusable_password(),
        phone=None,
        first_name="",
        last_name="",
        now=clock.now(),
    )
    Registration.objects.filter(**indexed("email", email)).delete()
    return user


def _open(*, actor: Actor, user: User, contact: str, otp: str, user_agent: str, ip: str) -> TokenPair:
    if not may_have_code(user):
        raise _refusal(actor, contact)
    return open_session(actor=actor, user=user, otp=otp, user_agent=user_agent, ip=ip)


def _refusal(actor: Actor, contact: str) -> codes.InvalidCode:
    """Leaves an audit row, which is the same for known and unknown addresses and numbers."""
    return lockout.refusal(actor=actor, error=codes.InvalidCode(), address=contact, user=None)


def code_is_good(*, kind: str, contact: str, code: str) -> bool:
    """Whether a queued message with this code is still worth sending."""
    purpose = CodePurpose.AGENT_LOG_IN if kind == MessageKind.SMS else CodePurpose.CLIENT_LOG_IN
    return codes.still_good(purpose=purpose, subject=_subject(purpose, contact), code=code)


def _kind_of(purpose: CodePurpose) -> MessageKind:
    return MessageKind.SMS if purpose is CodePurpose.AGENT_LOG_IN else MessageKind.EMAIL


def _is_familiar(actor: Actor, purpose: CodePurpose, contact: str) -> bool:
    is_familiar = is_familiar_to_phone if purpose is CodePurpose.AGENT_LOG_IN else is_familiar_to_email
    return is_familiar(contact, actor.network)


def _subject(purpose: CodePurpose, contact: str) -> bytes:
    return codes.subject_of("phone" if purpose is CodePurpose.AGENT_LOG_IN else "email", contact)
