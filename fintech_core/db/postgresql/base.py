"""Django's PostgreSQL backend with a pool that connects in the thread that needs a connection.

psycopg_pool connects in the background and pauses longer after each failure, up to minutes, but a request waits for
seconds: the first one after an outage got 503 although the database was back, and while it was away each took the whole
wait. Here a request finds out at once. There is no upper bound, since the server's threads are one.

Connections that stay with their threads (CONN_MAX_AGE) would be simpler. The front's threads stay, but those of WSGI
servers may end when they are idle, and what they leave behind stays open until the garbage collector comes by.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import psycopg
from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

MAX_AGE = 3600.0  # seconds; a server's session grows with what it has seen, and names get new addresses
MAX_IDLE = 600.0
Connection = psycopg.Connection[Any]


class Pool:
    """Idle connections, the one used last on top. `size` are kept at most."""

    def __init__(self, connect: Callable[[], Connection], *, size: int) -> None:
        self._connect, self._size = connect, size
        self._lock = threading.Lock()
        self._idle: deque[tuple[Connection, float]] = deque()  # with the time when each was returned

    def open(self) -> None:
        """Part of what Django asks of a pool. There is nothing to start."""

    def close(self) -> None:
        """Close the idle connections; those in use come back as ever."""
        self._discard_idle()

    def getconn(self) -> Connection:
        """A connection that works just now. Raises psycopg.OperationalError at once where none can be made."""
        connection = self._take()
        if connection is not None and not _works(connection):
            # What ended one has mostly ended all, and to ask each may take a time-out each.
            connection.close()
            self._discard_idle()
            connection = None
        if connection is None:
            connection = self._connect()
            connection._expire_at = time.monotonic() + MAX_AGE
        connection._pool = self  # where Django returns it
        return connection

    def putconn(self, connection: Connection) -> None:
        """Take a connection back, or close it where it is broken, old or one too many."""
        now = time.monotonic()
        connection._pool = None
        self._discard_idle(before=now - MAX_IDLE)
        if now < connection._expire_at and _is_at_rest(connection):
            with self._lock:
                if len(self._idle) < self._size:
                    self._idle.append((connection, now))
                    return
        connection.close()

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop()[0] if self._idle else None

    def _discard_idle(self, *, before: float = math.inf) -> None:
        """Close the idle connections that were returned before this moment; they lie in that order."""
        over = []
        with self._lock:
            while self._idle and self._idle[0][1] < before:
                over.append(self._idle.popleft()[0])
        for connection in over:
            connection.close()


def _works(connection: Connection) -> bool:
    try:
        connection.execute("")
    except psycopg.Error:
        return False
    return True


def _is_at_rest(connection: Connection) -> bool:
    """Whether no transaction is open any more; one that was left open is rolled back."""
    status = connection.pgconn.transaction_status
    if status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
        try:
            connection.rollback()
        except psycopg.Error:
            return False
        status = connection.pgconn.transaction_status
    return status == TransactionStatus.IDLE


class DatabaseWrapper(base.DatabaseWrapper):
    """`OPTIONS["pool"]` is the number of idle connections that are kept."""

    _connection_pools: ClassVar[dict[str, Pool]] = {}

    @property
    def pool(self) -> Pool:
        if self.alias not in self._connection_pools:
            size = self.settings_dict["OPTIONS"]["pool"]
            self._connection_pools.setdefault(self.alias, Pool(self._new_connection, size=size))
        return self._connection_pools[self.alias]

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        return {**self.get_connection_params(), "autocommit": True}

    def _new_connection(self) -> Connection:
        connection: Connection = self.Database.connect(**self._parameters)
        self._configure_connection(connection)  # type: ignore[attr-defined]  # newer than the stubs
        return connection
