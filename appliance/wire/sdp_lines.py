"""The lines of a session description (RFC 8866 section 5), sorted by where they stand and what they are."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct

from appliance.wire.description import Attribute, Direction

MAX_TEXT = 256 * 1024
"""Characters."""
MAX_MEDIA = 64
MAX_LINES = 1024
"""Of the session level or of one m-line; Chromium writes some 160 for video."""

MAX_SHARED = 256
"""Characters of a line that is kept once for all descriptions."""

WORD = r"[!#$%&'*+.^_`{|}~A-Za-z0-9-]+"
"""A token (RFC 8866 section 9)."""

_T = TypeVar("_T")
_LETTERS = frozenset("vosiuepcbtrzkamy")
_DIRECTIONS = frozenset(way.value for way in Direction)


class SdpDecodeError(ValueError):
    """Malformed SDP; says which line, what it holds, and what was wanted."""


class Line(Struct, frozen=True, gc=False):
    """One of its lines; ``number`` counts from 1."""

    number: int
    letter: str
    value: str

    def error(self, wanted: str) -> SdpDecodeError:
        """What to raise because of it. A password does not show: messages reach logs."""
        text = f"{self.letter}={self.value}"
        if self.value.startswith("ice-pwd:"):
            text = f"a=ice-pwd:<{len(self.value) - len('ice-pwd:')} characters>"
        return SdpDecodeError(f"line {self.number} is {short(text)!r}, wanted {wanted}")

    def content(self) -> str:
        """What follows an attribute's colon. :raises SdpDecodeError: nothing does."""
        value = self.value.partition(":")[2].strip()
        if not value:
            raise self.error("a value after the colon")
        return value

    def matched(self, pattern: str, wanted: str) -> "re.Match[str]":
        """The same, by a pattern. :raises SdpDecodeError: it is otherwise than ``wanted``."""
        match = re.fullmatch(pattern, self.content())
        if match is None:
            raise self.error(wanted)
        return match

    def integer(self, text: str, what: str, lowest: int, highest: int) -> int:
        """A part of it as a number. :raises SdpDecodeError: it is none, or out of its range."""
        if re.fullmatch("[0-9]{1,19}", text) and lowest <= int(text) <= highest:
            return int(text)
        raise self.error(f"{what} within {lowest}..{highest}, not {short(text)!r}")


def sections(text: str) -> list[list[Line]]:
    """The session's lines, then those of each m-line. :raises SdpDecodeError: a line is none, or there are too many."""
    if len(text) > MAX_TEXT:
        raise SdpDecodeError(f"description has {len(text)} characters, wanted at most {MAX_TEXT}")
    # Looked for once: of the hundreds of lines next to none has one.
    may_be_split = "\0" in text or "\r" in text.replace("\r\n", "")
    current: list[Line] = []
    sections = [current]
    for number, raw in enumerate(text.split("\n"), 1):
        content = raw.removesuffix("\r")
        if content[1:2] != "=" or content[0] not in _LETTERS or may_be_split:
            if not content.strip():
                continue
            _check(number, content)
        line = Line(number, content[0], content[2:])
        if line.letter == "m":
            if len(sections) > MAX_MEDIA:
                raise line.error(f"at most {MAX_MEDIA} m-lines")
            current = []
            sections.append(current)
        if len(current) == MAX_LINES:
            raise line.error(f"at most {MAX_LINES} lines before the next m-line")
        current.append(line)
    return sections


def _check(number: int, content: str) -> None:
    if "\r" in content or "\0" in content:
        raise SdpDecodeError(f"line {number} is {short(content)!r}, wanted no CR or NUL within")
    if content[1:2] != "=" or content[0] not in _LETTERS:
        raise SdpDecodeError(f"line {number} is {short(content)!r}, wanted <letter>=<value>")


class Level:
    """The lines of the session or of one m-line, by letter and by attribute name."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.attributes: list[Attribute] = []
        self._by_name: dict[str, list[Line]] = {}
        for line in lines:
            if line.letter == "a":
                attribute = _shared(line.value) if len(line.value) <= MAX_SHARED else _attribute(line.value)
                self.attributes.append(attribute)
                # The line keeps its whole text for errors; what is asked of it is the part after the colon.
                known = self._by_name.get(attribute[0])
                if known is None:
                    self._by_name[attribute[0]] = [line]
                else:
                    known.append(line)

    def one(self, letter: str) -> Line | None:
        """The first of a letter."""
        for line in self.lines:
            if line.letter == letter:
                return line
        return None

    def all(self, name: str) -> list[Line]:
        """Every attribute of a name."""
        return self._by_name.get(name, [])

    def has(self, name: str) -> bool:
        """Is there an attribute of this name?"""
        return name in self._by_name

    def first(self, name: str, read: Callable[[Line], _T]) -> _T | None:
        """The first attribute of a name, as ``read`` understands it."""
        lines = self._by_name.get(name)
        return read(lines[0]) if lines else None

    def connection(self) -> str | None:
        """The value of ``c=``. :raises SdpDecodeError: it has not three words."""
        line = self.one("c")
        if line is None:
            return None
        if len(line.value.split(" ")) != 3:
            raise line.error("c=<network> <address type> <address>")
        return line.value

    def bandwidths(self) -> tuple[tuple[str, int], ...]:
        """Type and number of each ``b=``. :raises SdpDecodeError: one is malformed."""
        found: list[tuple[str, int]] = []
        for line in self.lines:
            if line.letter == "b":
                match = re.fullmatch(rf"({WORD}):([0-9]{{1,15}})", line.value)
                if match is None:
                    raise line.error("b=<type>:<number>")
                found.append((match[1], int(match[2])))
        return tuple(found)

    def direction(self) -> Direction | None:
        """The first of the four that stands here."""
        for name, _ in self.attributes:
            if name in _DIRECTIONS:
                return Direction(name)
        return None


def _attribute(text: str) -> Attribute:
    name, colon, value = text.partition(":")
    return name, value if colon else None


_shared = lru_cache(2048)(_attribute)
"""The same, kept: nine in ten lines of a browser's descriptions are those of its other ones."""


def short(text: str) -> str:
    """As much of a line as an error shows."""
    return text if len(text) <= 120 else f"{text[:117]}..."
