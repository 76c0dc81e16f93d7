"""The postfix machine: what programs compute, and what is refused."""

from __future__ import annotations

import pytest

from polydbg.base.errors import MemoryReadError, UnwindError
from polydbg.memory.space import BufferSpace
from polydbg.unwind.postfix import MAX_LENGTH, Value, evaluate, run_program

STACK = 0x1000
MEMORY = BufferSpace(b"".join(word.to_bytes(4, "little") for word in (10, 20, 30, 40)), STACK)


def run(program: str, **variables: int) -> dict[str, Value]:
    known: dict[str, Value] = {f"${name}": value for name, value in variables.items()}
    run_program(program, known, MEMORY, 4)
    return known


def value(expression: str, size: int = 4, **variables: int) -> Value:
    return evaluate(
        expression, {f"${name}": each for name, each in variables.items()}, MEMORY, size
    )


def test_a_program_of_frame_data() -> None:
    found = run("$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + =", ebp=STACK + 4, esp=1)
    assert (found["$eip"], found["$ebp"], found["$esp"]) == (30, 20, STACK + 12)


def test_blanks_may_lack_behind_assignments() -> None:
    found = run("$T0 $ebp 4 + =$eip $T0 4 + ^ =$ebp $T0 ^ =", ebp=STACK)
    assert (found["$eip"], found["$ebp"]) == (30, 20)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 2 +", 3),
        ("1 2 -", 0xFFFFFFFF),
        ("-1", 0xFFFFFFFF),
        ("65536 65536 *", 0),
        ("-1 2 /", 0x7FFFFFFF),
        ("17 5 %", 2),
        ("23 8 @", 16),
        ("$esp 4 + ^", 20),
        ("4096 8 + ^ 2 *", 60),
    ],
)
def test_operators_wrap(expression: str, result: int) -> None:
    assert value(expression, esp=STACK) == result


def test_the_width_is_that_of_a_pointer() -> None:
    assert value("1 2 -", 8) == 0xFFFFFFFFFFFFFFFF
    assert value("4096 ^", 8) == 10 | 20 << 32


def test_what_is_not_known_fails_only_what_needs_it() -> None:
    found = run("$eip 4096 ^ = $ebx $esi 4 + ^ = $edi .undef = $ebp 9000 ^ =")
    assert found["$eip"] == 10
    assert isinstance(found["$ebx"], UnwindError)
    assert "needs $esi" in found["$ebx"].message
    assert isinstance(found["$edi"], UnwindError)
    assert isinstance(found["$ebp"], MemoryReadError)
    assert found["$ebp"].address == 9000


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("$T0 +", "lacks an operand"),
        ("^", "lacks an operand"),
        ("=", "lacks an operand"),
        ("$T0 4", "leaves values"),
        ("4 4 =", "assigns to a value"),
        ("$T0 1 0 / =", "divides by zero"),
        ("$T0 1 0 % =", "divides by zero"),
        ("$T0 1 3 @ =", "no power of two"),
        ("$T0 1 0 @ =", "no power of two"),
        ("$T0 4 & =", "unknown word &"),
        ("$T0 \x1b[31m =", "unknown word \\x1b[31m"),
        ("$T0 " + "9" * 30 + " =", "too many digits"),
        ("1 " * 100, "needs too much"),
        (" " * (MAX_LENGTH + 1), "too long"),
    ],
)
def test_nonsense_is_refused_by_name(program: str, words: str) -> None:
    with pytest.raises(UnwindError) as caught:
        run(program)
    assert words in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("expression", ["", "1 2", "$a 1 = 2 3"])
def test_an_expression_has_one_value(expression: str) -> None:
    with pytest.raises(UnwindError):
        value(expression)
