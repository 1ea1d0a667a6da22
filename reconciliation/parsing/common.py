"""What every reader gives, and the checks that all of them share. Pure: bytes in, statements out, no database."""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from http import HTTPStatus

from fintech_core.exceptions import DomainError
from fintech_core.values import money

ENCODINGS = ("utf-8", "iso-8859-1")
MAX_TEXT_BYTES = 16 * 1024 * 1024  # of MT940 and CSV, which are read as one text
MAX_LINES = 10_000
MAX_STATEMENTS = 400
REFERENCE_LENGTH = 140
DESCRIPTION_LENGTH = 500
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ZERO = re.compile(r"0(\.0{1,8})?", re.ASCII)
_YEARS = range(1990, 2100)


class StatementInvalid(DomainError):
    """The file is refused whole; the detail says where and why."""

    code = "statement_invalid"
    status = HTTPStatus.BAD_REQUEST
    title = "The statement file can't be parsed."


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """One booked movement. `amount` is signed: positive is money that came in.

    `reference` is the one reference of the payment, "" where the file has none (NONREF and the like are none) or
    several. `references` lists everything in the line that may name a payment, `reference` first where there is one.
    """

    booking_date: date
    value_date: date
    amount: Decimal
    reference: str = ""
    bank_reference: str = ""
    description: str = ""
    references: tuple[str, ...] = ()
    batch: bool = False  # the file says that the line is the sum of several payments

    @property
    def settlement(self) -> bool:
        """Whether the line may stand for many payments: the file marks it so, or names no reference."""
        return self.batch or not self.has_reference

    @property
    def has_reference(self) -> bool:
        """Whether the file names a true reference for the line; ids that banks give (TxId) are none."""
        return bool(self.reference)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedStatement:
    """Balances are both there or both None (a CSV without them), and so are their dates.

    What identifies a statement is given as the file has it: `external_account` (:25:, IBAN or Othr/Id), `number` (the
    first part of :28C:; LglSeqNb, else ElctrncSeqNb), `sequence` (the second part of :28C:; StmtPgntn/PgNb). The
    period is None where the file states none; `from_date` and `to_date` span balances, lines and the stated period.
    """

    reader: str  # name and version of the reader, such as "mt940/3"
    statement_id: str
    external_account: str = ""
    number: str = ""
    sequence: str = ""
    electronic_number: str = ""  # camt ElctrncSeqNb
    legal_number: str = ""  # camt LglSeqNb
    period_start: date | None = None
    period_end: date | None = None
    from_date: date
    to_date: date
    opening: Decimal | None
    closing: Decimal | None
    opening_date: date | None = None
    closing_date: date | None = None
    opening_intermediate: bool = False  # :60M:: the statement goes on from an earlier page
    closing_intermediate: bool = False  # :62M:: it goes on to another page
    zero_lines: int = 0  # lines of amount zero, which are left out
    notes: tuple[str, ...] = ()  # what was read otherwise than it is written
    lines: tuple[ParsedLine, ...] = field(default=())

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))


def amount_of(text: str, currency: str, where: str) -> Decimal:
    """A positive amount by the one parser. Raises StatementInvalid."""
    try:
        return money.parse_amount(text, currency)
    except money.InvalidAmount as error:
        raise StatementInvalid(f"{where}: the amount is not right: {error.message}") from error


def signed_amount_of(text: str, currency: str, where: str) -> Decimal:
    """ "-12.50" or "12.50", never zero."""
    negative = text.startswith("-")
    amount = amount_of(text[1:] if negative else text, currency, where)
    return -amount if negative else amount


def balance_of(text: str, currency: str, where: str) -> Decimal:
    """The size of a balance, which may be zero."""
    return Decimal(0) if is_zero(text) else amount_of(text, currency, where)


def is_zero(text: str) -> bool:
    return _ZERO.fullmatch(text) is not None


def date_of(text: str, where: str) -> date:
    """A plausible date from YYYY-MM-DD. Raises StatementInvalid."""
    if not _ISO_DATE.fullmatch(text):
        raise StatementInvalid(f"{where}: a date is YYYY-MM-DD.")
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise StatementInvalid(f"{where}: there is no such date.") from error
    if found.year not in _YEARS:
        raise StatementInvalid(f"{where}: the year is not plausible.")
    return found


def text_of(text: str, where: str, *, limit: int = REFERENCE_LENGTH) -> str:
    """An identifying text: trimmed, without control characters, never cut."""
    cleaned = text.strip()
    if _CONTROL.search(cleaned):
        raise StatementInvalid(f"{where}: control characters.")
    if len(cleaned) > limit:
        raise StatementInvalid(f"{where}: longer than {limit} characters.")
    return cleaned


def description_of(text: str, where: str) -> str:
    """A text for people: blanks folded, cut at 500 characters."""
    cleaned = " ".join(text.split())
    if _CONTROL.search(cleaned):
        raise StatementInvalid(f"{where}: control characters.")
    return cleaned[:DESCRIPTION_LENGTH]


def decoded(raw: bytes, encoding: str = "utf-8") -> str:
    """The text, in UTF-8 with or without a byte order mark unless another encoding is named. Nothing is guessed."""
    try:
        return raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise StatementInvalid(
            f"Line {line}: the file is not UTF-8 (byte {error.start}). If the bank writes ISO-8859-1, say so with the"
            " encoding iso-8859-1."
        ) from error


def checked(statement: ParsedStatement, where: str) -> ParsedStatement:
    """Opening + lines = closing, to the last digit. Raises StatementInvalid."""
    if (statement.opening is None) != (statement.closing is None):
        raise StatementInvalid(f"{where}: an opening balance needs a closing one, and the other way round.")
    if statement.opening is not None and statement.closing is not None:
        difference = statement.closing - statement.opening - statement.total
        if difference:
            raise StatementInvalid(f"{where}: opening + lines differs from closing by {-difference}.")
    if statement.from_date > statement.to_date:
        raise StatementInvalid(f"{where}: it ends before it begins.")
    return statement
