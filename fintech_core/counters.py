"""The cache that rates are counted in: one round trip per count, where django-ratelimit's two calls would be three.

It asks `add(key, 1)`, and where there is such a key `incr(key)`. Here `add` does both at once, atomically, and `incr`
hands out what came of it. So this cache is for counters alone. An instance belongs to one thread (Django's `caches`).
django-ratelimit counts one at a time; inside `weighing(n)` that one counts as n, in the same command.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient

# The counter's lifetime begins with its first count and isn't prolonged by others.
_COUNT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return count
"""


_weight: ContextVar[int] = ContextVar("weight_of_a_count", default=1)


@contextmanager
def weighing(number: int) -> Iterator[None]:
    """What is counted inside counts `number` times."""
    token = _weight.set(number)
    try:
        yield
    finally:
        _weight.reset(token)


class CounterClient(RedisCacheClient):
    _counted: tuple[str, int] | None = None
    _kept: Any = None

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        """One client, kept: making one for every command, as Django does, takes longer than the command."""
        if self._kept is None:
            self._kept = super().get_client(key, write=True)
        return self._kept

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        """Count `value` and say whether the number is `value` now; else `incr` returns it."""
        count = int(self.get_client().eval(_COUNT, 1, key, value * _weight.get(), timeout))
        self._counted = (key, count)
        return count == value

    def incr(self, key: Any, delta: Any) -> int:
        """The number of the count that `add` has just made. Raises ValueError for any other key."""
        if self._counted is None or self._counted[0] != key:
            raise ValueError("this cache counts by add()")
        return self._counted[1]


class CounterCache(RedisCache):
    def __init__(self, server: Any, params: Any) -> None:
        super().__init__(server, params)
        self._class = CounterClient
