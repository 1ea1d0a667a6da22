"""The address of our own checkout page: a signed token names the intent, so that the page needs no log-in.

The token carries the intent's id and nothing else; anyone who has it may pay, which does no harm. It has no time of
its own: the intent's `expires_at` says, by the database's clock, until when it can be paid.
"""

import uuid

from django.conf import settings
from django.core import signing

_SALT = "payments.checkout"


def checkout_url(intent_id: uuid.UUID) -> str:
    """The absolute URL of an intent's page."""
    return f"{settings.PUBLIC_URL}/checkout/{signing.Signer(salt=_SALT).sign(intent_id.hex)}"


def intent_id_of(token: str) -> uuid.UUID | None:
    """The intent that a token names, or None where it is forged or changed."""
    try:
        return uuid.UUID(hex=signing.Signer(salt=_SALT).unsign(token))
    except (signing.BadSignature, ValueError):
        return None
