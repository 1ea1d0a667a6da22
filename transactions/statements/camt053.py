"""A statement as ISO 20022 camt.053.001.08 (BankToCustomerStatementV08), in pieces. It is whole when it parses.

Elements in the order of the schema: GrpHdr and Stmt; of Stmt the account (`Othr`: a wallet has no IBAN), OPBD and CLBD,
the totals, and a `Ntry` for each entry. Ids are written without hyphens: the schema has room for 34 or 35 characters.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from xml.sax.saxutils import escape

from fintech_core.db.ids import uuid7
from transactions.ledger.enums import TransactionKind
from transactions.ledger.hashing import time_text
from transactions.statements.document import WIDE, Line, Statement, StatementTooLarge

CONTENT_TYPE = "application/xml"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
ISSUER = "fintech-core"
NOT_PROVIDED = "NOTPROVIDED"
_MAX_DIGITS = 18  # totalDigits of ActiveOrHistoricCurrencyAndAmount and DecimalNumber
_LINES_PER_CHUNK = 200
# What XML 1.0 can't hold, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def require_representable(statement: Statement) -> None:
    """Raises StatementTooLarge for amounts of more than 18 digits, which the format can't hold."""
    total = WIDE.add(statement.credits, statement.debits)
    for amount in (statement.opening, statement.closing, total):
        if len(statement.text(abs(amount)).replace(".", "")) > _MAX_DIGITS:
            raise StatementTooLarge("camt.053 holds amounts of at most 18 digits.")


def render(statement: Statement, lines: Iterable[Line]) -> Iterator[bytes]:
    yield _head(statement).encode()
    buffer: list[str] = []
    for line in lines:
        buffer.append(_entry(statement, line))
        if len(buffer) == _LINES_PER_CHUNK:
            yield "".join(buffer).encode()
            buffer.clear()
    yield ("".join(buffer) + "</Stmt></BkToCstmrStmt></Document>\n").encode()


def _tag(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>"


def _text(name: str, text: str, limit: int) -> str:
    """An element of at most `limit` characters; none where nothing is left to say."""
    clean = _FORBIDDEN.sub("", text)[:limit]
    return _tag(name, escape(clean)) if clean.strip() else ""


def _amount(statement: Statement, amount: Decimal, name: str = "Amt") -> str:
    """The amount without its sign, and which side it is on. Zero counts as a credit, as banks have it."""
    side = "DBIT" if amount < 0 else "CRDT"
    return f'<{name} Ccy="{statement.currency}">{statement.text(abs(amount))}</{name}>' + _tag("CdtDbtInd", side)


def _date(name: str, moment: datetime) -> str:
    return _tag(name, _tag("Dt", moment.date().isoformat()))


def _account(name: str, account_id: str, *rest: str) -> str:
    short = account_id if len(account_id) <= 34 else account_id.replace("-", "")
    return _tag(name, _tag("Id", _tag("Othr", _text("Id", short, 34))), *rest)


def _balance(statement: Statement, code: str, amount: Decimal, moment: datetime) -> str:
    kind = _tag("Tp", _tag("CdOrPrtry", _tag("Cd", code)))
    return _tag("Bal", kind, _amount(statement, amount), _date("Dt", moment))


def _totals(statement: Statement) -> str:
    net = statement.closing - statement.opening
    total = statement.credits + statement.debits
    return _tag(
        "TxsSummry",
        _tag(
            "TtlNtries",
            _tag("NbOfNtries", str(statement.count)),
            _tag("Sum", statement.text(total)),
            _tag(
                "TtlNetNtry",
                _tag("Amt", statement.text(abs(net))),
                _tag("CdtDbtInd", "DBIT" if net < 0 else "CRDT"),
            ),
        ),
        _tag(
            "TtlCdtNtries",
            _tag("NbOfNtries", str(statement.credit_count)),
            _tag("Sum", statement.text(statement.credits)),
        ),
        _tag(
            "TtlDbtNtries",
            _tag("NbOfNtries", str(statement.debit_count)),
            _tag("Sum", statement.text(statement.debits)),
        ),
    )


def _head(statement: Statement) -> str:
    made_at = _tag("CreDtTm", time_text(statement.made_at))
    owner = _text("Nm", statement.owner_name, 140)
    account = _account(
        "Acct", str(statement.wallet_id), _tag("Ccy", statement.currency), _tag("Ownr", owner) if owner else ""
    )
    period = _tag("FrToDt", _tag("FrDtTm", time_text(statement.start)), _tag("ToDtTm", time_text(statement.end)))
    last_day = max(statement.start, statement.end - timedelta(microseconds=1))  # the end is the first instant after
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE}"><BkToCstmrStmt>'
        + _tag("GrpHdr", _tag("MsgId", uuid7().hex), made_at)
        + "<Stmt>"
        + _tag("Id", statement.identity)
        + made_at
        + period
        + account
        + _balance(statement, "OPBD", statement.opening, statement.start)
        + _balance(statement, "CLBD", statement.closing, last_day)
        + _totals(statement)
    )


def _entry(statement: Statement, line: Line) -> str:
    transaction = line.transaction_id.hex
    reversal = _tag("RvslInd", "true") if line.kind == TransactionKind.REVERSAL else ""
    return _tag(
        "Ntry",
        _tag("NtryRef", str(line.sequence)),
        _amount(statement, line.amount),
        reversal,
        _tag("Sts", _tag("Cd", "BOOK")),
        _date("BookgDt", line.posted_at),
        _date("ValDt", line.effective_at),
        _tag("AcctSvcrRef", transaction),
        _tag("BkTxCd", _tag("Prtry", _tag("Cd", line.kind), _tag("Issr", ISSUER))),
        _tag("NtryDtls", _tag("TxDtls", *_details(statement, line))),
    )


def _details(statement: Statement, line: Line) -> Iterator[str]:
    # A reference longer than the schema's 35 characters is whole in the remittance information, never cut.
    fits = bool(line.reference) and len(line.reference) <= 35
    end_to_end = line.reference if fits else NOT_PROVIDED
    transaction = line.transaction_id.hex
    yield _tag(
        "Refs",
        _tag("AcctSvcrRef", transaction),
        _text("EndToEndId", end_to_end, 35),
        _tag("TxId", transaction),
    )
    yield _amount(statement, line.amount)
    if line.counterparty:
        yield _tag("RltdPties", _account("CdtrAcct" if line.amount < 0 else "DbtrAcct", line.counterparty))
    words = [line.description] if fits or not line.reference else [line.reference, line.description]
    pieces = [word[index : index + 140] for word in words for index in range(0, len(word), 140)]
    remittance = "".join(_text("Ustrd", piece, 140) for piece in pieces)
    if remittance:
        yield _tag("RmtInf", remittance)
    yield _tag("RltdDts", _tag("TxDtTm", time_text(line.posted_at)))
