"""Rates: how they are read and loaded, one at a time, jumps on confirmation; and which set a quote takes."""

import contextlib
import io
import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.values import money
from tests.cast import Client, actor_for, kyc
from tests.forge import Forge
from tests.racing import race_outcomes
from transactions.exchange.models import ExchangeRate
from transactions.exchange.selectors import current_rates
from transactions.exchange.services.exchanges import RateUnavailable, create_quote
from transactions.exchange.services.rates import RatesUnreadable, load_rates, read_ecb
from transactions.ledger import engine as ledger
from users.models import User
from wallet.models import Wallet
from wallet.services import open_wallet

URL = "/api/v1/exchange-rates"
SYSTEM = Actor.system("test")
TODAY = datetime.now(UTC).date()
DAY = timedelta(days=1)
LENIENT = [
    "1_000",
    "\uff11\uff12.\uff15",
    " 5\n",
    "1e3",
    "+5",
    "\u0663",
    "-1",
    "0",
    "0.0",
    "05",
    ".5",
    "5.",
    "1,5",
    "NaN",
    "Infinity",
    "",
]
TOO_LONG = ["1" * 13, "0." + "1" * 13, "9" * 5000]


def load(rates: dict[str, str], day: date = TODAY, source: str = "ecb", confirmed: tuple[str, ...] = ()) -> Any:
    return unit_of_work(
        lambda: load_rates(
            actor=SYSTEM,
            source=source,
            as_of=day,
            rates={currency: Decimal(rate) for currency, rate in rates.items()},
            confirmed_jumps={currency: Decimal(rates[currency]) for currency in confirmed},
        )
    )


def body(rates: dict[str, Any], day: date = TODAY, **more: Any) -> dict[str, Any]:
    return {"source": "desk", "as_of": day.isoformat(), "rates": rates, **more}


def errors(answer: Any) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in answer.json()["errors"]]


# --- Digits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*LENIENT, *TOO_LONG, 1.1, 1, None, True, ["1"]], ids=repr)
def test_a_rate_is_plain_ascii_digits(text: object) -> None:
    with pytest.raises(money.InvalidAmount):
        money.parse_rate(text)


@pytest.mark.parametrize("text", ["1", "0.000000000001", "1.0837", "999999999999.999999999999"])
def test_a_rate_is_read_exactly(text: str) -> None:
    assert str(money.parse_rate(text)) == text or money.parse_rate(text) == Decimal(text)


@pytest.mark.django_db
@pytest.mark.parametrize("text", [*LENIENT, *TOO_LONG, 1.1, None], ids=repr)
def test_the_api_takes_no_other_rate(operator_client: Client, text: object) -> None:
    answer = operator_client.post(URL, body({"USD": "1.1", "GBP": text}))

    assert answer.status_code == 400, answer.content
    assert [field for field, _ in errors(answer)] == ["rates.GBP"]
    assert not ExchangeRate.objects.exists()


@pytest.mark.parametrize("text", [*LENIENT, *TOO_LONG], ids=repr)
def test_the_file_takes_no_other_rate(text: str) -> None:
    with pytest.raises(RatesUnreadable):
        read_ecb(ecb({"2026-11-24": f"<Cube currency='GBP' rate='{text}'/>"}))


