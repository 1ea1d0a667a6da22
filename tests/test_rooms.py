"""The list of rooms (`fintech_core/rooms.py`) against the file system and every tool that has to be told of a room.

Each failure says what to add, and where. Read off the files, so that nothing has to be imported.
"""

import configparser
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from fintech_core.rooms import PACKAGES, ROOMS

ROOT = Path(settings.BASE_DIR)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
KERNEL, *ABOVE = ROOMS
OF_THE_KERNEL = re.compile(rf"{KERNEL}(\.\w+)?")
NO_CAPABILITY = {"management", "migrations", "tests"}  # packages of a room that are no capability


def contract(name: str) -> dict[str, Any]:
    """The contract of import-linter whose name starts so."""
    [found] = [one for one in PROJECT["importlinter"]["contracts"] if one["name"].startswith(name)]
    return found


def names_in(layers: Iterable[str]) -> list[str]:
    return [name.strip(" ()") for layer in layers for name in layer.split("|")]


def agree(told: Iterable[str], wanted: Iterable[str], where: str) -> None:
    """Fails with what to add or to remove."""
    told, wanted = set(told), set(wanted)
    add = [f"add {name} to {where}" for name in sorted(wanted - told)]
    remove = [f"remove {name} from {where}" for name in sorted(told - wanted)]
    assert add + remove == [], "; ".join(add + remove)


def apps_of(root: Path) -> set[str]:
    return {path.parent.name for path in root.glob("*/apps.py")}


def capabilities_of(room: Path) -> set[str]:
    return {path.parent.name for path in room.glob("*/__init__.py")} - NO_CAPABILITY


def test_every_app_of_ours_is_listed() -> None:
    agree(ROOMS, apps_of(ROOT), "ROOMS in fintech_core/rooms.py")
    assert [app for app in settings.INSTALLED_APPS if app in ROOMS] == list(ROOMS)


@pytest.mark.parametrize("room", PACKAGES)
def test_every_package_of_a_room_with_several_capabilities_is_listed(room: str) -> None:
    agree(PACKAGES[room], capabilities_of(ROOT / room), f"PACKAGES[{room!r}] in fintech_core/rooms.py")


def test_import_linter_knows_every_room() -> None:
    layers = names_in(contract("A room imports the rooms below it")["layers"])
    rooms = [name for name in layers if not OF_THE_KERNEL.fullmatch(name)]

    agree(PROJECT["importlinter"]["root_packages"], ROOMS, "root_packages of tool.importlinter in pyproject.toml")
    agree(rooms, ABOVE, 'the layers of "A room imports the rooms below it" in pyproject.toml')
    assert rooms == ABOVE[::-1], "pyproject.toml and fintech_core/rooms.py order the rooms differently"
    agree(
        contract("The kernel imports no app")["forbidden_modules"],
        ABOVE,
        'the forbidden_modules of "The kernel imports no app" in pyproject.toml',
    )


def test_import_linter_knows_what_has_layers_inside() -> None:
    packages = [f"{room}.{package}" for room in PACKAGES for package in PACKAGES[room]]
    wanted = [*(room for room in ABOVE if room not in PACKAGES), *packages]

    agree(contract("Inside a room")["containers"], wanted, 'the containers of "Inside a room" in pyproject.toml')


@pytest.mark.parametrize("room", PACKAGES)
def test_import_linter_knows_the_order_of_a_rooms_packages(room: str) -> None:
    inside = contract(f"Inside {room}")

    assert inside["containers"] == [room]
    agree(names_in(inside["layers"]), PACKAGES[room], f'the layers of "Inside {room}" in pyproject.toml')


def test_ruff_knows_every_room() -> None:
    first_party = PROJECT["ruff"]["lint"]["isort"]["known-first-party"]

    agree(first_party, {*ROOMS, "devtools"}, "known-first-party of tool.ruff in pyproject.toml")


def test_coverage_measures_every_room() -> None:
    agree(PROJECT["coverage"]["run"]["source"], ROOMS, "the source of tool.coverage.run in pyproject.toml")


def test_pytest_looks_into_every_room() -> None:
    ini = configparser.ConfigParser()
    ini.read(ROOT / "pytest.ini", encoding="utf-8")

    agree(ini["pytest"]["testpaths"].split(), {*ROOMS, "devtools", "tests"}, "testpaths in pytest.ini")


def test_the_image_has_every_room() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    served = {line.removeprefix("!") for line in lines if line.startswith("!")}
    directories = {name for name in served if (ROOT / name).is_dir() or "." not in name}

    agree({f"!{name}" for name in directories}, {f"!{room}" for room in ROOMS}, ".dockerignore")
    # The last line that fits decides, so these come after the rooms.
    assert {"**/tests", "**/conftest.py"} <= set(lines[lines.index("!entrypoint.sh") :])


def includes(module: Path) -> set[str]:
    return set(re.findall(r'include\("([\w.]+)\.urls"\)', module.read_text(encoding="utf-8")))


def test_the_urls_of_every_room_are_served() -> None:
    with_urls = {room for room in ABOVE if (ROOT / room / "urls.py").is_file()}

    agree(includes(ROOT / "fintech_core" / "urls.py"), with_urls, "urlpatterns in fintech_core/urls.py")


@pytest.mark.parametrize("room", PACKAGES)
def test_the_urls_of_every_package_are_served(room: str) -> None:
    with_urls = {f"{room}.{package}" for package in PACKAGES[room] if (ROOT / room / package / "urls.py").is_file()}

    agree(includes(ROOT / room / "urls.py"), with_urls, f"urlpatterns in {room}/urls.py")


def test_a_new_app_that_is_named_nowhere_is_found(tmp_path: Path) -> None:
    app = tmp_path / "deals"
    app.mkdir()
    (app / "apps.py").touch()

    with pytest.raises(AssertionError, match="add deals to ROOMS"):
        agree([], apps_of(tmp_path), "ROOMS")
