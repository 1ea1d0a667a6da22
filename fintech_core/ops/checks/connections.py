"""What the product connects to: who it logs in as, and whether the way there is private.

A host name without a dot counts as a container on this machine's network (docker-compose.yml), like loopback and
sockets.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import phonenumbers
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

_VERIFIED, _ENCRYPTED = {"verify-ca", "verify-full"}, {"require"}
# Parameters of REDIS_URL that leave host and verification as they are; None: any value.
_REDIS_PARAMETERS: Mapping[str, frozenset[str] | None] = {
    "db": None,
    "ssl_ca_certs": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_cert_reqs": frozenset({"required"}),
    "ssl_check_hostname": frozenset({"True", "true", "1"}),
}
_SMS_URL = "https://sms.ru"
_MAIL_SERVERS = {"django.core.mail.backends.smtp.EmailBackend"}


def check() -> list[CheckMessage]:
    return [*_database(), *_owners_credentials(), *_redis(), *_mail(), *_text_messages(), *_sms_caps()]


def is_near(host: str) -> bool:
    """Whether no traffic to this host leaves the machine, as far as its name shows."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        # Resolvers also take an IPv4 address as one number: 3405803783, 0xcb007107.
        is_number = re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name, re.ASCII) is not None
        return ("." not in name and not is_number) or name.startswith("/") or name.endswith(".localhost")


def _database() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    config = settings.DATABASES["default"]
    user = _effective(config, "user")
    if user in {settings.DATABASE_OWNER_ROLE, "postgres", "root"}:
        message = f"DATABASE_URL logs in as {user}, who may drop the triggers that guard the ledger."
        hint = f"Log in as {settings.DATABASE_APP_ROLE}: docs/deployment.md, Database roles."
        found.append(Error(message, hint=hint, id="fintech.E050"))
    found += _privacy("DATABASE_URL", config)
    if settings.DATABASE_OWNER_URL != settings.DATABASE_URL:
        found += _privacy("DATABASE_OWNER_URL", settings.DATABASE_OWNER)
    return found


def _privacy(name: str, config: Mapping[str, Any]) -> list[CheckMessage]:
    if "service" in config.get("OPTIONS", {}):
        message = f"{name} names a service, whose host and encryption can't be seen here."
        return [Error(message, hint="Write host, user and sslmode into the URL.", id="fintech.E051")]
    mode = _effective(config, "sslmode") or "prefer"
    # libpq tries the hosts of a list one after another, and connects to hostaddr whatever host is called.
    hosts = f"{_effective(config, 'host')},{_effective(config, 'hostaddr')}".split(",")
    if all(is_near(host) for host in hosts) or mode in _VERIFIED:
        return []
    if mode in _ENCRYPTED:
        message = f"{name}: the server's certificate is not verified."
        hint = "Set sslmode=verify-full and sslrootcert as parameters of the URL."
        return [Warning(message, hint=hint, id="fintech.W025")]
    message = f"{name}: the traffic to the database may travel in clear."
    return [Error(message, hint="Set sslmode=verify-full as a parameter of the URL.", id="fintech.E051")]


def _effective(config: Mapping[str, Any], parameter: str) -> str:
    """What the driver is given: parameters of the URL (OPTIONS), and over them what Django names itself."""
    named = config.get(parameter.upper()) if parameter in {"host", "user"} else None
    return str(named or config.get("OPTIONS", {}).get(parameter) or "")


def _owners_credentials() -> list[CheckMessage]:
    """Only commands (migrate, backup, restore_backup) act as the owner."""
    given = [
        name
        for name, is_given in (
            ("DATABASE_OWNER_URL", settings.DATABASE_OWNER_URL != settings.DATABASE_URL),
            ("RESTORE_DATABASE_URL", bool(settings.RESTORE_DATABASE_URL)),
        )
        if is_given
    ]
    if settings.PROCESS_ROLE == "command" or not given:
        return []
    message = f"A {settings.PROCESS_ROLE} process is given {', '.join(given)}: it could act as the owner."
    return [Warning(message, hint="Set it where commands run, only.", id="fintech.W024")]


def _redis() -> list[CheckMessage]:
    """Who writes to the queue chooses what workers do; who writes to the cache resets limits."""
    parts = urlsplit(settings.REDIS_URL)
    if parts.scheme == "unix":
        return []
    host, found = parts.hostname or "", list[CheckMessage]()
    loopback = host in {"localhost", "127.0.0.1", "::1"}
    if not loopback and not parts.password:
        message = "REDIS_URL has no password: the network can write to queue and cache."
        found.append(Error(message, hint="Set requirepass, and the password in REDIS_URL.", id="fintech.E052"))
    if not is_near(host) and parts.scheme != "rediss":
        message = "REDIS_URL: password, queue and cache travel in clear."
        found.append(Error(message, hint="Use rediss://.", id="fintech.E052"))
    # Both clients (redis-py for the cache, kombu for the queue) take what they are given here.
    odd = sorted({name for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _is_kept(name, value)})
    if odd:
        message = f"REDIS_URL has {', '.join(odd)}: another host, or a server that isn't verified."
        hint = "Leave such parameters out: the server's certificate is required, and its name compared."
        found.append(Error(message, hint=hint, id="fintech.E052"))
    return found


