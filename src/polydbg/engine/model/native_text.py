"""Native values in the words of ``dx``: command-language reference, 10.4."""

from __future__ import annotations

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.engine.model.objects import error_words
from polydbg.expr.dx.specifiers import Specifiers
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    Encoding,
    EnumType,
    FunctionType,
    MemberPointerType,
    PointerType,
    ScalarType,
    Type,
    UnknownType,
    VoidType,
)
from polydbg.types.place import PlaceKind, ValueUnavailableError
from polydbg.types.scalars import character_words, dx_words, is_signed, number_of, width_of
from polydbg.types.strings import character_type, characters_at, characters_in
from polydbg.types.value import Value
from polydbg.types.variants import variant_name

NO_TYPE = "<no type information>"
_TEXTS = (Encoding.CHAR, Encoding.WIDE_CHAR, Encoding.UTF)
"""Characters whose arrays and pointers are text; ``unsigned char`` is a byte."""


def native_words(value: Value, how: Specifiers) -> str | None:
    """Return the value in words, ``None`` for classes and most arrays.

    :raises MemoryReadError: it is not in the target's memory.
    :raises ValueUnavailableError: it cannot be told.
    """
    bare = value.type.bare
    if value.place.kind is PlaceKind.NOWHERE:
        raise ValueUnavailableError(value.place.reason)
    if isinstance(bare, ScalarType):
        return _scalar(value, bare, how)
    if isinstance(bare, EnumType):
        return _enumeration(value, bare, how)
    if isinstance(bare, PointerType):
        return _pointer(value, bare, how)
    if isinstance(bare, ArrayType):
        return _array(value, bare, how)
    if isinstance(bare, CompoundType):
        return sanitise_line(variant_name(value)) or None
    if isinstance(bare, FunctionType):
        return f"{value.address or 0:#x}"
    if isinstance(bare, MemberPointerType):
        return f"{value.bits():#x}"
    return NO_TYPE if isinstance(bare, UnknownType) else None


def in_base(number: int, width: int, base: int) -> str:
    """Return an integer of *width* bits with the prefix of its base; only base 10 has a sign."""
    if base == 10:
        return f"{number}"
    unsigned = number & (1 << width) - 1 if width else number
    digits = {16: "x", 8: "o", 2: "b"}[base]
    return {16: "0x", 8: "0", 2: "0y"}[base] + f"{unsigned:{digits}}"


def _scalar(value: Value, type_: ScalarType, how: Specifiers) -> str:
    if how.is_character:
        return f"'{character_words(value.bits(), type_, value.around.model)}'"
    number = number_of(value)
    if not how.base or not isinstance(number, int) or type_.encoding is Encoding.BOOL:
        return dx_words(value)
    return in_base(number, width_of(value), how.base)


def _enumeration(value: Value, type_: EnumType, how: Specifiers) -> str:
    number = int(number_of(value).real)
    signed = is_signed(type_, value.around.model)
    base = how.base if how.base not in (0, 10) else (10 if signed else 16)
    shown = in_base(number, width_of(value), base)
    name = next((each.name for each in type_.enumerators if each.value == number), None)
    if name is None:
        return shown
    return sanitise_line(name) if how.names_only else f"{sanitise_line(name)} ({shown})"


def character_of(type_: Type) -> ScalarType | None:
    """Return the type where arrays of it and pointers to it are texts, else ``None``."""
    found = character_type(type_)
    return found if found is not None and found.encoding in _TEXTS else None


def _unit(type_: Type, how: Specifiers) -> ScalarType | None:
    """Return the character that a string of *type_* has, by its type or as it was asked for."""
    bare = type_.bare
    if how.string is None:
        return character_of(type_)
    size = how.string[0]
    if not isinstance(bare, (ScalarType, VoidType)):
        return None
    return ScalarType("char", size, Encoding.UTF if how.is_utf8 or size > 1 else Encoding.CHAR)


def _quoted(text: str, how: Specifiers) -> str:
    return text if how.string is not None and not how.string[1] else f'"{text}"'


def _pointer(value: Value, type_: PointerType, how: Specifiers) -> str:
    address = value.bits()
    shown = f"{address:#x}"
    target = type_.target.bare
    is_counted = how.count is not None or how.count_expression != ""
    if not address or (is_counted and how.string is None):
        return shown
    unit = None if type_.is_reference else _unit(target, how)
    if unit is not None:
        return f"{shown} : {_text_at(value, address, unit, how.count, how)}"
    if isinstance(target, (ScalarType, EnumType, PointerType)):
        return f"{shown} : {_pointed(value, target, how)}"
    return shown


def _pointed(value: Value, target: Type, how: Specifiers) -> str:
    pointed = value.target()
    try:
        if isinstance(target, PointerType):
            return f"{pointed.bits():#x}"
        return native_words(pointed, how) or ""
    except DebuggerError as error:
        return error_words(error)


def _text_at(
    value: Value, address: int, unit: ScalarType, count: int | None, how: Specifiers
) -> str:
    around = value.around
    try:
        text = characters_at(around.memory, address, unit, around.model, count)
    except MemoryReadError as error:
        return error_words(error)
    return _quoted(text, how)


def _array(value: Value, type_: ArrayType, how: Specifiers) -> str | None:
    unit = _unit(type_.element, how)
    size = type_.size
    if unit is None or not size:
        return None
    if value.address is not None:
        return _text_at(value, value.address, unit, size // unit.size, how)
    return _quoted(characters_in(value.bytes(), unit, value.around.model), how)


def text_of(value: Value) -> str | None:
    """Return the text that a native array of characters or pointer to them has, without quotes,
    ``None`` for what is neither. :raises DebuggerError: it cannot be read."""
    bare = value.type.bare
    around = value.around
    if isinstance(bare, ArrayType):
        unit = character_of(bare.element)
        if unit is None:
            return None
        return characters_in(value.bytes(), unit, around.model)
    if isinstance(bare, PointerType) and not bare.is_reference:
        unit = character_of(bare.target)
        if unit is not None and value.bits():
            return characters_at(around.memory, value.bits(), unit, around.model)
    return None
