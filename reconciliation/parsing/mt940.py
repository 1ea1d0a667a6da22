"""SWIFT MT940 (Customer Statement Message): our own reader. Which line is which field: mt940_grammar.py.

What is read beyond the standard, because banks write it: blanks for the entry date, 30 February as a value date (German
interest years have it; it is read as the last day of the month), amounts without a comma, type codes of three letters
or none before NONREF, lines of amount zero (counted and left out), CR alone as a line end. Nothing is rounded.
(The package mt-940 was tried: it skips text that it doesn't know and takes more decimals than the currency has.)
"""

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from reconciliation.parsing import references
from reconciliation.parsing.common import (
    ParsedLine,
    ParsedStatement,
    StatementInvalid,
    amount_of,
    balance_of,
    checked,
    date_of,
    decoded,
    description_of,
    text_of,
)
from reconciliation.parsing.mt940_balance import TextFinder
from reconciliation.parsing.mt940_grammar import (
    BALANCE,
    MOVEMENT,
    Field,
    Fields,
    Movement,
    Values,
    iter_lines,
    statements_of,
)

READER = "mt940/3"
# RC takes a credit back, RD a debit.
_SIGNS = {"C": 1, "RD": 1, "D": -1, "RC": -1}
_NO_AMOUNT = re.compile(r"[0,]+", re.ASCII)


@dataclass(slots=True)
class _Draft:
    """A statement while its fields are being read."""

    currency: str
    notes: list[str] = field(default_factory=list)
    zero_lines: int = 0
    found: list[tuple[Movement, ParsedLine | None]] = field(default_factory=list)  # no line if its amount is zero
    lines: list[ParsedLine] = field(default_factory=list)


def parse(raw: bytes, currency: str, *, encoding: str = "utf-8") -> list[ParsedStatement]:
    """The statements of the file; each begins with :20:. Raises StatementInvalid."""
    found = statements_of(decoded(raw, encoding), _Values(currency))
    if not found:
        raise StatementInvalid("The file ends where :20: was expected: there is no statement in it.")
    finder = TextFinder([movement for fields in found for movement in fields.movements])
    return [_statement(fields, currency, f"Statement {number}", finder) for number, fields in enumerate(found, start=1)]


class _Values(Values):
    """Which values can be read: inside a text, a payer's words may have the form of a field."""

    def __init__(self, currency: str) -> None:
        self._currency = currency

    def is_line(self, value: str) -> bool:
        return self._is_readable(lambda: _add(_Draft(self._currency), Movement(Field("61", 0, [value]))))

    def is_balance(self, value: str) -> bool:
        return self._is_readable(lambda: _balance(Field("62F", 0, [value]), self._currency))

    def _is_readable(self, read: Callable[[], object]) -> bool:
        try:
            read()
        except StatementInvalid:
            return False
        return True


def _statement(fields: Fields, currency: str, where: str, finder: TextFinder) -> ParsedStatement:
    heads, draft = fields.heads, _Draft(currency)
    account = text_of(heads["25"].lines[0], heads["25"].where, limit=64)
    number = text_of(heads["28"].value, heads["28"].where, limit=32)
    if not account or not number:
        raise StatementInvalid(f"{fields.where}: :25: or :28C: is empty.")
    opening, opening_date = _balance(heads["60"], currency)
    closing, closing_date = _balance(heads["62"], currency)
    for movement in fields.movements:
        _add(draft, movement)
    _settle_text(draft, opening, closing, finder)
    first, _, sequence = number.partition("/")
    dates = [line.booking_date for line in draft.lines]
    return checked(
        ParsedStatement(
            reader=READER,
            # Numbers begin again every year, and :20: is often a constant.
            statement_id=f"{account}|{number}|{opening_date.isoformat()}",
            external_account=account,
            number=first,
            sequence=sequence,
            from_date=min([opening_date, *dates]),
            to_date=max([closing_date, *dates]),
            opening=opening,
            closing=closing,
            opening_date=opening_date,
            closing_date=closing_date,
            opening_intermediate=heads["60"].tag == "60M",
            closing_intermediate=heads["62"].tag == "62M",
            zero_lines=draft.zero_lines,
            notes=tuple(draft.notes),
            lines=tuple(draft.lines),
        ),
        where,
    )


