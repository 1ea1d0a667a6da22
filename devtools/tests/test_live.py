"""The live stack that the drills stand on: it serves, and what was killed comes back with its data."""

import pytest

from devtools.live import LiveStack

pytestmark = pytest.mark.slow


def test_a_live_product_survives_the_kill_of_every_part(live: LiveStack) -> None:
    live.start()

    live.kill()
    assert not any(live.alive(name) for name in ("postgres", "valkey", "web", "worker", "beat"))
    live.start()

    assert live.manage("migrate", "--check").returncode == 0
