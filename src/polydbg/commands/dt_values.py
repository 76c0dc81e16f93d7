"""Values in ``dt``'s words: ``0n-7``, ``5 ( ORDER_PAID )``, ``0x... order``, ``[16]  "text"``.

Shapes are those of the engine: command-language.md 19.1. What memory does not have is ``??``.
"""

from __future__ import annotations

from collections.abc import Callable

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.commands.type_words import (
    MAX_ENUMERATORS,
    NO_TYPE,
    compound_words,
    count_of,
    enumeration_words,
    tight,
    type_words,
)
from polydbg.commands.value_words import UNAVAILABLE, address_words, text_at
from polydbg.engine.session import System
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
from polydbg.types.presentation import Presenter
from polydbg.types.scalars import dt_words, number_of
from polydbg.types.strings import MAX_STRING, character_type, characters_in
from polydbg.types.value import Value
from polydbg.types.variants import variant_name

UNREADABLE = "??"
UNREADABLE_POINTER = "???? "
_MAX_DEPTH = 16
"""How many pointers to pointers, or arrays of arrays, are followed for one row."""


class ValueWriter:
    """Makes words of the values of *system*, as *verbose* (``-v``) or *brief* (``-b``) ask, and
    remembers in *fault* where memory could not be read last."""

    def __init__(
        self, system: System, presenter: Presenter | None, *, verbose: bool, brief: bool
    ) -> None:
        self._system = system
        self._presenter = presenter
        self._verbose = verbose
        self._brief = brief
        self.fault: int | None = None

    def words(self, value: Value, indent: str = "", depth: int = 0) -> str:
        """Return the words of *value*; *indent* stands before the result of function types."""
        bare = value.type.bare
        try:
            return self._known(value, bare, indent, depth)
        except MemoryReadError as error:
            address = value.place.address or error.address
            self.fault = address
            return UNREADABLE_POINTER if isinstance(bare, PointerType) else UNREADABLE
        except DebuggerError:
            return UNAVAILABLE

    def _known(self, value: Value, bare: Type, indent: str, depth: int) -> str:
        if isinstance(bare, CompoundType):
            return self._compound(value)
        if isinstance(bare, PointerType):
            return self._pointer(value, bare, indent, depth)
        if isinstance(bare, ArrayType):
            return self._array(value, bare, indent, depth)
        if isinstance(bare, EnumType) and value.bit_field is None:
            head = enumeration_words(value.type, bare) if self._verbose else ""
            return head + enumerator_of(value, bare)
        if isinstance(bare, (ScalarType, EnumType)):
            return dt_words(value)
        if isinstance(bare, MemberPointerType):
            return f"{value.bits():#x} {tight(bare)}"
        if isinstance(bare, FunctionType):
            return self._symbol(value.address or 0)
        if isinstance(bare, UnknownType):
            return NO_TYPE
        return "Void" if isinstance(bare, VoidType) else UNAVAILABLE

    # -- pointers ----------------------------------------------------------------------------

    def _pointer(self, value: Value, pointer: PointerType, indent: str, depth: int) -> str:
        address = value.bits()
        if not address:
            return "(null) "
        shown = address_words(address, value)
        character = character_type(pointer.target)
        if character is not None and not pointer.is_reference:
            return f"{shown}  {text_at(address, character, value)}"
        if self._brief:
            return f"{shown} "
        target = pointer.target.bare
        if isinstance(target, FunctionType):
            return f"{shown} {indent} {tight(target.result)}  {self._symbol(address)}"
        if isinstance(target, CompoundType):
            return f"{shown} {compound_words(pointer.target, verbose=self._verbose)}"
        if isinstance(target, (ScalarType, EnumType, PointerType)) and depth < _MAX_DEPTH:
            return f"{shown} {self.target_words(value, depth + 1)}"
        return f"{shown} {type_words(pointer.target)}"

    def target_words(self, value: Value, depth: int = 1) -> str:
        """Return what a pointer to a number leads to: `` -> 0n3``. That it cannot be read is no
        fault of the object that is shown."""
        fault = self.fault
        words = self.words(value.target(), "", depth)
        self.fault = fault
        return f" -> {words}"

    def _symbol(self, address: int) -> str:
        place = self._system.modules.place(address)
        if not place.module:
            return ""
        return sanitise_line(f"{place.base_text}+{place.displacement:x}")

    # -- arrays ------------------------------------------------------------------------------

    def _array(self, value: Value, array: ArrayType, indent: str, depth: int) -> str:
        count = count_of(array)
        text = self.text_of_array(value, array)
        if text is not None:
            return f"[{count}]  {text}"
        if not count or depth >= _MAX_DEPTH or not array.element.size:
            return f"[{count}] {type_words(array.element)}"
        return f"[{count}] {self.words(value.element(0), indent, depth + 1)}"

    def text_of_array(self, value: Value, array: ArrayType) -> str | None:
        """Return the text in an array of characters in quotes, ``None`` for other arrays."""
        character = character_type(array.element)
        if character is None or array.count is None:
            return None
        if value.address is None:
            return f'"{characters_in(value.bytes(), character, value.around.model)}"'
        try:
            value.around.memory.read(value.address, min(array.count, 1))
        except MemoryReadError:
            self.fault = value.address
        return text_at(value.address, character, value, array.count)

    # -- classes -----------------------------------------------------------------------------

    def _compound(self, value: Value) -> str:
        name = compound_words(value.type, verbose=self._verbose)
        variant = variant_name(value)
        if variant and not self._verbose:
            name = f"{name}::{sanitise_line(variant)}"
        summary = self._summary(value)
        return f"{name} {summary}" if summary else name

    def _summary(self, value: Value) -> str:
        """Return what a view says of the object, or what the engine itself does of a few classes;
        ``""`` where nothing does, or it cannot be told."""
        known = _KNOWN.get(value.type.bare.name)
        try:
            if known is not None:
                return known(value)
            if self._presenter is None:
                return ""
            presentation = self._presenter.present(value)
        except DebuggerError:
            return ""
        if presentation is None or presentation.problem or presentation.text is None:
            return ""
        return sanitise_line(presentation.text)


