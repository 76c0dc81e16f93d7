"""How compilers spell the names of templates: debug information has one of these spellings.

``Pen<short,3u>`` is ``Pen<short int, 3>`` for gcc, ``Pen<short, 3U>`` for clang and
``Pen<short,3>`` for Microsoft's compiler; stars have a blank before them or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import product

from polydbg.expr.cpp.type_names import BUILTIN, WORDS

MAX_NAME = 1024
"""Longest name that is spelled in other ways."""

_GCC = {
    "short": "short int",
    "unsigned short": "short unsigned int",
    "long": "long int",
    "unsigned long": "long unsigned int",
    "long long": "long long int",
    "unsigned long long": "long long unsigned int",
}
_MICROSOFT = {"long long": "__int64", "unsigned long long": "unsigned __int64"}
_BUILTIN = re.compile(rf"\b(?:{'|'.join(sorted(WORDS))})(?:\s+(?:{'|'.join(sorted(WORDS))}))*\b")
_NUMBER = re.compile(r"\b(\d+)[uUlL]+\b")
_BLANKS = re.compile(r"\s*([<>,*&()])\s*")


def other_spellings(name: str) -> Iterator[str]:
    """Yield other spellings of a name with template arguments; nothing for other names."""
    first = name.find("<")
    if first < 0 or len(name) > MAX_NAME:
        return
    head, arguments = name[:first], _BLANKS.sub(r"\1", name[first:])
    seen = {name}
    styles = product(({}, _GCC, _MICROSOFT), (", ", ","), (" ", ""), ("> >", ">>"), (True, False))
    for words, comma, star, closing, suffixes in styles:
        made = _BUILTIN.sub(partial(_spelled, words), arguments)
        if not suffixes:
            made = _NUMBER.sub(r"\1", made)
        made = made.replace(",", comma)
        made = re.sub(r"(?<=[\w>])(?=[*&])", star, made)
        while ">>" in made and closing == "> >":
            made = made.replace(">>", "> >")
        if (head + made) not in seen:
            seen.add(head + made)
            yield head + made


def _spelled(style: dict[str, str], match: re.Match[str]) -> str:
    words = match.group()
    name = BUILTIN.get(tuple(sorted(words.split())))
    return style.get(name, name) if name is not None else words