# --- The API ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_operators_load_rates_and_customers_do_not(operator_client: Client, alice_client: Client) -> None:
    rates = body({"USD": "1.1"}, date(2026, 11, 20))

    refused = alice_client.post(URL, rates)
    loaded = operator_client.post(URL, rates)
    twice = operator_client.post(URL, body({"GBP": "0.87"}, date(2026, 11, 20)))

    assert refused.status_code == 403
    assert (loaded.status_code, [(rate["currency"], rate["per_base"]) for rate in loaded.json()["rates"]]) == (
        201,
        [("EUR", "1.000000000000"), ("USD", "1.100000000000")],
    )
    assert (twice.status_code, twice.json()["code"]) == (409, "rates_exist")
    assert [(r["currency"], r["per_base"]) for r in alice_client.get(f"{URL}?currency=USD").json()["results"]] == [
        ("USD", "1.100000000000")
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"EUR": "1.1", "USD": "1.1"}, [("rates.EUR", "base_is_one")]),
        ({"EUR": "0.999999999999"}, [("rates.EUR", "base_is_one")]),
        ({"usd": "1.1"}, [("rates.usd", "unknown_currency")]),
        ({"XXX": "1.1"}, [("rates.XXX", "unknown_currency")]),
        ({}, [("rates", "empty")]),
    ],
    ids=str,
)
def test_a_set_that_makes_no_sense_is_refused(
    operator_client: Client, rates: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    answer = operator_client.post(URL, body(rates))

    assert (answer.status_code, errors(answer)) == (400, expected)
    assert not ExchangeRate.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "1000000000000", "0.0000000000001"])
def test_the_service_checks_what_it_is_given(rate: str) -> None:
    with pytest.raises(ValidationFailed):
        load({"USD": rate})

    assert not ExchangeRate.objects.exists()


@pytest.mark.django_db
def test_a_rate_that_jumps_is_loaded_on_confirmation_only(operator_client: Client, operator: User) -> None:
    load({"USD": "1.0", "GBP": "0.8", "JPY": "160"}, TODAY - 2 * DAY)
    rates = {"USD": "1.1", "GBP": "0.72", "JPY": "176.000000000001", "KWD": "0.36"}

    refused = operator_client.post(URL, body(rates))
    other = operator_client.post(URL, body(rates, confirmed_jumps={"GBP": "0.72", "JPY": "176"}))
    assert not ExchangeRate.objects.filter(as_of=TODAY).exists()
    loaded = operator_client.post(URL, body(rates, confirmed_jumps={"JPY": "176.000000000001"}))

    jump = {"currency": "JPY", "before": "160", "after": "176.000000000001"}  # the others differ by 10 %, not by more
    for answer in (refused, other):
        assert (answer.status_code, answer.json()["code"], answer.json()["jumps"]) == (409, "rates_jump", [jump])
    assert loaded.status_code == 201, loaded.content
    audit = AuditLog.objects.filter(action="rates.loaded").order_by("pk").last()
    assert audit is not None
    assert (audit.actor_id, audit.after["confirmed_jumps"]) == (operator.pk, [jump])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("loaded", "new", "refused"),
    [
        ({-1: "1.00"}, "1.11", "1"),  # the day before
        ({-9: "1.00", -3: "1.20"}, "1.11", None),  # of earlier days the nearest alone
        ({-1: "1.00", 0: "1.09"}, "1.18", "1"),  # another set of the same day doesn't replace the day before
        ({0: "1.00"}, "1.11", "1"),
        ({-1: "1.00", 1: "1.09"}, "0.91", "1.09"),  # a later set, loaded first
        ({1: "1.105"}, "1.00", "1.105"),  # measured from the earlier rate: 10.5 %
    ],
    ids=str,
)
def test_a_new_rate_is_compared_with_all_that_are_near_it(
    operator_client: Client, loaded: dict[int, str], new: str, refused: str | None
) -> None:
    yesterday = TODAY - DAY
    for number, rate in loaded.items():
        load({"USD": rate}, yesterday + number * DAY, source=f"s{number + 9}", confirmed=("USD",))

    answer = operator_client.post(URL, body({"USD": new}, yesterday))

    if refused is None:
        assert answer.status_code == 201, answer.content
    else:
        jump = {"currency": "USD", "before": refused, "after": new.rstrip("0").rstrip(".")}
        assert (answer.status_code, answer.json()["jumps"]) == (409, [jump])


@pytest.mark.django_db
def test_small_steps_under_many_sources_of_one_day_come_no_further_than_one(operator_client: Client) -> None:
    load({"USD": "1.00"}, TODAY - DAY)

    answers = [
        operator_client.post(URL, {**body({"USD": rate}), "source": f"s{number}"})
        for number, rate in enumerate(["1.09", "1.1881", "1.295"])
    ]

    assert [answer.status_code for answer in answers] == [201, 409, 409]


