"""The C++ evaluator, against a context whose variables, types and memory are tables."""

from __future__ import annotations

import pytest
from cpp_tables import LINUX, LINUX32, WINDOWS, TableContext

from polydbg.base.errors import ExpressionError
from polydbg.expr.context import ExtraCharacterError
from polydbg.expr.cpp.conversions import to_number
from polydbg.expr.cpp.evaluator import evaluate, evaluate_node, evaluate_prefix, parse
from polydbg.types.naming import spelled
from polydbg.types.place import ValueUnavailableError
from polydbg.types.value import Value

VALUES = [
    # literals, and what they are called
    ("1+2", "int", 3),
    ("7/2.0", "double", 3.5),
    ("0x10", "int", 16),
    ("010", "int", 8),
    ("0n10", "int", 10),
    ("0b101", "int", 5),
    ("0xffffffff", "unsigned int", 0xFFFF_FFFF),
    ("5000000000", "int64", 5_000_000_000),
    ("1`00000002", "int64", 0x1_0000_0002),
    ("0x7ff6`1b401559", "int64", 0x7FF6_1B40_1559),
    ("18446744073709551615", "unsigned int64", (1 << 64) - 1),
    ("1I64", "int64", 1),
    ("1ui64", "unsigned int64", 1),
    ("1.5f", "float", 1.5),
    ("'A'", "char", 65),
    ("'ab'", "int", 0x6162),
    ("L'a'", "wchar_t", 97),
    ("'\\x41'", "char", 65),
    ("'\\n'", "char", 10),
    ("true", "bool", 1),
    ("nullptr", "void *", 0),
    # operators
    ("1 == 1", "bool", 1),
    ("!5", "bool", 0),
    ("-1 < 1u", "bool", 0),
    ("-7 / 2", "int", -3),
    ("-7 % 2", "int", -1),
    ("-1 >> 1", "int", -1),
    ("1 << 31", "int", -(1 << 31)),
    ("2147483647 + 1", "int", -(1 << 31)),
    ("~0u", "unsigned int", 0xFFFF_FFFF),
    ("1.0 / 0", "double", float("inf")),
    ("0 && absent", "bool", 0),
    ("1 || 1/0", "bool", 1),
    ("1 ? 2 : 3.0", "double", 2.0),
    ("0 ? absent : i", "int", -7),
    ("1, 2", "int", 2),
    ("1 ? 2, 3 : 4", "int", 3),
    # variables
    ("i", "int", -7),
    ("u + i", "unsigned int", 2_999_999_993),
    ("c + b", "int", 265),
    ("-h", "int", 2),
    ("f * 2", "float", 3.0),
    ("f + d", "double", 3.75),
    ("level", "Level", 3),
    ("level == 3", "bool", 1),
    ("level + 1", "int", 4),
    ("Level::High", "Level", 3),
    ("kept * 7", "int", 42),
    ("r", "int &", 10),
    ("r + 1", "int", 11),
    ("app!i", "int", -7),
    ("::i", "int", -7),
    # casts
    ("(char)65", "char", 65),
    ("(unsigned char)0xfe", "unsigned char", 254),
    ("(short)-3", "short", -3),
    ("(long)5", "long", 5),
    ("(long long)-1", "int64", -1),
    ("(unsigned __int64)-1", "unsigned int64", (1 << 64) - 1),
    ("(unsigned int64)-1", "unsigned int64", (1 << 64) - 1),
    ("(int)2.9", "int", 2),
    ("(int)-2.9", "int", -2),
    ("(bool)0.5", "bool", 1),
    ("int(3.5)", "int", 3),
    ("(Level)1", "Level", 1),
    ("Level(1)", "Level", 1),
    ("static_cast<int>(d)", "int", 2),
    ("(uint32_t)-1", "uint32_t", 0xFFFF_FFFF),
    ("(int *)0x1020", "int *", 0x1020),
    ("(void *)@rax", "void *", 0x1234),
    ("(int)(char)300", "int", 44),
    ("(int)p", "int", 0x1020),
    ("(char (*)[6])p", "char (*)[6]", 0x1020),
    ("(void (*)(int))p", "<function> *", 0x1020),
    # pointers
    ("p", "int *", 0x1020),
    ("*p", "int", 10),
    ("p[2]", "int", 30),
    ("2[p]", "int", 30),
    ("p[-8]", "int", -7),
    ("*(p + 3)", "int", 40),
    ("p + 1", "int *", 0x1024),
    ("&array[3] - p", "int64", 3),
    ("array[1]", "int", 20),
    ("*array", "int", 10),
    ("&array", "int (*)[4]", 0x1020),
    ("array + 1", "int *", 0x1024),
    ("&i", "int *", 0x1000),
    ("&*p", "int *", 0x1020),
    ("&r", "int *", 0x1020),
    ("p == 0x1020", "bool", 1),
    ("p && null", "bool", 0),
    ("!null", "bool", 1),
    ("p > null", "bool", 1),
    ("(char *)p + 4", "char *", 0x1024),
    ("(void *)p + 4", "void *", 0x1024),
    ("main", "<function> *", 0x1090),
    ("&main", "<function> *", 0x1090),
    ("*main", "<function> *", 0x1090),
    ("(char *)main + 1", "char *", 0x1091),
    ("*(int *)0x1024", "int", 20),
    # classes
    ("point.x", "int", 1),
    ("pp->y", "int", -2),
    ("(*pp).y", "int", -2),
    ("point.left + pp->right", "int", 7),
    ("point.low", "int", -15),
    ("point.high", "int", -3),
    ("point.low + 1", "int", -14),
    ("~bits.half", "unsigned int", 0),
    ("bits.half + 1", "unsigned int", 0),
    ("bits.most + 1", "unsigned int64", 1 << 33),
    ("&pp->y", "int *", 0x1044),
    ("point.count", "int", -7),
    ("geo::Point::most", "int", 99),
    ("geo::Point::count", "int", -7),
    ("point.*field", "int", -2),
    ("pp->*field", "int", -2),
    ("point.*&geo::Point::y", "int", -2),
    ("((Alias *)0x1040)->x", "int", 1),
    ("&((geo::Point *)0)->y", "int *", 4),
    ("object.one + object.two", "int", 3),
    ("object.First::same", "int", 11),
    ("object.Second::same", "int", 22),
    ("(Second *)&object", "struct Second *", 0x1068),
    ("static_cast<Derived *>(base)->own", "int", 5),
    ("(Derived *)base", "struct Derived *", 0x1060),
    ("reinterpret_cast<Derived *>(base)", "struct Derived *", 0x1068),
    ("dynamic_cast<Second *>(&object)", "struct Second *", 0x1068),
    ("(Second *)(Derived *)0", "struct Second *", 0),
    ("base == &object", "bool", 1),
    ("&object != base", "bool", 0),
    ("((Second)object).two", "int", 2),
    ("((Second &)object).two", "int", 2),
    ("(Derived &)*base", "struct Derived", None),
    ("Box<int, 4>::total", "int", -7),
    ("((Box<int, 4> *)p)->value", "int", 10),
    ("((Box<int,4u> *)p)->value", "int", 10),
    ("Box<signed,4>::total", "int", -7),
    ("sizeof(Box<int,4>)", "unsigned int64", 4),
    ("box.value", "int", 10),
    # sizes
    ("sizeof(int)", "unsigned int64", 4),
    ("sizeof(long)", "unsigned int64", 4),
    ("sizeof(wchar_t)", "unsigned int64", 2),
    ("sizeof(struct geo::Point)", "unsigned int64", 24),
    ("sizeof(geo::Point)", "unsigned int64", 24),
    ("sizeof(geo::Point) * 2", "unsigned int64", 48),
    ("sizeof(geo::Point) - 1", "unsigned int64", 23),
    ("sizeof(geo::Point) & 0xf", "unsigned int64", 8),
    ("sizeof(app!geo::Point *)", "unsigned int64", 8),
    ("sizeof point", "unsigned int64", 24),
    ("sizeof(*pp)", "unsigned int64", 24),
    ("sizeof(absent)", "unsigned int64", 4),
    ("sizeof(1/0)", "unsigned int64", 4),
    ("sizeof(*(geo::Point *)0)", "unsigned int64", 24),
    ("sizeof(array)", "unsigned int64", 16),
    ("sizeof array / sizeof *array", "unsigned int64", 4),
    ("sizeof(array) / sizeof(array[0])", "unsigned int64", 4),
    ("sizeof(Level[3])", "unsigned int64", 12),
    ("(array[1]) - 5", "int", 15),
    ("sizeof(char[12])", "unsigned int64", 12),
    ("sizeof(r)", "unsigned int64", 4),
    ("sizeof(i) - 5", "unsigned int64", (1 << 64) - 1),
    # registers, the other evaluator, macros
    ("@rax", "unsigned int64", 0x1234),
    ("@$t0 + 1", "unsigned int64", 6),
    ("@$teb->x", "int", 1),
    ("@xmm0 >> 99", "unsigned __int128", 2),
    ("@@masm(poi(rsp))", "unsigned int64", 77),
    ("@@(poi(rsp)) + @@c++(1)", "unsigned int64", 78),
    ("#FIELD_OFFSET(geo::Point, y)", "long", 4),
    ("#CONTAINING_RECORD(&pp->y, geo::Point, y)", "struct geo::Point *", 0x1040),
    ("#RTL_FIELD_SIZE(geo::Point, y)", "unsigned int64", 4),
    ("#RTL_SIZEOF_THROUGH_FIELD(geo::Point, y)", "unsigned int64", 8),
    ("#RTL_NUMBER_OF(array)", "unsigned int64", 4),
    ("#RTL_CONTAINS_FIELD(pp, 8, y)", "bool", 1),
    ("#RTL_CONTAINS_FIELD(pp, 7, y)", "bool", 0),
    # comments and blanks
    ("1 + 2 // three", "int", 3),
    ("  pp  ->  y  ", "int", -2),
]


