"""The variables of `make run`: the reader's choice wins, secrets are made once."""

from pathlib import Path

import pytest

from devtools import environment, servers
from devtools.places import Refusal


@pytest.fixture
def cluster(tmp_path: Path) -> servers.Servers:
    return servers.Servers(tmp_path, Path("/s"), servers.Binaries(tmp_path, tmp_path), None)


@pytest.fixture(autouse=True)
def _own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "FILE", tmp_path / "env")


def test_without_a_choice_the_embedded_servers_are_used(cluster: servers.Servers) -> None:
    values = environment.compose({}, 8000, cluster)

    assert values["DATABASE_URL"] == "postgres://fintech_app@/fintech?host=/s"
    assert values["DATABASE_OWNER_URL"] == "postgres://fintech_owner@/fintech?host=/s"
    assert values["REDIS_URL"] == "unix:///s/valkey.sock?db=0"


def test_a_chosen_database_is_used_for_the_owner_too(cluster: servers.Servers) -> None:
    values = environment.compose({"DATABASE_URL": "postgres://a@b/c"}, 8000, cluster)

    assert (values["DATABASE_URL"], values["DATABASE_OWNER_URL"]) == ("postgres://a@b/c", "postgres://a@b/c")


def test_secrets_of_the_first_start_are_kept(cluster: servers.Servers) -> None:
    first = environment.compose({}, 8000, cluster)
    environment.write(first)

    assert environment.compose({}, 8000, cluster) == first
    assert environment.FILE.stat().st_mode & 0o777 == 0o600


def test_a_chosen_secret_wins_over_the_stored_one(cluster: servers.Servers) -> None:
    environment.write(environment.compose({}, 8000, cluster))

    assert environment.compose({"SECRET_KEY": "mine"}, 8000, cluster)["SECRET_KEY"] == "mine"


@pytest.mark.parametrize("port", ["0", "65536", "http", "80 80", "-1"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(Refusal, match="PORT must be a number from 1 to 65535"):
        environment.port_of({"PORT": port})


def test_an_empty_variable_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")

    assert "DATABASE_URL" not in environment.given()
