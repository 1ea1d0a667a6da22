"""What can be known of the container files without a container engine."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from django.conf import settings

from devtools.places import CHECKOUT

COMPOSE = (CHECKOUT / "docker-compose.yml").read_text()
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
# Of the servers that the compose file brings; the product itself never reads them. Documented at its top.
SERVER_PASSWORDS = {"POSTGRES_PASSWORD", "POSTGRES_OWNER_PASSWORD", "POSTGRES_APP_PASSWORD", "VALKEY_PASSWORD"}
SECRET_WORDS = ("SECRET", "PASSWORD", "KEY")


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE)
    return parsed


def documented() -> set[str]:
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))


def test_the_compose_file_has_every_role_of_the_product() -> None:
    assert set(compose()["services"]) == {"postgres", "valkey", "migrate", "web", "worker", "beat"}


def test_every_variable_of_the_product_is_documented() -> None:
    given = set(compose()["services"]["migrate"]["environment"])

    assert given - documented() == set()


def test_every_variable_that_is_asked_for_is_documented() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE))

    assert asked - documented() == SERVER_PASSWORDS


def test_no_secret_has_a_default() -> None:
    lenient = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):-", COMPOSE))

    named = {name for name in lenient if any(word in name for word in SECRET_WORDS)}
    assert named == set()


def test_only_who_seals_has_the_key_of_the_seals() -> None:
    services = compose()["services"]

    assert {name for name in services if "LEDGER_SEAL_KEY" in services[name].get("environment", {})} == {
        "worker",
        "beat",
    }


def test_no_port_is_open_beyond_the_loopback_interface() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_are_pinned_by_tag() -> None:
    images = [service["image"] for name, service in compose()["services"].items() if "build" not in service]
    images += [image for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)]

    assert all(re.search(r":(?!latest$)[\w.-]+$", image) for image in images), images


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "fintech"


def test_the_image_installs_by_hash() -> None:
    assert "--require-hashes -r requirements.txt" in DOCKERFILE


@pytest.mark.parametrize("script", ["entrypoint.sh", ".ci/run"])
def test_the_script_is_executable_and_parses(script: str) -> None:
    path = CHECKOUT / script

    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


def test_the_image_gets_everything_that_the_settings_import() -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()

    ours = {app for app in settings.INSTALLED_APPS if (CHECKOUT / app).is_dir()}
    assert {f"!{name}" for name in ours} <= set(ignored)