def _number(value: Value) -> object:
    return to_number(value)


@pytest.mark.parametrize(("text", "type_", "number"), VALUES, ids=[each[0] for each in VALUES])
def test_value(text: str, type_: str, number: float | None) -> None:
    value = evaluate(text, TableContext())
    assert spelled(value.type) == type_
    if number is not None:
        assert _number(value) == number


@pytest.mark.parametrize(
    ("text", "type_", "number"),
    [
        ("sizeof(long)", "unsigned long", 8),
        ("sizeof(wchar_t)", "unsigned long", 4),
        ("5000000000", "long", 5_000_000_000),
        ("1ll", "long long", 1),
        ("&array[1] - p", "long", 1),
        ("@rax", "unsigned long", 0x1234),
        ("L'a'", "wchar_t", 97),
        ("(__int64)1", "long long", 1),
        ("1L + 1ll", "long long", 2),
    ],
)
def test_linux_has_its_own_types(text: str, type_: str, number: int) -> None:
    value = evaluate(text, TableContext(LINUX))
    assert (spelled(value.type), _number(value)) == (type_, number)


def test_pointers_of_32_bits() -> None:
    context = TableContext(LINUX32)
    assert _number(evaluate("(char *)0xfffffffe + 4", context)) == 2
    assert spelled(evaluate("sizeof(p)", context).type) == "unsigned int"
    assert _number(evaluate("sizeof(p)", context)) == 4
    assert spelled(evaluate("p - p", context).type) == "int"
    assert spelled(evaluate("@rax", context).type) == "unsigned long long"