def _settle_text(draft: _Draft, opening: Decimal, closing: Decimal, finder: TextFinder) -> None:
    """The lines, without what the balances show to be text."""
    amounts = [line.amount if line else Decimal(0) for _, line in draft.found]
    movements = [movement for movement, _ in draft.found]
    texts = finder.text_only(movements, amounts, opening + sum(amounts, Decimal(0)) - closing)
    after_zero = False  # a line that was left out has no description to which its text could go
    for index, (movement, line) in enumerate(draft.found):
        if index in texts:
            where = movement.entry.where
            draft.notes.append(f"{where}: by the balances this :61: is text of the :86: before it.")
            if draft.lines and not after_zero:
                said = " ".join([draft.lines[-1].description, *iter_lines(movement)])
                draft.lines[-1] = replace(draft.lines[-1], description=description_of(said, where))
            continue
        after_zero = line is None
        if line is not None:
            draft.lines.append(line)


def _plain(amount: str) -> str:
    """ "0012,5" as "12.5": SWIFT writes a comma and may pad with zeros."""
    whole, _, fraction = amount.partition(",")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _balance(found: Field, currency: str) -> tuple[Decimal, date]:
    match = BALANCE.fullmatch(found.value.strip())
    if match is None:
        raise StatementInvalid(
            f"{found.where}: this is not a balance; :{found.tag}: is C or D, YYMMDD, the currency and an amount"
            " like 12,50."
        )
    if match["currency"] != currency:
        raise StatementInvalid(f"{found.where}: the currency is not {currency}.")
    size = balance_of(_plain(match["amount"]), currency, found.where)
    return size * _SIGNS[match["sign"]], _day(match["date"], found.where)


def _add(draft: _Draft, movement: Movement) -> None:
    where = movement.entry.where
    match = MOVEMENT.fullmatch(movement.entry.value.rstrip())
    if match is None:
        raise StatementInvalid(
            f"{where}: this is not a statement line; :61: is YYMMDD, MMDD or nothing, C, D, RC or RD, an amount like"
            " 12,50, a type like NTRF and a reference."
        )
    if match["funds"] and match["funds"] != draft.currency[2]:
        raise StatementInvalid(f"{where}: the funds code is not that of {draft.currency}.")
    value_date = _value_date(match["value"], where, draft)
    entry = (match["entry"] or "").strip()
    booked = _entry_date(entry, value_date, where) if entry else value_date
    if _NO_AMOUNT.fullmatch(match["amount"]):
        draft.zero_lines += 1
        draft.found.append((movement, None))
        return
    draft.found.append((movement, _line(movement, match, draft.currency, (booked, value_date))))


def _line(movement: Movement, match: re.Match[str], currency: str, days: tuple[date, date]) -> ParsedLine:
    where = movement.entry.where
    said = [line for text in movement.texts for line in text.lines]
    named = references.reference_of(text_of(match["reference"], where))
    bank = references.reference_of(text_of(match["bank"] or "", where))
    by_bank, by_payer = references.end_to_end_of(said)
    known = references.distinct([*by_bank[:1], named, *by_bank[1:], *by_payer, *references.others_of(said)])
    return ParsedLine(
        booking_date=days[0],
        value_date=days[1],
        amount=amount_of(_plain(match["amount"]), currency, where) * _SIGNS[match["sign"]],
        reference=known[0] if known else "",
        bank_reference=bank,
        description=description_of(" ".join([match["more"] or "", *said]), where),
        references=known,
    )


def _day(text: str, where: str) -> date:
    """YYMMDD; two digits of a year are of this century."""
    return date_of(f"20{text[:2]}-{text[2:4]}-{text[4:]}", where)


def _value_date(text: str, where: str, draft: _Draft) -> date:
    """YYMMDD, where 29 and 30 February are the last day of that month: in a German interest year it has 30 days."""
    if text[2:4] == "02" and text[4:] in {"29", "30"}:
        last = calendar.monthrange(2000 + int(text[:2]), 2)[1]
        if int(text[4:]) > last:
            draft.notes.append(f"{where}: the value date {text[4:]} February was read as {last} February.")
            return _day(f"{text[:4]}{last}", where)
    return _day(text, where)


def _entry_date(text: str, value_date: date, where: str) -> date:
    """MMDD, in the year that brings it closest to the value date."""
    found = []
    for year in (value_date.year - 1, value_date.year, value_date.year + 1):
        try:
            found.append(date(year, int(text[:2]), int(text[2:])))
        except ValueError:
            continue
    if not found:
        raise StatementInvalid(f"{where}: there is no such date.")
    return min(found, key=lambda day: (abs((day - value_date).days), day))
