"""Nothing personal and no credential reaches a log line; ids, times and amounts do (requirements 52 and 58)."""

import datetime as dt
import io
import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from devtools import places
from fintech_core.db import ids
from fintech_core.security import redaction
from fintech_core.values.money import exponent_of
from tests.cast import written_log

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLW9mLXRoaXM"
PEM = "-----BEGIN " + "PRIVATE KEY-----\nMIIE\n-----END " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("mail to alice@example.com failed", "alice@example.com"),
        ("mail to o'brien+x@mail.example.co.uk.", "o'brien+x@mail.example.co.uk"),
        ("'alice@example.com'", "alice"),
        ("<юлия@пример.рф>", "юлия@пример.рф"),
        ('"two words"@example.com', "two words"),
        ("root@localhost", "root@"),
        ("?email=alice%40example.com&x=1", "alice%40example.com"),
        ("/users/alice%2Btag%40example.com", "alice%2Btag"),
        (f"{'a' * 300}@example.com", "aaaa"),
        ("sms to +79123456789", "+79123456789"),
        ("+7 (912) 345-67-89", "345-67-89"),
        ("8 (912) 345-67-89", "345-67-89"),
        ("8 912 345-67-89", "345-67-89"),
        ("to=79123456789&msg=", "79123456789"),
        ("{'phone': '79123456789'}", "79123456789"),
        ("%2B14155552671", "14155552671"),
        ("+44 20 7946 0958", "7946"),
        ("Authorization: Bearer abc.def-1", "abc.def-1"),
        ("'Authorization': 'Bearer abc.def'", "abc.def"),
        ("bearer abcdef.ghi", "abcdef"),
        ("Authorization: api-key abcdefgh", "abcdefgh"),
        ("Api-Key k1_ab.c2VjcmV0", "c2VjcmV0"),
        ("key fc_0123456789abcdef.s3cret-_x!", "s3cret-_x"),
        (f"token {JWT}", JWT),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ"),
        ("sk" + "_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39"),
        ("password=hunter2&x=1", "hunter2"),
        ("{'password': 'hunter 2'}", "hunter 2"),
        ("client_secret: abcdef", "abcdef"),
        ("Cookie: sessionid=abcdef", "abcdef"),
        ("postgres://fintech_app:hunter2@db:5432/fintech", "hunter2"),
        ("/checkout/0193f5a27c3b712384561234567890ab:1tFabc:" + "x" * 43, "xxxx"),
        (PEM, "MIIE"),
        ("card 4111111111111111", "4111111111111111"),
        ("4111 1111 1111 1111", "4111"),
        ("4111-1111-1111-1111", "4111"),
        ("card 4111 1111 1111 1111 123", "4111"),
        ("12/26 4111 1111 1111 1111", "4111 "),
        ("371449635398431", "371449635398431"),
        ("30569309025904", "30569309025904"),
        ("4222222222222", "4222222222222"),
        ("2200000000000004", "2200000000000004"),
        ("5555555555554444.", "5555"),
        ("Your code: 123456", "123456"),
        ("otp=123456", "123456"),
        ("{'code': '123456'}", "123456"),
        ("the code is 123 456", "123 456"),
        ("123456 is your code", "123456"),
        ("Ваш код: 123456", "123456"),
        ("Step-Up-Code: 123456", "123456"),
        ("DETAIL:  Key (email)=(alice) already exists.", "alice"),
        ("DETAIL:  Key (a, b)=(x, (y)) already exists.", "(y)"),
        ("DETAIL:  Failing row contains (1, Alice, null).", "Alice"),
        ("DETAIL:  Failing row contains (1, Al\nice, null).\nCONTEXT: x", "ice"),
        ('invalid input syntax for type date: "born 1990"', "born"),
        ("syntax error\nLINE 1: SELECT 'Alice'\n", "Alice"),
        ('date/time field value out of range: "1990-13-01"', "1990"),
    ],
)
def test_it_is_hidden(text: str, hidden: str) -> None:
    assert hidden in text
    assert hidden not in redaction.redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "0193f5a2-7c3b-7123-8456-123456789012",
        "12345678-1234-7123-8456-123456789012",
        "/api/v1/wallets/41111111-1111-1111-8111-111111111111/statement",
        "0193f5a27c3b71238456123456789012",
        "2026-11-25T22:44:42.123456Z",
        "2026-11-25 22:44:42.123+03:00",
        "2026-11-25 22-44-42",
        "20261125224442",
        "1764110682000",
        "1764110682000000000",
        "12.50",
        "9999999999999999.99",
        "4111111111111111.00",
        "+1234567.50",
        "-1000000",
        "1 234 567.89 USD",
        "status_code=200",
        "sqlstate code 40001",
        "GET /api/v1/auth/token 401 12.3 ms",
        "password authentication failed for user x",
        "Passwords have 15 to 128 characters.",
        "The access token is no longer valid.",
        "celery@worker ready",
        "bearer of bad news, a bearer token missing",
        "key fc_0123456789abcdef",
        "package@1.2.3",
        "127.0.0.1:8000 [2001:db8::1]:443",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "relation users_user does not exist",
        "card 4111111111111112",
        "reference INV-2026-000123",
        "code not_found, count 1234567",
    ],
)
def test_it_survives(text: str) -> None:
    assert redaction.redact_text(text) == text


