"""Personal data at rest: AES-256-GCM for what is read back, keyed digests for what is looked up or counted.

A ciphertext is `0x01 | key id (2 bytes) | nonce (12) | ciphertext and tag`, authenticated together with the place where
it belongs (table, column, primary key): moved to another row or column it doesn't open. Keys come from the environment
as rings, `PII_KEYS="2:<base64>,1:<base64>"`: the first encrypts, all decrypt. `PII_INDEX_KEYS` is a ring of at most two
for the blind indexes, in slots by the parity of their ids (encrypted_fields.py says why). Whatever a ring's bytes are
used for, the key is derived for that use alone (HKDF, RFC 5869).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from fintech_core.exceptions import ServiceUnavailable

VERSION = 1
KEY_BYTES = 32
DIGEST_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D: 96 random bits; one key for at most 2**32 values
_HEADER_BYTES = 3
_BODY = _HEADER_BYTES + _NONCE_BYTES
MAX_KEY_ID = 2**16 - 1
MAX_INDEX_KEYS = 2


class DecryptionFailed(Exception):
    """The bytes aren't ours, belong elsewhere, were changed, or their key isn't in the ring. No client sees this."""


class UnknownKey(DecryptionFailed, ServiceUnavailable):
    """This process's ring lacks the key of a value: keys were changed in another order than docs/security.md gives."""

    code = "encryption_key_unknown"
    title = "The data can't be decrypted by this server yet; nothing was done. Try again."

    def __init__(self, key_id: int) -> None:
        ServiceUnavailable.__init__(self)
        self.key_id = key_id

    def __str__(self) -> str:
        return f"no key {self.key_id} in PII_KEYS"


def encrypt(text: str, *, place: str) -> bytes:
    """The ciphertext of `text` under the ring's first key, bound to `place` ("table.column:primary key")."""
    key_id = next(iter(_ring(settings.PII_KEYS)))
    header = bytes([VERSION]) + key_id.to_bytes(2, "big")
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = _cipher(settings.PII_KEYS, key_id).encrypt(nonce, text.encode(), header + place.encode())
    return header + nonce + sealed


def decrypt(token: bytes, *, place: str) -> str:
    """What was encrypted for this place. Raises DecryptionFailed; UnknownKey where the key isn't in the ring."""
    key_id = key_id_of(token)
    if key_id not in _ring(settings.PII_KEYS):
        raise UnknownKey(key_id)
    header, nonce, sealed = token[:_HEADER_BYTES], token[_HEADER_BYTES:_BODY], token[_BODY:]
    try:
        return _cipher(settings.PII_KEYS, key_id).decrypt(nonce, sealed, header + place.encode()).decode()
    except InvalidTag as error:
        raise DecryptionFailed(f"the value at {place} is not authentic") from error


def key_id_of(token: bytes) -> int:
    """Which key of the ring a ciphertext needs. Raises DecryptionFailed where it isn't one."""
    if len(token) < _HEADER_BYTES + _NONCE_BYTES or token[0] != VERSION:
        raise DecryptionFailed("not a ciphertext")
    return int.from_bytes(token[1:_HEADER_BYTES], "big")


def current_key_id() -> int:
    """The key that encrypts now."""
    return next(iter(_ring(settings.PII_KEYS)))


# --- Digests ----------------------------------------------------------------------------------------------------------


def index_key_ids() -> tuple[int, ...]:
    """The ids of the blind indexes' keys, the current one first. A row has the digests under its writer's keys."""
    return tuple(_index_ring(settings.PII_INDEX_KEYS))


def index_digest(purpose: str, text: str, *, key_id: int) -> bytes:
    """HMAC-SHA-256 of a normalised value: what a blind index holds. `purpose` keeps columns from being compared."""
    key = _derived(settings.PII_INDEX_KEYS, key_id, b"index:v1")
    return hmac.new(key, f"{purpose}:{text}".encode(), hashlib.sha256).digest()


class Digest(bytes):
    """A keyed digest under the current key. `others` are the same under the keys that are accepted besides."""

    others: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, digests: Iterable[bytes]) -> "Digest":
        first, *others = digests
        digest = cls(first)
        digest.others = tuple(others)
        return digest


def under_any_key(digest: bytes) -> list[bytes]:
    """The digest under every key, the current one first: what a stored one is compared with while keys rotate."""
    return [bytes(digest), *getattr(digest, "others", ())]


def keyed_digest(purpose: str, text: str) -> Digest:
    """32 bytes that stand for `text` where it must not be stored: counters, networks, one-time codes.

    Under the current index key, and under the other one of the ring (`under_any_key`), by which another process may
    have stored it. After a rotation the digest is another one: only for what lives for days.
    """
    message = f"{purpose}:{text}".encode("utf-8", "surrogatepass")
    keys = [_derived(settings.PII_INDEX_KEYS, key_id, b"digest:v1") for key_id in index_key_ids()]
    return Digest.of(hmac.new(key, message, hashlib.sha256).digest() for key in keys)


# --- Rings ------------------------------------------------------------------------------------------------------------


@cache
def _ring(text: str) -> Mapping[int, bytes]:
    """The keys by id, in order. Raises ImproperlyConfigured, without repeating a secret."""
    ring: dict[int, bytes] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        number, _, encoded = item.partition(":")
        try:
            key_id, key = int(number), base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise ImproperlyConfigured("a ring of keys is spelled 2:<base64>,1:<base64>") from error
        if not 1 <= key_id <= MAX_KEY_ID or key_id in ring or len(key) != KEY_BYTES:
            raise ImproperlyConfigured(f"a key has an id of its own, 1 to {MAX_KEY_ID}, and {KEY_BYTES} bytes")
        ring[key_id] = key
    if not ring:
        raise ImproperlyConfigured("a ring has at least one key")
    return ring


@cache
def _index_ring(text: str) -> Mapping[int, bytes]:
    ring = _ring(text)
    if len(ring) > MAX_INDEX_KEYS or len({key_id % 2 for key_id in ring}) < len(ring):
        raise ImproperlyConfigured("PII_INDEX_KEYS has one key, or while they rotate two: one id even, one odd")
    return ring


@cache
def _derived(ring: str, key_id: int, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=use).derive(_ring(ring)[key_id])


@cache
def _cipher(ring: str, key_id: int) -> AESGCM:
    return AESGCM(_derived(ring, key_id, b"pii:v1"))
