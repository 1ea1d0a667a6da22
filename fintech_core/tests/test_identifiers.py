"""The normal forms of addresses and numbers."""

import time

import pytest

from fintech_core.values.identifiers import InvalidIdentifier, normalise_email, normalise_phone


@pytest.mark.parametrize(
    "spelling",
    ["+79991234567", "+7 999 123-45-67", "+7 (999) 123-45-67", " +7.999.123.4567 ", "+7/999/1234567"],
)
def test_every_spelling_of_a_number_is_one_number(spelling: str) -> None:
    assert normalise_phone(spelling) == "+79991234567"


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "79991234567", "89991234567", "+7999", "+0123456789", "+1 202 555 01 23 ext. 4", "+1202555012٣",
        "+12025550123\n", "+12025550123\x00", "tel:+12025550123", "+1-800-FLOWERS", "+" + "9" * 40, "+9991234567890123",
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        normalise_phone(text)


@pytest.mark.parametrize(
    ("spelling", "normal"),
    [(" Alice@Customer.Example ", "alice@customer.example"), ("a@bücher.example", "a@xn--bcher-kva.example")],
)
def test_an_address_has_one_form(spelling: str, normal: str) -> None:
    assert normalise_email(spelling) == normal


@pytest.mark.parametrize("domain", ["ü" * 200_000, "üa." * 100_000, "".join(chr(0x4E00 + n) for n in range(20_000))])
def test_an_endless_address_is_refused_before_anything_takes_it_apart(domain: str) -> None:
    started = time.monotonic()

    with pytest.raises(InvalidIdentifier):
        normalise_email(f"a@{domain}")

    assert time.monotonic() - started < 1
