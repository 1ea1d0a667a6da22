"""Identifiers. UUIDv7 (RFC 9562) keeps index inserts local; its order is never used as a business order."""

import uuid

import uuid_utils


def uuid7() -> uuid.UUID:
    """A new UUIDv7, as the standard library's type (which gets its own uuid7 only in Python 3.14)."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


NIL = uuid.UUID(int=0)
