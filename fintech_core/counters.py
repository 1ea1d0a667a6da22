"""The cache that rates are counted in: Django's Redis cache with one round trip for a counter's next number."""

from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient

ORPHAN_LIFETIME = 24 * 3600


class CounterClient(RedisCacheClient):
    def incr(self, key: Any, delta: int) -> int:
        """Django asks first whether the key is there, which is a round trip and a race."""
        client: Any = self.get_client(key, write=True)
        count = int(client.incr(key, delta))
        if count == delta:  # it expired since `add` found it: nobody counts by it any more
            client.expire(key, ORPHAN_LIFETIME)
        return count


class CounterCache(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = CounterClient
