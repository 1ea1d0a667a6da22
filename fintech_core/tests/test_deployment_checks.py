"""`check --deploy`: from a good environment one variable at a time is broken, and each gets its Error.

Every variable of the settings has a row: what breaks it and which message names it, or why no value of it is a danger.
"""

import base64
import hashlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import environ
import pytest
import yaml
from django.conf import global_settings, settings
from django.core.checks import Error, Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from pyrage.x25519 import Identity

from devtools import servers
from fintech_core.ops import checks

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = ROOT / "fintech_core" / "settings.py"


def hexadecimal(name: str) -> str:
    return hashlib.sha256(f"of the tests: {name}".encode()).hexdigest()


def base64_of(name: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal(name))).decode()


IDENTITY = Identity.generate()
RECIPIENT = str(IDENTITY.to_public())
GOOD = {
    "ENVIRONMENT": "production",
    "PROCESS_ROLE": "command",
    "PUBLIC_URL": "https://ledger.bank.example",
    "ALLOWED_HOSTS": "ledger.bank.example",
    **{name: hexadecimal(name) for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "IDEMPOTENCY_HMAC_KEY")},
    **{name: f"1:{base64_of(name)}" for name in ("PII_KEYS", "PII_INDEX_KEYS")},
    "LEDGER_SEAL_KEY": base64_of("LEDGER_SEAL_KEY"),
    "BACKUP_RECIPIENTS": f"{RECIPIENT},{RECIPIENT}",
    "DATABASE_URL": "postgres://fintech_app:secret@db.bank.example:5432/fintech?sslmode=verify-full",
    "DATABASE_OWNER_URL": "postgres://fintech_owner:secret@db.bank.example:5432/fintech?sslmode=verify-full",
    "REDIS_URL": "rediss://:secret@cache.bank.example:6379/0",
    "EMAIL_URL": "smtp+tls://user:secret@mail.bank.example:587",
    "DEFAULT_FROM_EMAIL": "Bank <no-reply@bank.example>",
    "SMS_PROVIDER": "smsru",
    "SMSRU_API_ID": "an-id",
    "TRUSTED_PROXY_PROTO_HEADER": "HTTP_CLIENTPROTO",
    "TRUSTED_PROXY_ADDRESS_HEADER": "HTTP_CLIENTADDRESS",
}

STOPS = "the settings refuse to load"  # ImproperlyConfigured: no process starts
SAFE = "safe"
SHORT = "x"
NOT_RANDOM = (
    "ab" * 32,
    "0123456789abcdef" * 4,
    "abcdefgh" * 8,
    hexadecimal("a half")[:32] * 2,
    "please-change-me-please-change-me-please-change-me",
    "Change-it-" + base64_of("what follows"),
    "correct horse battery staple is my pass phrase",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    bytes(range(1, 64, 2)).hex(),
)
DEVELOPMENTS = "development-only:" + hashlib.sha256(b"SECRET_KEY").hexdigest()
ANOTHERS = GOOD["SECRET_KEY"]  # the same bytes as another secret's, here in hex
ANOTHERS_IN_BASE64 = base64_of("SECRET_KEY")
KNOWN_RING = "1:" + base64.b64encode(hashlib.sha256(b"PII_KEYS").digest()).decode()


def key(name: str) -> list[tuple[str, str]]:
    """What is wrong with a secret that may be spelled in any way."""
    values = [(SHORT, "E004"), (hexadecimal(name)[:62], "E004"), (DEVELOPMENTS, "E012")]
    values += [(value, "E011") for value in (NOT_RANDOM if name == "SECRET_KEY" else NOT_RANDOM[:1])]
    return [*values, (ANOTHERS if name != "SECRET_KEY" else GOOD["JWT_SIGNING_KEY"], "E003")]


def rate(loose: str, *others: str) -> list[tuple[str, str]]:
    return [("many", STOPS), ("0/m", STOPS), *((value, "E060") for value in (loose, *others))]


def respelled(key: str) -> list[str]:
    """The same secret, hexadecimal, as others may write it."""
    mixed = "".join(character.upper() if at % 3 else character for at, character in enumerate(key))
    return [key, key.upper(), mixed, f"{key}=", f" {key}", base64.b64encode(bytes.fromhex(key)).decode().rstrip("=")]