ERRORS = [
    ("nosuch + 1", "Couldn't resolve error at 'nosuch + 1'", 0),
    ("1 + nosuch", "Couldn't resolve error at 'nosuch'", 4),
    ("(nosuch *)p", "Couldn't resolve error at 'nosuch *)p'", 1),
    ("pp->z", "Type does not have given member error at 'z'", 4),
    ("point.z", "Type does not have given member error at 'z'", 6),
    ("pp.x", "Type does not have given member error at 'x'", 3),
    ("i.x", "Type does not have given member error at 'x'", 2),
    ("i->x", "Type is not pointer for operator-> '->x'", 1),
    ("point->x", "Type is not pointer for operator-> '->x'", 5),
    ("p->x", "Type does not have given member error at 'x'", 3),
    ("*i", "No pointer for operator* '<EOL>'", 2),
    ("*point + 1", "No pointer for operator* '+ 1'", 7),
    ("i[1]", "No pointer for operator[] '[1]'", 1),
    ("p[1.5]", "Type conflict error at '1.5]'", 2),
    ("absent", "Memory access error at 'absent'", 0),
    ("absent + 1", "Memory access error at 'absent + 1'", 0),
    ("((geo::Point *)8)->x", "Memory access error at 'x'", 19),
    ("((geo::Point **)8)[0]->x", "Memory access error at ']->x'", 20),
    ('"abc"', "String literals not allowed in '\"abc\"'", 0),
    ("1 +", "Unexpected token '<EOL>'", 3),
    ("", "Unexpected token '<EOL>'", 0),
    ("(1", "Unexpected token '<EOL>'", 2),
    ("1 ? 2", "Unexpected token '<EOL>'", 5),
    ("p[]", "Unexpected token ']'", 2),
    ("main(1)", "Unexpected token '(1)'", 4),
    ("0x", "Unexpected token '0x'", 0),
    ("1abc", "Unexpected token '1abc'", 0),
    ("#NOSUCH(1)", "Unexpected token '#NOSUCH(1)'", 0),
    ("@nosuch", "Bad register error at '@nosuch'", 0),
    ("@$nosuch", "Bad register error at '@$nosuch'", 0),
    ("1 / 0", "Operand error at '0'", 4),
    ("1 % 0", "Operand error at '0'", 4),
    ("1.5 % 2", "Operand error at '2'", 6),
    ("1 << -1", "Operand error at '1'", 6),
    ("main + 1", "Operand error at '1'", 7),
    ("*(void *)p", "Operand error at 'p'", 9),
    ("(int)3e10", "Overflow error at '3e10'", 5),
    ("point + 1", "Type conflict error at 'point + 1'", 0),
    ("p * 2", "Type conflict error at '2'", 4),
    ("(int)point", "Type conflict error at 'point'", 5),
    ("(geo::Point)object", "Type conflict error at 'object'", 12),
    ("&5", "Operand error at '5'", 1),
    ("&kept", "Operand error at 'kept'", 1),
    ("&point.low", "Operand error at 'low'", 7),
    ("sizeof(point.low)", "Operand error at 'point.low)'", 7),
    ("5 = 3", "Operand error at '5 = 3'", 0),
    ("array = 0", "Operand error at '0'", 8),
    ("untyped + 1", "Type information missing error at 'untyped + 1'", 0),
    ("object.same", "Ambiguous symbol error at 'same'", None),
    ("dynamic_cast<Derived *>(base)", "Operand error at 'base)'", 24),
    ("(" * 70 + "1" + ")" * 70, "Overflow error at '" + "(" * 10 + "1" + ")" * 70 + "'", 60),
]


