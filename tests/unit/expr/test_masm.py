"""The MASM evaluator, against a context whose registers, symbols and memory are tables."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from masm_tables import PIECES, RichContext, TableContext

from polydbg.base.errors import CommandError, ExpressionError
from polydbg.expr.context import ExtraCharacterError
from polydbg.expr.evaluator import evaluate, evaluate_prefix

M = 1 << 64

VALUES = [
    ("1+2*3", 7),
    ("(1+2)*3", 9),
    ("[1+2]*3", 9),
    ("-1", M - 1),
    ("+-1", M - 1),
    ("--1", 1),
    ("7 mod 3", 1),
    ("7%3", 1),
    ("8-3-2", 3),
    ("100/10/2", 8),
    ("1<<4", 16),
    ("1<<40", 0),
    ("ff >> 2", 0x3F),
    ("-8 >> 2", 0x3FFF_FFFF_FFFF_FFFE),
    ("-8 >>> 2", M - 2),
    ("-1 >>> 1000", M - 1),
    ("1 + 1 << 2", 8),
    ("1 = 1", 1),
    ("1 == 2", 0),
    ("1!=2", 1),
    ("3 >= 3", 1),
    ("-1 < 0", 0),
    ("1 & 3 == 3", 1),
    ("c | a ^ 6 & 3", 0xC | (0xA ^ (6 & 3))),
    ("1 or 2 AND 3", 3),
    ("5 xor 1", 4),
    ("not 0", 1),
    ("not 5 + 1", 1),
    ("~0", 1),
    ("~5", 0),
    ("hi(0x123456789)", 0x2345),
    ("low 12345678", 0x5678),
    ("by(rsp+1)", 1),
    ("wo(rsp)", 0x100),
    ("dwo rsp", 0x3020100),
    ("poi(rsp)", 0x0706050403020100),
    ("poi rsp + 1", 0x0706050403020101),
    ("qwo(rsp)", 0x0706050403020100),
    ("'a'", 0x61),
    ("'ab'", 0x6162),
    ("0x10 + 0n10 + 0t10 + 0y101", 39),
    ("0x", 0),
    ("0n + 1", 1),
    ("4AB3h", 0x4AB3),
    ("ah", 10),
    ("@ah", 3),
    ("1`1", 0x11),
    ("1`", 1),
    ("ffff8000`12345678", 0xFFFF_8000_1234_5678),
    ("add", 0xADD),
    ("b8", 0xB8),
    ("!face", 0x51),
    ("face", 0xFACE),
    ("$!local", 0x50),
    ("eax", 7),
    ("r8", 0x88),
    ("@r8", 8),
    ("@rsp+8", 0x1008),
    ("$t0 + @$t0", 10),
    (".", 0x2000),
    (".+2", 0x2002),
    ("app", 0x40_0000),
    ("app!main+10", 0x40_1010),
    ("7z!main", 0x53),
    ("app!Vec<int, 4>::dot", 0x40_2000),
    ("app!Vec<int", None),
    ("app!Vec<app!main", 0),
    ("app!Vec<5>=0", 1),
    ("app!operator<", 0x40_2200),
    ("app!geo::Box::~Box", 0x40_2300),
    ("geo__Box__paint", 0x40_2700),
    ("app!?f@@YAXXZ", 0x40_2400),
    ("app!`anonymous namespace'::g + 1", 0x40_2501),
    ("app!(anonymous namespace)::h", 0x40_2600),
    ('@!"std::vector<int>::push_back"+1', 0x53),
    ("`app!main.c:12` + 1", 0x40_1006),
    ("@@masm(1 + 2) * 2", 6),
    ("$iment(app)", 0x40_1234),
    ('$scmp("a", "b")', M - 1),
    ('$scmp("a","A")', 1),
    ('$sicmp("a","A")', 0),
    ('$spat("Kernel32", "kern*")', 1),
    ('$spat( @"c:\\dir\\", "*filename*" )', 0),
    ("$vvalid(1000,100)", 1),
    ("$vvalid(1000,101)", 0),
    ("$vvalid(0,ffffffffffffffff)", 0),
    ("ffffffffffffffff + 2", 1),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_value(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ExpressionError):
            evaluate(text, TableContext())
    else:
        assert evaluate(text, TableContext()) == expected


ERRORS = [
    ("nosuch", "Couldn't resolve error at 'nosuch'"),
    ("nosuch + 1", "Couldn't resolve error at 'nosuch + 1'"),
    ("app!1", "Couldn't resolve error at 'app!1'"),
    ("!1", "Couldn't resolve error at '!1'"),
    ("app!+3c", "Syntax error at 'app!+3c'"),
    ("1/0", "Operand error at '0'"),
    ("1 mod (0) + 5", "Operand error at ') + 5'"),
    ("1 +", "Numeric expression missing from '<EOL>'"),
    ("1 + ", "Numeric expression missing from '<EOL>'"),
    ("", "Numeric expression missing from '<EOL>'"),
    (")", "Numeric expression missing from ')'"),
    ("*1", "Numeric expression missing from '*1'"),
    ("1 && 2", "Numeric expression missing from '& 2'"),
    ("(1+1", "Syntax error at '<EOL>'"),
    ("(1 1)", "Syntax error at '1)'"),
    ("`1", "Syntax error at '`1'"),
    ("`x.c:1`", "Couldn't resolve error at '`x.c:1`'"),
    ("3.5", "Syntax error at '3.5'"),
    ("12g", "Syntax error at '12g'"),
    ("''", "Syntax error at ''''"),
    ("'123456789'", "Syntax error at ''123456789''"),
    ("@foo", "Bad register error at '@foo'"),
    ("@$peb + 1", "Bad register error at '@$peb + 1'"),
    ("@", "Bad register error at '@'"),
    ('@!"nosuch"', "Couldn't resolve error at '@!\"nosuch\"'"),
    ("poi(0)", "Memory access error at ')'"),
    ("poi(0) == 100) { .echo }", "Memory access error at ') == 100) { .echo }'"),
    ("$pby(0)", "Memory access error at ')'"),
    ("$iment(0)", "Unknown image error at ')'"),
    ("$fnsucc(0,0,0)", "Unknown or unsupported return type at ')'"),
    ('$spat( "c:\\dir\\", "*x*" )', 'Syntax error at \'( "c:\\dir\\", "*x*" )\''),
    ("10000000000000000", "Overflow error at '10000000000000000'"),
    ("1 2", "Extra character error"),
    ("1)", "Extra character error"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_error(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, TableContext())
    assert caught.value.message == message


def test_extra_characters_carry_the_value_and_the_place() -> None:
    with pytest.raises(CommandError) as caught:
        evaluate("1+1 x", TableContext())
    assert isinstance(caught.value, ExtraCharacterError)
    assert (caught.value.value, caught.value.caret) == (2, 4)


@pytest.mark.parametrize(
    ("radix", "text", "expected"),
    [(10, "10", 10), (8, "17", 15), (10, "0x10", 16), (10, "10h", 16), (8, "eax", 7)],
)
def test_radix(radix: int, text: str, expected: int) -> None:
    assert evaluate(text, TableContext(radix=radix)) == expected


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("rsp L10", " L10"),
        (". L3", " L3"),
        ("@rsp @rip 4", " @rip 4"),
        ("app!main+10", ""),
        ("@rsp+8; k", "; k"),
        ("1,2", ",2"),
        ("(eax == 7) { .echo '}' }", " { .echo '}' }"),
        ('app!main "kb; g"', ' "kb; g"'),
        ("(1==1) '.echo T'", " '.echo T'"),
    ],
)
def test_prefix_stops_where_arguments_stop(text: str, rest: str) -> None:
    _, position = evaluate_prefix(f"xx {text}", 3, TableContext())
    assert f"xx {text}"[position:] == rest


def test_pointer_size_is_the_size_of_poi() -> None:
    assert evaluate("poi(rsp)", TableContext(pointer_size=4)) == 0x3020100


def test_optional_abilities() -> None:
    context = RichContext()
    assert evaluate("$pdwo(10) + 1", context) == 0x15
    assert evaluate("$ppoi 10", context) == 0x18
    assert evaluate("@@c++(a(')')) + @@( bc)", context) == 9
    assert evaluate("$fnsucc(1,0,0)", context) == 1
    assert evaluate("80000000", context) == 0xFFFF_FFFF_8000_0000
    assert evaluate("0`80000000", context) == 0x8000_0000


def test_cpp_needs_types() -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate("@@c++(sizeof(int))", TableContext())
    assert caught.value.identifier == "expression.cpp-unavailable"


@pytest.mark.parametrize("opener", ["(", "-", "poi(", "not ", "$iment(", "@@masm(", "1|(1^(1&("])
def test_depth_and_length_are_bounded(opener: str) -> None:
    assert evaluate("(" * 90 + "1" + ")" * 90, TableContext()) == 1
    with pytest.raises(ExpressionError):
        evaluate(opener * 5000 + "1", TableContext())
    with pytest.raises(ExpressionError, match="Overflow"):
        evaluate("1" + "+1" * 10000, TableContext())


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.lists(PIECES, max_size=12).map("".join),
        st.lists(PIECES, max_size=12).map(" ".join),
        st.text(max_size=30),
    )
)
@example("a!operator")
@example("١")
@example("ǅ!`'")
def test_any_text_gives_a_value_or_an_expression_error(text: str) -> None:
    try:
        value = evaluate(text, TableContext())
    except ExpressionError:
        return
    assert 0 <= value < M


@settings(max_examples=200, deadline=None)
@given(st.integers(0, M - 1), st.integers(0, M - 1), st.sampled_from(list("+-*&|^")))
def test_arithmetic_is_modulo_2_to_the_64(left: int, right: int, symbol: str) -> None:
    expected = eval(f"{left} {symbol} {right}") % M
    assert evaluate(f"0n{left} {symbol} {right:x}", TableContext()) == expected


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("1 + nosuch", 4, "x *!*nosuch* searches the symbols"),
        ("order.id", 0, "members are C++: ?? order.id"),
        ("rsp->id", 4, "members are C++: ?? rsp->id"),
        ("1/0", 2, ""),
    ],
)
def test_errors_tell_where_and_what_to_do(text: str, column: int, hint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, TableContext())
    assert (caught.value.column, caught.value.hint) == (column, hint)