# By variable: values and what each is answered with. `SAFE` says why there is no dangerous value.
Row = list[tuple[str, str]] | str
TABLE: Mapping[str, Row] = {
    "ENVIRONMENT": [("development", "E005"), ("test", "E005"), ("prod", STOPS)],
    "PROCESS_ROLE": [("server", STOPS)],
    "DEBUG": [("on", "E040")],
    "PUBLIC_URL": [
        (value, "E044")
        for value in (
            "http://localhost:8000",
            "https://localhost",
            "https://127.0.0.1",
            "https://10.0.0.7",
            "https://[::1]",
            "https://ledger",
            "http://ledger.bank.example",
            "https://user@ledger.bank.example",
            "https://ledger.bank.example/app",
            "https://other.bank.example",
            "https://ledger.bank.example:port",
            "ledger.bank.example",
            "",
        )
    ],
    "ALLOWED_HOSTS": [
        ("", "E043"),
        ("*", "E043"),
        ("ledger.bank.example,*", "E043"),
        (".", "E043"),
        (".com", "E043"),
        ("ledger.bank.example,.com", "E043"),
        (".example", "E043"),
        (".example.", "E043"),
        ("a.example", "E044"),
    ],
    "PORT": f"{SAFE}: where the simulator's webhooks go",
    "SECRET_KEY": [("", STOPS), *key("SECRET_KEY")],
    "SECRET_PREVIOUS_KEY": key("SECRET_PREVIOUS_KEY"),
    "JWT_SIGNING_KEY": key("JWT_SIGNING_KEY"),
    "JWT_PREVIOUS_KEY": [
        *key("JWT_PREVIOUS_KEY"),
        *((same, "E003") for same in respelled(GOOD["JWT_SIGNING_KEY"])),
    ],
    "IDEMPOTENCY_HMAC_KEY": key("IDEMPOTENCY_HMAC_KEY"),
    "IDEMPOTENCY_HMAC_PREVIOUS_KEY": key("IDEMPOTENCY_HMAC_PREVIOUS_KEY"),
    "PII_KEYS": [
        ("1:", "E009"),
        ("1:" + base64.b64encode(bytes(31)).decode(), "E009"),
        (f"{GOOD['PII_KEYS']},2:{base64.b64encode(bytes(32)).decode()}", "E011"),
        (KNOWN_RING, "E012"),
        (f"{GOOD['PII_KEYS']},2:{ANOTHERS_IN_BASE64}", "E003"),
        (GOOD["PII_INDEX_KEYS"], "E010"),
    ],
    "PII_INDEX_KEYS": [
        ("x", "E009"),
        (f"{GOOD['PII_INDEX_KEYS']},3:{base64_of('3')}", "E009"),
        (f"1:{ANOTHERS_IN_BASE64}", "E003"),
    ],
    "BACKUP_RECIPIENTS": [
        (SHORT, "E022"),
        (RECIPIENT[:-1], "E022"),
        (f"{RECIPIENT},{str(IDENTITY).lower()}", "E022"),
        (str(IDENTITY), "E022"),
    ],
    "BACKUP_IDENTITY_FILE": f"{SAFE}: of a command; given to web or worker it is a warning (below)",
    "RESTORE_DATABASE_URL": f"{SAFE}: of a command; given to web or worker it is a warning (below)",
    "LEDGER_SEAL_KEY": [
        ("", "E008"),
        (SHORT, "E006"),
        (hexadecimal("LEDGER_SEAL_KEY"), "E006"),
        (ANOTHERS_IN_BASE64, "E003"),
        (base64.b64encode(hashlib.sha256(b"LEDGER_SEAL_KEY").digest()).decode(), "E012"),
    ],
    "LEDGER_SEAL_PUBLIC_KEYS": [("ab", "E007"), ("key", "E007")],
    "DATABASE_URL": [
        ("postgres://fintech_owner:secret@db.bank.example/fintech?sslmode=verify-full", "E050"),
        ("postgres://postgres:secret@localhost/fintech", "E050"),
        ("postgres://fintech_app:secret@db.bank.example/fintech", "E051"),
        ("postgres://fintech_app:secret@10.0.0.7/fintech?sslmode=prefer", "E051"),
        ("postgres://fintech_app:secret@db.bank.example/fintech?sslmode=require", "W025"),
        # What the driver is given in the end: parameters count.
        ("postgres://fintech_app:secret@/fintech?host=db.bank.example&sslmode=disable", "E051"),
        ("postgres://fintech_app:secret@/fintech?host=db.bank.example", "E051"),
        ("postgres://fintech_app:secret@/fintech?host=localhost,db.bank.example", "E051"),
        ("postgres://fintech_app:secret@db/fintech?hostaddr=203.0.113.7&sslmode=disable", "E051"),
        ("postgres://fintech_app:secret@3405803783/fintech", "E051"),
        ("postgres:///fintech?user=postgres&password=x", "E050"),
        ("postgres:///fintech?host=db.bank.example&user=fintech_owner&sslmode=verify-full", "E050"),
        ("postgres://fintech_app:secret@db/fintech?service=elsewhere", "E051"),
    ],
    "DATABASE_OWNER_URL": [
        ("postgres://fintech_owner:secret@db.bank.example/fintech?sslmode=disable", "E051"),
        ("postgres://fintech_owner:secret@db/fintech?hostaddr=203.0.113.7", "E051"),
    ],
    "DATABASE_POOL_SIZE": f"{SAFE}: connections that are kept",
    "DATABASE_PREPARED_STATEMENTS": f"{SAFE}: how statements are sent",
    "REDIS_URL": [
        ("redis://cache.bank.example:6379/0", "E052"),
        ("redis://:secret@cache.bank.example:6379/0", "E052"),
        ("rediss://cache.bank.example:6379/0", "E052"),
        ("redis://valkey:6379/0", "E052"),
        ("rediss://:secret@cache.bank.example:6379/0?ssl_cert_reqs=none", "E052"),
        ("rediss://:secret@cache.bank.example:6379/0?ssl_cert_reqs=CERT_NONE", "E052"),
        ("rediss://:secret@cache.bank.example:6379/0?ssl_cert_reqs=optional", "E052"),
        ("rediss://:secret@cache.bank.example:6379/0?ssl_check_hostname=False", "E052"),
        ("rediss://:secret@cache.bank.example:6379/0?ssl_cert_reqs=required&ssl_cert_reqs=none", "E052"),
        ("redis://:secret@/0?host=cache.bank.example", "E052"),
    ],
    "STAFF_SECOND_FACTOR": [("off", "E013")],
    "EMAIL_URL": [
        ("consolemail://", "E053"),
        ("dummymail://", "E053"),
        ("filemail:///tmp/mails", "E053"),
        ("smtp://user:secret@mail.bank.example:25", "E053"),
    ],
    "DEFAULT_FROM_EMAIL": [("Bank <no-reply@localhost>", "E054"), ("", "E054")],
    "EMAIL_VERIFICATION": [("off", "E002")],
    "SMS_PROVIDER": [("console", "E015"), ("memory", "E015"), ("pigeon", STOPS)],
    "SMS_TEST_MODE": [("on", "E014")],
    "SMSRU_API_ID": [("", "E016")],
    "SMS_COUNTRIES": [("", "E055"), ("RU,XX", "E055"), ("ru", "E055")],
    "SMS_MAX_PER_HOUR": [("0", "E056"), ("5001", "E056")],
    "SMS_MAX_PER_DAY": [("0", "E056"), ("1000001", "E056")],
    "SMS_MAX_PER_PREFIX_PER_HOUR": [("0", "E056"), ("1001", "E056")],
    "SMS_MAX_PER_PREFIX_PER_DAY": [("0", "E056"), ("5001", "E056")],
    "SMS_MAX_PER_NETWORK_PER_DAY": [("0", "E056"), ("60", "E056")],
    "SMS_MAX_PER_ACCOUNT_PER_DAY": [("0", "E056"), ("1001", "E056")],
    "SMS_PREFIX_DIGITS": [("2", "E056"), ("11", "E056")],
    "SMS_RESERVED_PERCENT": [("0", "E056"), ("100", "E056")],
    "SMS_UNCONFIRMED_ALARM": [("0", "E056"), ("1001", "E056")],
    "SMSRU_FROM": f"{SAFE}: a sender's name that the provider checks",
    "SMSRU_URL": [
        (value, "E017")
        for value in (
            "http://sms.ru",
            "",
            "https://sms.example",
            "https://sms.ru.example",
            "https://sms.ru@example.com",
        )
    ],
    "CURRENCIES": [("USD,CHF", "E018"), ("EUR", "E031")],
    "DEFAULT_CURRENCY": [("CHF", "E031")],
    "PAYOUT_ACCOUNT_COOL_DOWN_HOURS": [("0", "E061"), ("-1", "E061")],
    "LEDGER_LANES": [("0", "E061")],
    "PAYMENT_INTENT_LIFETIME_HOURS": [("0", "E061")],
    "PAYMENT_PROCESSING_LIFETIME_HOURS": [("0", "E061")],
    "KYC_RETENTION_DAYS": [("-1", "E061")],
    "INVITATION_ADDRESS_RETENTION_DAYS": [("-1", "E061")],
    "KYB_REJECTED_WAIT_DAYS": [("0", "E061")],
    "CLOSE_AFTER_ADMIN_REMOVED_DAYS": [("0", "E061")],
    "UNKNOWN_PAYEES_PER_DAY": [("0", "E062"), ("501", "E062")],
    "ORGANIZATION_UNKNOWN_PAYEES_PER_DAY": [("0", "E062"), ("5001", "E062")],
    "FX_SPREAD": [("1", "E030"), ("-0.01", "E030"), ("free", "E030")],
    "FX_SOURCES": f"{SAFE}: an order of preference",
    "LARGE_TRANSFER_FROM": [
        ("USD=10000", "E018"),
        *(
            (f"USD={text},EUR=1,GBP=1,RUB=1,JPY=1,KWD=1", "E019")
            for text in ("no", "1e30", "1e3", "1000001", "-1", "NaN")
        ),
        ("USD=1,EUR=1,GBP=1,RUB=1,JPY=1,KWD=300001", "E019"),
    ],
    "FREEZE_BLOCKS_CREDITS": f"{SAFE}: either is a rule of the house",
    "SIMULATOR_ENABLED": [("on", "E001")],
    "SIMULATOR_WEBHOOK_SECRET": [("whsec_eA==", "E004"), (f"whsec_{ANOTHERS_IN_BASE64}", "E003")],
    "SIMULATOR_WEBHOOK_PREVIOUS_SECRET": [("whsec_eA==", "E004"), (f"whsec_{ANOTHERS_IN_BASE64}", "E003")],
    "SIMULATOR_WEBHOOK_URL": f"{SAFE}: used by the simulator alone, which is off",
    "RECONCILE_DATE_WINDOW_DAYS": [("-1", "E061")],
    "RECONCILE_FEE_TOLERANCE": [("1", "E032"), ("all", "E032")],
    "RECONCILE_AUTO_POST_MAX": [
        (value, "E032") for value in ("USD=much", "USD=1e30", "USD=1e-2", "USD=1000000000", "USD=100.01", "KWD=30.001")
    ],
    "STATEMENT_MAX_BYTES": [("0", "E061")],
    "HTTPS": [("off", "E041")],
    "TRUSTED_PROXY_PROTO_HEADER": [
        ("X-Forwarded-Proto", "E020"),
        ("clientproto", "E020"),
        ("HTTP_CLIENTADDRESS", "E020"),
        ("", "W021"),
    ],
    "TRUSTED_PROXY_ADDRESS_HEADER": [("X-Real-IP", "E020"), ("HTTP_X-REAL-IP", "E020"), ("", "W020")],
    "WEB_WORKERS": [("0", "E046")],
    "WEB_THREADS": [("1", "E046"), ("65", "E046")],
    "WEB_CONNECTIONS": [("63", "E046")],
    "WEB_QUEUE": [("7", "E046")],
    "WEB_BODIES_BYTES": [("1000000", "E046")],
    "WEB_ANSWERS_BYTES": [("1000000", "E046")],
    "WEB_NETWORK_PARTS": [("1", "E046"), ("65", "E046")],
    "WEB_UPLOADS": [("0", "E046")],
    "WEB_EXPORTS": [("1", "E046")],
    "WEB_EXPORTS_OF_ONE": [("0", "E046"), ("4", "E046")],
    "SLOW_HEADER_SECONDS": [("0", "E046"), ("61", "E046")],
    "SLOW_BODY_SECONDS": [("0", "E046"), ("121", "E046")],
    "SLOW_ANSWER_SECONDS": [("0", "E046"), ("301", "E046")],
    "SLOW_BYTES_PER_SECOND": [("0", "E046")],
    "RATE_LIMIT_API_NETWORK": rate("60001/m"),
    "RATE_LIMIT_API_PRINCIPAL": rate("12001/m"),
    "RATE_LIMIT_BATCH_ITEMS": rate("60001/m"),
    "RATE_LIMIT_LOG_IN_NETWORK": rate("301/m"),
    "RATE_LIMIT_REGISTER_NETWORK": rate("1001/h"),
    "RATE_LIMIT_SEND_NETWORK": rate("601/15m"),
    # Fewer on average than ten times the default, but all of them at once, or in a window without end.
    "RATE_LIMIT_SEND_DESTINATION": rate("51/15m", "3000/d", "9999999/9999d", "1/2d"),
    "RATE_LIMIT_SEND_DESTINATION_HOUR": rate("101/h"),
    "RATE_LIMIT_SEND_DESTINATION_DAY": rate("301/d"),
    "WIDE_NETWORK_FACTOR": [("0", "E063"), ("65", "E063")],
    "SEND_FOREIGN_PERCENT": [("0", "E063"), ("100", "E063")],
    "CODE_FAILURES_PER_DAY": [("0", "E063"), ("9", "E063"), ("1001", "E063")],
    "RATE_LIMIT_STEP_UP": rate("201/15m"),
    "RATE_LIMIT_VERIFY_NETWORK": rate("301/m"),
    "LOG_FORMAT": [("console", "W023")],
    "LOG_LEVEL": [("DEBUG", "E045"), ("debug", "E045"), ("NOTSET", "E045")],
}
BROKEN = [
    pytest.param(name, value, message, id=f"{name}-{message[:4]}-{number}")
    for name, row in TABLE.items()
    if isinstance(row, list)
    for number, (value, message) in enumerate(row)
]


