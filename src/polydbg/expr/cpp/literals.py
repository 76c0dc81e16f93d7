"""The types of literals. Sources: the C++ standard, [lex.icon], [lex.ccon], [lex.fcon]."""

from __future__ import annotations

from polydbg.expr.cpp.arithmetic import ArithmeticType, ArithmeticTypes
from polydbg.expr.cpp.nodes import BoolNode, CharacterNode, FloatNode, IntegerNode, Node
from polydbg.expr.cpp.operands import Scalar

_LADDER = ("int", "unsigned int", "long", "unsigned long", "long long", "unsigned long long")
_FIXED = {"i8": "signed char", "i16": "short", "i32": "int", "i64": "long long"}
_FLOATS = {"": "double", "f": "float", "l": "long double"}
_CHARACTERS = {"L": "wchar_t", "u": "char16_t", "U": "char32_t", "u8": "char8_t"}


def literal(types: ArithmeticTypes, node: Node) -> Scalar:
    """Return the value of a number, character or truth value."""
    if isinstance(node, IntegerNode):
        type_ = _integer_type(types, node)
        return Scalar(type_, type_.converted(node.value))
    if isinstance(node, FloatNode):
        type_ = types.named(_FLOATS[node.suffix])
        return Scalar(type_, type_.converted(node.value))
    if isinstance(node, BoolNode):
        return Scalar(types.bool, int(node.value))
    assert isinstance(node, CharacterNode)
    return _character(types, node)


def _integer_type(types: ArithmeticTypes, node: IntegerNode) -> ArithmeticType:
    """Return the first type of the standard's table that holds the value; one that none holds has
    the widest that may be."""
    suffix = node.suffix
    unsigned = "u" in suffix
    size = suffix.replace("u", "")
    if size in _FIXED:
        signed = types.named(_FIXED[size])
        return types.unsigned(signed) if unsigned else signed
    if size == "z":
        return types.sizes if unsigned else types.difference
    first = {"": 0, "l": 2, "ll": 4}[size]
    for index in range(first, len(_LADDER)):
        type_ = types.named(_LADDER[index])
        if unsigned and type_.is_signed:
            continue
        if not unsigned and not type_.is_signed and node.is_decimal:
            continue
        if type_.converted(node.value) == node.value:
            return type_
    return types.named("unsigned long long" if node.value < 1 << 64 else "unsigned __int128")


def _character(types: ArithmeticTypes, node: CharacterNode) -> Scalar:
    if len(node.codes) > 1:
        # What gcc, clang and Microsoft's compiler make of it: the first character is the highest.
        number = 0
        for code in node.codes:
            number = number << 8 | code & 0xFF
        return Scalar(types.int, types.int.converted(number))
    type_ = types.named(_CHARACTERS.get(node.prefix, "char"))
    return Scalar(type_, type_.converted(node.codes[0]))
