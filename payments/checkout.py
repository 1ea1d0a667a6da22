"""The address of our own checkout page: a signed token names the intent, so that the page needs no log-in.

The token carries the intent's id and its time, nothing else; who has it may pay, which hurts nobody.
"""

import uuid
from datetime import timedelta

from django.conf import settings
from django.core import signing

_SALT = "payments.checkout"
TOKEN_LIFETIME = timedelta(hours=24)


def checkout_url(intent_id: uuid.UUID) -> str:
    """An absolute URL that is good for TOKEN_LIFETIME from now."""
    token = signing.TimestampSigner(salt=_SALT).sign(intent_id.hex)
    return f"{settings.PUBLIC_URL}/checkout/{token}"


def intent_id_of(token: str) -> uuid.UUID | None:
    """The intent that a token names, or None where it is forged, changed or too old."""
    try:
        return uuid.UUID(hex=signing.TimestampSigner(salt=_SALT).unsign(token, max_age=TOKEN_LIFETIME))
    except (signing.BadSignature, ValueError):
        return None