class _Loaded:
    """Settings that were made from an environment, over Django's defaults."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if name.isupper()}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            return getattr(global_settings, name)


def found_in(environment: Mapping[str, str]) -> set[str]:
    """The ids of what the security checks say about an environment, ours shortened: E040."""
    with mock.patch.dict(os.environ, environment, clear=True), mock.patch.object(environ.Env, "read_env"):
        loaded = _Loaded(runpy.run_path(str(SETTINGS)))
    with mock.patch.object(settings, "_wrapped", loaded):
        messages = run_checks(tags=[Tags.security], include_deployment_checks=True)
    assert all(message.hint or not str(message.id).startswith("fintech.") for message in messages)
    secrets = [value for name, value in environment.items() if "KEY" in name and len(value) > 8]
    assert not [text for message in messages for text in secrets if text in f"{message.msg} {message.hint}"]
    return {str(message.id).removeprefix("fintech.") for message in messages}


def variables() -> set[str]:
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_variable_of_the_settings_has_a_row() -> None:
    """.env.example holds exactly those that the settings read: tests/test_house.py."""
    assert set(TABLE) == variables()
    assert [name for name, row in TABLE.items() if isinstance(row, str) and not row.startswith(f"{SAFE}: ")] == []


@pytest.mark.parametrize("role", ["command", "web", "worker"])
def test_nothing_is_said_of_a_good_environment(role: str) -> None:
    assert found_in(good_for(role)) == set()


def good_for(role: str) -> dict[str, str]:
    """As it should be given to the processes of a role."""
    only_commands = {"DATABASE_OWNER_URL"}
    unused = {"command": set[str](), "worker": only_commands, "web": {*only_commands, "LEDGER_SEAL_KEY"}}[role]
    return {name: value for name, value in GOOD.items() if name not in unused} | {"PROCESS_ROLE": role}


@pytest.mark.parametrize(("name", "value", "message"), BROKEN)
def test_one_broken_variable_is_named(name: str, value: str, message: str) -> None:
    environment = GOOD | {name: value}
    if message == STOPS:
        if not value:
            del environment[name]
        with pytest.raises(ImproperlyConfigured):
            found_in(environment)
        return

    assert message in found_in(environment)


@pytest.mark.parametrize(
    ("role", "given", "message"),
    [
        ("web", "DATABASE_OWNER_URL", "W024"),
        ("worker", "DATABASE_OWNER_URL", "W024"),
        ("web", "RESTORE_DATABASE_URL", "W024"),
        ("web", "BACKUP_IDENTITY_FILE", "W022"),
        ("worker", "BACKUP_IDENTITY_FILE", "W022"),
        ("web", "LEDGER_SEAL_KEY", "W022"),
    ],
)
def test_a_process_is_warned_of_what_it_does_not_use(role: str, given: str, message: str) -> None:
    value = GOOD.get(given, GOOD["DATABASE_OWNER_URL"])

    assert found_in(good_for(role) | {given: value}) == {message}


def test_every_network_has_its_part_of_what_the_web_server_keeps() -> None:
    """A request, a body and an answer of the largest size each; and with one less, the check refuses."""
    mib = 1024 * 1024
    exact = {"WEB_QUEUE": 64, "WEB_BODIES_BYTES": 128 * mib, "WEB_ANSWERS_BYTES": 64 * 64 * mib}
    good = GOOD | {"WEB_NETWORK_PARTS": "64"} | {name: str(value) for name, value in exact.items()}

    assert found_in(good) == set()
    assert {name: found_in(good | {name: str(value - 1)}) for name, value in exact.items()} == {
        name: {"E046"} for name in exact
    }


def test_the_network_of_the_compose_file_is_no_fault() -> None:
    of_containers = {
        "DATABASE_URL": "postgres://fintech_app:secret@postgres:5432/fintech",
        "REDIS_URL": "redis://:secret@valkey:6379/0",
        "EMAIL_URL": "smtp://relay:25",
    }

    assert found_in(good_for("web") | of_containers) == set()


SERVICES = ["migrate", "web", "worker", "beat"]
# Variables that the compose file doesn't pass on from its operator, and why.
OF_COMPOSE = {
    **dict.fromkeys(["ENVIRONMENT", "DATABASE_URL", "REDIS_URL"], "the file's own"),
    **dict.fromkeys(["PROCESS_ROLE", "PORT"], "the image's own"),
    "LEDGER_SEAL_KEY": "worker and beat alone",
    "DATABASE_OWNER_URL": "the file's own, for migrate alone",
    **dict.fromkeys(
        ["BACKUP_RECIPIENTS", "BACKUP_IDENTITY_FILE", "RESTORE_DATABASE_URL"],
        "backups take pg_dump, which the image doesn't have",
    ),
    **dict.fromkeys(["DEBUG", "HTTPS", "STAFF_SECOND_FACTOR", "EMAIL_VERIFICATION"], "production has one good value"),
    **dict.fromkeys(["SMS_TEST_MODE", "SMSRU_URL", "LOG_FORMAT"], "production has one good value"),
    **dict.fromkeys([name for name in TABLE if name.startswith("SIMULATOR_")], "no part of production"),
}


def composed(service: str, operators: Mapping[str, str]) -> dict[str, str]:
    """What a service of the compose file gets from its operator's environment or .env."""
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["environment"]

    def value(match: re.Match[str]) -> str:
        return operators.get(match["name"]) or (match["default"] if match["operator"] == ":-" else "")

    pattern = r"\$\{(?P<name>\w+)((?P<operator>:[-?])(?P<default>[^}]*))?\}"
    by_name = {name: operators[name] for name, text in file.items() if text is None and name in operators}
    return {name: re.sub(pattern, value, str(text)) for name, text in file.items() if text is not None} | by_name


