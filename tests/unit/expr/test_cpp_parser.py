"""How C++ expressions are read: trees, where names and types end, and hostile text."""

from __future__ import annotations

from contextlib import suppress

import pytest
from cpp_tables import TableContext
from hypothesis import given, settings
from hypothesis import strategies as st

from polydbg.base.errors import DebuggerError
from polydbg.expr.cpp.evaluator import evaluate, evaluate_prefix
from polydbg.expr.cpp.nodes import (
    AssignmentNode,
    BinaryNode,
    CallNode,
    CastNode,
    ConditionalNode,
    IndexNode,
    IntegerNode,
    MemberNode,
    NameNode,
    Node,
    PostfixNode,
    SizeofNode,
    TypeNode,
    UnaryNode,
)
from polydbg.expr.cpp.parser import Parser


class Capitals:
    """Names with a capital are types."""

    def is_type_name(self, name: str) -> bool:
        return name[0].isupper()

    def is_known(self, name: str) -> bool:
        return name.startswith("known")


def tree(text: str) -> Node:
    parser = Parser(text, names=Capitals())
    node = parser.expression()
    assert parser.skip() == len(text)
    return node


def shown(node: Node) -> str:
    """Return a tree with all its parentheses."""
    match node:
        case BinaryNode():
            return f"({shown(node.left)} {node.symbol} {shown(node.right)})"
        case AssignmentNode():
            return f"({shown(node.target)} :{node.symbol} {shown(node.value)})"
        case ConditionalNode():
            parts = (node.condition, node.positive, node.negative)
            return "({} ? {} : {})".format(*map(shown, parts))
        case UnaryNode():
            return f"{node.symbol}{shown(node.operand)}"
        case PostfixNode():
            return f"{shown(node.operand)}{node.symbol}"
        case MemberNode():
            return f"{shown(node.object)}{'->' if node.is_arrow else '.'}{node.name}"
        case IndexNode():
            return f"{shown(node.object)}[{','.join(map(shown, node.arguments))}]"
        case CallNode():
            return f"{shown(node.function)}({','.join(map(shown, node.arguments))})"
        case TypeNode():
            steps = "".join(
                f"[{each.count}]" if each.kind == "[]" else each.kind for each in node.steps
            )
            return node.name + steps
        case CastNode():
            return f"{node.style}<{shown(node.type)}>{shown(node.operand)}"
        case SizeofNode():
            return f"sizeof {shown(node.operand)}"
        case IntegerNode():
            return str(node.value)
        case NameNode():
            return f"`{node.name}`" if not node.name.isidentifier() else node.name
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3-4", "((1 + (2 * 3)) - 4)"),
        ("1|2^3&4==5<6<<7+8*9", "(1 | (2 ^ (3 & (4 == (5 < (6 << (7 + (8 * 9))))))))"),
        ("a||b&&c", "(a || (b && c))"),
        ("a?b:c?d:e", "(a ? b : (c ? d : e))"),
        ("a?b?c:d:e", "(a ? (b ? c : d) : e)"),
        ("a=b?c:d=e", "(a := (b ? c : (d := e)))"),
        ("a=b+=c", "(a := (b :+ c))"),
        ("a,b=c,d", "((a , (b := c)) , d)"),
        ("-*p++", "-*p++"),
        ("- -a", "--a"),
        ("!a.b[1]->c", "!a.b[1]->c"),
        ("a.*b->*c", "((a .* b) ->* c)"),
        ("a-->b", "(a-- > b)"),
        ("a->b", "a->b"),
        ("a- -b", "(a - -b)"),
        # casts
        ("(T)-1", "<T>-1"),
        ("(t)-1", "(t - 1)"),
        ("(T)*p", "<T>*p"),
        ("(t)*p", "(t * p)"),
        ("(T)(x)", "<T>x"),
        ("(t)(x)", "t(x)"),
        ("(t)x", "<t>x"),
        ("(t)!x", "<t>!x"),
        ("(t)!=x", "(t != x)"),
        ("(t)~x", "<t>~x"),
        ("(t)->x", "t->x"),
        ("(t).x", "t.x"),
        ("(t)[1]", "t[1]"),
        ("(t)++", "t++"),
        ("(T *)p->x", "<T*>p->x"),
        ("(T)a+b", "(<T>a + b)"),
        ("(int)(char)x", "<int><char>x"),
        ("(struct t *)x", "<t*>x"),
        ("(const char * const *)x", "<charconst*const*>x"),
        ("(unsigned long int)x", "<unsigned long>x"),
        ("(long unsigned)x", "<unsigned long>x"),
        ("(int[3])x", "<int[3]>x"),
        ("(int (*)[3][4])x", "<int[4][3]*>x"),
        ("(void (*)(int, T *))x", "<void()*>x"),
        ("(int T::*)x", "<int::*>x"),
        ("(mod!ns::t *)x", "<mod!ns::t*>x"),
        ("(char *)&x", "<char*>&x"),
        ("(char *)p + 1", "(<char*>p + 1)"),
        ("static_cast<T<U> *>(x).y", "static_cast<T<U>*>x.y"),
        ("int(x) + 1", "(<int>x + 1)"),
        ("T(x)", "T(x)"),
        ("sizeof(int) * 2", "(sizeof int * 2)"),
        ("sizeof(x) * 2", "(sizeof x * 2)"),
        ("sizeof(T *) + 1", "(sizeof T* + 1)"),
        ("sizeof(x)[1]", "sizeof x[1]"),
        ("sizeof x->y", "sizeof x->y"),
        ("sizeof sizeof(char)", "sizeof sizeof char"),
        ("sizeof(int*)-1", "(sizeof int* - 1)"),
        # names
        ("a<b>c", "((a < b) > c)"),
        ("a<b>::c", "`a<b>::c`"),
        ("a<b>(c)", "((a < b) > c)"),
        ("known<b>(c)", "`known<b>`(c)"),
        ("(a<b> *)c", "<a<b>*>c"),
        ("i<n && j>(k)", "((i < n) && (j > k))"),
        ("v<int, std::allocator<int> >::x", "`v<int, std::allocator<int> >::x`"),
        ("mod!a", "`mod!a`"),
        ("a!=b", "(a != b)"),
        ("lib.so.6!a.b", "`lib.so.6!a`.b"),
        ("7z!a", "`7z!a`"),
        ("a@1", "a"),
        ("known@1", "`known@1`"),
        ("a ? b::c : d", "(a ? `b::c` : d)"),
        ("x ? ::y : z", "(x ? `::y` : z)"),
        ("o.Base::x", "o.Base::x"),
        ("`anonymous namespace'::x", "``anonymous namespace'::x`"),
        ("(anonymous namespace)::x", "`(anonymous namespace)::x`"),
    ],
)
def test_tree(text: str, expected: str) -> None:
    if text == "a@1":
        parser = Parser(text, names=Capitals())
        assert shown(parser.expression()) == expected
        assert parser.position == 1
    else:
        assert shown(tree(text)) == expected


