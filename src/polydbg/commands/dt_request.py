"""How ``dt`` is asked: its switches, the name, fields, an address, a list to follow."""

from __future__ import annotations

import re

import msgspec

from polydbg.base.wildcards import is_wildcard
from polydbg.commands.cursor import Cursor
from polydbg.commands.dt_fields import Field, field_of
from polydbg.commands.type_rows import RowOptions

SWITCHES = "-a[n] -b -c -d -e -h -i -l LINK -n -o -r[n] -s N -t -v -y"
DEFAULT_DEPTH = 2
MAX_RECURSION = 9
"""Types that refer to each other make rows without end: -r goes no deeper."""

_SWITCH = re.compile(r"-([A-Za-z][A-Za-z0-9]*)\Z")
_LETTER = re.compile(r"([A-Za-z])(\d*)")
_NUMBER = re.compile(r"(?:0[xX])?[0-9A-Fa-f`]+\Z|0[nty][0-9]+\Z|[0-9].*", re.DOTALL)
_FIELD = re.compile(
    r"[A-Za-z_~$?*][\w$?*!:]*(?:<[^>]*>)?(?:\[\d+\])?"
    r"(?:(?:\.|->)[A-Za-z_*?][\w*?]*(?:\[\d+\])?)*\.*\Z"
)
_NO_WILDCARDS = re.compile(r"<.*>|(?:[ \t][*&]+)+\Z")
_KEYWORDS = ("struct", "class", "union", "enum")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_MAX_WORDS = 256


class Request(msgspec.Struct):
    """What a ``dt`` command asks for. *name* is a type, a variable or a pattern; *keyword* is
    ``struct`` or its like where it stood in front, which leaves only types. *address* is the
    expression of one; *elements* is ``None`` without ``-a``, 0 without a number behind it;
    *size* is an expression, in bytes."""

    name: str = ""
    keyword: str = ""
    fields: tuple[Field, ...] = ()
    address: str = ""
    link: str = ""
    elements: int | None = None
    depth: int = 0
    size: str = ""
    letters: frozenset[str] = frozenset()

    def __contains__(self, letter: str) -> bool:
        return letter in self.letters

    @property
    def is_pattern(self) -> bool:
        """Whether the name has wildcards: stars of template arguments and pointers are none."""
        return is_wildcard(_NO_WILDCARDS.sub("", self.name))

    @property
    def types_only(self) -> bool:
        return bool(self.keyword) or "t" in self.letters

    def rows(self) -> RowOptions:
        """Return what the switches ask of rows."""
        return RowOptions(
            depth=self.depth,
            verbose="v" in self.letters,
            embedded="b" in self.letters,
            offsets="o" not in self.letters,
            indents=not {"i", "c"} & self.letters,
            compact="c" in self.letters,
            fields=self.fields,
        )


def read_request(cursor: Cursor) -> Request:
    """Read the arguments of ``dt``.

    :raises CommandError: a switch that ``dt`` has not, or no name.
    """
    cursor.skip_blanks()
    start = cursor.position
    text = cursor.rest()
    words = _words(text)
    if len(words) > _MAX_WORDS:
        raise cursor.error("Syntax error", hint="dt takes a name, some fields and an address")
    reader = _Reader(cursor, start, words)
    reader.read()
    request = reader.request
    request.letters = frozenset(reader.letters)
    return request


