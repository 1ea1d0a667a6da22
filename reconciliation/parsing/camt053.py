"""ISO 20022 camt.053 (BankToCustomerStatement), any version: the elements that matter have kept their names.

Read with defusedxml: no DTD, no entity, nothing external. Only booked entries count (`Sts` BOOK); the closing balance
CLBD is one of booked entries.
"""

import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from reconciliation.parsing.common import (
    MAX_LINES,
    ParsedLine,
    ParsedStatement,
    StatementInvalid,
    amount_of,
    balance_of,
    checked,
    date_of,
    description_of,
    text_of,
)

READER = "camt053/2"
_NAMESPACE = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.[0-9]{2}\}Document")
_MAX_DEPTH = 40
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)
_NONE = frozenset({"NOTPROVIDED", "NOTAVAILABLE", "NONREF"})


def parse(raw: bytes, currency: str) -> list[ParsedStatement]:
    """The statements (`Stmt`) of the document."""
    try:
        return [_statement(element, currency, f"Stmt {n}") for n, element in enumerate(_statements(raw), start=1)]
    except DefusedXmlException as error:
        raise StatementInvalid("A DTD or an entity: such a file is not read.") from error
    except (ParseError, UnicodeError, LookupError, ValueError) as error:
        raise StatementInvalid(f"The file is not well-formed XML: {error}") from error


def _statements(raw: bytes) -> Iterator[Element]:
    depth = entries = 0
    for event, element in iterparse(io.BytesIO(raw), events=("start", "end"), forbid_dtd=True):
        if event == "start":
            if depth == 0 and not _NAMESPACE.fullmatch(element.tag):
                raise StatementInvalid("The root element is not the Document of a camt.053.")
            depth += 1
            if depth > _MAX_DEPTH:
                raise StatementInvalid(f"Nested deeper than {_MAX_DEPTH}.")
            continue
        depth -= 1
        element.tag = element.tag.rpartition("}")[2]
        if element.tag == "Ntry" and depth == 3:
            entries += 1
            if entries > MAX_LINES:
                raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
        elif element.tag == "Stmt" and depth == 2:
            yield element
            element.clear()


def _text(element: Element, *paths: str) -> str:
    """The text of the first path that has one."""
    return next((found.strip() for path in paths if (found := element.findtext(path)) and found.strip()), "")


def _statement(statement: Element, currency: str, where: str) -> ParsedStatement:
    opening, opening_date = _balance(statement, _OPENING, currency, where)
    closing, closing_date = _balance(statement, _CLOSING, currency, where)
    entries = list(enumerate(statement.findall("Ntry"), start=1))
    lines = tuple(
        _line(entry, currency, f"{where}, Ntry {n}") for n, entry in entries if _text(entry, "Sts/Cd", "Sts") == "BOOK"
    )
    period = statement.find("FrToDt")
    start = _date(period, "FrDt", "FrDtTm", where) if period is not None else None
    end = _date(period, "ToDt", "ToDtTm", where) if period is not None else None
    legal = text_of(_text(statement, "LglSeqNb"), f"{where}, LglSeqNb", limit=32)
    electronic = text_of(_text(statement, "ElctrncSeqNb"), f"{where}, ElctrncSeqNb", limit=32)
    dates = [line.booking_date for line in lines]
    identifier = text_of(_text(statement, "Id"), f"{where}, Id", limit=128)
    if not identifier:
        raise StatementInvalid(f"{where}: it has no Id.")
    return checked(
        ParsedStatement(
            reader=READER,
            statement_id=identifier,
            external_account=text_of(_text(statement, "Acct/Id/IBAN", "Acct/Id/Othr/Id"), f"{where}, Acct", limit=64),
            number=legal or electronic,
            sequence=text_of(_text(statement, "StmtPgntn/PgNb"), f"{where}, PgNb", limit=32),
            legal_number=legal,
            electronic_number=electronic,
            period_start=start,
            period_end=end,
            from_date=min([start or opening_date, *dates]),
            to_date=max([end or closing_date, *dates]),
            opening=opening,
            closing=closing,
            opening_date=opening_date,
            closing_date=closing_date,
            lines=lines,
        ),
        where,
    )


def _balance(statement: Element, codes: tuple[str, ...], currency: str, where: str) -> tuple[Decimal, Any]:
    for code in codes:
        found = [b for b in statement.findall("Bal") if _text(b, "Tp/CdOrPrtry/Cd") == code]
        if len(found) > 1:
            raise StatementInvalid(f"{where}: two balances {code}.")
        if found:
            place = f"{where}, Bal {code}"
            size = balance_of(_amount_text(found[0], currency, place), currency, place)
            return _signed(found[0], size, place), _date(found[0], "Dt/Dt", "Dt/DtTm", place)
    raise StatementInvalid(f"{where}: it has no balance {' or '.join(codes)}.")


def _amount_text(element: Element, currency: str, where: str) -> str:
    amount = element.find("Amt")
    if amount is None or amount.get("Ccy") != currency:
        raise StatementInvalid(f"{where}: the currency is not {currency}.")
    return (amount.text or "").strip()


def _signed(element: Element, size: Decimal, where: str) -> Decimal:
    # A reversal (RvslInd) already shows in the indicator which way the money went.
    indicator = _text(element, "CdtDbtInd")
    if indicator not in {"CRDT", "DBIT"}:
        raise StatementInvalid(f"{where}: CdtDbtInd is CRDT or DBIT.")
    return size if indicator == "CRDT" else -size


def _date(element: Element, day: str, moment: str, where: str) -> Any:
    """The date, or the date of the time as the bank wrote it."""
    return date_of(_text(element, day) or _text(element, moment)[:10], f"{where}, {day}")


def _line(entry: Element, currency: str, where: str) -> ParsedLine:
    size = amount_of(_amount_text(entry, currency, where), currency, where)
    booked = _date(entry, "BookgDt/Dt", "BookgDt/DtTm", where)
    details = entry.findall("NtryDtls/TxDtls")
    # A batch entry stands for many payments, so none of their references is its own.
    found = (_text(detail, "Refs/EndToEndId") for detail in details)
    references = tuple(
        dict.fromkeys(text_of(name, f"{where}, EndToEndId") for name in found if name not in {"", *_NONE})
    )
    reference = references[0] if len(details) == 1 and references else _text(entry, "NtryDtls/Btch/PmtInfId")
    description = _text(entry, "AddtlNtryInf")
    if not description and len(details) == 1:
        description = _text(details[0], "RmtInf/Ustrd", "AddtlTxInf")
    has_value_date = entry.find("ValDt") is not None
    return ParsedLine(
        booking_date=booked,
        value_date=_date(entry, "ValDt/Dt", "ValDt/DtTm", where) if has_value_date else booked,
        amount=_signed(entry, size, where),
        reference=text_of(reference, f"{where}, reference"),
        bank_reference=text_of(_text(entry, "AcctSvcrRef"), f"{where}, AcctSvcrRef"),
        description=description_of(description, where),
        references=references,
    )
