"""Deployment checks: what must not reach production."""

import base64
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connection

from fintech_core import crypto, transaction_ids


@register(Tags.security, deploy=True)
def production_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse the simulator, unverified addresses, short or shared keys."""
    errors: list[CheckMessage] = []
    if settings.SIMULATOR_ENABLED:
        errors.append(Error("SIMULATOR_ENABLED lets anyone make money up.", hint="Set it to False.", id="fintech.E001"))
    if not settings.EMAIL_VERIFICATION:
        errors.append(Error("EMAIL_VERIFICATION is off.", hint="Set it to on.", id="fintech.E002"))
    if not settings.STAFF_SECOND_FACTOR:
        errors.append(
            Error(
                "STAFF_SECOND_FACTOR is off: staff get in with a password alone.",
                hint="Set it to on.",
                id="fintech.E013",
            )
        )
    unlimited = sorted(set(settings.CURRENCIES) - set(settings.LARGE_TRANSFER_FROM))
    if unlimited:
        hint = "Name every currency in LARGE_TRANSFER_FROM."
        errors.append(Error(f"No amount of {', '.join(unlimited)} asks for a code.", hint=hint, id="fintech.E018"))
    keys = {name: getattr(settings, name) for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "IDEMPOTENCY_HMAC_KEY")}
    if len(set(keys.values())) < len(keys):
        errors.append(
            Error("Two secrets have the same value.", hint=f"Give each its own: {', '.join(keys)}.", id="fintech.E003")
        )
    errors += [
        Error(f"{name} has fewer than 32 characters.", hint="Generate 32 random bytes.", id="fintech.E004")
        for name, value in keys.items()
        if len(value) < 32
    ]
    errors += _pii_rings()
    errors += _text_messages()
    errors += _seal_keys()
    errors += _proxy_headers()
    errors += _spread()
    if settings.ENVIRONMENT != "production":
        errors.append(Error("ENVIRONMENT is not production.", id="fintech.E005"))
    return errors


@register(Tags.database)
def ledger_base(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Run by `migrate` and by `check --database default`: refuse a database that was moved without raising the base."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('public.ledger_is_behind()') IS NOT NULL")
        exists = cursor.fetchone()[0]
    if exists and transaction_ids.are_behind():
        return [Error(transaction_ids.BEHIND, hint="docs/deployment.md, Moving the database.", id="fintech.E021")]
    return []


def _proxy_headers() -> list[CheckMessage]:
    """Headers are spelled as in META, their names have no hyphen, and who is believed about TLS is about addresses too.

    To WSGI a client's `X_Real_IP` is the proxy's `X-Real-IP`: a name without hyphens has one spelling.
    """
    found: list[CheckMessage] = [
        Error(
            f"{name} is not one word, spelled as in request.META.",
            hint="For example HTTP_CLIENTADDRESS: docs/deployment.md, Proxy.",
            id="fintech.E020",
        )
        for name in ("TRUSTED_PROXY_PROTO_HEADER", "TRUSTED_PROXY_ADDRESS_HEADER")
        if not re.fullmatch(r"(HTTP_[A-Z0-9]+)?", getattr(settings, name))
    ]
    if settings.TRUSTED_PROXY_PROTO_HEADER and not settings.TRUSTED_PROXY_ADDRESS_HEADER:
        hint = "Let the proxy set one header to the client's address: docs/deployment.md, Proxy."
        found.append(
            Warning("Behind the proxy all clients count as one: no header says who asks.", hint=hint, id="fintech.W020")
        )
    return found


def _spread() -> list[Error]:
    """A margin that isn't one would refuse every quote, or pay customers for exchanging."""
    if re.fullmatch(r"0(\.[0-9]{1,8})?", settings.FX_SPREAD, re.ASCII):
        return []
    hint = "A fraction with up to eight decimals, like 0.005 for half a percent."
    return [Error("FX_SPREAD is not from 0 to below 1.", hint=hint, id="fintech.E030")]


def _text_messages() -> list[Error]:
    """No codes that strangers know or read, and a provider that can be asked."""
    errors = []
    if settings.SMS_TEST_MODE:
        errors.append(Error("SMS_TEST_MODE gives known codes out.", hint="Set it to off.", id="fintech.E014"))
    if settings.SMS_PROVIDER not in {"smsru", "none"}:
        hint = "Set it to smsru, or to none where there are no text messages."
        errors.append(Error(f"SMS_PROVIDER is {settings.SMS_PROVIDER}.", hint=hint, id="fintech.E015"))
    if settings.SMS_PROVIDER == "smsru" and not settings.SMSRU_API_ID:
        errors.append(Error("SMSRU_API_ID is empty.", hint="Take it from https://sms.ru.", id="fintech.E016"))
    if not settings.SMSRU_URL.startswith("https://"):
        errors.append(Error("SMSRU_URL is not https.", hint="Leave it out.", id="fintech.E017"))
    return errors


def _pii_rings() -> list[Error]:
    """The rings of keys are spelled right, and the blind indexes have keys of their own."""
    hint = "Spell it 1:<openssl rand -base64 32>; docs/security.md says how keys rotate."
    try:
        crypto.current_key_id()
        crypto.index_key_ids()
    except ImproperlyConfigured as error:
        return [Error(f"PII_KEYS or PII_INDEX_KEYS: {error}.", hint=hint, id="fintech.E009")]
    secrets = [
        item.partition(":")[2] for ring in (settings.PII_KEYS, settings.PII_INDEX_KEYS) for item in ring.split(",")
    ]
    if len(set(secrets)) < len(secrets):
        return [Error("PII_KEYS and PII_INDEX_KEYS share a key.", hint=hint, id="fintech.E010")]
    return []


def _seal_keys() -> list[Error]:
    """The seals' keys have their form, and there is one to tell good seals from others."""
    errors = []
    if settings.LEDGER_SEAL_KEY and not _is_bytes(settings.LEDGER_SEAL_KEY, decode=base64.b64decode):
        hint = "Generate it: openssl rand -base64 32."
        errors.append(Error("LEDGER_SEAL_KEY is not the base64 of 32 bytes.", hint=hint, id="fintech.E006"))
    if any(not _is_bytes(key, decode=bytes.fromhex) for key in settings.LEDGER_SEAL_PUBLIC_KEYS):
        hint = "Take them from a seal's public_key."
        errors.append(Error("LEDGER_SEAL_PUBLIC_KEYS are not 32 bytes in hex each.", hint=hint, id="fintech.E007"))
    if not settings.LEDGER_SEAL_KEY and not settings.LEDGER_SEAL_PUBLIC_KEYS:
        hint = "Set LEDGER_SEAL_KEY, or where nothing is sealed LEDGER_SEAL_PUBLIC_KEYS."
        errors.append(Error("No key of the seals is known.", hint=hint, id="fintech.E008"))
    return errors


def _is_bytes(text: str, *, decode: Callable[[str], bytes]) -> bool:
    try:
        return len(decode(text)) == 32
    except ValueError:
        return False