def _is_kept(name: str, value: str) -> bool:
    """Whether this parameter of REDIS_URL leaves host and verification as they are."""
    if name not in _REDIS_PARAMETERS:
        return False
    values = _REDIS_PARAMETERS[name]
    return values is None or value in values


def _mail() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.EMAIL_BACKEND not in _MAIL_SERVERS:
        message = f"EMAIL_URL chooses {settings.EMAIL_BACKEND.rsplit('.', 2)[-2]}, which sends nothing."
        found.append(Error(message, hint="Set it to smtp+tls://user:password@host:587.", id="fintech.E053"))
    elif not is_near(settings.EMAIL_HOST) and not (_on("EMAIL_USE_TLS") or _on("EMAIL_USE_SSL")):
        message = "EMAIL_URL: links and codes travel to the mail server in clear."
        found.append(Error(message, hint="Use smtp+tls:// or smtp+ssl://.", id="fintech.E053"))
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip(" >")
    if "." not in domain or domain.endswith(".localhost"):
        message = "DEFAULT_FROM_EMAIL is no address of a domain of yours."
        found.append(Error(message, hint="Like Name <no-reply@ledger.example.com>.", id="fintech.E054"))
    return found


def _on(name: str) -> bool:
    return bool(getattr(settings, name, False))


def _text_messages() -> list[CheckMessage]:
    """No codes that strangers know or read, and a provider that can be asked."""
    found: list[CheckMessage] = []
    if settings.SMS_TEST_MODE:
        found.append(Error("SMS_TEST_MODE gives known codes out.", hint="Set it to off.", id="fintech.E014"))
    if settings.SMS_PROVIDER not in {"smsru", "none"}:
        hint = "Set it to smsru, or to none where there are no text messages."
        found.append(Error(f"SMS_PROVIDER is {settings.SMS_PROVIDER}.", hint=hint, id="fintech.E015"))
    if settings.SMS_PROVIDER == "smsru" and not settings.SMSRU_API_ID:
        found.append(Error("SMSRU_API_ID is empty.", hint="Take it from https://sms.ru.", id="fintech.E016"))
    if settings.SMS_PROVIDER == "smsru" and not settings.SMS_COUNTRIES:
        found.append(Error("SMS_COUNTRIES is empty.", hint="Name the countries that are served.", id="fintech.E055"))
    unknown = sorted(set(settings.SMS_COUNTRIES) - phonenumbers.SUPPORTED_REGIONS)
    if unknown:
        message = f"SMS_COUNTRIES holds {', '.join(unknown)}, which is no country."
        found.append(Error(message, hint="Two capital letters each, like RU,KZ.", id="fintech.E055"))
    if settings.SMSRU_URL != _SMS_URL:
        message = f"SMSRU_URL is not {_SMS_URL}: codes and numbers go elsewhere."
        found.append(Error(message, hint="Leave it out.", id="fintech.E017"))
    return found


def _sms_caps() -> list[CheckMessage]:
    """Caps that bound what pumping costs, and leave customers a part."""
    wrong = [
        name
        for name, lowest, highest in (
            ("SMS_MAX_PER_PREFIX_PER_HOUR", 2, settings.SMS_MAX_PER_HOUR),
            ("SMS_MAX_PER_PREFIX_PER_DAY", 1, settings.SMS_MAX_PER_DAY),
            ("SMS_MAX_PER_HOUR", 1, settings.SMS_MAX_PER_DAY),
            ("SMS_MAX_PER_DAY", 1, 1_000_000),
            ("SMS_MAX_PER_NETWORK_PER_DAY", 1, settings.SMS_MAX_PER_PREFIX_PER_HOUR - 1),
            ("SMS_MAX_PER_ACCOUNT_PER_DAY", 1, settings.SMS_MAX_PER_HOUR),
            ("SMS_PREFIX_DIGITS", 3, 10),
            ("SMS_RESERVED_PERCENT", 10, 90),
            ("SMS_UNCONFIRMED_ALARM", 1, settings.SMS_MAX_PER_HOUR),
        )
        if not lowest <= getattr(settings, name) <= highest
    ]
    return [
        Error(f"{name} bounds nothing.", hint=".env.example says what it means.", id="fintech.E056") for name in wrong
    ]