def enumerator_of(value: Value, type_: EnumType) -> str:
    """Return ``5 ( ORDER_PAID )``, or the number with the engine's words for one without a name.

    :raises DebuggerError: the value cannot be read.
    """
    number = number_of(value)
    for each in type_.enumerators[:MAX_ENUMERATORS]:
        if each.value == number:
            return f"{value.bits():x} ( {sanitise_line(each.name)} )"
    return f"0n{number} (No matching name)"


def _links(value: Value) -> str:
    size = value.around.model.pointer_size
    data, order = value.bytes(2 * size), value.around.model.order
    first, second = (int.from_bytes(part, order) for part in (data[:size], data[size:]))
    return f"[ {address_words(first, value)} - {address_words(second, value)} ]"


def _identifier(value: Value) -> str:
    import uuid

    return f"{{{uuid.UUID(bytes_le=value.bytes(16))}}}"


def _counted(value: Value, unit: ScalarType) -> str:
    """Return the text of a string with its length in front: 16 bits of that in bytes, 16 of the
    room, then the pointer, aligned."""
    model = value.around.model
    data, order = value.bytes(2 * model.pointer_size), model.order
    length = min(int.from_bytes(data[:2], order), MAX_STRING * unit.size)
    address = int.from_bytes(data[model.pointer_size :], order)
    if not length or not address:
        return '""'
    try:
        text = characters_in(value.around.memory.read(address, length), unit, model)
    except MemoryReadError:
        text = f"--- memory read error at address {address_words(address, value)} ---"
    return f'"{text}"'


_WIDE = ScalarType("wchar_t", 2, Encoding.WIDE_CHAR)
_NARROW = ScalarType("char", 1, Encoding.CHAR)
_KNOWN: dict[str, Callable[[Value], str]] = {
    "_LIST_ENTRY": _links,
    "LIST_ENTRY": _links,
    "_GUID": _identifier,
    "GUID": _identifier,
    "_UNICODE_STRING": lambda value: _counted(value, _WIDE),
    "_STRING": lambda value: _counted(value, _NARROW),
}
"""The classes that the engine sums up, by name."""