@pytest.mark.parametrize("service", ["web", "worker", "beat"])
@pytest.mark.parametrize("empty", [False, True], ids=["unset", "empty"])
def test_the_services_of_the_compose_file_would_start(service: str, empty: bool) -> None:
    """The image asks at its start: nothing that the file gives, or leaves out, may stop a service."""
    operators = GOOD | {"POSTGRES_APP_PASSWORD": "secret", "VALKEY_PASSWORD": "secret"}
    if empty:  # as copied from .env.example
        lines = re.findall(r"^([A-Z][A-Z0-9_]+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE)
        operators = dict.fromkeys(lines, "") | operators

    given = composed(service, operators)

    assert found_in(given | {"PROCESS_ROLE": "web" if service == "web" else "worker"}) == set()


@pytest.mark.parametrize("service", SERVICES)
def test_the_compose_file_passes_on_every_variable_of_its_operator(service: str) -> None:
    operators = {name: f"of {name}" for name in TABLE}

    given = composed(service, operators)

    passed = {name for name in given if given[name] == operators.get(name)}
    seals = {"LEDGER_SEAL_KEY"} if service in {"worker", "beat"} else set()
    assert passed == (set(TABLE) - set(OF_COMPOSE)) | seals


def test_whatever_the_deployment_guide_calls_the_operators_is_a_variable_that_is_passed_on() -> None:
    guide = (ROOT / "docs" / "deployment.md").read_text()
    table = guide.split("## Environment")[1].split("## Database roles")[0]
    named = set(re.findall(r"`([A-Z][A-Z0-9]+_[A-Z0-9_]+)(?:=[^`]*)?`", table)) - {"ENVIRONMENT"}

    passed = {name for service in SERVICES for name in composed(service, dict.fromkeys(TABLE, "x"))}
    assert {"PII_KEYS", "UNKNOWN_PAYEES_PER_DAY"} <= named
    assert named - passed == {"PROCESS_ROLE", "BACKUP_RECIPIENTS", "BACKUP_IDENTITY_FILE"}


def test_what_follows_from_https_is_looked_at_itself() -> None:
    with mock.patch.dict(os.environ, GOOD, clear=True), mock.patch.object(environ.Env, "read_env"):
        loaded = _Loaded(runpy.run_path(str(SETTINGS)))
    for name, value in (("SESSION_COOKIE_SECURE", False), ("CSRF_COOKIE_SECURE", False), ("SECURE_HSTS_SECONDS", 60)):
        weak = _Loaded({**loaded.values, name: value})
        with mock.patch.object(settings, "_wrapped", weak):
            messages = run_checks(tags=[Tags.security], include_deployment_checks=True)

        assert [message for message in messages if message.id == "fintech.E042" and isinstance(message, Error)]


@pytest.mark.django_db
def test_a_log_in_that_is_a_superuser_is_seen_in_the_database(
    settings: Any, cluster: Any, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEVELOPMENT = False
    assert checks.database_log_in(None, databases=["default"]) == []

    with servers.connect(cluster, database=database_name) as superuser:
        monkeypatch.setattr(checks, "connection", superuser)
        (found,) = checks.database_log_in(None, databases=["default"])

    assert found.id == "fintech.W026"


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--tag", "security"), ()], ids=["as the image asks", "with every check"])
def test_the_command_says_nothing_of_the_good_environment(options: tuple[str, ...]) -> None:
    """A process of its own, warnings counted as failures."""
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING", *options]
    path = {"PATH": os.environ["PATH"]}
    unset = {name: "" for name in variables() - set(GOOD) if name.endswith(("PREVIOUS_KEY", "PREVIOUS_SECRET"))}

    done = subprocess.run(command, cwd=ROOT, env=GOOD | unset | path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("System check identified no issues ("), done.stdout


def test_the_image_refuses_to_start_what_the_check_refuses() -> None:
    """web, worker and beat ask before anything else; the check looks at their own environment."""
    text = (ROOT / "entrypoint.sh").read_text()

    assert "python manage.py check --deploy --tag security" in text
    for role in ("web", "worker", "beat"):
        steps = re.search(rf"^{role}\)\n(.*?);;", text, re.MULTILINE | re.DOTALL)
        assert steps
        assert steps[1].index("refuse_bad_settings") < steps[1].index("wait_for_database") < steps[1].index("exec ")
