"""SWIFT MT940 (Customer Statement Message): our own small reader, strict where the ready ones are lenient.

Fields by the SWIFT standard: 20, 21, 25, 28C, 60F/60M, (61, 86)*, 62F/62M, 64, 65, 86. Anything else is refused.
(The package mt-940 was tried: it skips text that it doesn't know and takes more decimals than the currency has.)
"""

import re
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from reconciliation.parsing.common import (
    MAX_LINES,
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

READER = "mt940/2"
_FIELD = re.compile(r":([0-9]{2}[A-Z]?):(.*)", re.ASCII)
_KNOWN = frozenset({"20", "21", "25", "25P", "28", "28C", "60F", "60M", "61", "86", "62F", "62M", "64", "65"})
_BALANCE = re.compile(r"(?P<sign>[CD])(?P<date>[0-9]{6})(?P<currency>[A-Z]{3})(?P<amount>[0-9]{1,15},[0-9]*)", re.ASCII)
_LINE = re.compile(
    r"(?P<value>[0-9]{6})(?P<entry>[0-9]{4})?(?P<sign>RC|RD|C|D)(?P<funds>[A-Z])?(?P<amount>[0-9]{1,15},[0-9]*)"
    r"(?P<kind>[A-Z][A-Z0-9]{3})(?P<reference>[^\n]*?)(?://(?P<bank>[^\n]*))?(?:\n(?P<more>.*))?",
    re.ASCII | re.DOTALL,
)
# RC takes a credit back, RD a debit.
_SIGNS = {"C": 1, "RD": 1, "D": -1, "RC": -1}
_ENVELOPE = re.compile(r"(?:\{[123]:[^{}]*(?:\{[^{}]*\}[^{}]*)*\})*\{4:\s*", re.ASCII)


@dataclass(slots=True)
class _Draft:
    """A statement while its fields are being read."""

    where: str
    account: str = ""
    number: str = ""
    opening: tuple[Decimal, date] | None = None
    closing: tuple[Decimal, date] | None = None
    intermediate: set[str] = field(default_factory=set)
    lines: list[ParsedLine] = field(default_factory=list)


def parse(raw: bytes, currency: str) -> list[ParsedStatement]:
    """The statements of the file; each begins with :20:."""
    statements: list[ParsedStatement] = []
    draft: _Draft | None = None
    total = 0
    for tag, value, place in _fields(decoded(raw)):
        if tag == "20":
            if draft is not None:
                statements.append(_finished(draft))
            draft = _Draft(f"Statement {len(statements) + 1}")
        elif draft is None:
            raise StatementInvalid(f"{place}: a statement begins with :20:.")
        else:
            total += tag == "61"
            if total > MAX_LINES:
                raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
            _take(draft, tag, value, currency, place)
    if draft is not None:
        statements.append(_finished(draft))
    return statements


def _fields(text: str) -> list[tuple[str, str, str]]:
    """(tag, value with its continuation lines, where it stands)."""
    found: list[tuple[str, list[str], str]] = []
    for number, full in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        line = _ENVELOPE.sub("", full) if full.startswith("{") else full
        match = _FIELD.fullmatch(line)
        if match:
            if match[1] not in _KNOWN:
                raise StatementInvalid(f"Line {number}: the field :{match[1]}: is not one of an MT940.")
            found.append((match[1], [match[2]], f"Line {number}"))
        elif line.strip() in {"", "-", "-}"} or line.startswith("-}{5:"):
            continue
        elif found and found[-1][0] in {"61", "86"} and not line.startswith(":"):
            found[-1][1].append(line)
        else:
            raise StatementInvalid(f"Line {number}: this is not a field of an MT940.")
    return [(tag, "\n".join(lines), where) for tag, lines, where in found]


def _take(draft: _Draft, tag: str, value: str, currency: str, where: str) -> None:
    if tag in {"25", "25P"}:
        draft.account = text_of(value, where, limit=64)
    elif tag in {"28", "28C"}:
        draft.number = text_of(value, where, limit=32)
    elif tag in {"60F", "60M"}:
        draft.intermediate |= {tag} & {"60M"}
        draft.opening = _once(draft.opening, _balance(value, currency, where), where)
    elif tag in {"62F", "62M"}:
        draft.intermediate |= {tag} & {"62M"}
        draft.closing = _once(draft.closing, _balance(value, currency, where), where)
    elif tag == "61":
        if draft.opening is None or draft.closing is not None:
            raise StatementInvalid(f"{where}: :61: stands between the opening and the closing balance.")
        draft.lines.append(_line(value, currency, where))
    elif tag == "86" and draft.lines and draft.closing is None:
        line = draft.lines[-1]
        said = description_of(f"{line.description} {value}", where)
        draft.lines[-1] = replace(line, description=said)


def _once(known: tuple[Decimal, date] | None, found: tuple[Decimal, date], where: str) -> tuple[Decimal, date]:
    if known is not None:
        raise StatementInvalid(f"{where}: a second balance of this kind.")
    return found


def _finished(draft: _Draft) -> ParsedStatement:
    if not draft.account or not draft.number:
        raise StatementInvalid(f"{draft.where}: it has no :25: or no :28C:.")
    if draft.opening is None or draft.closing is None:
        raise StatementInvalid(f"{draft.where}: it has no opening or no closing balance; is the file cut off?")
    dates = [line.booking_date for line in draft.lines]
    number, _, sequence = draft.number.partition("/")
    return checked(
        ParsedStatement(
            reader=READER,
            # Numbers begin again every year, and :20: is often a constant.
            statement_id=f"{draft.account}|{draft.number}|{draft.opening[1].isoformat()}",
            external_account=draft.account,
            number=number,
            sequence=sequence,
            from_date=min([draft.opening[1], *dates]),
            to_date=max([draft.closing[1], *dates]),
            opening=draft.opening[0],
            closing=draft.closing[0],
            opening_date=draft.opening[1],
            closing_date=draft.closing[1],
            opening_intermediate="60M" in draft.intermediate,
            closing_intermediate="62M" in draft.intermediate,
            lines=tuple(draft.lines),
        ),
        draft.where,
    )


def _plain(amount: str) -> str:
    """ "0012,5" as "12.5": SWIFT writes a comma, always, and may pad with zeros."""
    whole, _, fraction = amount.partition(",")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _balance(value: str, currency: str, where: str) -> tuple[Decimal, date]:
    match = _BALANCE.fullmatch(value.strip())
    if match is None:
        raise StatementInvalid(f"{where}: this is not a balance.")
    if match["currency"] != currency:
        raise StatementInvalid(f"{where}: the currency is not {currency}.")
    size = balance_of(_plain(match["amount"]), currency, where)
    return size * _SIGNS[match["sign"]], _day(match["date"], where)


def _line(value: str, currency: str, where: str) -> ParsedLine:
    match = _LINE.fullmatch(value.rstrip())
    if match is None:
        raise StatementInvalid(f"{where}: this is not a statement line.")
    if match["funds"] and match["funds"] != currency[2]:
        raise StatementInvalid(f"{where}: the funds code is not that of {currency}.")
    amount = amount_of(_plain(match["amount"]), currency, where) * _SIGNS[match["sign"]]
    value_date = _day(match["value"], where)
    named = text_of(match["reference"], where)
    reference = "" if named == "NONREF" else named
    return ParsedLine(
        booking_date=_entry_date(match["entry"], value_date, where) if match["entry"] else value_date,
        value_date=value_date,
        amount=amount,
        reference=reference,
        references=(reference,) if reference else (),
        bank_reference=text_of(match["bank"] or "", where),
        description=description_of(match["more"] or "", where),
    )


def _day(text: str, where: str) -> date:
    """YYMMDD; two digits of a year are of this century."""
    return date_of(f"20{text[:2]}-{text[2:4]}-{text[4:]}", where)


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
