"""What messages of identity say, and whether they are sent: decided by the worker (`messaging.services.delivery`).

It depends on who the recipient is and on what has happened since the message was queued.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fintech_core.security.actors import Actor
from fintech_core.values.messages import MessageContent, MessageRule, QueuedMessage
from messaging.enums import MessageKind
from users.enums import CodePurpose
from users.models import User
from users.selectors import user_by_phone, user_for_log_in
from users.services import code_log_ins, codes, contacts, notices, passwords, registrations, step_up


def _log_in_code(queued: QueuedMessage) -> MessageContent | None:
    """None for staff, for accounts that are switched off or take no codes by mail, and for a code that has ended."""
    user = _user_of(queued)
    may = (code_log_ins.may_have_mailed_code if _is_mail(queued) else code_log_ins.may_have_code)(user)
    code = queued.context["code"]
    good = code_log_ins.code_is_good(kind=queued.kind, contact=queued.recipient, code=code)
    return _as_queued(queued) if good and may else None


def _step_up_code(queued: QueuedMessage) -> MessageContent | None:
    """None for a code that has ended meanwhile. Messages queued by the version before don't say whose it is."""
    subject = codes.subject_of("user", queued.context.get("user", ""))
    good = codes.still_good(purpose=CodePurpose.STEP_UP, subject=subject, code=queued.context["code"])
    return _as_queued(queued) if good or "user" not in queued.context else None


def _guesses_of_contact(queued: QueuedMessage) -> MessageContent | None:
    """The notice of wrong log-in codes: to who has proved the address or number and can log in."""
    holder = _user_of(queued)
    if holder is None or not holder.is_active:
        return None
    proved = holder.email_verified_at if _is_mail(queued) else holder.phone_verified_at
    return _as_queued(queued) if proved else None


def _contact_code(queued: QueuedMessage) -> MessageContent | None:
    """The code, or a notice to the one who has proved the address or number already; None for a code that has ended."""
    purpose = CodePurpose.EMAIL_CHANGE if _is_mail(queued) else CodePurpose.PHONE_CHANGE
    subject = codes.subject_of("user", queued.context["user"])
    if not codes.still_good(purpose=purpose, subject=subject, code=queued.context["code"]):
        return None
    holder = _user_of(queued)
    proved = holder is not None and (not _is_mail(queued) or holder.email_verified_at is not None)
    if holder is None or not proved or str(holder.pk) == queued.context["user"]:
        return _as_queued(queued)
    return MessageContent(contacts.NOTICE, {})


def _lock_owner(queued: QueuedMessage) -> None:
    passwords.lock_owner(email=queued.recipient)


def _password_reset(queued: QueuedMessage) -> MessageContent | None:
    """The token is made here and exists in clear in the mail alone."""
    actor = Actor.system("task.send_message")
    token = passwords.new_reset_token(actor=actor, email=queued.recipient, asked_at=queued.created_at)
    minutes = int(passwords.RESET_LIFETIME.total_seconds() // 60)
    return MessageContent(queued.template, {"token": token, "minutes": minutes}) if token else None


def _as_queued(queued: QueuedMessage) -> MessageContent:
    return MessageContent(queued.template, queued.context)


def _is_mail(queued: QueuedMessage) -> bool:
    return queued.kind == MessageKind.EMAIL


def _user_of(queued: QueuedMessage) -> User | None:
    """The user behind the address, or who has proved the number."""
    return user_for_log_in(queued.recipient) if _is_mail(queued) else user_by_phone(queued.recipient)


RULES: Mapping[str, MessageRule] = MappingProxyType(
    {
        code_log_ins.TEMPLATE: MessageRule(content=_log_in_code),
        notices.GUESSES_OF_CONTACT: MessageRule(content=_guesses_of_contact),
        contacts.TEMPLATE: MessageRule(content=_contact_code),
        passwords.RESET_TEMPLATE: MessageRule(content=_password_reset, lock=_lock_owner),
        step_up.TEMPLATE: MessageRule(content=_step_up_code),
        registrations.TEMPLATE: registrations.MAIL_RULE,
    }
)
