"""Expressions that were read before: the second time they mean what they meant the first."""

from __future__ import annotations

import pytest

from polydbg.base.errors import ExpressionError, MemoryReadError
from polydbg.expr import program
from polydbg.expr.evaluator import evaluate


class _Context:
    radix = 16
    pointer_size = 8

    def __init__(self) -> None:
        self.registers = {"rax": 5}
        self.symbols = {"start": 0x1000}
        self.memory = {0x1000: b"\x07\0\0\0\0\0\0\0"}

    def register(self, name: str) -> int | None:
        return self.registers.get(name)

    def pseudo_register(self, name: str) -> int | None:
        return 9 if name == "$t0" else None

    def symbol(self, name: str) -> int | None:
        return self.symbols.get(name)

    def source_line(self, text: str) -> int | None:
        return None

    def read_memory(self, address: int, size: int) -> bytes:
        if address not in self.memory:
            raise MemoryReadError(address)
        return self.memory[address][:size]

    def module_entry(self, base: int) -> int | None:
        return None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - (4 ^ 5)", 6),
        ("@rax * @$t0 + 'a'", 5 * 9 + 0x61),
        ("poi(1000) + by(0x1000) << 1", 28),
        ("-@rax", (1 << 64) - 5),
        ("not 0 + hi(0x12345678)", 0x1235),
        ("10 / 3 % 4 >>> 1", 0),
    ],
)
def test_the_second_time_is_as_the_first(text: str, value: int) -> None:
    context = _Context()
    assert evaluate(text, context) == value
    key = program.key_of(text, 0, len(text), context)
    found = program.kept(key)
    assert found is not None
    assert found.run(context) == evaluate(text, context) == value


def test_what_changes_between_counts() -> None:
    context = _Context()
    assert evaluate("@rax + poi(1000)", context) == 12
    context.registers["rax"], context.memory[0x1000] = 6, b"\x01" + bytes(7)
    assert evaluate("@rax + poi(1000)", context) == 7
    context.radix = 10
    assert evaluate("0n10 + 10", context) == 20
    context.radix = 16
    assert evaluate("0n10 + 10", context) == 26


def test_symbols_are_looked_for_each_time() -> None:
    context = _Context()
    assert evaluate("start + 1", context) == 0x1001
    assert program.kept(program.key_of("start + 1", 0, 9, context)) is None
    context.symbols["start"] = 0x2000
    assert evaluate("start + 1", context) == 0x2001


def test_what_fails_later_says_why() -> None:
    context = _Context()
    assert evaluate("2 / @rax + poi(1000)", context) == 7
    context.registers["rax"] = 0
    with pytest.raises(ExpressionError, match="Operand error at '@rax"):
        evaluate("2 / @rax + poi(1000)", context)
    context.registers = {}
    with pytest.raises(ExpressionError, match="Bad register error"):
        evaluate("2 / @rax + poi(1000)", context)
    context.registers, context.memory = {"rax": 1}, {}
    with pytest.raises(ExpressionError, match="Memory access error"):
        evaluate("2 / @rax + poi(1000)", context)
