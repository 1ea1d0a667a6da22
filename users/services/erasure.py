"""Forgetting a person: the row of the user stays, because the books name it; everything that says who it was goes.

What is in the rooms above (wallets, submissions, texts of transactions) is theirs to erase. The use case is
`offboarding.services.erasure`.
"""

import uuid
from datetime import datetime

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.security.actors import Actor
from fintech_core.security.encrypted_fields import crypto_columns, indexed
from messaging.services import messages
from users.enums import EndReason
from users.models import ApiKey, FamiliarNetwork, PasswordReset, Registration, Session, User
from users.passwords import unusable_password
from users.services.enrolment import delete_factors
from users.services.revocation import end_open_credentials

_ERASED_NAME = "erased"


def erase_person(*, actor: Actor, user: User, now: datetime) -> dict[str, int]:
    """Drop what identity knows of the person, whose lock the caller holds. Returns counts for the audit row."""
    addresses = [address for address in (user.email, user.phone) if address]
    counts = end_open_credentials(actor=actor, user=user, reason=EndReason.ERASED, now=now)
    Session.objects.filter(user=user).update(user_agent="", ip=None)
    PasswordReset.objects.filter(user=user).delete()
    ApiKey.objects.filter(user=user).update(name=_ERASED_NAME)
    delete_factors(user=user)
    FamiliarNetwork.objects.filter(user=user).delete()
    if user.email:
        Registration.objects.filter(**indexed("email", user.email)).delete()
    messages.forget_recipients(contacts=addresses)
    user.email = user.phone = None
    user.first_name = user.last_name = ""
    user.email_verified_at = user.phone_verified_at = None
    user.password, user.password_is_short = unusable_password(), False
    user.email_code_log_in = True  # no choice of theirs is left
    user.is_active = False
    user.erased_at = now
    user.save(
        update_fields=[
            *crypto_columns("email", "phone"),
            "first_name",
            "last_name",
            "email_verified_at",
            "phone_verified_at",
            "password",
            "password_is_short",
            "email_code_log_in",
            "is_active",
            "erased_at",
        ]
    )
    return counts


def mark_texts_erased(*, actor: Actor, user_id: uuid.UUID, now: datetime) -> None:
    """Nothing is left of what an erased person wrote, in any room. Recorded once, where two jobs find it so at once."""
    waiting = User.objects.filter(pk=user_id, erased_at__isnull=False, texts_erased_at__isnull=True)
    if waiting.update(texts_erased_at=now):
        record_and_publish(actor, "user.texts_erased", EntityRef("user", user_id))
