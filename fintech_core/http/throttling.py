"""The throttle of every API view: the caller's general limit, then those that the endpoint declares."""

from typing import Any

from rest_framework.throttling import BaseThrottle

from fintech_core.db.work import refuse_while_away
from fintech_core.http.endpoints import endpoint_called
from fintech_core.limits.ratelimit import API_PRINCIPAL, WithoutCache, count_request


class Throttle(BaseThrottle):
    """Raises RateLimited, or ServiceUnavailable."""

    def allow_request(self, request: Any, view: Any) -> bool:
        own = endpoint_called(view, request).limits
        count_request(API_PRINCIPAL, request)
        if any(limit.without_cache is WithoutCache.DATABASE for limit in own):
            refuse_while_away()
        for limit in own:
            count_request(limit, request)
        return True
