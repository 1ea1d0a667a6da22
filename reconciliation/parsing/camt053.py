"""ISO 20022 camt.053 (BankToCustomerStatement), any version: the elements that matter have kept their names.

Read piece by piece (xml_stream.py): an entry, and of a batch each of its transactions, is dropped once it was read.
Only booked entries count (`Sts` BOOK); the closing balance CLBD is one of booked entries. Entries of amount zero are
counted and left out.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import IO
from xml.etree.ElementTree import Element

from reconciliation.parsing import references
from reconciliation.parsing.common import (
    MAX_LINES,
    MAX_STATEMENTS,
    ParsedLine,
    ParsedStatement,
    StatementInvalid,
    amount_of,
    balance_of,
    checked,
    date_of,
    description_of,
    is_zero,
    text_of,
)
from reconciliation.parsing.xml_stream import Path, elements

READER = "camt053/3"
_ROOT = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.[0-9]{2}\}Document")
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)
_STATEMENT: Path = ("Document", "BkToCstmrStmt", "Stmt")
_ENTRY: Path = (*_STATEMENT, "Ntry")
_TRANSACTION: Path = (*_ENTRY, "NtryDtls", "TxDtls")
_HEAD = frozenset({"Id", "ElctrncSeqNb", "LglSeqNb", "StmtPgntn", "FrToDt", "Acct", "Bal"})
_WANTED = {_STATEMENT, _TRANSACTION, _ENTRY, *((*_STATEMENT, name) for name in _HEAD)}
# Ids of a transaction besides EndToEndId; AcctSvcrRef is the bank's.
_OTHER_IDS = ("InstrId", "PmtInfId", "TxId", "UETR", "ChqNb", "ClrSysRef")


@dataclass(slots=True)
class _Transaction:
    """What is kept of a TxDtls."""

    end_to_end: str
    others: list[str]
    words: list[str]  # each Ustrd, else AddtlTxInf


@dataclass(slots=True)
class _Draft:
    """A statement while its elements go by."""

    where: str
    currency: str
    head: dict[str, Element] = field(default_factory=dict)
    balances: dict[str, Element] = field(default_factory=dict)
    transactions: list[_Transaction] = field(default_factory=list)  # of the entry that is being read
    entries: int = 0
    zero_lines: int = 0
    lines: list[ParsedLine] = field(default_factory=list)


def parse(source: IO[bytes], currency: str) -> list[ParsedStatement]:
    """The statements (`Stmt`) of the document. Raises StatementInvalid."""
    statements: list[ParsedStatement] = []
    draft = _Draft("Stmt 1", currency)
    total = 0
    for path, element in elements(source, is_root=lambda tag: bool(_ROOT.fullmatch(tag)), wanted=_WANTED.__contains__):
        if path == _TRANSACTION:
            draft.transactions.append(_transaction(element))
        elif path == _ENTRY:
            _take_entry(draft, element)
            total += 1
            if total > MAX_LINES:
                raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
        elif path == _STATEMENT:
            statements.append(_statement(draft))
            if len(statements) > MAX_STATEMENTS:
                raise StatementInvalid(f"A file has 1 to {MAX_STATEMENTS} statements.")
            draft = _Draft(f"Stmt {len(statements) + 1}", currency)
        else:
            _take_head(draft, path[-1], element)
    return statements


def _take_head(draft: _Draft, name: str, element: Element) -> None:
    copied = Element(name)
    copied.text = element.text
    copied.extend(list(element))
    if name != "Bal":
        draft.head.setdefault(name, copied)
        return
    code = _text(element, "Tp/CdOrPrtry/Cd")
    if code in {*_OPENING, *_CLOSING}:
        if code in draft.balances:
            raise StatementInvalid(f"{draft.where}: two balances {code}.")
        draft.balances[code] = copied


def _text(element: Element | None, *paths: str) -> str:
    """The text of the first path that has one."""
    if element is None:
        return ""
    return next((found.strip() for path in paths if (found := element.findtext(path)) and found.strip()), "")


def _own_text(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _statement(draft: _Draft) -> ParsedStatement:
    where, head = draft.where, draft.head
    opening, opening_date, opens = _balance(draft, _OPENING)
    closing, closing_date, closes = _balance(draft, _CLOSING)
    period = head.get("FrToDt")
    start = _date(period, "FrDt", "FrDtTm", where) if period is not None else None
    end = _date(period, "ToDt", "ToDtTm", where) if period is not None else None
    identifier = text_of(_own_text(head.get("Id")), f"{where}, Id", limit=128)
    if not identifier:
        raise StatementInvalid(f"{where}: it has no Id.")
    legal = text_of(_own_text(head.get("LglSeqNb")), f"{where}, LglSeqNb", limit=32)
    electronic = text_of(_own_text(head.get("ElctrncSeqNb")), f"{where}, ElctrncSeqNb", limit=32)
    pages = head.get("StmtPgntn")
    account = text_of(_text(head.get("Acct"), "Id/IBAN", "Id/Othr/Id"), f"{where}, Acct", limit=64)
    dates = [line.booking_date for line in draft.lines]
    return checked(
        ParsedStatement(
            reader=READER,
            statement_id=identifier,
            external_account=account,
            number=legal or electronic,
            sequence=text_of(_text(pages, "PgNb"), f"{where}, PgNb", limit=32),
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
            opening_intermediate=opens,
            closing_intermediate=closes or _text(pages, "LastPgInd").lower() in {"false", "0"},
            zero_lines=draft.zero_lines,
            lines=tuple(draft.lines),
        ),
        where,
    )


def _balance(draft: _Draft, codes: tuple[str, ...]) -> tuple[Decimal, date, bool]:
    """Amount, date, and whether it is that of a page (`SubTp` INTM)."""
    for code in codes:
        if (found := draft.balances.get(code)) is not None:
            place = f"{draft.where}, Bal {code}"
            size = balance_of(_amount_text(found, draft.currency, place), draft.currency, place)
            day = _date(found, "Dt/Dt", "Dt/DtTm", place)
            return _signed(found, size, place), day, _text(found, "Tp/SubTp/Cd") == "INTM"
    raise StatementInvalid(f"{draft.where}: it has no balance {' or '.join(codes)}.")


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


def _date(element: Element, day: str, moment: str, where: str) -> date:
    """The date, or the date of the time as the bank wrote it."""
    return date_of(_text(element, day) or _text(element, moment)[:10], f"{where}, {day}")


def _take_entry(draft: _Draft, entry: Element) -> None:
    draft.entries += 1
    transactions, draft.transactions = draft.transactions, []
    if _text(entry, "Sts/Cd", "Sts") != "BOOK":
        return
    where = f"{draft.where}, Ntry {draft.entries}"
    text = _amount_text(entry, draft.currency, where)
    if is_zero(text):
        draft.zero_lines += 1
        return
    amount = _signed(entry, amount_of(text, draft.currency, where), where)
    draft.lines.append(_line(entry, transactions, amount, where))


def _line(entry: Element, transactions: list[_Transaction], amount: Decimal, where: str) -> ParsedLine:
    booked = _date(entry, "BookgDt/Dt", "BookgDt/DtTm", where)
    summary = entry.find("NtryDtls/Btch")
    # Some banks write a Btch around a single payment as well.
    batch = len(transactions) > 1 or (summary is not None and _text(summary, "NbOfTxs").lstrip("0") != "1")
    batch_id = references.reference_of(_text(summary, "PmtInfId"))
    own = [one.end_to_end for one in transactions]
    words = [word for one in transactions for word in one.words]
    if batch:
        # An entry for many payments: none of their references is its own.
        first = batch_id
    else:
        first = next((name for name in [*own, *(references.token_of(word) for word in words)] if name), "")
    others = [name for one in transactions for name in one.others]
    first = text_of(first, f"{where}, reference")
    found = references.distinct([first, *own, *(references.token_of(word) for word in words), *others, batch_id])
    description = _text(entry, "AddtlNtryInf") or ("" if batch else " ".join(words))
    return ParsedLine(
        booking_date=booked,
        value_date=_date(entry, "ValDt/Dt", "ValDt/DtTm", where) if entry.find("ValDt") is not None else booked,
        amount=amount,
        reference=first,
        bank_reference=references.reference_of(text_of(_text(entry, "AcctSvcrRef"), f"{where}, AcctSvcrRef")),
        description=description_of(description, where),
        references=found,
        batch=batch,
    )


def _transaction(details: Element) -> _Transaction:
    found = details.find("Refs")
    others = [references.reference_of(_text(found, name)) for name in _OTHER_IDS] if found is not None else []
    if found is not None:
        others += [references.reference_of(_text(other, "Ref")) for other in found.findall("Prtry")]
    words = [text for part in details.findall("RmtInf/Ustrd") if (text := (part.text or "").strip())]
    structured = [_text(part, "CdtrRefInf/Ref") for part in details.findall("RmtInf/Strd")]
    return _Transaction(
        end_to_end=references.reference_of(_text(found, "EndToEndId")),
        others=[*map(references.reference_of, structured), *others],
        words=words or [text for text in [_text(details, "AddtlTxInf")] if text],
    )