@pytest.mark.django_db
def test_a_confirmation_given_up_front_names_the_rate(operator_client: Client) -> None:
    load({"USD": "1.00"}, TODAY - DAY)

    other = operator_client.post(URL, body({"USD": "100000"}, confirmed_jumps={"USD": "1.12"}))
    bare = operator_client.post(URL, body({"USD": "100000"}, confirmed_jumps=["USD"]))
    unknown = operator_client.post(URL, body({"USD": "1"}, confirmed_jumps={"usd": "1"}))
    same = operator_client.post(URL, body({"USD": "1.12"}, confirmed_jumps={"USD": "1.120"}))

    assert [answer.status_code for answer in (other, bare, unknown, same)] == [409, 400, 400, 201]


@pytest.mark.django_db
@pytest.mark.parametrize("day", [TODAY + 2 * DAY, date(2036, 1, 1), date.max, date.min, date(1899, 12, 31)], ids=str)
def test_a_set_of_a_day_that_is_out_of_reach_is_refused(operator_client: Client, tmp_path: Path, day: date) -> None:
    file = tmp_path / "rates.xml"
    file.write_bytes(ecb({str(day): cube("0.8")}).getvalue())

    answer = operator_client.post(URL, body({"USD": "1.05"}, day))
    with pytest.raises(CommandError, match="as_of"):
        call_command("load_rates", file)

    assert (answer.status_code, errors(answer)) == (400, [("as_of", "out_of_range")])
    assert not ExchangeRate.objects.exists()


@pytest.mark.django_db
def test_the_rates_of_tomorrow_are_taken(operator_client: Client) -> None:
    answer = operator_client.post(URL, body({"USD": "1.05"}, TODAY + DAY))

    assert answer.status_code == 201, answer.content


# --- The ECB's file ---------------------------------------------------------------------------------------------------


def ecb(days: dict[str, str]) -> io.BytesIO:
    cubes = "".join(f"<Cube time='{day}'>{rates}</Cube>" for day, rates in days.items())
    return io.BytesIO(
        "<gesmes:Envelope xmlns:gesmes='http://www.gesmes.org/xml/2002-08-01' "
        f"xmlns='http://www.ecb.int/vocabulary/2002-08-01/eurofxref'><Cube>{cubes}</Cube></gesmes:Envelope>".encode()
    )


def cube(rate: str, currency: str = "GBP") -> str:
    return f"<Cube currency='{currency}' rate='{rate}'/>"


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_day_counts_in_whatever_order_they_come(order: int) -> None:
    days = [("2026-11-24", cube("0.86")), ("2026-11-25", cube("0.87")), ("2026-11-26", cube("0.88"))]

    assert read_ecb(ecb(dict(days[::order]))) == (
        date(2026, 11, 26),
        {"EUR": Decimal(1), "GBP": Decimal("0.88")},
    )


def test_the_whole_history_is_read_and_other_currencies_are_left_out() -> None:
    days = {str(date(1999, 1, 4) + number * DAY): cube("0.7") + cube("1", "ROL") for number in range(7000)}

    assert read_ecb(ecb(days)) == (date(2018, 3, 4), {"EUR": Decimal(1), "GBP": Decimal("0.7")})


