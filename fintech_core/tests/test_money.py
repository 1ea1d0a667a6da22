"""The one parser and the one format of amounts (A-05, A-12, A-69)."""

import threading
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintech_core.exceptions import AmountTooLarge
from fintech_core.values import guards, money
from fintech_core.values.money import InvalidAmount, Money, exponent_of, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("1", "USD", "1"),
        ("0.01", "USD", "0.01"),
        ("12.5", "USD", "12.5"),
        ("9999999999999999.99", "USD", "9999999999999999.99"),
        ("1", "JPY", "1"),
        ("1.234", "KWD", "1.234"),
        ("0.0001", "CLF", "0.0001"),
    ],
)
def test_an_amount_is_read_exactly(text: str, currency: str, amount: str) -> None:
    parsed = parse_amount(text, currency)

    assert (str(parsed), type(parsed)) == (amount, Decimal)


MALFORMED: list[object] = [
    "", " ", "-1", "+1", "-0", "01", "1.", ".1", "1.1.1", "1,1", "1e1", "1E1", "1_0", "0x1", "NaN", "sNaN",
    "Infinity", "inf", "1 ", " 1", "1\n", "1\x00", "\u0661", "\uff11", "1\u0660", "\u00b2",
    "10000000000000000",
    "1.000000001", "9" * 1000, 1, 1.5, Decimal(1), True, None, b"1", ["1"], {},
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "currency", "code"),
    [
        ("0", "USD", "not_positive"),
        ("0.00", "USD", "not_positive"),
        ("10.5", "JPY", "max_decimals"),
        ("10.0", "JPY", "max_decimals"),
        ("1.2345", "KWD", "max_decimals"),
        ("1.000", "USD", "max_decimals"),
        ("1", "XXX", "unknown_currency"),
        ("1", "usd", "unknown_currency"),
        ("1", "XAU", "unknown_currency"),
        ("1", None, "unknown_currency"),
        ("1", ["USD"], "unknown_currency"),
        *[(text, "USD", "invalid") for text in MALFORMED],
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: object, currency: str, code: str) -> None:
    with pytest.raises(InvalidAmount) as caught:
        parse_amount(text, currency)

    assert caught.value.code == code


@settings(deadline=None, database=None)
@given(st.text(max_size=20))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        amount = parse_amount(text, "USD")
    except InvalidAmount:
        return
    assert amount > 0
    assert Decimal(text) == amount


@settings(deadline=None, database=None)
@given(st.integers(1, 10**18 - 1), st.sampled_from(["USD", "JPY", "KWD"]))
def test_what_is_formatted_is_parsed_back(minor: int, currency: str) -> None:
    exponent = exponent_of(currency)
    amount = Decimal(minor).scaleb(-exponent)
    if amount >= money.AMOUNT_LIMIT:
        return

    text = format_amount(amount, exponent)

    assert parse_amount(text, currency) == amount
    assert len(text.partition(".")[2]) == exponent


@pytest.mark.parametrize(
    ("amount", "exponent", "text"),
    [
        ("1E+3", 0, "1000"),
        ("1E+3", 2, "1000.00"),
        ("-0", 2, "0.00"),
        ("-0.00000000", 0, "0"),
        ("-12.5", 2, "-12.50"),
        ("999999999999999999999999999999.99999999", 8, "999999999999999999999999999999.99999999"),
    ],
)
def test_an_amount_is_written_plainly(amount: str, exponent: int, text: str) -> None:
    assert format_amount(Decimal(amount), exponent) == text


def test_an_amount_is_never_rounded_on_its_way_out_whatever_the_context() -> None:
    with localcontext() as context:
        context.prec = 3
        assert format_amount(Decimal("123456789.12"), 2) == "123456789.12"
    with pytest.raises(ValueError, match="more than 2 decimals"):
        format_amount(Decimal("1.001"), 2)


def test_money_adds_within_one_currency_only() -> None:
    assert str(Money(Decimal("1.10"), "USD") + Money(Decimal("2.20"), "USD")) == "3.30 USD"
    with pytest.raises(ValueError, match="can't add"):
        Money(Decimal(1), "USD") + Money(Decimal(1), "EUR")
    with pytest.raises(TypeError):
        Money(1.0, "USD")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("currency", "exponent"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("RUB", 2), ("ISK", 0)]
)
def test_exponents_are_those_of_iso_4217(currency: str, exponent: int) -> None:
    assert exponent_of(currency) == exponent


def test_arithmetic_of_the_largest_balances_is_exact_in_every_thread() -> None:
    largest, smallest = money.BALANCE_LIMIT - Decimal("0.01"), Decimal("0.00000001")
    found: list[Decimal] = []

    thread = threading.Thread(target=lambda: found.append(largest - smallest))
    thread.start()
    thread.join()
    found.append(largest - smallest)

    assert [str(difference) for difference in found] == ["999999999999999999999999999999.98999999"] * 2


@pytest.mark.parametrize("amount", ["9999999999999999.99999999", "-9999999999999999.99999999", "0"])
def test_the_guard_passes_what_a_column_holds(amount: str) -> None:
    assert guards.storable(Decimal(amount)) == Decimal(amount)


@pytest.mark.parametrize("amount", ["10000000000000000", "-10000000000000000", "1E+40"])
def test_the_guard_refuses_what_no_column_holds(amount: str) -> None:
    with pytest.raises(AmountTooLarge):
        guards.storable(Decimal(amount))
