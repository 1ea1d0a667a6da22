"""Single transfers over HTTP: a real web server, eight clients with tokens, each answer read and checked."""

import queue
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING

import httpx

from benchmarks.measure import rate
from benchmarks.stage import Stage

if TYPE_CHECKING:
    from benchmarks.__main__ import Row

CLIENTS = 8


def http_rate(stage: Stage, count: int) -> "Row":
    from benchmarks.__main__ import Row

    stage.stack.start("valkey", "web")
    _wait_until_up(stage.stack.url)
    tokens = _tokens(stage)
    rounds = [(_run(stage, tokens, count), rate("rival_transfers", stage.people, 1_200, clients=8)) for _ in range(3)]
    stage.stack.stop("web")
    return Row(
        "single transfers, 8 clients, HTTP / plpgsql", max(ours for ours, _ in rounds), max(t for _, t in rounds)
    )


def _wait_until_up(url: str) -> None:
    """/health, since the worker that /ready?strict=1 asks for doesn't run."""
    for _ in range(150):
        try:
            if httpx.get(f"{url}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError("the web server doesn't answer")


def _tokens(stage: Stage) -> list[tuple[str, uuid.UUID]]:
    """Access tokens for eight of the people, made by the service that a log-in calls."""
    from benchmarks.people import access_token

    return [(access_token(user), wallet) for user, wallet in stage.people[:CLIENTS]]


def _run(stage: Stage, tokens: list[tuple[str, uuid.UUID]], count: int) -> float:
    barrier = threading.Barrier(CLIENTS + 1)
    failures: queue.Queue[str] = queue.Queue()

    def work(number: int) -> None:
        token, source = tokens[number]
        dice = random.Random(number)  # noqa: S311 - a load, repeatable
        with httpx.Client(base_url=stage.stack.url, headers={"Authorization": f"Bearer {token}"}) as client:
            client.get("/health")
            barrier.wait()
            for _ in range(count // CLIENTS):
                _, other = dice.choice(stage.people[CLIENTS:])
                body = {
                    "source_wallet": str(source),
                    "destination_wallet": str(other),
                    "amount": "1.25",
                    "currency": "USD",
                }
                answer = client.post("/api/v1/transfers", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
                if answer.status_code != httpx.codes.CREATED:
                    failures.put(answer.text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    if not failures.empty():
        raise RuntimeError(f"{failures.qsize()} requests failed, the first: {failures.get()}")
    return count / (time.monotonic() - began)
