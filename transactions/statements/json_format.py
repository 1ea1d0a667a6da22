"""A statement as JSON, in pieces. It is whole when it parses."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from transactions.ledger.hashing import time_text
from transactions.statements.document import Line, Statement

CONTENT_TYPE = "application/json"
_LINES_PER_CHUNK = 500


def head(statement: Statement) -> dict[str, Any]:
    """Everything but the entries."""
    return {
        "id": statement.identity,
        "wallet": str(statement.wallet_id),
        "owner": {"id": str(statement.owner_id), "name": statement.owner_name},
        "currency": statement.currency,
        "from": time_text(statement.start),
        "to": time_text(statement.end),
        "created_at": time_text(statement.made_at),
        "final": statement.final,
        "opening_balance": statement.text(statement.opening),
        "closing_balance": statement.text(statement.closing),
        "total_credits": statement.text(statement.credits),
        "total_debits": statement.text(statement.debits),
        "count": statement.count,
    }


def entry(statement: Statement, line: Line) -> dict[str, Any]:
    return {
        "sequence": line.sequence,
        "transaction": str(line.transaction_id),
        "posted_at": time_text(line.posted_at),
        "effective_at": time_text(line.effective_at),
        "kind": line.kind,
        "reference": line.reference or None,
        "description": line.description,
        "counterparty": line.counterparty or None,
        "amount": statement.text(line.amount),
        "balance_after": statement.text(line.balance_after),
    }


def render(statement: Statement, lines: Iterable[Line]) -> Iterator[bytes]:
    return document_chunks(head(statement), "entries", (entry(statement, line) for line in lines), lambda: {})


def document_chunks(head: dict[str, Any], name: str, items: Iterable[Any], tail: Any) -> Iterator[bytes]:
    """An object with the members of `head`, the array `name`, and then those of `tail()`, which runs last."""
    opening = json.dumps(head, ensure_ascii=False)
    yield f'{opening[:-1]}, "{name}": ['.encode()
    buffer: list[str] = []
    separator = ""
    for item in items:
        buffer.append(separator + json.dumps(item, ensure_ascii=False))
        separator = ", "
        if len(buffer) == _LINES_PER_CHUNK:
            yield "".join(buffer).encode()
            buffer.clear()
    closing = json.dumps(tail(), ensure_ascii=False)[1:-1]
    yield ("".join(buffer) + "]" + (f", {closing}" if closing else "") + "}").encode()
