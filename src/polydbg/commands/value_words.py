"""Values in one line as ``??``, ``dv``, ``x`` and ``kp`` print them: the value without its type.

Shapes are those of the engine: command-language.md 6.1, 17.1 and 18.1.
"""

from __future__ import annotations

from collections.abc import Callable

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.base.text import address_text, sanitise_line
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    Encoding,
    EnumType,
    FunctionType,
    MemberPointerType,
    PointerType,
    ScalarType,
    UnknownType,
)
from polydbg.types.naming import spelled
from polydbg.types.place import PlaceKind, ValueUnavailableError
from polydbg.types.presentation import Presentation
from polydbg.types.scalars import number_of, scalar_words
from polydbg.types.strings import character_type, characters_at, characters_in
from polydbg.types.value import Value

UNAVAILABLE = "<value unavailable>"
NO_ACCESS = "<Memory access error>"
NO_TYPE = "<no type information>"


Present = Callable[[Value], Presentation | None]
"""What the view of a value's type makes of it."""


def value_words(value: Value, present: Present | None = None) -> str:
    """Return the value as ``dv`` prints it; of classes and most arrays only the type, with what
    the class's view says of it, as *present* knows it. References to classes are addresses, with
    what the view says of what is there."""
    if value.place.kind is PlaceKind.NOWHERE:
        return UNAVAILABLE
    try:
        words = known_words(value)
    except MemoryReadError:
        return NO_ACCESS
    except DebuggerError:
        return UNAVAILABLE
    shown = viewed_words(value, present) if present is not None else ""
    return f"{words} {shown}" if shown else words


def viewed_words(value: Value, present: Present) -> str:
    """Return what the view says of a class, or of the class that a reference refers to; ``""``
    where there is no view, or it cannot be applied."""
    type_ = value.type.bare
    try:
        if isinstance(type_, PointerType) and type_.is_called_reference:
            value = value.target()
        if not isinstance(value.type.bare, CompoundType):
            return ""
        found = present(value)
    except DebuggerError:
        return ""
    if found is None or found.problem or found.text is None:
        return ""
    return sanitise_line(found.text)


def known_words(value: Value) -> str:
    """Return what :func:`value_words` does.

    :raises MemoryReadError: a byte of the value is not in the target's memory.
    :raises ValueUnavailableError: it cannot be told.
    """
    type_ = value.type.bare
    if isinstance(type_, ScalarType):
        return scalar_words(value)
    if isinstance(type_, EnumType):
        return enumeration_words(value, type_)
    if isinstance(type_, PointerType):
        return pointer_words(value, type_)
    if isinstance(type_, ArrayType):
        return _array_words(value, type_)
    if isinstance(type_, CompoundType):
        return sanitise_line(spelled(value.type))
    if isinstance(type_, FunctionType):
        return address_words(value.address or 0, value)
    if isinstance(type_, MemberPointerType):
        return _hex_bytes(value)
    if isinstance(type_, UnknownType):
        return NO_TYPE
    raise ValueUnavailableError("the type has no values")


def enumeration_words(value: Value, type_: EnumType) -> str:
    """Return ``LevelHigh (0n3)``; of a value without a name the number and that it has none."""
    number = number_of(value)
    name = next((each.name for each in type_.enumerators if each.value == number), None)
    if name is None:
        return f"0n{number} (No matching enumerant)"
    return f"{sanitise_line(name)} (0n{number})"


def pointer_words(value: Value, type_: PointerType) -> str:
    """Return the address, behind it the text that a pointer to characters leads to."""
    address = value.bits()
    shown = address_words(address, value)
    character = None if type_.is_reference else character_type(type_.target)
    if character is None or not address:
        return shown
    return f"{shown} {text_at(address, character, value)}"


def text_at(address: int, character: ScalarType, value: Value, count: int | None = None) -> str:
    """Return the text at *address* in quotes, at most *count* characters of it, or the engine's
    words for memory that cannot be read."""
    around = value.around
    try:
        text = characters_at(around.memory, address, character, around.model, count)
    except MemoryReadError:
        text = f"--- memory read error at address {address_words(address, value)} ---"
    return f'"{text}"'


def address_words(address: int, value: Value) -> str:
    """Return an address of the process of *value*: ``0x00007ff6`1b4191a4``."""
    return f"0x{address_text(address, value.around.model.pointer_size)}"


def _array_words(value: Value, type_: ArrayType) -> str:
    name = sanitise_line(spelled(value.type))
    character = character_type(type_.element)
    size = type_.size
    if character is None or not size:
        return name
    if value.address is not None:
        return f"{name} {text_at(value.address, character, value, size // character.size)}"
    return f'{name} "{characters_in(value.bytes(), character, value.around.model)}"'


def _hex_bytes(value: Value) -> str:
    """Return the bytes of a member pointer as a number: each compiler has its own layout."""
    return f"{value.bits():#x}"


def type_problem(value: Value) -> str:
    """Return why a value has no type, ``""`` where it has one."""
    type_ = value.type
    return type_.reason if isinstance(type_, UnknownType) and not type_.size else ""


def value_number(value: Value) -> int | float | bool | None:
    """Return the value as JSON has it: a number or truth value; ``None`` for other types, and for
    what cannot be told."""
    type_ = value.type.bare
    if not isinstance(type_, (ScalarType, EnumType, PointerType)):
        return None
    try:
        number = number_of(value)
    except DebuggerError:
        return None
    if isinstance(number, complex):
        return None
    is_truth = isinstance(type_, ScalarType) and type_.encoding is Encoding.BOOL
    return bool(number) if is_truth else number
