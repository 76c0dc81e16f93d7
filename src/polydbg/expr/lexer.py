"""Tokens of MASM expressions, read where the parser asks for them.

There is no token list: the same characters mean different things before and after an operand
(``%`` is a remainder or part of nothing, ``!`` starts a name or ``!=``), and what follows an
expression in a command (strings, braces, other commands) must not be read at all. So the parser
asks for an operator or for an operand's name at a position, and the functions here answer.
"""

from __future__ import annotations

import re

import msgspec

from polydbg.expr.pratt import Operator

MAX_NAME = 4096
"""Longest symbol name considered, in characters."""

_BLANK = re.compile(r"[ \t\r\n]*")
_OPERATOR = re.compile(r">>>|>>|<<|<=|>=|!=|==|[-+*/%=<>&^|]|(?:mod|and|or|xor)\b", re.IGNORECASE)
_PLAIN = re.compile(r"[0-9A-Za-z_`]+")
_AFTER_WORDS = frozenset(" \t\r\n+-*/%&|^=>)],;")
"""What follows a word and cannot be a part of its name, unless that is an operator's."""
_NAME_START = re.compile(r"[\w$?~]|`[^`']+'|\(anonymous namespace\)")
_NAME_PART = re.compile(r"[\w$?@]+(?:\.[\w$?@]+)*", re.UNICODE)
_OPERATOR_NAME = re.compile(
    r"(?:<=>|<<=|>>=|->\*|->|\(\)|\[\]|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|[-+*/%^&|=]=|"
    r"[-+*/%^&|~!=<>,])"
)
_REGISTER = re.compile(r"\$?\w+", re.ASCII)
_BRACKETS = {"(": ")", "[": "]", "<": ">", "{": "}"}

_POWERS = {
    "*": 7, "/": 7, "%": 7, "mod": 7,
    "+": 6, "-": 6,
    "<<": 5, ">>": 5, ">>>": 5,
    "=": 4, "==": 4, "<": 4, ">": 4, "<=": 4, ">=": 4, "!=": 4,
    "&": 3, "and": 3,
    "^": 2, "xor": 2,
    "|": 1, "or": 1,
}  # fmt: skip
"""Binding power of the binary operators, all of them left-associative (section 5)."""


class Name(msgspec.Struct, frozen=True):
    """A word at operand position.

    *ends* are the positions where it may end, shortest first: more than one when template
    arguments or an operator's name follow that could also be a comparison. *is_plain* says that
    the shortest reading has nothing that a number or an operator word could not have.
    """

    start: int
    ends: tuple[int, ...]
    is_plain: bool


def skip_blanks(text: str, position: int, end: int) -> int:
    """Return the first position from *position* on that holds no blank, at most *end*."""
    match = _BLANK.match(text, position, end)
    return match.end() if match else position


def binary_operator(text: str, position: int, end: int) -> Operator | None:
    """Return the binary operator that starts at *position*, if one does."""
    match = _OPERATOR.match(text, position, end)
    if match is None:
        return None
    word = match.group().lower()
    power = _POWERS[word]
    return Operator(word, power, power, match.end())


def register_end(text: str, position: int, end: int) -> int:
    """Return where the register name at *position* (behind the ``@``) ends."""
    match = _REGISTER.match(text, position, end)
    return match.end() if match else position


