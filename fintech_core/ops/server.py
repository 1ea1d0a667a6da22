"""The command line of the web server, the only one: `python -m fintech_core.ops.server [--host HOST] [--port PORT]`.

Becomes granian, whose options below bound what a connection may take. What a request may take: fintech_core.http.front.
"""

import argparse
import os
import resource
import sys

from fintech_core import settings
from fintech_core.values.parsing import parse_whole_number

# Descriptors of a process that aren't connections: database, cache, temporary files.
_OTHER_FILES = 512


def command(host: str, port: int) -> list[str]:
    options = {
        "--interface": "asginl",
        "--host": host,
        "--port": port,
        # HTTP/1 only: granian waits without a deadline for the first byte of a connection that may become HTTP/2, and
        # keeps idle ones of HTTP/2 for as long as they answer pings. Proxies speak HTTP/1 to what is behind them.
        "--http": 1,
        "--workers": settings.WEB_WORKERS,
        # Slow and silent connections count here, so it is far above the number of requests that are worked on.
        "--backpressure": min(settings.WEB_CONNECTIONS, _open_files() - _OTHER_FILES),
        "--backlog": 2048,
        "--http1-buffer-size": settings.WEB_HEADER_BYTES,
        "--http1-header-read-timeout": settings.SLOW_HEADER_SECONDS * 1000,  # also how long a connection may be idle
        # A request may take the 5 seconds of a statement; a worker that hangs longer must not hang the stop.
        "--workers-kill-timeout": 10,
    }
    pairs = [str(part) for pair in options.items() for part in pair]
    return [
        sys.executable,
        "-m",
        "granian",
        *pairs,
        "--respawn-failed-workers",
        "--no-ws",
        "fintech_core.asgi:application",
    ]


def _open_files() -> int:
    """As many as the system allows: the usual soft limit of 1024 is for programs of another age."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.WEB_CONNECTIONS + _OTHER_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard))
    return allowed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=parse_whole_number, default=8000)
    arguments = parser.parse_args()
    parts = command(arguments.host, arguments.port)
    os.execv(parts[0], parts)


if __name__ == "__main__":
    main()
