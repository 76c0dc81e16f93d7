"""One type or one object as ``dt`` shows it, whatever kind of type that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from polydbg.base.errors import CommandError, DebuggerError, MemoryReadError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.dt_values import UNREADABLE_POINTER, ValueWriter
from polydbg.commands.output import Hex, Item, Notice, ShownItem, Text
from polydbg.commands.type_rows import FieldRow, RowOptions, TypeRows, compacted
from polydbg.commands.type_words import (
    compound_words,
    enumeration_words,
    signature_words,
    spelling,
    type_words,
)
from polydbg.commands.value_words import UNAVAILABLE, address_words
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    EnumType,
    FunctionType,
    PointerType,
    ScalarType,
    Type,
)
from polydbg.types.place import PlaceKind, in_memory
from polydbg.types.strings import character_type
from polydbg.types.value import Value

RULE = "-" * 45


class ObjectRow(ShownItem, frozen=True):
    """What ``dt`` says of an object or type as a whole: the *type* with its name, or the *value* of
    what has no members. *kind* is ``local``, ``type``, ``value``, ``element`` or ``link``;
    *address* is where it lies, ``None`` for what is in no memory."""

    name: str
    type_name: str
    value: str = ""
    address: Hex | None = None
    kind: str = "value"


class OpenObjectRow(ObjectRow, frozen=True):
    """The same, with members behind it in the same line."""

    ends_line: ClassVar[bool] = False


class Display:
    """Shows types and objects of the current system as *options* ask."""

    def __init__(self, ctx: CommandContext, options: RowOptions) -> None:
        system = ctx.system
        self._options = options
        self._cancel = ctx.cancel
        self._types = system.types
        self.writer = ValueWriter(
            system,
            ctx.session.presenter if not options.verbose else None,
            verbose=options.verbose,
            brief=options.embedded,
        )
        self._rows = TypeRows(
            options,
            self.writer,
            ctx.cancel,
            lambda type_: system.types.completed(type_, ctx.cancel),
            system.types.around,
        )

    def fields(self, value: Value) -> Iterator[FieldRow]:
        """Yield the rows of an object's members."""
        return self._rows.members(value.type, value)

    def faults(self) -> Iterator[Item]:
        """Yield the engine's last line where memory was missing."""
        if self.writer.fault is not None:
            width = 2 * self._types.model.pointer_size
            yield Notice(
                identifier="memory.absent",
                value=f"Memory read error {self.writer.fault:0{width}x}",
            )

    # -- types -------------------------------------------------------------------------------

    def type(self, type_: Type, name: str) -> Iterator[Item]:
        """Yield what a type is made of. *name* is what a function is called."""
        bare = type_.bare
        if isinstance(bare, CompoundType):
            if bare.is_declaration:
                yield Notice(
                    identifier="types.declared-only",
                    value=f"{compound_words(type_)} is only declared: no module here defines it",
                )
                return
            if self._options.verbose and not self._options.fields:
                words = compound_words(type_, verbose=True)
                yield ObjectRow(name=bare.name, type_name=spelling(type_), kind="type", shown=words)
            yield from self._members(type_, None)
            return
        self._refuse_fields()
        if isinstance(bare, EnumType):
            if self._options.verbose:
                words = enumeration_words(type_, bare).rstrip("\n")
                yield ObjectRow(name=bare.name, type_name=spelling(type_), kind="type", shown=words)
            yield from self._rows.enumerators(type_)
            return
        if isinstance(bare, FunctionType):
            words = signature_words(name, bare)
        else:
            words = type_words(type_, verbose=self._options.verbose)
        yield ObjectRow(name=bare.name, type_name=spelling(type_), kind="type", shown=words)

    def _members(self, type_: Type, value: Value | None) -> Iterator[FieldRow]:
        """Yield the rows of a class.

        :raises CommandError: it has none of the fields asked for.
        """
        found = False
        rows = self._rows.members(type_, value)
        for row in compacted(rows) if self._options.compact else rows:
            found = True
            yield row
        if not found and self._options.fields:
            self._refuse_fields()

    def _refuse_fields(self) -> None:
        if self._options.fields:
            raise CommandError(
                "Cannot find specified field members.",
                identifier="types.no-such-field",
                hint="words behind the name are fields; an address from a symbol is "
                f"@@(&{self._options.fields[0].text})",
            )

    # -- objects -----------------------------------------------------------------------------

    def value(self, value: Value, name: str = "") -> Iterator[Item]:
        """Yield what an object holds; of a pointer to a class what that object holds."""
        bare = self._types.completed(value.type, self._cancel).bare
        if value.place.kind is PlaceKind.NOWHERE:
            yield self._line(value, f"{UNAVAILABLE} ({value.place.reason})")
        elif isinstance(bare, PointerType):
            yield from self._pointer(value, bare)
        elif isinstance(bare, CompoundType):
            if self._options.verbose and not self._options.fields:
                yield self._line(value, compound_words(value.type, verbose=True))
            yield from self._members(value.type, value)
        elif isinstance(bare, ArrayType):
            yield from self._array(value, bare)
        elif isinstance(bare, FunctionType):
            self._refuse_fields()
            yield self._line(value, signature_words(name, bare))
        else:
            self._refuse_fields()
            yield self._line(value, self.writer.words(value))

    def _pointer(self, value: Value, pointer: PointerType) -> Iterator[Item]:
        target = pointer.target.bare
        try:
            address = value.bits()
        except MemoryReadError:
            self.writer.fault = value.place.address
            yield self._line(value, UNREADABLE_POINTER)
            return
        except DebuggerError as error:
            yield self._line(value, f"{UNAVAILABLE} ({error.message})")
            return
        if not address:
            yield self._line(value, "(null) ")
        elif isinstance(target, CompoundType):
            pointed = value.target()
            if value.place.kind is not PlaceKind.REGISTER:  # the engine leaves it out there
                yield self._pointer_line(value, pointer)
            yield from self._members(pointer.target, pointed)
        elif isinstance(target, (ScalarType, EnumType, PointerType)) and (
            character_type(target) is None
        ):
            self._refuse_fields()
            yield self._line(value, f"{address_words(address, value)} ")
            yield self._line(value.target(), self.writer.target_words(value))
        else:
            self._refuse_fields()
            yield self._line(value, self.writer.words(value))

    def _pointer_line(self, value: Value, pointer: PointerType) -> ObjectRow:
        address = value.bits()
        words = f"{address_words(address, value)} "
        if pointer.adjustment:  # `this` of an overriding function of a further base
            stored = address_words(address + pointer.adjustment, value)
            words = f"{stored}  (-{pointer.adjustment:x}) "
        if self._options.verbose and not self._options.fields:
            words += compound_words(
                self._types.completed(pointer.target, self._cancel), verbose=True
            )
        line = self._line(value, words)
        if not self._options.compact:
            return line
        return OpenObjectRow(**{name: getattr(line, name) for name in line.__struct_fields__})

    def _array(self, value: Value, array: ArrayType) -> Iterator[Item]:
        if self._options.embedded:
            yield from self._rows.elements(value)
            return
        element = array.element.bare
        if not isinstance(element, CompoundType) or not array.count:
            self._refuse_fields()
            yield self._line(value, self.writer.words(value))
            return
        # The first member stands behind the count, in the same line.
        prefix = f"[{array.count}] "
        for row in self._members(array.element, value.element(0)):
            yield msgspec.structs.replace(row, shown=prefix + row.shown)
            prefix = ""

    def _line(self, value: Value, words: str) -> ObjectRow:
        return ObjectRow(
            name="",
            type_name=spelling(value.type),
            value=words.strip(),
            address=value.address,
            shown=words,
        )

    # -- several objects -----------------------------------------------------------------------

    def count(self, value: Value) -> int | None:
        """Return how many elements an array has, ``None`` for what is no array."""
        bare = value.type.bare
        return bare.count if isinstance(bare, ArrayType) else None

    def elements(self, value: Value, count: int) -> Iterator[Item]:
        """Yield *count* objects that lie one behind the other, those of an array or from *value*
        on, each under its index and address (``-a``)."""
        bare = value.type.bare
        type_ = bare.element if isinstance(bare, ArrayType) else value.type
        size, start = type_.size or 0, value.address or 0
        limit = 1 << 8 * self._types.model.pointer_size
        for index in range(count):
            self._cancel.check()
            address = start + index * size
            if address >= limit or (index and not size):
                return
            yield self.heading(type_, address, f"[{index}] @ {self._address(address)} ", "element")
            yield Text(value=RULE)
            yield from self.value(Value(type_, in_memory(address), value.around))
            yield Text(value="")

    def heading(self, type_: Type, address: int | None, words: str, kind: str) -> ObjectRow:
        """Return the line above one object of several."""
        return ObjectRow(
            name="", type_name=spelling(type_), address=address, kind=kind, shown=words
        )

    def _address(self, address: int) -> str:
        return address_text(address, self._types.model.pointer_size)
