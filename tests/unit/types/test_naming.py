"""How types are spelled."""

from __future__ import annotations

import pytest

from polydbg.types.model import (
    ArrayType,
    CompoundParts,
    CompoundType,
    Encoding,
    EnumType,
    FunctionType,
    MemberPointerType,
    PointerKind,
    PointerType,
    QualifiedType,
    ScalarType,
    Type,
    TypedefType,
    UnknownType,
    VoidType,
)
from polydbg.types.naming import (
    named,
    scalar_word,
    spelled,
    spelled_for_model,
    spelled_tightly,
)

INT = ScalarType("int", 4, Encoding.SIGNED)
CHAR = ScalarType("char", 1, Encoding.CHAR)
NODE = CompoundType("app::Node", 8, "struct", CompoundParts)
COLOUR = EnumType("Colour", lambda: INT, tuple)


def pointer(target: Type, kind: PointerKind = PointerKind.POINTER) -> PointerType:
    return PointerType(lambda: target, 8, kind)


def array(element: Type, count: int | None) -> ArrayType:
    return ArrayType(lambda: element, count)


def function(result: Type, *parameters: Type, variadic: bool = False) -> FunctionType:
    return FunctionType(
        lambda: result, lambda: parameters, convention="__cdecl", is_variadic=variadic
    )


@pytest.mark.parametrize(
    ("type_", "brief", "model", "tight"),
    [
        (NODE, "struct app::Node", "app::Node", "app::Node"),
        (COLOUR, "Colour", "Colour", "Colour"),
        (pointer(NODE), "struct app::Node *", "app::Node *", "app::Node*"),
        (pointer(pointer(CHAR)), "char **", "char * *", "char**"),
        (array(array(INT, 3), 2), "int [2][3]", "int [2][3]", "int[][]"),
        (array(pointer(VoidType()), 2), "void *[2]", "void * [2]", "void*[]"),
        (pointer(array(CHAR, 6)), "char (*)[6]", "char (*)[6]", "char(*)[]"),
        (array(CHAR, None), "char []", "char []", "char[]"),
        (pointer(INT, PointerKind.REFERENCE), "int &", "int &", "int*"),
        (function(INT, pointer(CHAR)), "<function>", "int __cdecl(char *)", "<function>"),
        (
            pointer(function(INT, pointer(CHAR), INT)),
            "<function> *",
            "int (__cdecl*)(char *,int)",
            "<function>*",
        ),
        (pointer(function(INT)), "<function> *", "int (__cdecl*)(void)", "<function>*"),
        (function(INT, CHAR, variadic=True), "<function>", "int __cdecl(char,...)", "<function>"),
        (
            MemberPointerType(lambda: INT, lambda: NODE, 8),
            "int app::Node::*",
            "int app::Node::*",
            "int app::Node::*",
        ),
        (pointer(QualifiedType(lambda: CHAR, ("const",))), "char *", "char *", "char*"),
        (pointer(TypedefType("sku_t", lambda: INT)), "sku_t *", "sku_t *", "sku_t*"),
        (UnknownType("", "no record"), "<unknown>", "<unknown>", "<unknown>"),
        (
            CompoundType("", 8, "union", CompoundParts),
            "union <unnamed-tag>",
            "<unnamed-tag>",
            "<unnamed-tag>",
        ),
        (PointerType(lambda: NODE, 8, name="&Node"), "&Node", "&Node", "&Node"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_spelling(type_: Type, brief: str, model: str, tight: str) -> None:
    assert (spelled(type_), spelled_for_model(type_), spelled_tightly(type_)) == (
        brief,
        model,
        tight,
    )


def test_types_that_point_to_themselves_have_a_name() -> None:
    loop = PointerType(lambda: loop, 8)
    assert spelled(loop) == spelled_for_model(loop) == "<unknown>"
    taking: FunctionType = FunctionType(lambda: INT, lambda: (pointer(taking),) * 2)
    assert spelled_for_model(taking).count("...") < 1000
    circle = TypedefType("T", lambda: circle)
    assert spelled(circle) == "T"


@pytest.mark.parametrize(
    ("encoding", "size", "word"),
    [
        (Encoding.SIGNED, 4, "Int4B"),
        (Encoding.UNSIGNED, 16, "Uint16B"),
        (Encoding.CHAR, 1, "Char"),
        (Encoding.UNSIGNED_CHAR, 1, "UChar"),
        (Encoding.WIDE_CHAR, 4, "Wchar"),
        (Encoding.UTF, 1, "Char"),
        (Encoding.FLOAT, 16, "Float"),
        (Encoding.BOOL, 1, "Bool"),
    ],
    ids=lambda each: str(each),
)
def test_words_of_dt_come_from_size_and_encoding(encoding: Encoding, size: int, word: str) -> None:
    assert scalar_word(ScalarType("whatever", size, encoding)) == word


def test_what_has_no_name() -> None:
    assert named(EnumType("", lambda: INT, tuple)) == "<unnamed-tag>"
    assert named(UnknownType("gone", "no record")) == "gone"
