"""Address ranges of commands: ``start end``, ``start L n``, ``start L? n``, ``start L- n``.

See the command-language reference, section 7. Sizes are in bytes; ranges never wrap around.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from polydbg.expr import lexer
from polydbg.expr.context import ArgumentError, EvaluationContext
from polydbg.expr.evaluator import evaluate_prefix
from polydbg.expr.numbers import parse_number

_WORD = re.compile(r"[0-9A-Za-z_$@!:?.`]+|\?")
_LENGTH = re.compile(r"(?P<start>[0-9a-fA-F`x]*)[lL](?P<sign>[?-]?)(?P<count>[0-9A-Za-z`]*)")
_JOINS_OPERAND = "+-*/%&|^<>=~(["


class Reader(Protocol):
    """Reads an expression; see :func:`~polydbg.expr.evaluator.evaluate_prefix`."""

    def __call__(
        self, text: str, position: int, context: EvaluationContext, *, end: int | None = None
    ) -> tuple[int, int]: ...


class Range(msgspec.Struct, frozen=True, eq=False):
    """*size* bytes from the address *start* on.

    *count* is how many elements were asked for (by ``L`` or by default); ``None`` where an end
    address was given. Commands whose elements differ in size go by it.
    """

    start: int
    size: int
    count: int | None = None

    def __eq__(self, other: object) -> bool:
        """Compare the bytes alone; how they were counted does not matter."""
        return isinstance(other, Range) and (self.start, self.size) == (other.start, other.size)

    def __hash__(self) -> int:
        return hash((self.start, self.size))


def parse_range(
    text: str,
    position: int,
    context: EvaluationContext,
    *,
    element_size: int,
    default_count: int | None,
    default_start: int | None = None,
    limit: int = 256 << 20,
    overflow: int | None = 0xFFFF_FFFF,
    read: Reader = evaluate_prefix,
) -> tuple[Range, int]:
    """Read the range at *position* of *text*, the whole command; return it and where it ends.

    *element_size* is the size in bytes of what ``L`` counts; *default_count* how many there are
    when only a start is given (``None``: the command needs a range); *default_start* is the
    address when there is none (``None``: it must be given). *limit* bounds ranges without ``L?``
    and *overflow* those with it, both in bytes. *read* reads the expressions.

    :raises ExpressionError: an expression in it has no value; as
        :class:`~polydbg.expr.context.ArgumentError`, the range is backward, missing or too large.
    """
    position = lexer.skip_blanks(text, position, len(text))
    mark = _find_length(text, position, context.radix)
    if mark is not None and mark.start == position and default_start is None:
        mark = None  # there must be an address, so this is one: `u Lfa`
    start_end = mark.start if mark else len(text)
    if default_start is not None and _is_finished(text, position, start_end):
        start, cursor = default_start, position
    else:
        start, cursor = read(text, position, context, end=start_end)
    count: int | None
    if mark is not None and lexer.skip_blanks(text, cursor, start_end) == start_end:
        count, cursor = read(text, mark.count, context)
        size = count * element_size
        unlimited = mark.sign == "?"
        if mark.sign == "-":
            start, size = max(start - size, 0), min(size, start)
    else:
        default = (element_size, default_count)
        size, cursor, is_default = _ended(text, start, cursor, context, default, read)
        count = default_count if is_default else None
        unlimited = False
    if unlimited and overflow is not None and size > overflow:
        raise ArgumentError("Overflow error", cursor - 1)
    if not unlimited and size > limit:
        raise ArgumentError("Range error", cursor - 1)
    return Range(start, min(size, (1 << 64) - start), count), cursor


class _Length(msgspec.Struct, frozen=True):
    """An ``L`` at *start*, its sign ``?`` or ``-``, and where its count begins."""

    start: int
    sign: str
    count: int


def _find_length(text: str, position: int, radix: int) -> _Length | None:
    """Find the ``L`` of a range: outside brackets and quotes, where no symbol can be meant."""
    depth = 0
    index = position
    before = ""
    while index < len(text):
        char = text[index]
        if char in "\";'{}" or (char == "," and depth == 0):
            return None
        if char == "`":
            close = text.find("`", index + 1)
            index = close + 1 if close > 0 else len(text)
            before = char
            continue
        depth += (char in "([") - (char in ")]")
        word = _WORD.match(text, index)
        if word is None:
            before = before if char in " \t" else char
            index += 1
            continue
        if depth == 0 and before not in tuple(_JOINS_OPERAND):
            mark = _length_in(text, word, radix)
            if mark is not None:
                return mark
        before = "w"
        index = word.end()
    return None


def _length_in(text: str, word: re.Match[str], radix: int) -> _Length | None:
    found = _LENGTH.match(text, word.start())
    if found is None:
        return None
    start, count = found["start"], found["count"]
    if start and parse_number(start, radix) is None:
        return None
    if not found["sign"]:
        whole = found.end() >= word.end()
        if count and not (whole and parse_number(count, radix) is not None):
            # Lists a count that is a register, as in ``L@$t0``; anything else is a name.
            return None
        if not count and text[found.end() : found.end() + 1] not in ("", " ", "\t", "(", "@", "$"):
            return None
    return _Length(found.start() + len(start), found["sign"], found.start("count"))


def _is_finished(text: str, position: int, end: int) -> bool:
    return position >= end or text[position] == ";"


def _ended(
    text: str,
    start: int,
    cursor: int,
    context: EvaluationContext,
    default: tuple[int, int | None],
    read: Reader,
) -> tuple[int, int, bool]:
    """Return the size of ``start end`` or of a lone ``start``, where the text ends, and whether
    the size is the default one."""
    next_position = lexer.skip_blanks(text, cursor, len(text))
    if next_position < len(text) and text[next_position] == ",":
        next_position = lexer.skip_blanks(text, next_position + 1, len(text))
    element_size, default_count = default
    if next_position >= len(text) or text[next_position] in ";\"'{}":
        if default_count is None:
            raise ArgumentError("Range error", cursor - 1)
        return default_count * element_size, cursor, True
    last, cursor = read(text, next_position, context)
    if last < start:
        raise ArgumentError("Range error", cursor - 1)
    return last - start + 1, cursor, False