_WORDS = st.sampled_from(["wallet", "at", "amount", "=", ":", "(", ",", "'", "from", "in"])
_AMOUNTS = st.builds(
    lambda units, currency: str(Decimal(units).scaleb(-exponent_of(currency))),
    st.integers(-(10**12) + 1, 10**12 - 1),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
_TIMES = st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))])).map(
    dt.datetime.isoformat
)
_HARMLESS = st.one_of(
    st.uuids(allow_nil=False).map(str),
    st.integers(0, 2**74 - 1).map(lambda n: str(uuid.UUID(int=(0x0193F5A27C3B7 << 76) | n | (2 << 62)))),
    _AMOUNTS,
    _TIMES,
)


@given(st.lists(st.tuples(_WORDS, _HARMLESS), min_size=1, max_size=6))
def test_ids_times_and_amounts_survive_in_any_company(pieces: list[tuple[str, str]]) -> None:
    text = "; ".join(f"{word} {value}" for word, value in pieces)

    assert redaction.redact_text(text) == text


@given(
    st.text(max_size=20).filter(lambda text: not text or not (text[-1].isalnum() or text[-1] in "_.!#$%*+^`~-'")),
    st.from_regex(r"[a-z]{3,10}(\.[a-z]{2,8})?", fullmatch=True),
    st.text(max_size=20),
)
def test_an_address_is_hidden_wherever_it_stands(before: str, name: str, after: str) -> None:
    address = f"{name}@example.com"

    assert address not in redaction.redact_text(f"{before}{address} {after}")


@given(st.text(st.characters(codec="utf-8")))
def test_text_that_was_redacted_stays_as_it_is(text: str) -> None:
    once = redaction.redact_text(text)

    assert redaction.redact_text(once) == once


