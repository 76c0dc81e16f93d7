"""Format specifiers behind an expression: ``,x``, ``,5``, ``,!``, ``,su``, ``,[expr]``.

Source: Microsoft's documentation of format specifiers for C++ in its debuggers; what each looks
like is in the command-language reference, 10.1.
"""

from __future__ import annotations

import re

import msgspec

from polydbg.expr.cpp.errors import unexpected

_BASES = {"x": 16, "h": 16, "d": 10, "o": 8, "b": 2}
_STRINGS = {
    "s": (1, True), "sa": (1, True), "sb": (1, False), "s8": (1, True), "s8b": (1, False),
    "su": (2, True), "sub": (2, False), "s32": (4, True), "s32b": (4, False),
}  # fmt: skip
"""Strings: bytes of a character, and whether quotes stand around them."""

_COUNT = re.compile(r"(0x[0-9a-fA-F]{1,16}|\d{1,18})(.*)", re.DOTALL)
_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}|0|[1-9]\d{0,17}")
_MAX_SPECIFIERS = 16


class Specifiers(msgspec.Struct, frozen=True):
    """How a value is to be shown.

    *base* is 2, 8, 10, 16, or 0: as its type has it. *string* is ``None``, or bytes of a character
    and whether there are quotes. *count* makes an array of a pointer; *count_expression* is that
    of ``,[expr]``. *is_raw* (``!``) leaves views aside, *is_static* (``nd``) the type at run time;
    *is_utf8* tells how bytes of a string are meant; *names_only* (``en``) leaves numbers of
    enumerations out.
    """

    base: int = 0
    string: tuple[int, bool] | None = None
    count: int | None = None
    count_expression: str = ""
    is_raw: bool = False
    is_static: bool = False
    is_utf8: bool = False
    names_only: bool = False
    is_character: bool = False


PLAIN = Specifiers()


def read_specifiers(text: str, at: int = 0) -> Specifiers:
    """Return what ``,a,b`` from *at* on asks for.

    :raises ExpressionError: something is no specifier.
    """
    found = PLAIN
    for _ in range(_MAX_SPECIFIERS):
        while at < len(text) and text[at] in " \t":
            at += 1
        if at >= len(text):
            return found
        if text[at] != ",":
            raise unexpected(text, at)
        end = _end(text, at + 1)
        word = text[at + 1 : end].strip()
        known = specified(found, word)
        if known is None:
            raise unexpected(text, at)
        found, at = known, end
    raise unexpected(text, at)


def _end(text: str, at: int) -> int:
    depth = 0
    while at < len(text) and (depth or text[at] != ","):
        depth += (text[at] in "[(") - (text[at] in "])")
        at += 1
    return at


def _closing(word: str) -> int:
    """Return where the bracket that *word* begins with is closed, 0 where it is not."""
    depth = 0
    for at, char in enumerate(word):
        depth += (char in "[(") - (char in "])")
        if not depth:
            return at
    return 0


def specified(found: Specifiers, word: str) -> Specifiers | None:
    """Return *found* with what one specifier, without its comma, adds; ``None``: it is none."""
    replace = msgspec.structs.replace
    close = _closing(word) if word.startswith("[") else 0
    if close:
        inner, rest = word[1:close].strip(), word[close + 1 :].strip()
        if _NUMBER.fullmatch(inner):
            counted = replace(found, count=int(inner, 0))
        else:
            counted = replace(found, count_expression=inner)
        return specified(counted, rest) if rest else counted
    number = _COUNT.fullmatch(word)
    if number is not None:
        counted = replace(found, count=int(number[1], 0))
        return specified(counted, number[2]) if number[2] else counted
    if word in _BASES:
        return replace(found, base=_BASES[word])
    if word in _STRINGS:
        return replace(found, string=_STRINGS[word], is_utf8=word.startswith("s8"))
    if word.startswith("!"):
        rest = word[1:].strip()
        raw = replace(found, is_raw=True)
        return specified(raw, rest) if rest else raw
    flags = {"nd": "is_static", "en": "names_only", "c": "is_character"}
    if word in flags:
        return replace(found, **{flags[word]: True})
    if word in ("na", "nvo", "view(simple)"):
        return found
    return None