@pytest.mark.parametrize(
    "document",
    [
        io.BytesIO(b""),
        io.BytesIO(b"<a/>"),
        io.BytesIO(b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'),
        ecb({}),
        ecb({"2026-11-24": ""}),
        ecb({"2026-11-24": cube("0.8"), "2026-11-25": ""}),
        ecb({"not-a-day": cube("0.8")}),
        ecb({"20261124": cube("0.8")}),
        ecb({"2026-W48-2": cube("0.8")}),
        ecb({"\uff12\uff1026-11-24": cube("0.8")}),
        ecb({"2026-02-30": cube("0.8")}),
        ecb({"2026-11-24": cube("0.87") + cube("8.70")}),
        ecb({"2026-11-24": cube("0.87") + cube("0.87")}),
        ecb({"2026-11-24": cube("1", "XAU") + cube("1", "XAU") + cube("0.87")}),
        ecb({"2026-11-26": cube("0.88"), "2026-11-24": cube("0.87") + cube("8.70")}),
        io.BytesIO(
            ecb({"2026-11-24": cube("0.8")})
            .getvalue()
            .replace(b"<Cube><Cube", b"<Cube>" + b"<Cube time='2026-11-24'/><Cube")
        ),
        io.BytesIO(ecb({}).getvalue().replace(b"<Cube>", b"<Cube>" + cube("0.8").encode())),
        ecb({"2026-11-24": "<Cube currency='GBP'/>"}),
    ],
)
def test_a_bad_file_of_rates_is_refused(document: io.BytesIO) -> None:
    with pytest.raises(RatesUnreadable):
        read_ecb(document)


@pytest.mark.django_db
def test_a_file_whose_euro_is_not_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rates.xml"
    file.write_bytes(ecb({str(TODAY): cube("1.1", "EUR") + cube("0.8")}).getvalue())

    with pytest.raises(CommandError, match=r"rates\.EUR"):
        call_command("load_rates", file)
    assert not ExchangeRate.objects.exists()


@pytest.mark.django_db
def test_the_command_asks_for_confirmation_of_a_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load({"GBP": "0.8", "USD": "1.1"}, TODAY - DAY)
    file = tmp_path / "rates.xml"
    file.write_bytes(ecb({str(TODAY): cube("8.0") + cube("1.1", "USD")}).getvalue())
    out, err = io.StringIO(), io.StringIO()

    with pytest.raises(CommandError, match="--confirm"):
        call_command("load_rates", file, stdout=out, stderr=err)
    with pytest.raises(CommandError, match="GBP"):
        call_command("load_rates", file, confirm=[("GBP", Decimal("8.1"))], stdout=out, stderr=err)
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    with pytest.raises(CommandError):
        call_command("load_rates", file, stdout=out, stderr=err)
    assert not ExchangeRate.objects.filter(as_of=TODAY).exists()
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    call_command("load_rates", file, stdout=out, stderr=err)
    call_command("load_rates", file, stdout=out, stderr=err)

    assert out.getvalue() == f"Loaded 3 rates of {TODAY}.\nThe rates of {TODAY} are loaded already.\n"
    assert "GBP: 0.8" in err.getvalue()
    audit = AuditLog.objects.get(entity_id=f"ecb:{TODAY}")
    assert audit.after["confirmed_jumps"] == [{"currency": "GBP", "before": "0.8", "after": "8"}]


def test_the_command_takes_confirmed_currencies(tmp_path: Path, db: None) -> None:
    load({"GBP": "0.8"}, TODAY - DAY)
    file = tmp_path / "rates.xml"
    file.write_bytes(ecb({str(TODAY): cube("8.0")}).getvalue())

    call_command("load_rates", str(file), "--confirm", "GBP=8.0", stdout=io.StringIO())

    assert ExchangeRate.objects.get(as_of=TODAY, currency="GBP").per_base == 8


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- Which set a quote takes ------------------------------------------------------------------------------------------


@pytest.fixture
def wallets(alice: User) -> dict[str, Wallet]:
    kyc(alice, 1)
    for currency in ("EUR", "GBP", "JPY"):
        unit_of_work(
            lambda currency=currency: open_wallet(
                actor=SYSTEM, owner_user_id=alice.pk, currency=currency, now=datetime.now(UTC)
            )
        )
    return {wallet.currency: wallet for wallet in Wallet.objects.filter(owner_user=alice)}


def quote(client: Client, wallets: dict[str, Wallet], source: str, target: str, amount: str = "100.00") -> Any:
    ends = {"source_wallet": str(wallets[source].pk), "destination_wallet": str(wallets[target].pk)}
    return client.post("/api/v1/exchange-quotes", {**ends, "amount": amount, "currency": source})


def test_every_pair_is_priced_by_the_one_newest_set(alice_client: Client, wallets: dict[str, Wallet]) -> None:
    load({"USD": "1.00", "GBP": "0.80", "JPY": "160"}, TODAY - 2 * DAY)
    load({"USD": "1.05", "GBP": "0.82"}, TODAY - DAY)
    load({"GBP": "0.84"}, TODAY - 4 * DAY, source="desk")

    priced = [quote(alice_client, wallets, *pair) for pair in (("USD", "GBP"), ("EUR", "GBP"), ("USD", "EUR"))]
    unpriced = [quote(alice_client, wallets, *pair, "100") for pair in (("USD", "JPY"), ("JPY", "EUR"), ("GBP", "JPY"))]

    found = [answer.json() for answer in priced]
    assert [each["rate"] for each in found] == ["0.7809523809", "0.8200000000", "0.9523809523"]
    assert {(each["rates_source"], each["rates_as_of"]) for each in found} == {("ecb", str(TODAY - DAY))}
    # The older set has the yen, but at another price of the dollar.
    assert [(answer.status_code, answer.json()["code"]) for answer in unpriced] == [(422, "rate_unavailable")] * 3


@pytest.mark.parametrize(
    ("sets", "circle", "unpriced"),
    [
        (  # the older set of another source has a currency more
            [
                ("desk", 2, {"USD": "1.00", "GBP": "0.80", "JPY": "160"}),
                ("ecb", 0, {"USD": "1.09", "GBP": "0.80"}),
            ],
            ["USD", "JPY", "GBP", "USD"],
            ["USD-JPY", "JPY-GBP"],
        ),
        (  # the newest set of the same source lacks a currency
            [("ecb", 2, {"USD": "1.00", "GBP": "0.80"}), ("ecb", 0, {"USD": "1.09"})],
            ["USD", "GBP", "EUR", "USD"],
            ["USD-GBP", "GBP-EUR"],
        ),
        (  # two sources on one day, of which the preferred one has fewer
            [("ecb", 0, {"USD": "1.10", "GBP": "0.80"}), ("desk", 0, {"USD": "1.13"})],
            ["USD", "GBP", "EUR", "USD"],
            ["USD-GBP", "GBP-EUR"],
        ),
    ],
    ids=["other-source", "currency-left-out", "same-day"],
)
def test_exchanging_in_a_circle_gains_nothing_where_sets_differ(
    alice_client: Client,
    wallets: dict[str, Wallet],
    settings: Any,
    sets: list[tuple[str, int, dict[str, str]]],
    circle: list[str],
    unpriced: list[str],
) -> None:
    settings.FX_SOURCES = ["desk", "ecb"]
    for source, age, rates in sets:
        load(rates, TODAY - age * DAY, source=source)

    hops = itertools.pairwise(circle)
    answers = {f"{source}-{target}": quote(alice_client, wallets, source, target, "1000") for source, target in hops}

    refused = {hop: answer.json()["code"] for hop, answer in answers.items() if answer.status_code != 201}
    assert refused == dict.fromkeys(unpriced, "rate_unavailable")


_SETS = st.dictionaries(
    st.tuples(st.sampled_from(["ecb", "desk"]), st.integers(0, 2)),
    st.dictionaries(
        st.sampled_from(["USD", "GBP", "JPY"]), st.integers(50, 200).map(lambda units: Decimal(units).scaleb(-2)),
        min_size=1,
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=_SETS, path=st.lists(st.sampled_from(["USD", "GBP", "JPY", "EUR"]), min_size=2, max_size=5))
def test_no_path_of_quotes_through_any_sets_gains_anything(
    alice: User, wallets: dict[str, Wallet], settings: Any, sets: dict[tuple[str, int], Any], path: list[str]
) -> None:
    """Every path that ends where it began, also without a margin. A pair without a rate is a hop that isn't made."""
    settings.FX_SPREAD = "0"
    settings.FX_SOURCES = ["desk"]
    start = money = Decimal("1000000")
    at = path[0]

    with transaction.atomic():
        for (source, age), rates in sets.items():
            facts = {"source": source, "as_of": TODAY - age * DAY, "loaded_at": datetime.now(UTC)}
            ExchangeRate.objects.bulk_create(
                [ExchangeRate(currency=currency, per_base=rate, **facts) for currency, rate in rates.items()]
            )
        for target in [*path[1:], path[0]]:
            with contextlib.suppress(RateUnavailable, ledger.SameWallet):
                made = create_quote(
                    actor=actor_for(alice),
                    source_wallet=wallets[at].pk,
                    destination_wallet=wallets[target].pk,
                    amount=money,
                    currency=at,
                )
                at, money = target, made.destination_amount
        transaction.set_rollback(True)

    assert at != path[0] or money <= start


@pytest.mark.parametrize(
    ("order", "source"),
    [([], "second"), (["first"], "first"), (["second", "first"], "second"), (["other", "first", "second"], "first")],
)
def test_on_one_day_the_order_of_sources_decides_then_the_last_loaded(
    db: None, settings: Any, order: list[str], source: str
) -> None:
    settings.FX_SOURCES = order
    load({"USD": "1.00"}, source="first")
    load({"USD": "1.05"}, source="second")
    load({"USD": "1.02"}, TODAY - DAY, source="other")

    found = current_rates(not_before=TODAY - 5 * DAY, today=TODAY)

    assert found is not None
    assert (found.source, found.as_of, found.per_base["EUR"]) == (source, TODAY, 1)


def test_a_set_without_the_base_serves_too_since_the_base_is_one_by_definition(
    alice_client: Client, wallets: dict[str, Wallet]
) -> None:
    """Such sets, and wrong rates of the base, were loaded before there was the rule: the row isn't read at all."""
    ExchangeRate.objects.create(
        source="old", as_of=TODAY, currency="USD", per_base=Decimal("1.10"), loaded_at=datetime.now(UTC)
    )

    answer = quote(alice_client, wallets, "USD", "EUR", "110.00").json()

    assert (answer["rate"], answer["rates_source"]) == ("0.9090909090", "old")


@pytest.mark.parametrize(
    ("currency", "rate", "constraint"),
    [
        ("EUR", "1.1", "rate_of_base_is_one"),
        ("USD", "NaN", "rate_within_limit"),
        ("USD", "1000000000000", "rate_within_limit"),
        ("USD", "0", "rate_positive"),
    ],
)
def test_the_database_refuses_a_wrong_rate(forge: Forge, currency: str, rate: str, constraint: str) -> None:
    facts = {"source": "x", "as_of": TODAY, "loaded_at": datetime.now(UTC)}
    row = {"id": "01a2053f-1d41-72ff-b92b-4f326afb1cdf", **facts, "currency": currency, "per_base": Decimal(rate)}

    with forge.refused("23514", constraint=constraint):
        forge.insert("transactions_exchangerate", [row])


# --- At once ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_sources_at_once_the_later_one_is_compared_with_the_earlier() -> None:
    first, second = (lambda: load({"USD": "1.0"}, source="one"), lambda: load({"USD": "5.0"}, source="two"))

    assert race_outcomes(first, second) == ["done", "rates_jump"]
    assert ExchangeRate.objects.filter(currency="USD").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_loads_of_one_day_at_once_one_is_loaded_whole() -> None:
    sets = [{"USD": "1.1", "GBP": "0.8"}, {"JPY": "160"}, {"USD": "1.1"}, {"KWD": "0.36"}]

    outcomes = race_outcomes(*[lambda rates=rates: load(rates) for rates in sets * 2])

    assert outcomes == ["done", *["rates_exist"] * 7]
    loaded = dict(ExchangeRate.objects.values_list("currency", "per_base"))
    assert loaded.pop("EUR") == 1
    assert {code: str(rate.normalize()) for code, rate in loaded.items()} in [
        {code: str(Decimal(rate).normalize()) for code, rate in each.items()} for each in sets
    ]
    assert AuditLog.objects.filter(action="rates.loaded").count() == 1
