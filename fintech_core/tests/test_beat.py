"""Beat's schedule: it fires however often we deploy, every task exists, and ARCHITECTURE.md lists all of it."""

import re
from pathlib import Path
from typing import Any

import pytest
from celery.schedules import crontab
from django.conf import settings

from fintech_core.celery import app

HOUR = 3600
ROW = re.compile(r"^\| `([a-z_]+\.[a-z_]+)` \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
ENTRIES = sorted(settings.CELERY_BEAT_SCHEDULE.items())


def in_words(schedule: Any) -> str:
    """As the table says it."""
    if not isinstance(schedule, crontab):
        return f"{schedule:g} s" if schedule < 120 else f"{schedule / 60:g} min"
    minute, hour = str(schedule._orig_minute), str(schedule._orig_hour)
    if hour == "*":
        return f"hourly at :{int(minute):02}"
    if hour.startswith("*/"):
        return f"every {hour[2:]} h at :{int(minute):02}"
    return f"daily at {int(hour):02}:{int(minute):02}"


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_nothing_of_an_hour_or_more_is_a_plain_interval(name: str, entry: dict[str, Any]) -> None:
    # A plain interval begins anew with every fresh schedule file: where deployments come sooner, it never ends.
    schedule = entry["schedule"]

    assert isinstance(schedule, crontab) or schedule < HOUR, name


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_every_task_of_the_schedule_exists(name: str, entry: dict[str, Any]) -> None:
    app.loader.import_default_modules()

    assert entry["task"] in app.tasks, name


def test_the_table_of_jobs_in_the_architecture_is_the_schedule() -> None:
    text = (Path(settings.BASE_DIR) / "ARCHITECTURE.md").read_text(encoding="utf-8")

    written = dict(ROW.findall(text))

    assert written == {entry["task"]: in_words(entry["schedule"]) for _, entry in ENTRIES}