@pytest.mark.parametrize(("text", "message", "column"), ERRORS, ids=[e[0][:40] for e in ERRORS])
def test_error(text: str, message: str, column: int | None) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, TableContext())
    assert caught.value.message == message
    assert caught.value.column == column


def test_in_a_method_unknown_names_are_missing_members() -> None:
    context = TableContext()
    context.variables["this"] = context.variables["pp"]
    with pytest.raises(ExpressionError) as caught:
        evaluate("nosuch + 1", context)
    assert caught.value.message == "Type does not have given member error at 'nosuch + 1'"
    assert _number(evaluate("geo::Point::y", context)) == -2


@pytest.mark.parametrize("text", ["gone + 1", "-gone", "gone ? 1 : 2", "&gone"])
def test_what_is_optimized_out_says_so(text: str) -> None:
    with pytest.raises((ValueUnavailableError, ExpressionError)) as caught:
        evaluate(text, TableContext())
    assert "optimized out" in caught.value.message + caught.value.hint


def test_what_lies_nowhere_is_a_value_all_the_same() -> None:
    assert evaluate("gone", TableContext()).place.reason == "optimized out"
    assert _number(evaluate("sizeof(gone)", TableContext())) == 4


@pytest.mark.parametrize(
    ("text", "after", "number"),
    [
        ("i = 5", "i", 5),
        ("i += 2.5", "i", -4),
        ("i <<= 1", "i", -14),
        ("c = 300", "c", 44),
        ("point.low = 3", "point.low", 3),
        ("point.low = 3", "point.high", -3),
        ("i = u = 7", "i", 7),
        ("p += 2", "*p", 30),
        ("*p = 1", "array[0]", 1),
        ("r = 6", "array[0]", 6),
        ("level = 1", "level", 1),
        ("f = 0.1", "f", 0.10000000149011612),
        ("*(Second *)&object = *base", "object.two", 2),
        ("0 ? i = 1 : 2", "i", -7),
        ("sizeof(i = 1)", "i", -7),
        ("p = 0", "p", 0),
    ],
)
def test_assignment(text: str, after: str, number: float) -> None:
    context = TableContext()
    evaluate(text, context)
    assert _number(evaluate(after, context)) == number


