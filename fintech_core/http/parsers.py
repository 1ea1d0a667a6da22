"""Strict JSON in, JSON out. What RFC 8259 leaves open and attackers use is refused: duplicate keys, NaN, lone
surrogates, NUL, deep nesting, huge integers. Forms with files have each field once, too."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser, DataAndFiles, MultiPartParser

from fintech_core.exceptions import refuse_repeated

MAX_DEPTH = 32
_MAX_INTEGER_DIGITS = 40


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        encoding = stream.META.get("HTTP_CONTENT_ENCODING", "identity") if hasattr(stream, "META") else "identity"
        if encoding.lower() not in {"", "identity"}:
            raise UnsupportedMediaType(encoding)
        return parse_object(stream.read())


class StrictMultiPartParser(MultiPartParser):
    """multipart/form-data in which every field is given once, as text or as a file. Raises ValidationFailed."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "DataAndFiles[Any, Any]":
        parsed = super().parse(stream, media_type, parser_context)
        given = [name for part in (parsed.data, parsed.files) for name, values in part.lists() for _ in values]
        refuse_repeated(given)
        return parsed


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object from bytes. Raises ParseError (400)."""
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_bounded_integer,
            parse_float=_number,
        )
        _check(value)
        # Escapes can still spell what UTF-8 forbids: "\ud800" and "\u0000".
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise ParseError("The body is not valid UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise ParseError(f"The body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ParseError("The body must be a JSON object.")
    return value


def _check(value: Any, depth: int = 1) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("NUL characters")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            for key in value:
                _check(key, depth + 1)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate keys")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bounded_integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS:
        raise ValueError("an integer is too long")
    return int(digits)


def _number(text: str) -> Any:
    """1.0 and 1 are one number (RFC 8259, and JSON Schema's "integer"); so fields of whole numbers need not care."""
    whole, _, fraction = text.partition(".")
    return _bounded_integer(whole) if set(fraction) == {"0"} else json.loads(text)


class JSONOnlyNegotiation(DefaultContentNegotiation):
    """Answers are JSON whatever `Accept` says, so that a replay is the stored bytes.

    See docs/api-contract.md, Idempotency.
    """

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
