"""Where things live: private directories that nobody can slip under us."""

import os
from pathlib import Path

import pytest

from devtools import places


def test_recorded_directory_is_used_again() -> None:
    made = places.private_directory(None, os.geteuid())

    again = places.private_directory(str(made), os.geteuid())

    assert again == made
    made.rmdir()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777])
def test_directory_that_others_can_enter_is_not_used_again(tmp_path: Path, mode: int) -> None:
    opened = tmp_path / "opened"
    opened.mkdir()
    opened.chmod(mode)

    made = places.private_directory(str(opened), os.geteuid())

    assert made != opened
    assert made.stat().st_mode & 0o777 == 0o700
    made.rmdir()
