"""Every key and secret: long enough once decoded, random by the look of it, not development's, no two the same.

The look of it: what repeats itself, counts up or down, has few different bytes or one of the words of examples is
refused. A bad key that looks like noise (a digest of a word, a published key) can't be distinguished from a good one.

No message repeats a secret.
"""

import base64
import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from fintech_core.ops import backups
from fintech_core.security import crypto

BYTES = 32
DISTINCT_CHARACTERS = 8  # 43 random characters of base64, or 64 of hex, have more
DISTINCT_BYTES = 18  # 32 random bytes have 30, and fewer than this once in 10^10 keys
WORDS = re.compile(
    "change|secret|example|password|default|insecure|please|placeholder|replace|sample|qwerty|letmein", re.IGNORECASE
)
DEVELOPMENT_PREFIX = "development-only:"
# By the names of the environment; in the settings some are members of a list.
IN_FORCE = ("SECRET_KEY", "JWT_SIGNING_KEY", "IDEMPOTENCY_HMAC_KEY")
ACCEPTED = ("JWT_PREVIOUS_KEY", "IDEMPOTENCY_HMAC_PREVIOUS_KEY")
WEBHOOK_SECRETS = ("SIMULATOR_WEBHOOK_SECRET", "SIMULATOR_WEBHOOK_PREVIOUS_SECRET")
RINGS = ("PII_KEYS", "PII_INDEX_KEYS")
_NAMES = (*IN_FORCE, *RINGS, "LEDGER_SEAL_KEY")
# What the settings use in development where nothing is set: derived from the variable's name, so publicly known.
_OF_DEVELOPMENT = frozenset(hashlib.sha256(name.encode()).digest() for name in _NAMES)
_GENERATE = "Generate it: openssl rand -hex 32."
_GENERATE_BASE64 = "Generate it: openssl rand -base64 32."


def check() -> list[CheckMessage]:
    return [*_rings(), *_seal_keys(), *_backup_recipients(), *_strength(), *_shared(), *_only_where_needed()]


def material(text: str) -> bytes:
    """The bytes that a secret was made of, as far as its spelling shows: hex and base64 are decoded."""
    stripped = text.strip().rstrip("=")
    if re.fullmatch(r"([0-9A-Fa-f]{2})+", stripped):
        return bytes.fromhex(stripped)
    if re.fullmatch(r"[A-Za-z0-9+/_-]+", stripped):
        stripped = stripped.translate(str.maketrans("-_", "+/"))
        try:
            return base64.b64decode(stripped + "=" * (-len(stripped) % 4))
        except binascii.Error:  # a length that base64 doesn't have
            return text.encode()
    return text.encode()


def _texts() -> Iterator[tuple[str, str]]:
    """Every secret that is set, by its variable's name, as it is spelled; members of rings one by one."""
    for name in (*IN_FORCE, *ACCEPTED):
        yield name, getattr(settings, name)
    yield from (("SECRET_PREVIOUS_KEY", text) for text in settings.SECRET_KEY_FALLBACKS)
    yield from ((name, getattr(settings, name).removeprefix("whsec_")) for name in WEBHOOK_SECRETS)
    for name in RINGS:
        yield from ((name, member.partition(":")[2]) for member in getattr(settings, name).split(","))
    yield "LEDGER_SEAL_KEY", settings.LEDGER_SEAL_KEY


def _secrets() -> list[tuple[str, str, bytes]]:
    return [(name, text, material(text)) for name, text in _texts() if text or name in IN_FORCE]


def _strength() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name, text, key in _secrets():
        if len(key) < BYTES:
            message = f"{name} has {len(key)} bytes once decoded, fewer than {BYTES}."
            found.append(Error(message, hint=_GENERATE, id="fintech.E004"))
        elif not _looks_random(text, key):
            found.append(Error(f"{name} is not random.", hint=_GENERATE, id="fintech.E011"))
        if key in _OF_DEVELOPMENT or DEVELOPMENT_PREFIX in text or text.startswith("django-insecure-"):
            found.append(Error(f"{name} is development's, which is public.", hint=_GENERATE, id="fintech.E012"))
    return found