def test_steps_return_what_c_says() -> None:
    context = TableContext()
    assert [_number(evaluate(each, context)) for each in ("i++", "++i", "i--", "--i", "i")] == [
        *(-7, -5, -5, -7, -7)
    ]
    assert _number(evaluate("p++", context)) == 0x1020
    assert _number(evaluate("*p", context)) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i = 5", "Memory access error at '<EOL>'"),
        ("i++", "Memory access error at '++'"),
        ("++i", "Memory access error at '<EOL>'"),
    ],
)
def test_what_cannot_be_written_says_so(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, TableContext(writable=False))
    assert (caught.value.message, caught.value.identifier) == (message, "target.read-only")
    assert "not written" in caught.value.hint


def test_text_behind_an_expression_comes_after_its_value() -> None:
    with pytest.raises(ExtraCharacterError) as caught:
        evaluate("i 2", TableContext())
    assert isinstance(caught.value.value, Value)
    assert (_number(caught.value.value), caught.value.caret) == (-7, 2)


@pytest.mark.parametrize(
    ("text", "end"), [("x i L4", 3), ("x i, 3", 3), ("x p[1];k", 6), ('x pp->y "a"', 7)]
)
def test_prefix_ends_where_nothing_goes_on(text: str, end: int) -> None:
    _, position = evaluate_prefix(text, 2, TableContext())
    assert position == end


def test_a_tree_is_kept_while_its_names_mean_the_same() -> None:
    context = TableContext()
    text = "(Odd)-1"
    assert isinstance(context, TableContext)
    with pytest.raises(ExpressionError, match="Couldn't resolve"):
        evaluate(text, context)
    context.types["Odd"] = context.types["Level"]
    assert _number(evaluate(text, context)) == -1
    context.add("Odd", context.variables["i"].type, 0x1000)
    assert _number(evaluate(text, context)) == -8
    assert parse(text, context) is parse(text, context)


def test_a_tree_is_evaluated_on_its_own() -> None:
    context = TableContext()
    assert _number(evaluate_node(parse("i + 1", context), context, "i + 1")) == -6


def test_names_are_not_looked_up_for_the_branch_that_is_only_typed() -> None:
    context = TableContext(WINDOWS)
    assert _number(evaluate("1 ? i : *(int *)0", context)) == -7


def test_long_chains_need_no_stack() -> None:
    assert _number(evaluate("+".join(["1"] * 5000), TableContext())) == 5000


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("*point", "operators of classes are not called"),
        ("point[1]", "operators of classes are not called"),
        ("absent", "!address"),
    ],
)
def test_errors_say_what_to_do(text: str, hint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, TableContext())
    assert hint in caught.value.hint
