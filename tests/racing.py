"""Operations that run at the same moment, for tests that count how each of them ended."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

from fintech_core.exceptions import DomainError


def at_once(*operations: Callable[[], Any]) -> list[str]:
    """ "done", the code of the refusal or the name of the error, for each operation; sorted."""
    barrier = threading.Barrier(len(operations))
    outcomes: list[str] = []

    def run(operation: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            operation()
            outcomes.append("done")
        except DomainError as refusal:
            outcomes.append(refusal.code)
        except Exception as error:
            outcomes.append(type(error).__name__)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(operation,)) for operation in operations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return sorted(outcomes)
