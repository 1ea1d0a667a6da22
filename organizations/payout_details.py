"""Where an organization may be paid out to: what each method needs, its checks and its masked label. Pure.

IBAN and ABA routing numbers are checked by python-stdnum. Of a card there is a provider's token, never a number.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stdnum import iban
from stdnum.exceptions import ValidationError
from stdnum.us import rtn

from fintech_core.values.identifiers import InvalidIdentifier, normalise_phone
from organizations.enums import PayoutMethod
from organizations.tax_numbers import masked

Details = Mapping[str, str]
MAX_LENGTH = 64
_US_ACCOUNT = re.compile(r"[0-9]{4,17}", re.ASCII)  # NACHA: at most 17 characters
_BIK = re.compile(r"[0-9]{9}", re.ASCII)
_RU_ACCOUNT = re.compile(r"[0-9]{20}", re.ASCII)
_SBP_BANK = re.compile(r"1[0-9]{11}", re.ASCII)  # the participant's number at the National Payment Card System
_CARD_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9_-]{7,63}", re.ASCII)  # begins with a letter: no card number does
_LAST_FOUR = re.compile(r"[0-9]{4}", re.ASCII)
_RU_WEIGHTS = (7, 1, 3)
_CASH_CENTRES = {"000", "001", "002"}  # the last digits of the BIK of the central bank's own settlement centres


class InvalidDetails(ValueError):
    """A field is missing, unknown or wrong; `field` says which. The message never repeats the value."""

    def __init__(self, field: str, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.field, self.code = field, code


@dataclass(frozen=True, slots=True)
class Checked:
    """The details in their normal form, and what people see of them."""

    details: Details
    label: str


def check(method: PayoutMethod, details: Details) -> Checked:
    """Raises InvalidDetails."""
    fields, make = _METHODS[method]
    for name in sorted(set(details) - set(fields)):
        raise InvalidDetails(name, "There is no such field for this method.", "unknown_field")
    for name in fields:
        if name not in details:
            raise InvalidDetails(name, "This field is required.", "required")
        if len(details[name]) > MAX_LENGTH:
            raise InvalidDetails(name, f"At most {MAX_LENGTH} characters.", "max_length")
    return make(details)


def _iban(details: Details) -> Checked:
    spelled = details["iban"]
    try:
        if not spelled.isascii():
            raise InvalidDetails("iban", "This is not an IBAN.")
        number = str(iban.validate(spelled))
    except ValidationError as error:
        raise InvalidDetails("iban", "This is not an IBAN.") from error
    if number.startswith("RU"):  # python-stdnum takes them, no bank there does
        raise InvalidDetails("iban", "Banks there are reached by BIK and account number.")
    return Checked({"iban": number}, f"IBAN {number[:2]} {masked(number)}")


def _us_bank(details: Details) -> Checked:
    account = details["account_number"]
    try:
        routing = str(rtn.validate(details["routing_number"]))
    except ValidationError as error:
        raise InvalidDetails("routing_number", "This is not an ABA routing number.") from error
    if not routing.isascii() or not _US_ACCOUNT.fullmatch(account):
        raise InvalidDetails("account_number", "4 to 17 digits.")
    return Checked({"routing_number": routing, "account_number": account}, f"US bank account {masked(account)}")


def _ru_bank(details: Details) -> Checked:
    bik, account = details["bik"], details["account_number"]
    if not _BIK.fullmatch(bik):
        raise InvalidDetails("bik", "A BIK has nine digits.")
    if not _RU_ACCOUNT.fullmatch(account) or not ru_account_fits(bik, account):
        raise InvalidDetails("account_number", "This is not an account at the bank of this BIK.")
    return Checked({"bik": bik, "account_number": account}, f"BIK {bik}, account {masked(account)}")


def ru_account_fits(bik: str, account: str) -> bool:
    """The control key of a Russian account (Bank of Russia, 515 of 8 September 1997): weights 7, 1, 3 over the last
    three digits of the BIK and the twenty of the account; the sum of the last digits of the products ends in 0."""
    prefix = "0" + bik[4:6] if bik[6:] in _CASH_CENTRES else bik[6:]
    digits = (int(digit) for digit in prefix + account)
    return sum(digit * _RU_WEIGHTS[place % 3] % 10 for place, digit in enumerate(digits)) % 10 == 0


def _sbp(details: Details) -> Checked:
    try:
        phone = normalise_phone(details["phone"])
    except InvalidIdentifier as error:
        raise InvalidDetails("phone", "Spell it in E.164: + and 8 to 15 digits.") from error
    if not phone.startswith("+7"):
        raise InvalidDetails("phone", "The Faster Payments System reaches numbers of +7 alone.")
    if not _SBP_BANK.fullmatch(details["bank_id"]):
        raise InvalidDetails("bank_id", "The bank's number in the Faster Payments System has twelve digits.")
    return Checked({"phone": phone, "bank_id": details["bank_id"]}, f"SBP {masked(phone)}")


def _card_token(details: Details) -> Checked:
    if not _CARD_TOKEN.fullmatch(details["token"]):
        raise InvalidDetails("token", "A provider's token: 8 to 64 letters, digits, - and _, the first a letter.")
    if not _LAST_FOUR.fullmatch(details["last4"]):
        raise InvalidDetails("last4", "The last four digits of the card.")
    return Checked(dict(details), f"card ****{details['last4']}")


# The form of each method's fields, for the OpenAPI file. Check digits and real banks are asked for above.
FORMS: Mapping[PayoutMethod, Mapping[str, str]] = {
    PayoutMethod.IBAN: {"iban": r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"},
    PayoutMethod.US_BANK: {"routing_number": r"^[0-9]{9}$", "account_number": r"^[0-9]{4,17}$"},
    PayoutMethod.RU_BANK: {"bik": r"^[0-9]{9}$", "account_number": r"^[0-9]{20}$"},
    PayoutMethod.SBP: {"phone": r"^\+7[0-9]{10}$", "bank_id": r"^1[0-9]{11}$"},
    PayoutMethod.CARD_TOKEN: {"token": r"^[A-Za-z][A-Za-z0-9_-]{7,63}$", "last4": r"^[0-9]{4}$"},
}
_METHODS: Mapping[PayoutMethod, tuple[tuple[str, ...], Callable[[Details], Checked]]] = {
    PayoutMethod.IBAN: (("iban",), _iban),
    PayoutMethod.US_BANK: (("routing_number", "account_number"), _us_bank),
    PayoutMethod.RU_BANK: (("bik", "account_number"), _ru_bank),
    PayoutMethod.SBP: (("phone", "bank_id"), _sbp),
    PayoutMethod.CARD_TOKEN: (("token", "last4"), _card_token),
}
