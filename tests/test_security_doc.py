"""docs/security.md, and rates and keys of the API's conventions: names and figures are those of the code.

Its tables are compared elsewhere: test_step_up_table, test_open_credentials, users.tests.test_api_keys.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from fintech_core.http.endpoints import IdempotencyKey, endpoint_of
from fintech_core.ops.checks import product
from fintech_core.ops.checks.keys import IN_FORCE
from fintech_core.settings import rate
from tests.api_routes import api_endpoints
from tests.source_code import sources
from users.services import attempts, codes, lockout, passwords, second_factor
from users.services.attempts import Standing

ROOT = Path(settings.BASE_DIR)
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
API = (ROOT / "API_DOCUMENTATION.md").read_text(encoding="utf-8")
PROSE = " ".join(PAGE.split())
# Upper-case words between backticks that are no variables.
NO_VARIABLES = {"DENY", "NOT_SUBMITTED"}


def test_the_contents_name_every_section_in_order() -> None:
    contents = re.findall(r"^- \[(.+?)\]\(#", PAGE.split("\n## ")[0], re.MULTILINE)

    assert contents == re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


def test_every_variable_exists() -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=\w+)?`", PAGE)) - NO_VARIABLES
    known = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert named - set(known) == set()
    assert set(IN_FORCE) <= named


def test_every_file_and_audit_action_exists() -> None:
    code = "".join((ROOT / path).read_text(encoding="utf-8") for path, _ in sources())
    files = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", PAGE)
    actions = re.findall(r"`((?:auth|user|kyc|payees|admin)\.[a-z_]+)`", PAGE)

    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert [name for name in actions if f'"{name}"' not in code] == []
    assert len(files) > 5
    assert len(actions) > 5


def test_the_budgets_of_guesses_are_those_in_force() -> None:
    contact, user = attempts.budgets_of_contact(), attempts.budgets_of_user()
    familiar, asked, foreign = contact[Standing.FAMILIAR], contact[Standing.ASKED], contact[Standing.FOREIGN]

    each = f"{familiar}, {attempts.in_a_familiar_network()} in each"
    assert f"| log-in codes, per address or number | {each} | {asked} | {foreign} |" in PAGE
    assert user[Standing.FAMILIAR] == familiar == 5 * attempts.in_a_familiar_network()
    assert (attempts.FAMILIAR_NETWORKS, lockout.KEEPS_ITS_PLACE.days) == (5, 30)
    of_users = f"| {each} | | {user[Standing.FOREIGN]} |"
    assert len(re.findall(rf"^\|.+{re.escape(of_users)}$", PAGE, re.MULTILINE)) == 2
    assert (familiar or 0) + (asked or 0) + (foreign or 0) == settings.CODE_FAILURES_PER_DAY == 100
    tries = {codes.TRIES, second_factor.TRIES, passwords.TRIES}
    windows = {codes.WINDOW, second_factor.WINDOW, passwords.WINDOW}
    assert (tries, {window.total_seconds() for window in windows}) == ({5}, {900})
    assert (lockout.TRIES_HERE, lockout.TRIES_EVERYWHERE, lockout.LOCK_HERE.total_seconds()) == (10, 100, 1800)


def test_what_is_left_to_a_guesser_follows_from_the_figures() -> None:
    most = settings.CODE_FAILURES_PER_DAY
    sends, window = product._RATES["send_network"]
    guesses = sends * codes.TRIES * (86_400 // window)
    hour, day = product._RATES["send_destination_hour"][0], product._RATES["send_destination_day"][0]
    percent = settings.SEND_FOREIGN_PERCENT
    shares = attempts.budgets_of_contact()
    networks = ((shares[Standing.ASKED] or 0) + (shares[Standing.FOREIGN] or 0)) // codes.TRIES

    assert f"{(1 - (1 - most / 1_000_000) ** 365) * 100:.1f} %" == "3.6 %"
    for said in (
        "1 in 10,000 a day",
        f"{guesses:,} guesses a day, or an account in {1_000_000 / guesses:.0f} days",
        f"one network has {sends} sends in a quarter of an hour",
        f"{day * percent // 100} messages a day to one contact",
        f"{day * percent // 100 * 2 * codes.TRIES / 100} in 10,000 a day for an unproved contact",
        f"at most {2 * hour + hour * percent // 100} requested messages and step-up codes in an hour and"
        f" {2 * day + day * percent // 100} a day",
        f"with {hour * percent // 100} requests an hour ({day * percent // 100} a day)",
        f"a stranger with {networks} networks",
        f"the password's with {lockout.TRIES_EVERYWHERE} wrong ones",
        "that is 3.6 %",
    ):
        assert said in PROSE, said


@pytest.mark.parametrize("name", sorted(product._RATES))
def test_the_documented_rates_are_productions_defaults(name: str) -> None:
    """The settings of a test are development's; `check --deploy` measures by production's."""
    rows = re.findall(rf"^\|.*\| (\S+) \| `RATE_LIMIT_{name.upper()}` \|$", API, re.MULTILINE)

    assert [rate(row) for row in rows] == [product._RATES[name]]
    assert set(settings.RATE_LIMITS) == set(product._RATES)


def keyed(key: IdempotencyKey) -> Iterator[str]:
    for path, method, view, action in api_endpoints():
        template = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path).replace("{pk}", "{id}").removeprefix("api/v1/")
        if endpoint_of(view, action).key is key:
            yield f"{method.upper()} {template}"


def test_the_requests_that_need_or_take_a_key_are_documented() -> None:
    heading = "| these need one, else 400 `idempotency_key_required` | these take one |\n|---|---|\n"
    needing, taking = API.split(heading)[1].split("\n")[0].strip("|").split("|")

    assert sorted(re.findall(r"`(\w+ /\S+)`", needing)) == sorted(keyed(IdempotencyKey.REQUIRED))
    assert sorted(re.findall(r"`(\w+ /\S+)`", taking)) == sorted(
        f.replace("{wallet_id}", "{id}") for f in keyed(IdempotencyKey.ACCEPTED)
    )