def name_at(
    text: str, position: int, end: int, component: re.Pattern[str] = _NAME_PART
) -> Name | None:
    """Return the word at *position*: a number, an operator word or a symbol name.

    Names hold at most one ``!``, and ``::``, ``~``, template arguments, ``operator`` names and
    ``(anonymous namespace)``. *component* is what stands between these; MASM's has ``.``, ``$``,
    ``?``, ``@`` where symbols have them.
    """
    end = min(end, position + MAX_NAME)
    plain = _PLAIN.match(text, position, end)
    if plain is not None and _is_alone(text, plain.start(), plain.end(), end):
        return Name(position, (plain.end(),), is_plain=True)
    cursor = position
    ends: list[int] = []
    if text.startswith(("!", "$!"), position):
        cursor = position + (1 if text[position] == "!" else 2)
        if not _NAME_START.match(text, cursor, end):
            return None
    seen_module = cursor > position
    while True:
        part = _part_end(text, cursor, end, component)
        if part == cursor:
            break
        cursor = part
        cursor = _template_or_operator(text, cursor, end, ends)
        joint = 2 if text.startswith("::", cursor) else 0
        if not joint and not seen_module and text.startswith("!", cursor):
            joint, seen_module = 1, True
        if not joint or not _NAME_START.match(text, cursor + joint, end):
            break
        cursor += joint
    if plain and cursor <= plain.end() and not ends:
        # Backticks belong to numbers only; a name ends before one.
        return Name(position, (plain.end(),), is_plain=True)
    if cursor == position:
        return None
    ends.append(cursor)
    return Name(position, tuple(ends), is_plain=bool(plain and ends[0] == plain.end()))


def _is_alone(text: str, start: int, stop: int, end: int) -> bool:
    """Say whether the word ``text[start:stop]`` is a whole name, which most are."""
    if text[start] == "`" or (stop < end and text[stop] not in _AFTER_WORDS):
        return False
    return not text.endswith("operator", start, stop)


def _part_end(text: str, position: int, end: int, component: re.Pattern[str]) -> int:
    """Return where one component of a qualified name ends."""
    if text.startswith("(anonymous namespace)", position):
        return min(position + len("(anonymous namespace)"), end)
    if text.startswith("`", position):
        close = text.find("'", position, end)
        return close + 1 if close > 0 else position
    if text.startswith("~", position):
        position += 1
    match = component.match(text, position, end)
    return match.end() if match else position


def _template_or_operator(text: str, cursor: int, end: int, ends: list[int]) -> int:
    """Extend a component by ``<...>`` or by the symbol of ``operator``, noting the shorter end."""
    if text.endswith("operator", 0, cursor):
        match = _OPERATOR_NAME.match(text, cursor, end)
        if match is not None:
            ends.append(cursor)
            cursor = match.end()
    if text.startswith("<", cursor) and text.find(">", cursor, end) > 0:
        close = _balanced(text, cursor, end)
        if close is not None:
            ends.append(cursor)
            cursor = close
    return cursor


def _balanced(text: str, position: int, end: int) -> int | None:
    """Return the position behind the bracket that closes the one at *position*."""
    closers: list[str] = []
    for index in range(position, end):
        char = text[index]
        if char in _BRACKETS:
            closers.append(_BRACKETS[char])
        elif char in ';"':
            return None
        elif closers and char == closers[-1]:
            closers.pop()
            if not closers:
                return index + 1
        elif char in ")]}":
            return None
    return None


def matching_parenthesis(text: str, position: int, end: int) -> int | None:
    """Return the position of the ``)`` for the ``(`` at *position*, heeding quotes."""
    depth = 0
    quote = ""
    index = position
    while index < end:
        char = text[index]
        if quote:
            if char == "\\" and quote == '"':
                index += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return index
        index += 1
    return None


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "0": "\0"}


def string_at(text: str, position: int, end: int) -> tuple[str, int] | None:
    """Return the value of ``"..."`` (with C escapes) or ``@"..."`` (as it stands), and its end."""
    if text.startswith('@"', position):
        close = text.find('"', position + 2, end)
        return (text[position + 2 : close], close + 1) if close >= 0 else None
    if not text.startswith('"', position):
        return None
    characters: list[str] = []
    index = position + 1
    while index < end:
        char = text[index]
        if char == '"':
            return "".join(characters), index + 1
        if char == "\\" and index + 1 < end:
            index += 1
            char = _ESCAPES.get(text[index], text[index])
        characters.append(char)
        index += 1
    return None
