"""While the cache is away every page opens: only limits are kept in it, and no library keeps anything there."""

from typing import Any

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.urls import reverse

from fintech_core.limits import ratelimit
from fintech_core.ops import health
from tests.cast import Client, browser_for
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def _cache_is_down(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "_cache_asked_again_at", [0])
    settings.REDIS_URL = "redis://127.0.0.1:9/0"


@pytest.mark.usefixtures("_cache_is_down")
def test_the_pages_of_the_admin_open_without_the_cache(admin_user: User) -> None:
    """The search of the admin answered 500: Unfold keeps what it found."""
    browser = browser_for(admin_user)
    names = [f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist" for page in admin.site._registry.values()]
    urls = ["/admin/search/?s=user", "/admin/search/?s=user&extended=1", "/admin/", *map(reverse, names)]

    found = {url: browser.get(url).status_code for url in urls}

    assert found == dict.fromkeys(urls, 200)


@pytest.mark.usefixtures("_cache_is_down")
def test_readiness_says_that_the_cache_of_the_limits_is_away(anonymous: Client) -> None:
    answer = anonymous.get("/ready")

    assert answer.json()["checks"]["cache"] == "failing"
    assert health.can_serve(health.readiness())


def test_libraries_keep_nothing_in_the_cache() -> None:
    """Django pickles what it keeps: reading it back would run whatever another had written to Valkey."""
    cache.set("key", "value")

    assert cache.get("key") is None
    assert health.readiness()["cache"]
