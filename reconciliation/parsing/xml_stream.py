"""XML of any length in bounded memory: elements come one by one, and are dropped as soon as they were used.

Read with defusedxml: no DTD, no entity, nothing external. Refused besides: deep nesting, a long piece without an
element in it (a huge text, comment or attribute) and more elements than one entry can need.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from reconciliation.parsing.common import StatementInvalid

MAX_DEPTH = 40
MAX_PIECE = 1024 * 1024  # bytes without the start or end of an element
MAX_ELEMENTS = 200_000  # kept at a time
Path = tuple[str, ...]


class _Watched:
    """The file, read in small pieces, with a look at how much was read since the last element."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.since_event = 0

    def read(self, size: int) -> bytes:
        if self.since_event > MAX_PIECE:
            raise StatementInvalid(f"A text, comment or attribute is longer than {MAX_PIECE} bytes.")
        piece = self._source.read(size)
        self.since_event += len(piece)
        return piece


def elements(
    source: IO[bytes], *, is_root: Callable[[str], bool], wanted: Callable[[Path], bool]
) -> Iterator[tuple[Path, Element]]:
    """Each element at a wanted path when it ends, with its path of local names. Its content is dropped afterwards.

    A wanted element inside of another wanted one comes first, and leaves an empty element there.
    Raises StatementInvalid.
    """
    try:
        yield from _elements(_Watched(source), is_root, wanted)
    except DefusedXmlException as error:
        raise StatementInvalid("A DTD or an entity: such a file is not read.") from error
    except (ParseError, UnicodeError, LookupError, ValueError) as error:
        raise StatementInvalid(f"The file is not well-formed XML: {error}") from error


@dataclass(slots=True)
class _Open:
    """An element that has begun and not ended."""

    element: Element
    path: Path
    wanted: bool
    kept: bool  # it is wanted, or inside of one that is
    size: int = 1  # elements that are kept, with itself


def _elements(
    source: _Watched, is_root: Callable[[str], bool], wanted: Callable[[Path], bool]
) -> Iterator[tuple[Path, Element]]:
    stack: list[_Open] = []
    for event, element in iterparse(source, events=("start", "end"), forbid_dtd=True):
        source.since_event = 0
        if event == "start":
            stack.append(_opened(element, stack, is_root, wanted))
            continue
        ended = stack.pop()
        if ended.wanted:
            yield ended.path, element
            element.clear()
            ended.size = 1
        if not stack:
            continue
        if stack[-1].kept:
            stack[-1].size += ended.size
            if stack[-1].size > MAX_ELEMENTS:
                raise StatementInvalid(f"An entry has more than {MAX_ELEMENTS} elements.")
        else:
            stack[-1].element.remove(element)  # nothing will look at it again


def _opened(element: Any, stack: list[_Open], is_root: Callable[[str], bool], wanted: Callable[[Path], bool]) -> _Open:
    if not stack and not is_root(element.tag):
        raise StatementInvalid("The root element is not the Document of a camt.053.")
    if len(stack) == MAX_DEPTH:
        raise StatementInvalid(f"Nested deeper than {MAX_DEPTH}.")
    element.tag = element.tag.rpartition("}")[2]
    path = (*stack[-1].path, element.tag) if stack else (element.tag,)
    is_wanted = wanted(path)
    return _Open(element, path, is_wanted, is_wanted or (bool(stack) and stack[-1].kept))
