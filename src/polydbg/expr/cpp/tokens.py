"""Tokens of C++ expressions that MASM has not: numbers with suffixes, characters, operators.

As with MASM, the parser asks at a position for what it can use there; see
:mod:`polydbg.expr.lexer`, whose readers of names and brackets serve here as well. Sources: the C++
standard, [lex]; for the backtick, ``0n`` and ``I64``, WinDbg's documentation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from polydbg.expr import lexer
from polydbg.expr.pratt import Operator

if TYPE_CHECKING:
    from fractions import Fraction

_OPERATOR = re.compile(r"->\*|\.\*|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&^|]=|[-+*/%&^|<>=?,]")
_LEVELS = {
    30: (".*", "->*"),
    28: ("*", "/", "%"),
    26: ("+", "-"),
    24: ("<<", ">>"),
    22: ("<", "<=", ">", ">="),
    20: ("==", "!="),
    18: ("&",),
    16: ("^",),
    14: ("|",),
    12: ("&&",),
    10: ("||",),
    2: (",",),
}
ASSIGNMENTS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "^=", "|=", "<<=", ">>="))
_POWERS = {symbol: (power, power) for power, symbols in _LEVELS.items() for symbol in symbols}
_POWERS |= dict.fromkeys(["?", *ASSIGNMENTS], (8, 7))
"""Binding powers ([expr.compound]); ``?`` and assignments stand alike and bind to the right."""

_SUFFIX = r"(?:(?P<suffix>[uU]?(?:ll|LL|[lL]|[iI]64|[iI]32|[iI]16|[iI]8|z|Z)?[uU]?))"
_INTEGER = re.compile(
    r"(?:0[xX](?P<hex>[0-9a-fA-F][0-9a-fA-F`]*)"
    r"|0[bB](?P<binary>[01]+)"
    r"|0[nN](?P<decimal0>[0-9]+)"
    r"|(?P<octal>0[0-7]*)(?![0-9`])"
    r"|(?P<decimal>[1-9][0-9]*)(?!`))" + _SUFFIX + r"(?!\w)"
)
_SPLIT = re.compile(r"(?P<high>[0-9a-fA-F]{1,8})`(?P<low>[0-9a-fA-F]{8})(?!\w)")
_FLOAT = re.compile(
    r"(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
    r"(?P<suffix>[fFlL]?)(?!\w)"
)
_NUMBER_START = re.compile(r"[0-9.]|[a-fA-F][0-9a-fA-F]*`")
_MAX_DIGITS = 128
_MAX_POWER = 5000
"""More powers of ten than any format has."""
_QUOTED = re.compile(r"(?P<prefix>u8|u|U|L)?(?P<quote>['\"])")
_ESCAPE = re.compile(
    r"\\(?:x(?P<hex>[0-9a-fA-F]{1,8})|(?P<octal>[0-7]{1,3})|u(?P<u4>[0-9a-fA-F]{4})"
    r"|U(?P<u8>[0-9a-fA-F]{8})|(?P<one>[^xuU0-7]))",
    re.DOTALL,
)
_ESCAPED = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27}
_NAME_PART = re.compile(r"[^\W\d][\w$]*(?:@[0-9]+)?|\$[\w$]+|\?[\w?@$]+")
_MODULE = re.compile(r"[\w.$]+!(?=[\w$?~`:]|\(anonymous namespace\))")
MAX_LITERAL = 4096
"""Longest string or character literal, in characters."""


class Literal(NamedTuple):
    """A number: its value, its suffix in lower case, whether it is decimal, and where it ends."""

    value: int | float | Fraction
    suffix: str
    is_decimal: bool
    end: int


class Quoted(NamedTuple):
    """A string or a character: the codes in it, the prefix, which quote, and where it ends."""

    codes: tuple[int, ...]
    prefix: str
    quote: str
    end: int


def operator_at(text: str, position: int, end: int) -> Operator | None:
    """Return the operator between operands that starts at *position*, if one does."""
    match = _OPERATOR.match(text, position, end)
    if match is None:
        return None
    symbol = match.group()
    left, right = _POWERS[symbol]
    return Operator(symbol, left, right, match.end())


def number_at(text: str, position: int, end: int) -> Literal | None:
    """Return the number that starts at *position*, ``None`` if none does or it is malformed."""
    if not _NUMBER_START.match(text, position, end) or _MODULE.match(text, position, end):
        return None
    split = _SPLIT.match(text, position, end)
    if split is not None:
        value = int(split["high"], 16) << 32 | int(split["low"], 16)
        return Literal(value, "", False, split.end())
    end = min(end, position + _MAX_DIGITS)
    match = _FLOAT.match(text, position, end)
    if match is not None:
        suffix = match["suffix"]
        digits = match.group()[: -len(suffix) or None]
        real = _long_double(digits) if suffix in ("l", "L") else float(digits)
        return Literal(real, suffix.lower(), True, match.end())
    match = _INTEGER.match(text, position, end)
    if match is None:
        return None
    suffix = match["suffix"].lower()
    if match["hex"]:
        return Literal(int(match["hex"].replace("`", ""), 16), suffix, False, match.end())
    if match["binary"]:
        return Literal(int(match["binary"], 2), suffix, False, match.end())
    if match["octal"]:
        return Literal(int(match["octal"], 8), suffix, False, match.end())
    return Literal(int(match["decimal"] or match["decimal0"]), suffix, True, match.end())


def _long_double(digits: str) -> float | Fraction:
    """Return what *digits* say exactly: formats of more than 64 bits round for themselves."""
    from fractions import Fraction

    power = digits.lower().partition("e")[2]
    return Fraction(digits) if abs(int(power or 0)) <= _MAX_POWER else float(digits)


def quoted_at(text: str, position: int, end: int) -> Quoted | None:
    """Return the string or character at *position*; ``None`` if none is there or it has no end."""
    start = _QUOTED.match(text, position, end)
    if start is None:
        return None
    end = min(end, start.end() + MAX_LITERAL)
    quote, at = start["quote"], start.end()
    codes: list[int] = []
    while at < end:
        char = text[at]
        if char == quote:
            return Quoted(tuple(codes), start["prefix"] or "", quote, at + 1)
        if char == "\\":
            escape = _ESCAPE.match(text, at, end)
            if escape is None:
                return None
            codes.append(_escaped(escape))
            at = escape.end()
        else:
            codes.append(ord(char))
            at += 1
    return None


def _escaped(escape: re.Match[str]) -> int:
    digits = escape["hex"] or escape["u4"] or escape["u8"]
    if digits:
        return int(digits, 16)
    if escape["octal"]:
        return int(escape["octal"], 8)
    return _ESCAPED.get(escape["one"], ord(escape["one"]))


def name_ends(text: str, position: int, end: int) -> tuple[int, ...]:
    """Return where the name at *position* may end, the shortest reading first: it is longer where
    what follows may be template arguments. Empty: there is no name."""
    module = _MODULE.match(text, position, end)
    begin = module.end() if module is not None else position
    if text.startswith("::", begin):
        begin += 2
    if text[begin : begin + 1].isdigit():
        return ()
    found = lexer.name_at(text, begin, end, _NAME_PART)
    return found.ends if found is not None else ()
