"""Counters of rates in Valkey: fixed windows, one atomic command per count.

They go by this process's clock. Any function raises RedisError or OSError while Valkey is away.
"""

import functools
import time

from django.conf import settings
from redis import Redis

# A counter's lifetime begins with its first count and isn't prolonged by later ones.
_COUNT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return count
"""
_MARGIN = 5  # seconds that a counter outlives its window: the clocks of the processes differ


def count(name: str, subject: bytes, *, rate: tuple[int, int], number: int) -> tuple[int, int]:
    """Count `number`. Returns how many there are in the window now, and the seconds until it ends."""
    most, seconds = rate
    end = window_end(subject, seconds)
    key = f"fintech-core:rate:{name}:{most}/{seconds}:{subject.hex()}:{end}"
    return int(_client(settings.REDIS_URL).eval(_COUNT, 1, key, number, seconds + _MARGIN)), end - int(time.time())


def window_end(subject: bytes, seconds: int) -> int:
    """Each subject has an offset of its own, so that not all windows end at the same time."""
    now, offset = int(time.time()), int.from_bytes(subject[:8])
    return now + (offset - now) % seconds


def are_writable() -> bool:
    return bool(_client(settings.REDIS_URL).set("fintech-core:ready", 1, ex=10))


@functools.cache
def _client(url: str) -> Redis:
    """One for all threads: making one takes longer than a command."""
    return Redis.from_url(url, **settings.REDIS_CLIENT)
