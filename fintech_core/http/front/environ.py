"""What a WSGI application gets to know of a request (PEP 3333), made of an ASGI scope.

WSGI spells `Idempotency-Key` and `Idempotency_Key` the same, so one would pass for the other, and a request could hold
both. Names with underscores are therefore dropped, as proxies do by default. Nothing of the process's own environment
is handed over.
"""

import sys
from typing import Any
from urllib.parse import unquote_to_bytes

Scope = dict[str, Any]
Environ = dict[str, Any]
_PLAIN = {"CONTENT_TYPE", "CONTENT_LENGTH"}  # the two without HTTP_
_BASE: Environ = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}


def environ_of(scope: Scope) -> Environ:
    raw_path: bytes | None = scope.get("raw_path")
    path = scope["path"].encode() if raw_path is None else unquote_to_bytes(raw_path)
    server = scope.get("server") or ("localhost", None)
    client = scope.get("client") or ("", "")
    version = scope["http_version"]
    environ = {
        **_BASE,
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or ""),
        "SERVER_PROTOCOL": f"HTTP/{version}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.url_scheme": scope["scheme"],
    }
    for name, value in scope["headers"]:
        if b"_" not in name:
            _add(environ, name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1"))
    return environ


def _add(environ: Environ, name: str, value: str) -> None:
    """A repeated header is one with commas (RFC 9110, 5.3), cookies have semicolons (RFC 9113, 8.2.3)."""
    variable = name if name in _PLAIN else f"HTTP_{name}"
    if variable in environ:
        value = f"{environ[variable]}{'; ' if name == 'COOKIE' else ','}{value}"
    environ[variable] = value
