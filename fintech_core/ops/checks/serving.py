"""What strangers meet: hosts, TLS, cookies, the proxy's headers, debug pages, logs."""

import ipaddress
import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.http.request import validate_host

# Each follows from HTTPS (settings.py); what they are is looked at all the same.
_WITH_TLS = ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY")
_LEVELS = frozenset({"INFO", "WARNING", "ERROR", "CRITICAL"})
_MB = 1024 * 1024
_OF_THE_WEB_SERVER = {
    "WEB_WORKERS": (1, 256),
    "WEB_THREADS": (2, 64),
    "WEB_CONNECTIONS": (64, 100_000),
    "WEB_QUEUE": (8, 10_000),
    "WEB_BODIES_BYTES": (4 * _MB, 4096 * _MB),
    "WEB_ANSWERS_BYTES": (128 * _MB, 65_536 * _MB),
    "WEB_NETWORK_PARTS": (2, 64),
    "WEB_UPLOADS": (1, 32),
    "WEB_EXPORTS": (2, 32),
    "WEB_EXPORTS_OF_ONE": (1, 31),
    "SLOW_HEADER_SECONDS": (1, 60),
    "SLOW_BODY_SECONDS": (1, 120),
    "SLOW_ANSWER_SECONDS": (1, 300),
    "SLOW_BYTES_PER_SECOND": (1024, 100 * _MB),
}
MIN_HSTS_SECONDS = 30 * 24 * 3600


def check() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.DEBUG:
        message = "DEBUG is on: error pages show settings and data."
        found.append(Error(message, hint="Set DEBUG to off.", id="fintech.E040"))
    return [*found, *_tls(), *_hosts(), *_public_url(), *_proxy_headers(), *_web_server(), *_logs()]


def _tls() -> list[CheckMessage]:
    if not settings.HTTPS:
        message = "HTTPS is off: passwords, tokens and cookies travel in clear."
        return [Error(message, hint="Set HTTPS to on, behind a proxy that ends TLS.", id="fintech.E041")]
    off = [name for name in _WITH_TLS if not getattr(settings, name)]
    if off or settings.SECURE_HSTS_SECONDS < MIN_HSTS_SECONDS:
        message = f"HTTPS is on, but not {', '.join(off) or 'SECURE_HSTS_SECONDS'}."
        return [Error(message, hint="Leave to settings.py what follows from HTTPS.", id="fintech.E042")]
    return []


def _hosts() -> list[CheckMessage]:
    """Only names that are served. One that matches every host lets a request choose what is in links and redirects."""
    if not settings.ALLOWED_HOSTS:
        message = "ALLOWED_HOSTS is empty: every request is refused."
        return [Error(message, hint="Name the hosts that are served.", id="fintech.E043")]
    too_wide = [host for host in settings.ALLOWED_HOSTS if "*" in host or "/" in host or _is_of_many(host)]
    if too_wide:
        message = f"ALLOWED_HOSTS holds {', '.join(map(repr, too_wide))}, which is no name of a host."
        return [Error(message, hint="Name the hosts that are served.", id="fintech.E043")]
    return []


def _is_of_many(host: str) -> bool:
    """`.` and `.com`: all names below one label. Which of two labels (`.co.uk`) strangers share isn't known here."""
    return host.startswith(".") and "." not in host.strip(".")


def _public_url() -> list[CheckMessage]:
    """Links in mails begin with it: https, a host that others reach and that is served, and nothing else."""
    hint = "Set PUBLIC_URL to the address that clients use, like https://ledger.example.com."
    try:
        parts = urlsplit(settings.PUBLIC_URL)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return [Error("PUBLIC_URL is no URL.", hint=hint, id="fintech.E044")]
    if parts.scheme != "https" or parts.username or parts.path or parts.query or parts.fragment or is_local(host):
        message = "PUBLIC_URL is not https:// and the name of a host that clients reach."
        return [Error(message, hint=hint, id="fintech.E044")]
    if not validate_host(host, settings.ALLOWED_HOSTS):
        message = "The host of PUBLIC_URL is not among ALLOWED_HOSTS: its links lead to a refusal."
        return [Error(message, hint="Add it to ALLOWED_HOSTS.", id="fintech.E044")]
    return []