def _looks_random(text: str, key: bytes) -> bool:
    if len(set(text)) < DISTINCT_CHARACTERS or len(set(key)) < DISTINCT_BYTES or WORDS.search(text):
        return False
    spelled = text.encode()
    return not any(_repeats(each) or _counts(each) for each in (spelled, key))


def _repeats(key: bytes) -> bool:
    """Whether it is one part twice or more often, the last time perhaps cut off."""
    return any(key[period:] == key[:-period] for period in range(1, len(key) // 2 + 1))


def _counts(key: bytes) -> bool:
    """Whether more than half of its steps from byte to byte are the same one: 0, 1, 2, 3..."""
    steps = [(after - before) % 256 for before, after in pairwise(key)]
    return 2 * max(Counter(steps).values(), default=0) > len(steps)


def _shared() -> list[CheckMessage]:
    """No two the same, however they are spelled. Rings have a number of their own (E010), as they always had."""
    by_key: dict[bytes, list[str]] = {}
    for name, _, key in _secrets():
        by_key.setdefault(key, []).append(name)
    found: list[CheckMessage] = []
    for names in by_key.values():
        if len(names) > 1:
            of_rings = set(names) <= set(RINGS)
            found.append(
                Error(
                    f"Two secrets have the same value: {', '.join(names)}.",
                    hint="Generate one for each.",
                    id="fintech.E010" if of_rings else "fintech.E003",
                )
            )
    return found


def _rings() -> list[CheckMessage]:
    """The rings of keys are spelled right."""
    try:
        crypto.current_key_id()
        crypto.index_key_ids()
    except ImproperlyConfigured as error:
        hint = "Spell it 1:<openssl rand -base64 32>; docs/security.md says how keys rotate."
        return [Error(f"PII_KEYS or PII_INDEX_KEYS: {error}.", hint=hint, id="fintech.E009")]
    return []


def _seal_keys() -> list[CheckMessage]:
    """The seals' keys have their form, and a process that verifies seals has one to verify them with."""
    found: list[CheckMessage] = []
    if settings.LEDGER_SEAL_KEY and not _is_bytes(settings.LEDGER_SEAL_KEY, decode=_strict_base64):
        message = "LEDGER_SEAL_KEY is not the base64 of 32 bytes."
        found.append(Error(message, hint=_GENERATE_BASE64, id="fintech.E006"))
    if any(not _is_bytes(key, decode=bytes.fromhex) for key in settings.LEDGER_SEAL_PUBLIC_KEYS):
        hint = "Take them from a seal's public_key."
        found.append(Error("LEDGER_SEAL_PUBLIC_KEYS are not 32 bytes in hex each.", hint=hint, id="fintech.E007"))
    if settings.PROCESS_ROLE != "web" and not settings.LEDGER_SEAL_KEY and not settings.LEDGER_SEAL_PUBLIC_KEYS:
        hint = "Set LEDGER_SEAL_KEY, or where nothing is sealed LEDGER_SEAL_PUBLIC_KEYS."
        found.append(Error("No key of the seals is known.", hint=hint, id="fintech.E008"))
    return found


def _backup_recipients() -> list[CheckMessage]:
    try:
        if settings.BACKUP_RECIPIENTS:
            backups.recipients_from(settings.BACKUP_RECIPIENTS)
    except backups.BackupRefused as refusal:
        return [Error(str(refusal), hint="`create_backup_key` makes a key and prints them.", id="fintech.E022")]
    return []


def _only_where_needed() -> list[CheckMessage]:
    """A process that serves strangers has no key that it doesn't use."""
    given = [name for name in ("BACKUP_IDENTITY_FILE", "LEDGER_SEAL_KEY") if getattr(settings, name)]
    if settings.PROCESS_ROLE == "worker":
        given = [name for name in given if name != "LEDGER_SEAL_KEY"]
    if settings.PROCESS_ROLE == "command" or not given:
        return []
    message = f"A {settings.PROCESS_ROLE} process is given {', '.join(given)}, which it doesn't use."
    return [Warning(message, hint="Set it where its commands and the worker run.", id="fintech.W022")]


def _strict_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _is_bytes(text: str, *, decode: Callable[[str], bytes]) -> bool:
    try:
        return len(decode(text)) == BYTES
    except ValueError:
        return False