@pytest.mark.parametrize("unit", ["a", "a.", "1 ", "+1", "code ", "%", "!", "a@", "a'", '"a', "token'", "://a:", "eyJ"])
def test_hostile_text_takes_time_in_proportion(unit: str) -> None:
    """A pattern that backtracks would take minutes for the second."""
    import time

    def seconds(length: int) -> Any:
        started = time.process_time()
        redaction.redact_text(unit * (length // len(unit)))
        return time.process_time() - started

    seconds(2_000)
    assert seconds(60_000) < 2


# --- Values -----------------------------------------------------------------------------------------------------------


class Stranger:
    def __repr__(self) -> str:
        return "<Stranger alice@example.com>"


def test_containers_and_objects_are_walked() -> None:
    value = {"list": [{"password": "x", "to": ("alice@example.com",)}], "bob@example.com": 1, "object": Stranger()}

    assert redaction.redact_value(value) == {
        "list": [{"password": "[redacted]", "to": ["[address]"]}],
        "[address]": 1,
        "object": "<Stranger [address]>",
    }


def test_bytes_exceptions_and_big_numbers_are_read_too() -> None:
    assert "alice" not in redaction.redact_value(b"alice@example.com")
    assert "alice" not in redaction.redact_value(ValueError("alice@example.com"))
    assert redaction.redact_value(4111111111111111) == "[card]"
    assert redaction.redact_value(4111111111111112) == 4111111111111112


@pytest.mark.parametrize("value", [None, True, 7, Decimal("12.50"), ids.uuid7(), dt.datetime.now(dt.UTC)])
def test_plain_values_stay_what_they_are(value: Any) -> None:
    assert redaction.redact_value(value, "amount") is value


@pytest.mark.parametrize("name", ["password", "New_Password", "refresh_token", "email", "phone_number", "api_key_id"])
def test_a_sensitive_name_blanks_whatever_it_holds(name: str) -> None:
    assert redaction.redact_value(["x"], name) == "[redacted]"


def test_a_code_by_its_name_alone() -> None:
    assert redaction.redact_value("123456", "code") == "[redacted]"
    assert redaction.redact_value("not_found", "code") == "not_found"


def test_depth_has_an_end() -> None:
    value: Any = "alice@example.com"
    for _ in range(50):
        value = [value]

    assert "alice" not in str(redaction.redact_value(value))


# --- Lines ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["json", "console"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the product's handler writes, in both formats."""
    with written_log(request.param) as written:
        yield written


def test_our_own_lines_are_redacted(lines: io.StringIO) -> None:
    structlog.get_logger("t").info(
        "mail to alice@example.com", email="x@y.zz", note={"to": "+79123456789"}, amount="12.50"
    )

    text = lines.getvalue()
    assert "12.50" in text
    assert all(hidden not in text for hidden in ("alice", "x@y.zz", "79123456789"))


@pytest.mark.parametrize(
    "name", ["django", "django.request", "django.server", "celery", "_granian", "psycopg.pool", "any"]
)
def test_lines_of_libraries_are_redacted(lines: io.StringIO, name: str) -> None:
    logging.getLogger(name).error(
        "sent to %s: %s", "alice@example.com", {"password": "hunter2"}, exc_info=ValueError("+79123456789")
    )

    text = lines.getvalue()
    assert "sent to" in text
    assert "ValueError" in text
    assert all(hidden not in text for hidden in ("alice", "hunter2", "79123456789"))


def test_a_traceback_is_kept_and_redacted(lines: io.StringIO) -> None:
    def careless() -> None:
        raise ValueError("no account for alice@example.com")

    try:
        careless()
    except ValueError:
        structlog.get_logger("t").exception("failed")

    text = lines.getvalue()
    assert "Traceback" in text
    assert "in careless" in text
    assert "alice" not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMP TABLE t (a text UNIQUE); INSERT INTO t VALUES ('Alice\nSmith'), ('Alice\nSmith')",
        "CREATE TEMP TABLE t (a text CHECK (a = '')); INSERT INTO t VALUES ('Alice).\nSmith')",
        "SELECT 'Alice\nSmith'::date",
        "SET LOCAL lc_messages = 'C'; SELECT 'Alice Smith'::int",
    ],
)
def test_what_the_database_says_of_values_is_left_out(lines: io.StringIO, statement: str) -> None:
    from django.db import DatabaseError, connection

    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:
        cursor.execute(statement)
    logging.getLogger("django.request").error("Internal Server Error", exc_info=caught.value)

    text = lines.getvalue()
    assert "Internal Server Error" in text
    assert psycopg.__name__ in text
    assert "SQLSTATE" in text
    assert "Alice" not in text
    assert "Smith" not in text


def test_a_record_that_cannot_be_formatted_shows_no_arguments(lines: io.StringIO) -> None:
    logger = logging.getLogger("t.unformattable")
    logger.handlers, logger.propagate = logging.getLogger().handlers[:1], False  # pytest's own would raise
    logger.warning("%d people", "alice@example.com")

    assert "failed: TypeError" in lines.getvalue()
    assert "alice" not in lines.getvalue()


def test_an_event_stays_one_line(lines: io.StringIO) -> None:
    structlog.get_logger("t").warning("one\ntwo", value="\x1b[31m", path="alice@example.com\r\n")

    (line,) = lines.getvalue().splitlines()
    assert "\x1b" not in line
    assert "alice" not in line
    if line.startswith("{"):
        assert json.loads(line)["path"] == "[address]\r\n"


def test_what_ends_a_process_is_logged() -> None:
    code = "import django; django.setup(); raise ValueError('alice@example.com')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=places.CHECKOUT
    )

    assert done.returncode == 1
    assert "unhandled_exception" in done.stderr
    assert "ValueError" in done.stderr
    assert "[address]" in done.stderr
    assert "Traceback" in done.stderr
    assert "alice@" not in done.stderr.replace(code, "")