class _Reader:
    """Reads the words of a command one by one."""

    def __init__(self, cursor: Cursor, start: int, words: list[tuple[int, str]]) -> None:
        self._cursor = cursor
        self._start = start
        self._words = words
        self._at = 0
        self.letters: set[str] = set()
        self.request = Request()
        self._is_prefix = self._is_name = self._link_follows = False

    def read(self) -> None:
        while (word := self._next()) is not None:
            switch = _SWITCH.match(word)
            if switch is not None:
                self._switches(switch[1])
            elif not self.request.name:
                self._name(word)
            elif self._link_follows:
                self._link(word)
            else:
                self._argument(word)
        if self._link_follows:
            self._link("")

    def _next(self) -> str | None:
        if self._at >= len(self._words):
            return None
        offset, word = self._words[self._at]
        self._at += 1
        self._cursor.position = self._start + offset + len(word)
        return word

    def _switches(self, letters: str) -> None:
        request, end = self.request, 0
        for found in _LETTER.finditer(letters):
            letter, digits = found[1], found[2]
            end = found.end()
            if letter == "r":
                request.depth = min(int(digits or DEFAULT_DEPTH), MAX_RECURSION)
            elif letter == "a":
                request.elements = min(int(digits or 0), 1 << 32)
            elif letter == "l" and not request.name:
                self._link_follows = True  # as in the engine: -l NAME LINK
            elif letter == "l":
                self._link(self._next() or "")
            elif letter == "s":
                self._size(digits)
            elif letter == "y":
                self._is_prefix = True
            elif letter == "n":
                self._is_name = True
            elif letter == "p":
                raise self._cursor.error(
                    "Operation not supported by current debuggee error",
                    hint="a dump of a process has no physical addresses",
                )
            elif letter not in "bcdehiotv" or digits:
                raise self._cursor.error("Syntax error", hint=f"dt has {SWITCHES}")
            self.letters.add(letter)
        if end != len(letters):
            raise self._cursor.error("Syntax error", hint=f"dt has {SWITCHES}")

    def _link(self, word: str) -> None:
        if not word:
            raise self._cursor.error("Syntax error", hint="-l needs the field to follow")
        self.request.link = word
        self._link_follows = False

    def _size(self, digits: str) -> None:
        if not digits and self._at < len(self._words) and _NUMBER.match(self._words[self._at][1]):
            digits = self._next() or ""
        self.request.size = digits

    def _name(self, word: str) -> None:
        request = self.request
        if word.startswith("-"):
            raise self._cursor.error("Syntax error", hint=f"dt has {SWITCHES}")
        if word in _KEYWORDS:
            request.keyword = word
            following = self._next()
            if following is None:
                raise self._cursor.error("Syntax error", hint=f"{word} NAME")
            word = following
        if word.startswith("(") and word.endswith(")"):
            word = word[1:-1].strip()
        for keyword in _KEYWORDS:
            if word.startswith(f"{keyword} "):
                request.keyword, word = keyword, word[len(keyword) :].strip()
        request.name = self._with_following(word)
        self._is_name = False

    def _with_following(self, word: str) -> str:
        """Return a name of several words: ``unsigned int``, ``order *``."""
        from polydbg.expr.cpp.type_names import WORDS

        parts = [word]
        is_builtin = word in WORDS
        while self._at < len(self._words):
            following = self._words[self._at][1]
            if not (is_builtin and following in WORDS) and following.strip("*&"):
                break
            parts.append(self._next() or "")
        return " ".join(parts)

    def _argument(self, word: str) -> None:
        request = self.request
        is_name, self._is_name = self._is_name, False
        if (is_name or not _NUMBER.match(word)) and _FIELD.match(word):
            field = field_of(word, is_prefix=self._is_prefix)
            if field is not None:
                request.fields = (*request.fields, field)
                return
        if request.address:
            raise self._cursor.error("Extra character error")
        request.address = word


def _words(text: str) -> list[tuple[int, str]]:
    """Return the words of *text* with where they begin: blanks within brackets, quotes and
    template arguments do not part them."""
    words: list[tuple[int, str]] = []
    start: int | None = None
    closers: list[str] = []
    for at, char in enumerate(text):
        if char in " \t" and not closers:
            if start is not None:
                words.append((start, text[start:at]))
            start = None
            continue
        if start is None:
            start = at
        if closers and char == closers[-1]:
            closers.pop()
        elif char in _CLOSERS:
            closers.append(_CLOSERS[char])
        elif char == "<" and at and (text[at - 1].isalnum() or text[at - 1] == "_"):
            if ">" in text[at:]:
                closers.append(">")
        elif char == '"' and '"' in text[at + 1 :]:
            closers.append('"')
    if start is not None:
        words.append((start, text[start:]))
    return words
