"""Runs a load in one or several processes that start together, and counts transfers per second."""

import importlib
import multiprocessing
import os
import random
import time
import uuid
from typing import Any

WARM_UP = 20
_spawn = multiprocessing.get_context("spawn")


def rate(
    load: str, people: list[tuple[uuid.UUID, uuid.UUID]], count: int, *, clients: int = 1, **options: Any
) -> float:
    """Transfers per second of `load` (a name in benchmarks.loads), `count` in all, over `clients` processes."""
    start, ready = _spawn.Event(), _spawn.Semaphore(0)
    results: Any = _spawn.Queue()
    each = count // clients
    workers = [
        _spawn.Process(target=_work, args=(load, people, each, number, options, ready, start, results))
        for number in range(clients)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    start.set()
    spans = [results.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    return each * clients / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _work(
    load: str,
    people: list[tuple[uuid.UUID, uuid.UUID]],
    count: int,
    number: int,
    options: dict[str, Any],
    ready: Any,
    start: Any,
    results: Any,
) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fintech_core.settings")
    import django

    django.setup()
    run = getattr(importlib.import_module("benchmarks.loads"), load)
    if options.get("lane") == "own":
        options = {**options, "lane": number}
    dice = random.Random(number)  # noqa: S311 - a load, repeatable
    run(people, min(count, WARM_UP), dice, **options)
    ready.release()
    start.wait()
    began = time.monotonic()
    run(people, count, dice, **options)
    results.put((began, time.monotonic()))
