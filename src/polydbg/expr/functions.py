"""The function-like operators of MASM expressions: ``$iment``, ``$scmp``, ``$vvalid`` ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from polydbg.base.errors import ExpressionError, MemoryReadError
from polydbg.base.wildcards import compile_wildcard
from polydbg.expr import lexer
from polydbg.expr.context import EvaluationContext, FunctionTypes

_CHUNK = 1 << 20
_MAX_CHECKED = 1 << 30
"""Largest range that ``$vvalid`` looks at, in bytes."""


class Arguments(Protocol):
    """The part of the evaluator that functions read their arguments with."""

    text: str
    position: int
    end: int
    last: int
    context: EvaluationContext

    def expression(self) -> int: ...
    def expect(self, char: str) -> None: ...
    def error(self, what: str, at: int, identifier: str | None = None) -> ExpressionError: ...


def _numbers(source: Arguments, count: int) -> list[int]:
    """Read ``(a, b, ...)``."""
    source.expect("(")
    values = [source.expression()]
    while len(values) < count:
        source.expect(",")
        values.append(source.expression())
    source.expect(")")
    return values


def _strings(source: Arguments) -> tuple[str, str]:
    """Read ``("a", "b")``. WinDbg blames the parenthesis for whatever is wrong inside."""
    start = lexer.skip_blanks(source.text, source.position, source.end)
    cursor = start
    values: list[str] = []
    for opener in "(,":
        if not source.text.startswith(opener, cursor):
            raise source.error("Syntax error", start)
        cursor = lexer.skip_blanks(source.text, cursor + 1, source.end)
        found = lexer.string_at(source.text, cursor, source.end)
        if found is None:
            raise source.error("Syntax error", start)
        values.append(found[0])
        cursor = lexer.skip_blanks(source.text, found[1], source.end)
    source.position = cursor
    source.expect(")")
    return values[0], values[1]


def _image_entry(source: Arguments) -> int:
    (base,) = _numbers(source, 1)
    entry = source.context.module_entry(base)
    if entry is None:
        raise source.error("Unknown image error", source.last, "expression.unknown-image")
    return entry


def _compare(left: str, right: str) -> int:
    return (left > right) - (left < right)


def _string_compare(source: Arguments) -> int:
    return _compare(*_strings(source))


def _string_compare_folded(source: Arguments) -> int:
    left, right = _strings(source)
    return _compare(left.lower(), right.lower())


def _string_pattern(source: Arguments) -> int:
    text, pattern = _strings(source)
    return int(compile_wildcard(pattern, symbols=False).fullmatch(text) is not None)


def _valid_range(source: Arguments) -> int:
    address, length = _numbers(source, 2)
    if length > _MAX_CHECKED or address + length > 1 << 64:
        return 0
    for offset in range(0, length, _CHUNK):
        try:
            source.context.read_memory(address + offset, min(_CHUNK, length - offset))
        except MemoryReadError:
            return 0
    return 1


def _function_success(source: Arguments) -> int:
    function, value, flag = _numbers(source, 3)
    context = source.context
    answer = None
    if isinstance(context, FunctionTypes):
        answer = context.function_succeeded(function, value, flag)
    if answer is None:
        raise source.error(
            "Unknown or unsupported return type", source.last, "expression.return-type"
        )
    return int(answer)


FUNCTIONS: dict[str, Callable[[Arguments], int]] = {
    "$iment": _image_entry,
    "$scmp": _string_compare,
    "$sicmp": _string_compare_folded,
    "$spat": _string_pattern,
    "$vvalid": _valid_range,
    "$fnsucc": _function_success,
}

PHYSICAL = {"$pby": 1, "$pwo": 2, "$pdwo": 4, "$pqwo": 8, "$ppoi": 0}
"""Operators that read physical memory, with sizes in bytes (0: of a pointer)."""
