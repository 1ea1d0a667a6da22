"""Tax numbers and payout details: normal forms, check digits, masked labels."""

import pytest

from organizations.enums import PayoutMethod
from organizations.payout_details import InvalidDetails, check, ru_account_fits
from organizations.tax_numbers import InvalidTaxNumber, masked, normalise


@pytest.mark.parametrize(
    ("country", "text", "normal"),
    [
        ("RU", "7707083893", "7707083893"),
        ("RU", " 7707 083893 ", "7707083893"),
        ("RU", "123456789047", "123456789047"),  # a sole trader's
        ("US", "91-1144442", "911144442"),
        ("GB", "GB 980 7806 84", "980780684"),
        ("DE", "DE136695976", "136695976"),
        ("KZ", "ab-123.456", "AB123456"),  # not known to the library: a plain pattern
    ],
)
def test_a_tax_number_has_one_spelling(country: str, text: str, normal: str) -> None:
    assert normalise(text, country=country) == normal
    assert normalise(normal, country=country) == normal


@pytest.mark.parametrize(
    ("country", "text"),
    [
        ("RU", "7707083894"),  # a check digit
        ("RU", "77070838"),
        ("US", "00-0000000"),
        ("GB", "980780685"),
        ("DE", "DE136695977"),
        ("KZ", "1234"),
        ("KZ", "1" * 21),
        ("KZ", ""),
        ("KZ", "٧٧٠٧٠٨٣٨٩٣"),  # digits, but none of ours
        ("RU", "\u0667\u0667\u0660\u0667\u0660\u0668\u0663\u0668\u0669\u0663"),
        ("KZ", "12345\n"),
        ("KZ", "12\x0045678"),
    ],
)
def test_what_is_no_tax_number_is_refused(country: str, text: str) -> None:
    with pytest.raises(InvalidTaxNumber):
        normalise(text, country=country)


def test_masking_shows_four_characters_and_never_more_than_half() -> None:
    assert [masked(number) for number in ("7707083893", "12345", "12")] == ["****3893", "****45", "****2"]


IBAN = "GR1601101050000010547023795"
BIK, ACCOUNT = "044525225", "40702810638050013199"


@pytest.mark.parametrize(
    ("method", "details", "normal", "label"),
    [
        (PayoutMethod.IBAN, {"iban": "gr16 0110 1050 0000 1054 7023 795"}, {"iban": IBAN}, "IBAN GR ****3795"),
        (
            PayoutMethod.US_BANK,
            {"routing_number": "111000025", "account_number": "000123456789"},
            {"routing_number": "111000025", "account_number": "000123456789"},
            "US bank account ****6789",
        ),
        (
            PayoutMethod.RU_BANK,
            {"bik": BIK, "account_number": ACCOUNT},
            {"bik": BIK, "account_number": ACCOUNT},
            "BIK 044525225, account ****3199",
        ),
        (
            PayoutMethod.SBP,
            {"phone": "+7 (999) 123-45-67", "bank_id": "100000000111"},
            {"phone": "+79991234567", "bank_id": "100000000111"},
            "SBP ****4567",
        ),
        (
            PayoutMethod.CARD_TOKEN,
            {"token": "tok_1234567890", "last4": "4242"},
            {"token": "tok_1234567890", "last4": "4242"},
            "card ****4242",
        ),
    ],
)
def test_details_have_a_normal_form_and_a_masked_label(
    method: PayoutMethod, details: dict[str, str], normal: dict[str, str], label: str
) -> None:
    checked = check(method, details)

    assert (dict(checked.details), checked.label) == (normal, label)


@pytest.mark.parametrize(
    ("method", "details", "field", "code"),
    [
        (PayoutMethod.IBAN, {}, "iban", "required"),
        (PayoutMethod.IBAN, {"iban": IBAN, "bik": BIK}, "bik", "unknown_field"),
        (PayoutMethod.IBAN, {"iban": IBAN[:-1] + "6"}, "iban", "invalid"),
        (PayoutMethod.IBAN, {"iban": ""}, "iban", "invalid"),
        (PayoutMethod.IBAN, {"iban": "G" * 65}, "iban", "max_length"),
        (PayoutMethod.IBAN, {"iban": "RU0204452560040702810412345678901"}, "iban", "invalid"),
        (PayoutMethod.US_BANK, {"routing_number": "111000026", "account_number": "1234"}, "routing_number", "invalid"),
        (PayoutMethod.US_BANK, {"routing_number": "111000025", "account_number": "12a4"}, "account_number", "invalid"),
        (PayoutMethod.RU_BANK, {"bik": "04452522", "account_number": ACCOUNT}, "bik", "invalid"),
        (PayoutMethod.RU_BANK, {"bik": "044525974", "account_number": ACCOUNT}, "account_number", "invalid"),
        (PayoutMethod.RU_BANK, {"bik": BIK, "account_number": ACCOUNT[:-1] + "8"}, "account_number", "invalid"),
        (PayoutMethod.SBP, {"phone": "+12025550123", "bank_id": "100000000111"}, "phone", "invalid"),
        (PayoutMethod.SBP, {"phone": "+79991234567", "bank_id": "1"}, "bank_id", "invalid"),
        (PayoutMethod.CARD_TOKEN, {"token": "4242424242424242", "last4": "4242"}, "token", "invalid"),
        (PayoutMethod.CARD_TOKEN, {"token": "tok_1234567890", "last4": "424"}, "last4", "invalid"),
    ],
)
def test_wrong_details_are_refused_by_their_field(
    method: PayoutMethod, details: dict[str, str], field: str, code: str
) -> None:
    with pytest.raises(InvalidDetails) as refusal:
        check(method, details)

    assert (refusal.value.field, refusal.value.code) == (field, code)
    assert all(value not in str(refusal.value) for value in details.values() if value)


def test_every_wrong_digit_of_a_russian_account_is_found() -> None:
    assert ru_account_fits(BIK, ACCOUNT)
    for place, digit in enumerate(ACCOUNT):
        for other in set("0123456789") - {digit}:
            assert not ru_account_fits(BIK, ACCOUNT[:place] + other + ACCOUNT[place + 1 :])
