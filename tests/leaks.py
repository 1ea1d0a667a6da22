"""Looks for personal values and credentials in bytes, however they are spelled: in clear, in hex, in base64, escaped.

Used by tests/test_leaks.py on a dump of the database, the logs and the cache (A-82).
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

_HEX = re.compile(rb"[0-9a-fA-F]{8,}")


def spellings(text: str) -> dict[str, bytes]:
    """The bytes that stand for `text`, by the name of the spelling; all in lower case where case says nothing."""
    raw = text.encode()
    found = {
        "clear": text.casefold().encode(),
        "JSON": json.dumps(text)[1:-1].casefold().encode(),
        "URL": quote(text, safe="").casefold().encode(),
        "UTF-16": text.encode("utf-16-le"),
    }
    # Within a longer text base64 depends on where the value begins; the characters at its ends on its neighbours.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
        inner = coded[(0, 2, 3)[shift] : -1]
        if len(inner) >= 8:
            found[f"base64 at {shift}"] = inner
            found[f"base64url at {shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return found


def decoded(data: bytes) -> bytes:
    """What stands in hex (bytea in a dump of PostgreSQL), one after the other."""
    return b"\n".join(bytes.fromhex(match.decode()[: len(match) // 2 * 2]) for match in _HEX.findall(data))


def find(data: bytes, needles: Mapping[str, str]) -> Iterator[str]:
    """`name (spelling)` of each needle that is there. Six digits count only where they stand for themselves."""
    unhexed = decoded(data)
    haystack = data + b"\n" + unhexed
    folded = haystack.decode("utf-8", "replace").casefold().encode()
    for name, text in needles.items():
        if re.fullmatch(r"\d{6}", text):
            if re.search(rb"(?<![\d.,:-])" + text.encode() + rb"(?![\d.,:-])", data):
                yield f"{name} (clear)"
            continue
        for spelling, wanted in spellings(text).items():
            where = folded if spelling in {"clear", "JSON", "URL"} else haystack
            if wanted in where:
                yield f"{name} ({spelling})"
