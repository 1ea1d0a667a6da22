"""Kills at any moment of the demo: nothing acknowledged is lost, nothing happens twice, the books are right (INV-5)."""

import itertools
import random
import subprocess
import time
from pathlib import Path

import pytest

from devtools import places, programs
from devtools.live import LiveStack

pytestmark = pytest.mark.slow

VICTIMS = ("web", "worker", "postgres")
PATIENCE = 240  # seconds for one demo under fire


@pytest.mark.parametrize("seed", [1, 2])
def test_the_demo_survives_kills_of_web_worker_and_database(live: LiveStack, tmp_path: Path, seed: int) -> None:
    credentials = tmp_path / "credentials.json"
    live.start()
    live.manage("load_demo", "--credentials", str(credentials))
    demo = subprocess.Popen(
        programs.manage("demo", "--url", live.url, "--wait", "90", "--credentials", str(credentials)),
        cwd=places.CHECKOUT,
        env=live.environment("command") | {"ENVIRONMENT": "development"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    kills = _kill_until_done(live, demo, random.Random(seed))  # noqa: S311 - a drill
    output = demo.communicate(timeout=PATIENCE)[0]

    assert (demo.returncode, "The ledger is right" in output) == (0, True), output
    assert kills >= len(VICTIMS)
    assert live.manage("verify_ledger").returncode == 0


def _kill_until_done(live: LiveStack, demo: "subprocess.Popen[str]", dice: random.Random) -> int:
    """Each victim in turn, at random moments, and up again at once; the last word is the demo's own verification,
    during which the database lives."""
    kills = 0
    deadline = time.monotonic() + PATIENCE
    for victim in itertools.cycle(VICTIMS):
        time.sleep(dice.uniform(0.3, 1.2))
        if demo.poll() is not None or kills >= 2 * len(VICTIMS) or time.monotonic() > deadline:
            return kills
        live.kill(victim)
        live.start(victim)
        kills += 1
    return kills