def test_nodes_know_where_they_stand() -> None:
    text = "  a->b [ 1 ] + (c)"
    node = tree(text)
    assert isinstance(node, BinaryNode)
    assert text[node.left.start : node.left.end] == "a->b [ 1 ]"
    assert text[node.right.start : node.right.end] == "c"


PIECES = st.sampled_from(
    [
        *"()[]{}+-*/%&|^<>=~!.,;:?`'\"@$#\\\0\né ",
        *("->", "->*", ".*", "::", "&&", "||", "<<=", "++", "--", "==", "@@(", "@@c++(", "@@masm("),
        *("1", "0x", "1e", ".5", "1.5f", "0n1", "08", "'a'", "L'", '"s"', "1ull", "7`12345678"),
        *("i", "p", "pp->", "point.", "object.", "array[", "null", "gone", "main", "this", "r"),
        *("int", "char *", "unsigned", "long", "struct ", "const ", "sizeof", "static_cast<"),
        *("dynamic_cast<", "(Level)", "geo::Point", "Box<int, 4>", "Second", "(Derived *)"),
        *("#FIELD_OFFSET(", "#CONTAINING_RECORD(", "#RTL_NUMBER_OF(", "@rax", "@$t0", "//"),
        *("true", "nullptr", "app!", "operator", "<int>", "x@1", "//c", "field", "level", "= 1"),
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_text_ends_in_a_value_or_an_error(text: str) -> None:
    context = TableContext()
    context.evaluate_masm = lambda text: 1  # type: ignore[method-assign]
    for evaluation in (
        lambda: evaluate(text, context),
        lambda: evaluate_prefix(text, 0, context),
        lambda: evaluate(text + text[::-1], context),
    ):
        with suppress(DebuggerError):
            evaluation()


@pytest.mark.parametrize(
    "text",
    [
        "(" * 3000,
        "-" * 3000 + "1",
        "(int)" * 3000 + "1",
        "p" + "[0" * 3000,
        "pp" + "->x" * 3000,
        "sizeof " * 3000 + "i",
        "1?" * 3000,
        "1?1:" * 3000 + "1",
        "i=" * 3000 + "1",
        "a<" * 3000,
        "(int" + "*" * 3000 + ")p",
        "(int" + "[1]" * 3000 + ")p",
        "(int(*)(" * 1000,
        "const " * 3000 + "int",
        "(const " + "const " * 2000 + "int)p",
        "::" * 3000,
        "a::" * 3000,
        "1" * 5000,
        '"' + "x" * 9000 + '"',
        "@@(" * 3000,
        "1" + "+1" * 9000,
        "#FIELD_OFFSET(" * 1000,
        "i" + "<i>" * 1000,
        "(" + "a<" * 1000 + ">" * 1000 + ")",
        "static_cast<" * 1000,
    ],
    ids=range(25),
)
def test_bounds_hold(text: str) -> None:
    with pytest.raises(DebuggerError):
        evaluate(text, TableContext())