def is_local(host: str) -> bool:
    """This machine or a private network, as seen by others; also no host at all."""
    name = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return "." not in name or name == "localhost" or name.endswith((".localhost", ".local", ".internal"))
    return not address.is_global


def _proxy_headers() -> list[CheckMessage]:
    """Headers are spelled as in META, and a proxy that is believed about TLS is believed about addresses too."""
    found: list[CheckMessage] = [
        Error(
            f"{name} is not spelled as in request.META.",
            hint="For example HTTP_CLIENTADDRESS: docs/deployment.md, Proxy.",
            id="fintech.E020",
        )
        for name in ("TRUSTED_PROXY_PROTO_HEADER", "TRUSTED_PROXY_ADDRESS_HEADER")
        if not re.fullmatch(r"(HTTP(_[A-Z0-9]+)+)?", getattr(settings, name))
    ]
    proto, address = settings.TRUSTED_PROXY_PROTO_HEADER, settings.TRUSTED_PROXY_ADDRESS_HEADER
    if proto and proto == address:
        message = "TRUSTED_PROXY_PROTO_HEADER and TRUSTED_PROXY_ADDRESS_HEADER are one header."
        found.append(Error(message, hint="docs/deployment.md, Proxy.", id="fintech.E020"))
    if proto and not address:
        hint = "Let the proxy set one header to the client's address: docs/deployment.md, Proxy."
        found.append(
            Warning("Behind the proxy all clients count as one: no header says who asks.", hint=hint, id="fintech.W020")
        )
    if settings.HTTPS and not proto:
        message = "HTTPS is on and no header says which requests came over TLS: all are redirected."
        hint = "Set TRUSTED_PROXY_PROTO_HEADER: docs/deployment.md, Proxy."
        found.append(Warning(message, hint=hint, id="fintech.W021"))
    return found


def _web_server() -> list[CheckMessage]:
    """What bounds slow and many clients. Too low a limit refuses everyone, too high a one no one."""
    found = [
        f"{name} is not from {least} to {most}."
        for name, (least, most) in _OF_THE_WEB_SERVER.items()
        if not least <= getattr(settings, name) <= most
    ]
    parts = max(1, settings.WEB_NETWORK_PARTS)
    if settings.WEB_EXPORTS_OF_ONE >= settings.WEB_EXPORTS:
        found.append("WEB_EXPORTS_OF_ONE is not less than WEB_EXPORTS: one user keeps all others from exports.")
    if parts > settings.WEB_QUEUE:
        found.append("WEB_QUEUE is less than WEB_NETWORK_PARTS: no network may send a request.")
    if parts * settings.WEB_ANSWER_BYTES > settings.WEB_ANSWERS_BYTES:
        found.append(f"WEB_ANSWERS_BYTES has no {settings.WEB_ANSWER_BYTES} bytes for each of WEB_NETWORK_PARTS.")
    if 2 * parts * settings.MAX_BODY_BYTES > settings.WEB_BODIES_BYTES:
        found.append(f"WEB_BODIES_BYTES has no 2 * {settings.MAX_BODY_BYTES} bytes for each of WEB_NETWORK_PARTS.")
    return [Error(message, hint=".env.example says what it means.", id="fintech.E046") for message in found]


def _logs() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.LOG_LEVEL.upper() not in _LEVELS:
        message = "LOG_LEVEL is not INFO, WARNING, ERROR or CRITICAL: below INFO libraries log values."
        found.append(Error(message, hint="Set LOG_LEVEL to INFO.", id="fintech.E045"))
    if settings.LOG_FORMAT != "json":
        message = "LOG_FORMAT is not json: lines are written for a terminal."
        found.append(Warning(message, hint="Set LOG_FORMAT to json.", id="fintech.W023"))
    return found
