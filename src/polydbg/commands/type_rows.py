"""The rows of ``dt``: members of a class at their offsets, with types or with an object's values.

Shapes are those of the engine: command-language.md 19.1. Members of bases stand flat at their
offsets, as do those of anonymous structures and unions, which PDBs do not keep apart either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, FormatError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.dt_fields import Field
from polydbg.commands.dt_values import ValueWriter
from polydbg.commands.output import Hex, ShownItem
from polydbg.commands.type_words import (
    MAX_ENUMERATORS,
    bit_field_words,
    compound_words,
    count_of,
    enumeration_words,
    enumerator_words,
    name_of,
    pointer_word,
    signature_words,
    size_words,
    spelling,
    type_words,
)
from polydbg.commands.value_words import UNAVAILABLE
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    EnumType,
    Member,
    MemberKind,
    Method,
    NestedType,
    PointerType,
    Type,
)
from polydbg.types.naming import keyword_of
from polydbg.types.place import in_memory
from polydbg.types.value import Surroundings, Value
from polydbg.types.variants import variant_of

MAX_DEPTH = 32
"""How deep embedded objects are shown, and bases followed."""
MAX_ELEMENTS = 1 << 16
"""How many elements of one array ``-b`` shows."""
MAX_PARTS = 1 << 20
"""How many bases and anonymous parts one class is looked through for members."""
_NAME_WIDTH = 16
_INDENT = "   "


class FieldRow(ShownItem, frozen=True):
    """A row of ``dt``. *offset* is that from the start of the object one level up, in bytes, or
    ``None``; *level* is 0 for the members of what was asked for, 1 for those of its members, and so
    on: rows of a level follow what they belong to. *kind* is ``field``, ``static``, ``vtable``,
    ``base``, ``function``, ``nested``, ``enumerator`` or ``element``; *address* is where it lies,
    ``None`` without an object or for what is in no memory; *value* is empty without an object."""

    name: str
    type_name: str
    value: str = ""
    offset: Hex | None = None
    address: Hex | None = None
    level: int = 0
    kind: str = "field"


class CompactRow(FieldRow, frozen=True):
    """A row of ``dt -c``: the next one stands behind it."""

    ends_line: ClassVar[bool] = False


class RowOptions(msgspec.Struct, frozen=True):
    """What the switches ask of rows. *depth* is how many levels below the first ``-r`` opens."""

    depth: int = 0
    verbose: bool = False
    embedded: bool = False  # -b
    offsets: bool = True
    indents: bool = True
    compact: bool = False
    fields: tuple[Field, ...] = ()

    @property
    def name_width(self) -> int:
        return max((len(each.text) for each in self.fields), default=_NAME_WIDTH)


class _Target(msgspec.Struct, frozen=True, eq=False):
    """What a row is about: a type, and the object of it if there is one."""

    type: Type
    value: Value | None

    def part(self, member: Member) -> _Target:
        value = self.value.member(member) if self.value is not None else None
        return _Target(member.type if value is None else value.type, value)

    def element(self, array: ArrayType, index: int) -> _Target:
        value = self.value.element(index) if self.value is not None else None
        return _Target(array.element, value)


class _Part(msgspec.Struct, frozen=True, eq=False):
    """A member on its way to a row: *owner* is the class that has it, *offset* counts from the
    object that is shown; *problem* says why it has no place."""

    owner: _Target
    member: Member | Method | NestedType
    offset: int = 0
    problem: str = ""


class TypeRows:
    """Makes the rows. *complete* finds the definition of a type that is only declared; *around* is
    where static members are looked up."""

    def __init__(
        self,
        options: RowOptions,
        writer: ValueWriter,
        cancel: CancelToken,
        complete: Callable[[Type], Type],
        around: Surroundings,
    ) -> None:
        self._options = options
        self._writer = writer
        self._cancel = cancel
        self._complete = complete
        self._around = around
        self._parts = 0

    def members(self, type_: Type, value: Value | None) -> Iterator[FieldRow]:
        """Yield the rows of a class: those of the fields asked for, or all."""
        target = _Target(type_, value)
        if self._options.fields:
            yield from self._chosen(target, self._options.fields, 0)
        else:
            yield from self._members(target, 0)

    def enumerators(self, type_: Type, level: int = 0) -> Iterator[FieldRow]:
        """Yield the names and values of an enumeration."""
        bare = type_.bare
        if not isinstance(bare, EnumType):
            return
        indent = self._indent(level)
        for each in bare.enumerators[:MAX_ENUMERATORS]:
            self._cancel.check()
            yield FieldRow(
                name=sanitise_line(each.name),
                type_name=name_of(type_),
                value=f"{each.value}",
                level=level,
                kind="enumerator",
                shown=indent + enumerator_words(each.name, each.value, bare.size),
            )

    def elements(self, value: Value) -> Iterator[FieldRow]:
        """Yield every element of an array, with all that is embedded in it (``-b``)."""
        bare = value.type.bare
        if isinstance(bare, ArrayType):
            yield from self._elements(_Target(value.type, value), bare, 0)

    # -- what a class has ----------------------------------------------------------------------

    def _flat(
        self,
        target: _Target,
        base: int = 0,
        nesting: int = 0,
        shared: set[tuple[str, int]] | None = None,
    ) -> Iterator[_Part]:
        """Yield what a class has, with what its bases and anonymous parts have."""
        bare = self._complete(target.type).bare
        if not isinstance(bare, CompoundType) or nesting > MAX_DEPTH:
            return
        shared = set() if shared is None else shared  # the virtual bases that were there already
        self._parts = self._parts + 1 if nesting else 0
        if self._parts > MAX_PARTS:
            raise FormatError("a class of the debug information has bases without end")
        for member in bare.members:
            self._cancel.check()
            if member.kind in (MemberKind.BASE, MemberKind.VIRTUAL_BASE):
                yield from self._flat_base(target, member, base, nesting, shared)
            elif member.name or member.kind is not MemberKind.FIELD:
                yield _Part(target, member, base + member.offset)
            elif isinstance(member.type.bare, CompoundType):
                yield from self._flat(
                    target.part(member), base + member.offset, nesting + 1, shared
                )
        if bare.parts.variant_part is not None:
            yield from self._flat_variant(target, bare, base)
        if self._options.verbose:
            yield from (_Part(target, each) for each in bare.parts.methods)
            yield from (_Part(target, each) for each in bare.parts.nested)

    def _flat_base(
        self,
        target: _Target,
        member: Member,
        base: int,
        nesting: int,
        shared: set[tuple[str, int]],
    ) -> Iterator[_Part]:
        is_virtual = member.kind is MemberKind.VIRTUAL_BASE
        if is_virtual and target.value is None:
            return  # where it lies differs from object to object
        try:
            offset = member.offset
            if member.locate is not None and target.value is not None:
                offset = member.locate(target.value)
            part = target.part(member)
        except DebuggerError as error:
            yield _Part(target, member, problem=error.message)
            return
        if self._options.verbose and not is_virtual:
            yield _Part(target, member, base + offset)
        if is_virtual:
            # All paths lead to the one that the object has.
            if (member.name, base + offset) in shared:
                return
            shared.add((member.name, base + offset))
        yield from self._flat(part, base + offset, nesting + 1, shared)

    def _flat_variant(self, target: _Target, bare: CompoundType, base: int) -> Iterator[_Part]:
        """Yield the members of the form in force; of all forms where there is no object."""
        part = bare.parts.variant_part
        if part is None:
            return
        variants = part.variants
        if target.value is not None:
            try:
                found = variant_of(target.value)
            except DebuggerError as error:
                yield _Part(target, Member("<variant>", target.type), base, error.message)
                return
            variants = (found,) if found is not None else ()
        for variant in variants:
            for member in variant.members:
                self._cancel.check()
                if member.name:
                    yield _Part(target, member, base + member.offset)

    # -- all members ---------------------------------------------------------------------------

    def _members(self, target: _Target, level: int) -> Iterator[FieldRow]:
        for part in self._flat(target):
            yield from self._rows(part, level)

    def _rows(self, part: _Part, level: int) -> Iterator[FieldRow]:
        """Yield the row of one member, and those below it that the switches ask for."""
        member = part.member
        indent = self._indent(level)
        if isinstance(member, Method):
            yield FieldRow(
                name=sanitise_line(member.name),
                type_name=spelling(member.type),
                level=level,
                kind="function",
                shown=f"{indent}<function> {signature_words(member.name, member.type, indent)}",
            )
        elif isinstance(member, NestedType):
            yield from self._nested(member, level)
        elif part.problem:
            yield self._row(part, member, level, f"{UNAVAILABLE} ({part.problem})", None)
        elif member.kind in (MemberKind.BASE, MemberKind.VIRTUAL_BASE):
            words = compound_words(self._complete(member.type), verbose=True)
            yield FieldRow(
                name=name_of(member.type),
                type_name=name_of(member.type),
                offset=part.offset,
                level=level,
                kind="base",
                shown=f"{indent}{self._offset(part.offset)}__BaseClass {words}",
            )
        elif member.kind is MemberKind.VTABLE:
            yield self._vtable(part, member, level)
        elif member.kind is MemberKind.STATIC or member.constant is not None:
            if member.constant is None:  # the engine leaves constants out, too
                yield self._static(part, member, level)
        else:
            yield from self._field(part, member, level)

    def _nested(self, nested: NestedType, level: int) -> Iterator[FieldRow]:
        """Yield the row of a class that is declared in another: not moved in, as in the engine."""
        type_ = self._complete(nested.type())
        bare = type_.bare
        if isinstance(bare, CompoundType):
            name = sanitise_line(nested.name)
            yield FieldRow(
                name=name,
                type_name=name_of(type_),
                level=level,
                kind="nested",
                shown=f"{keyword_of(bare)}{name}, {size_words(bare)}",
            )

    def _field(self, part: _Part, member: Member, level: int) -> Iterator[FieldRow]:
        try:
            target = part.owner.part(member)
        except DebuggerError:
            yield self._row(part, member, level, UNAVAILABLE, None)
            return
        opens = level < self._options.depth or self._options.embedded
        yield self._row(
            part, member, level, self._words(target, member, level, opens), target.value
        )
        if opens and level < MAX_DEPTH and member.bit_field is None:
            yield from self._below(target, level + 1)

    def _words(self, target: _Target, member: Member, level: int, opens: bool) -> str:
        """Return what stands behind a member's name. *opens*: rows of what it holds follow."""
        verbose, indent = self._options.verbose, self._indent(level)
        bare = target.type.bare
        if self._options.embedded and isinstance(bare, ArrayType):
            if target.value is None:
                return type_words(_innermost(bare), verbose=verbose, indent=indent)
            text = self._writer.text_of_array(target.value, bare)
            return f" {text}" if text is not None else ""
        if target.value is not None:
            return self._writer.words(target.value, indent)
        if member.bit_field is not None:
            return bit_field_words(member.bit_field, verbose=verbose)
        if isinstance(bare, PointerType) and self._options.embedded:
            return pointer_word(bare)
        if isinstance(bare, EnumType) and opens:
            return enumeration_words(target.type, bare) if verbose else ""
        return type_words(target.type, verbose=verbose, indent=indent)

    def _vtable(self, part: _Part, member: Member, level: int) -> FieldRow:
        target = part.owner.part(member)
        bare = member.type.bare
        size = self._around.model.pointer_size
        words = f"Ptr{8 * size} "
        if target.value is not None:
            words = self._writer.words(target.value).partition(" ")[0] + " "
        elif self._options.verbose:
            table = bare.target.bare if isinstance(bare, PointerType) else None
            count = table.count if isinstance(table, ArrayType) else None
            words += f"to {count} entries" if count is not None else ""
        return FieldRow(
            name="__VFN_table",
            type_name=spelling(member.type),
            value=words.strip() if target.value is not None else "",
            offset=part.offset,
            address=target.value.address if target.value is not None else None,
            level=level,
            kind="vtable",
            shown=f"{self._indent(level)}{self._offset(part.offset)}__VFN_table : {words}",
        )

    def _static(self, part: _Part, member: Member, level: int) -> FieldRow:
        owner = part.owner.value or Value(part.owner.type, in_memory(0), self._around)
        try:
            value: Value | None = owner.member(member)
        except DebuggerError:
            value = None
        indent = self._indent(level)
        address = value.address if value is not None else None
        where = "<unknown>"
        if address is not None:
            where = address_text(address, self._around.model.pointer_size)
        words = ""
        if part.owner.value is not None:
            words = self._writer.words(value, indent) if value is not None else UNAVAILABLE
        shown = words or type_words(member.type, verbose=self._options.verbose, indent=indent)
        return FieldRow(
            name=sanitise_line(member.name),
            type_name=spelling(member.type),
            value=words.strip(),
            address=address,
            level=level,
            kind="static",
            shown=f"{indent}={where} {self._name(member.name)}{self._joint}{shown}",
        )

    # -- what lies below a member --------------------------------------------------------------

    def _below(self, target: _Target, level: int) -> Iterator[FieldRow]:
        """Yield the rows of what a member holds or points to."""
        bare = target.type.bare
        if isinstance(bare, CompoundType):
            yield from self._members(target, level)
        elif isinstance(bare, EnumType) and target.value is None:
            yield from self.enumerators(target.type, level)
        elif isinstance(bare, ArrayType):
            if self._options.embedded and target.value is not None:
                yield from self._elements(target, bare, level)
            elif self._options.embedded:
                yield from self._below(_Target(_innermost(bare), None), level)
            elif bare.count or target.value is None:
                yield from self._below(target.element(bare, 0), level)
        elif isinstance(bare, PointerType) and not self._options.embedded:
            pointed = self._pointed(target, bare)
            if pointed is not None:
                yield from self._members(pointed, level)

    def _pointed(self, target: _Target, pointer: PointerType) -> _Target | None:
        """Return the object that a pointer leads to, ``None`` where it leads nowhere."""
        if not isinstance(pointer.target.bare, CompoundType):
            return None
        if target.value is None:
            return _Target(pointer.target, None)
        try:
            return _Target(pointer.target, target.value.target()) if target.value.bits() else None
        except DebuggerError:
            return None

    def _elements(self, target: _Target, array: ArrayType, level: int) -> Iterator[FieldRow]:
        """Yield every element of an array in an object."""
        indent = f"{self._indent(level - 1)} " if self._options.indents else ""
        count = count_of(array)
        if not array.element.size:
            return
        for index in range(min(count, MAX_ELEMENTS)):
            self._cancel.check()
            part = target.element(array, index)
            bare = part.type.bare
            words = ""
            if part.value is not None and not isinstance(bare, ArrayType):
                named = not isinstance(bare, CompoundType) or not index
                words = self._writer.words(part.value, indent) if named else ""
            yield FieldRow(
                name=f"[{index}]",
                type_name=spelling(array.element),
                value=words.strip(),
                address=part.value.address if part.value is not None else None,
                level=level,
                kind="element",
                shown=f"{indent}[{index:02}] {words}",
            )
            if level < MAX_DEPTH:
                yield from self._below(part, level)
        if count > MAX_ELEMENTS:
            yield FieldRow(
                name="[...]",
                type_name=spelling(array.element),
                level=level,
                kind="element",
                shown=f"{indent}[..] {count - MAX_ELEMENTS} more elements",
            )

    # -- fields by name ------------------------------------------------------------------------

    def _chosen(self, target: _Target, fields: tuple[Field, ...], level: int) -> Iterator[FieldRow]:
        for part in self._flat(target):
            name = part.member.name
            if isinstance(part.member, (Method, NestedType)) or part.problem:
                continue
            if part.member.kind in (MemberKind.BASE, MemberKind.VIRTUAL_BASE):
                continue
            for field in fields:
                if not field.matches(name):
                    continue
                if field.is_last and not field.opened and field.steps[0].index is None:
                    yield from self._rows(part, level)
                else:
                    yield from self._opened(part, part.member, field, level)
                break

    def _opened(self, part: _Part, member: Member, field: Field, level: int) -> Iterator[FieldRow]:
        """Yield the row of a member on the way to *field*, then what is wanted below it."""
        index = field.steps[0].index
        try:
            target = part.owner.part(member)
            words, inner = self._entered(target, index, level)
        except DebuggerError:
            yield self._row(part, member, level, UNAVAILABLE, None)
            return
        goes_on = not field.is_last or field.opened
        if not goes_on and inner.value is not None:
            words += self._writer.words(inner.value, self._indent(level))
        elif not goes_on:
            words += type_words(inner.type, verbose=self._options.verbose)
        yield self._row(part, member, level, words, target.value)
        if level >= MAX_DEPTH or not goes_on:
            return
        if not field.is_last:
            yield from self._chosen(inner, (field.behind(),), level + 1)
            return
        deeper = msgspec.structs.replace(self._options, depth=level + field.opened)
        yield from TypeRows(
            deeper, self._writer, self._cancel, self._complete, self._around
        )._members(inner, level + 1)

    def _entered(self, target: _Target, index: int | None, level: int) -> tuple[str, _Target]:
        """Return what stands for a member that is gone into, and what is found in it.

        :raises DebuggerError: an element or what a pointer leads to cannot be told.
        """
        bare = target.type.bare
        if isinstance(bare, ArrayType):
            shown = count_of(bare) if index is None else index
            return f"[{shown}] ", target.element(bare, index or 0)
        if isinstance(bare, PointerType):
            if target.value is None:
                return pointer_word(bare), _Target(bare.target, None)
            words = self._writer.words(target.value, self._indent(level)).partition(" ")[0]
            value = target.value.target(index or 0) if target.value.bits() else None
            return f"{words} ", _Target(bare.target if value is not None else bare, value)
        return "", target

    # -- texts ---------------------------------------------------------------------------------

    def _row(
        self, part: _Part, member: Member, level: int, words: str, value: Value | None
    ) -> FieldRow:
        if self._options.compact and _names_class(member.type):
            words = f"{words.rstrip(' ')} "  # as the engine has it there, and only there
        return FieldRow(
            name=sanitise_line(member.name),
            type_name=spelling(member.type),
            value=words.strip() if part.owner.value is not None else "",
            offset=part.offset,
            address=value.address if value is not None else None,
            level=level,
            shown=f"{self._indent(level)}{self._offset(part.offset)}"
            f"{self._name(member.name)}{self._joint}{words}",
        )

    def _indent(self, level: int) -> str:
        return _INDENT * (level + 1) if self._options.indents else ""

    def _offset(self, offset: int) -> str:
        if not self._options.offsets:
            return ""
        return f"+0x{offset:03x} " if offset >= 0 else f"-0x{-offset:03x} "

    def _name(self, name: str) -> str:
        shown = sanitise_line(name)
        return shown if self._options.compact else f"{shown:<{self._options.name_width}}"

    @property
    def _joint(self) -> str:
        return " " if self._options.compact else " : "


def _innermost(array: ArrayType) -> Type:
    """Return what the elements of nested arrays are."""
    element: Type = array.element
    for _ in range(MAX_DEPTH):
        bare = element.bare
        if not isinstance(bare, ArrayType):
            break
        element = bare.element
    return element


def _names_class(type_: Type) -> bool:
    """Tell whether the words for members of *type_* end with the name of a class."""
    bare = type_.bare
    element = _innermost(bare) if isinstance(bare, ArrayType) else bare
    target = element.target.bare if isinstance(element, PointerType) else element
    return isinstance(target, CompoundType)


def compacted(rows: Iterator[FieldRow]) -> Iterator[FieldRow]:
    """Put rows behind each other as ``-c`` does; enumerations and texts end their lines."""
    previous: FieldRow | None = None
    for row in rows:
        if previous is not None:
            yield _compact(previous)
        previous = row
    if previous is not None:
        yield msgspec.structs.replace(previous, shown=f"{previous.shown}  ")


def _compact(row: FieldRow) -> CompactRow:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    ends = row.value.endswith(" )") or (row.value.startswith("[") and row.value.endswith('"'))
    fields["shown"] = f"{row.shown}\n  " if ends else f"{row.shown}  "
    return CompactRow(**fields)
