"""Owns the variables of `make run`: what the reader set wins, secrets are made once, the rest is derived.

The result goes to `.local/env` (0600), which the settings read below real variables and `.env`, so that every
`manage.py` command in another terminal meets the same database.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from devtools.places import CHECKOUT, LOCAL, Refusal, write_private
from devtools.servers import APP_ROLE, OWNER_ROLE, Servers

FILE = LOCAL / "env"
SECRETS = (
    "SECRET_KEY",
    "JWT_SIGNING_KEY",
    "IDEMPOTENCY_HMAC_KEY",
    "SIMULATOR_WEBHOOK_SECRET",
    "LEDGER_SEAL_KEY",
    "PII_KEYS",
    "PII_INDEX_KEYS",
)
HEADER = "# Written by `make run` at every start; change nothing here, use .env or real variables.\n"


def given() -> dict[str, str]:
    """What the reader chose: real variables, then `.env`. An empty value is no choice."""
    values = read_file(CHECKOUT / ".env") | dict(os.environ)
    return {key: value for key, value in values.items() if value}


def port_of(chosen: dict[str, str]) -> int:
    text = chosen.get("PORT", "8000")
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise Refusal(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


def compose(chosen: dict[str, str], port: int, servers: Servers) -> dict[str, str]:
    """Every variable that a run needs. `servers` supplies the URLs that the reader did not set."""
    values = {
        "ENVIRONMENT": "development",
        "DEBUG": "off",
        "PORT": str(port),
        "PUBLIC_URL": f"http://localhost:{port}",
        "SIMULATOR_ENABLED": "on",
        "EMAIL_VERIFICATION": "off",
        "SMS_TEST_MODE": "on",
        "REDIS_URL": servers.redis_url(),
    }
    if "DATABASE_URL" in chosen:
        values["DATABASE_URL"] = values["DATABASE_OWNER_URL"] = chosen["DATABASE_URL"]
    else:
        values["DATABASE_URL"] = servers.database_url(APP_ROLE)
        values["DATABASE_OWNER_URL"] = servers.database_url(OWNER_ROLE)
    values |= _secrets()
    return values | {key: chosen[key] for key in values if key in chosen} | {"PORT": str(port)}


def write(values: dict[str, str]) -> None:
    write_private(FILE, HEADER + "".join(f"{key}={value}\n" for key, value in values.items()))


def read_file(path: Path) -> dict[str, str]:
    """KEY=VALUE lines, with quotes and `export` as django-environ takes them."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines if not line.strip().startswith("#"))
    return {key.strip(): value.strip().strip("'\"") for key, equals, value in pairs if equals}


def new_secret(name: str) -> str:
    if name == "SIMULATOR_WEBHOOK_SECRET":  # Standard Webhooks: base64 of 24 to 64 bytes
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    if name == "LEDGER_SEAL_KEY":  # an Ed25519 seed
        return base64.b64encode(secrets.token_bytes(32)).decode()
    if name in {"PII_KEYS", "PII_INDEX_KEYS"}:  # a ring with one key
        return "1:" + base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(48)


def _secrets() -> dict[str, str]:
    """Those of the first start: a new key would invalidate the stored hashes and every log-in."""
    stored = read_file(FILE)
    return {name: stored.get(name) or new_secret(name) for name in SECRETS}
