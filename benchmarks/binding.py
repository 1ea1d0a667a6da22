"""`make bench ARGS=--binding`: who binds the values of statements, and what that costs.

Compared are the server for all statements (Django's `server_side_binding`, as the settings have it), the server for
those of fintech_core/db/prepared.py alone, and the client for all (Django's default). One process for each runs the
same load in turns, a little at a time. Shown are the median and the least CPU time of a transfer or request: the
process's own, and that of its connection's server process.
"""

import importlib
import multiprocessing
import os
import random
import statistics
import time
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from benchmarks.stage import Stage

ALL, HOT_PATH, NONE = "server, all", "server, hot path", "client, all"
# A load, how many transfers a turn has, and further options of the load.
LOADS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("service_transfers", 20, {}),
    ("service_batches", 300, {"size": 100}),
    ("reads", 20, {}),
    ("reads", 20, {"largest": 100}),
)
WARM_UP = 4  # turns
_spawn = multiprocessing.get_context("spawn")


def compare(stage: Stage, turns: int, console: Console) -> None:
    """Print a table."""
    stage.stack.start("valkey")
    workers = {mode: _Worker(mode, stage) for mode in (ALL, HOT_PATH, NONE)}
    columns = ("values bound by", "CPU here, ms", "CPU there, ms", "both", "ratio", "waited, ms")
    for load, count, options in LOADS:
        spans: dict[str, list[tuple[float, float, float]]] = {mode: [] for mode in workers}
        for turn in range(turns + WARM_UP):
            for mode, worker in workers.items():
                span = worker.run(load, count, turn, options)
                if turn >= WARM_UP:
                    spans[mode].append(span)
        table = Table(*columns, title=f"{load} {options or ''}, {turns} turns of {count}")
        ours = statistics.median(here + there for here, there, _ in spans[ALL])
        for mode, of_mode in spans.items():
            both = statistics.median(here + there for here, there, _ in of_mode)
            values = [[1000 * value for value in column] for column in zip(*of_mode, strict=True)]
            shown = [f"{statistics.median(column):.2f} (≥ {min(column):.2f})" for column in values]
            table.add_row(mode, *shown[:2], f"{1000 * both:.2f}", f"{both / ours:.2f}", shown[2])
        console.print(table)
    for worker in workers.values():
        worker.stop()


class _Worker:
    def __init__(self, mode: str, stage: Stage) -> None:
        self._pipe, other = _spawn.Pipe()
        self._process = _spawn.Process(target=_work, args=(mode, stage.people, other))
        self._process.start()
        other.close()  # where the process fails, `recv` does

    def run(self, load: str, count: int, turn: int, options: dict[str, Any]) -> tuple[float, float, float]:
        """Seconds for one transfer: of this process's CPU, of the server process's CPU, and of the clock."""
        self._pipe.send((load, count, turn, options))
        spans: tuple[float, float, float] = self._pipe.recv()
        return spans

    def stop(self) -> None:
        self._pipe.send(None)
        self._process.join()


class _BoundByTheServer:
    """Django's connection, whose cursors are others."""

    def __getattr__(self, name: str) -> Any:
        from django.db import connection

        return getattr(connection, name)

    def cursor(self) -> Any:
        import psycopg

        self.ensure_connection()
        return self.make_cursor(psycopg.Cursor(self.connection))


def _work(mode: str, people: Any, pipe: Any) -> None:
    os.environ |= {"DJANGO_SETTINGS_MODULE": "fintech_core.settings", "LOG_LEVEL": "WARNING"}
    import django
    from django.conf import settings
    from django.db import connection

    settings.DATABASES["default"]["OPTIONS"]["server_side_binding"] = mode == ALL
    django.setup()
    import psutil

    from fintech_core.db import prepared

    if mode == HOT_PATH:
        prepared.connection = cast(Any, _BoundByTheServer())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = psutil.Process(cursor.fetchone()[0])

    def now() -> tuple[float, float, float]:
        of_server = server.cpu_times()
        return time.process_time(), of_server.user + of_server.system, time.monotonic()

    loads = importlib.import_module("benchmarks.loads")
    while task := pipe.recv():
        load, count, turn, options = task
        began = now()
        getattr(loads, load)(people, count, random.Random(turn), **options)  # noqa: S311 - a load, repeatable
        pipe.send(tuple((after - before) / count for before, after in zip(began, now(), strict=True)))
