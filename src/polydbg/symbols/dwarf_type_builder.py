"""Types from DWARF's entries: each is made once and loads what it leads to when it is asked.

What an entry leads to may be damaged, lie in a file that is not here, or lead back: then an
:class:`~polydbg.types.model.UnknownType` says so in its place. Source: DWARF 5 section 5.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from weakref import WeakValueDictionary

from polydbg.base.errors import FormatError
from polydbg.base.text import sanitise_line
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.line_header import text
from polydbg.formats.dwarf.names import find
from polydbg.formats.dwarf.unit import Die
from polydbg.symbols.dwarf_type_numbers import FORTRAN, bounds, constant
from polydbg.symbols.dwarf_types import children
from polydbg.symbols.dwarf_units import CodeUnits
from polydbg.types.model import (
    MAX_CHAIN,
    ArrayType,
    CompoundParts,
    CompoundType,
    Encoding,
    Enumerator,
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

_KEPT = 4096
_MAX_SCALAR = 64
_MAX_DIMENSIONS = 32
_MAX_PARAMETERS = 4096
_BIG, _LITTLE = 1, 2  # DW_END_...
_COLUMN_MAJOR = 1

_ENCODINGS = {
    0x01: Encoding.UNSIGNED,  # address
    0x02: Encoding.BOOL,
    0x03: Encoding.COMPLEX,
    0x04: Encoding.FLOAT,
    0x05: Encoding.SIGNED,
    0x06: Encoding.SIGNED_CHAR,
    0x07: Encoding.UNSIGNED,
    0x08: Encoding.UNSIGNED_CHAR,
    0x0F: Encoding.DECIMAL,
    0x10: Encoding.UTF,
    0x11: Encoding.UTF,  # UCS
    0x12: Encoding.UTF,  # ASCII
}
_WIDE = ("wchar_t", "__wchar_t")
KEYWORDS = {
    c.TAG_STRUCTURE_TYPE: "struct",
    c.TAG_CLASS_TYPE: "class",
    c.TAG_UNION_TYPE: "union",
    c.TAG_INTERFACE_TYPE: "interface",
}
"""How the classes of these tags were declared."""

_POINTERS = {
    c.TAG_POINTER_TYPE: PointerKind.POINTER,
    c.TAG_REFERENCE_TYPE: PointerKind.REFERENCE,
    c.TAG_RVALUE_REFERENCE_TYPE: PointerKind.RVALUE_REFERENCE,
}
#: In the order of C; what else qualifies (shared, packed, immutable) changes no value.
_QUALIFIERS = {
    c.TAG_CONST_TYPE: "const",
    c.TAG_VOLATILE_TYPE: "volatile",
    c.TAG_RESTRICT_TYPE: "restrict",
    c.TAG_ATOMIC_TYPE: "_Atomic",
}
_TRANSPARENT = frozenset((c.TAG_PACKED_TYPE, c.TAG_SHARED_TYPE, c.TAG_IMMUTABLE_TYPE))
_TYPEDEFS = frozenset((c.TAG_TYPEDEF, c.TAG_TEMPLATE_ALIAS, c.TAG_SUBRANGE_TYPE))
#: What has the size of what it leads to, so that a circle would have none.
_OBJECTS = frozenset((c.TAG_VARIABLE, c.TAG_FORMAL_PARAMETER, c.TAG_MEMBER))
_SIZED_BY_TARGET = _TYPEDEFS | _TRANSPARENT | frozenset(_QUALIFIERS) | _OBJECTS | {c.TAG_ARRAY_TYPE}
_COMPUTED = frozenset((c.AT_DATA_LOCATION, c.AT_ALLOCATED, c.AT_ASSOCIATED))
_CIRCLE = "types of the debug information go in a circle"


class DwarfTypeBuilder:
    """Makes the types of *units*; RVA 0 is address *base* of the file.

    *origin* is the :class:`~polydbg.types.source.TypeSource` that they are of. *definition_of*
    finds the entry that completes a mere declaration, *address_of* the RVA of a static member by
    its qualified name.
    """

    def __init__(
        self,
        units: CodeUnits,
        base: int,
        *,
        origin: object = None,
        definition_of: Callable[[Die], Die | None] = lambda die: None,
        address_of: Callable[[str], int | None] = lambda name: None,
    ) -> None:
        self.units = units
        self.base = base
        self.origin = origin
        self.definition_of = definition_of
        self.address_of = address_of
        self._types: WeakValueDictionary[tuple[int, int], Type] = WeakValueDictionary()
        self._recent: deque[Type] = deque(maxlen=_KEPT)
        self._void = VoidType()

    def type_of(self, die: Die | None) -> Type:
        """Return the type that *die* describes, ``void`` for ``None``; a function or variable has
        the type of its entry. It does not raise: damage makes the type unknown."""
        if die is None:
            return self._void
        # Sections live as long as the units, so that their ids stay theirs.
        key = id(die.unit.section), die.offset
        found = self._types.get(key)
        if found is None:
            try:
                found = self._make(die)
            except FormatError as error:
                found = UnknownType("<damaged>", error.message)
            self._types[key] = found
            self._recent.append(found)
        return found

    def target_of(self, die: Die, attribute: int = c.AT_TYPE) -> Type:
        """Return the type that an attribute of *die*, or of its declaration, leads to. Errors as
        for :meth:`type_of`."""
        try:
            owner = find(die, attribute)
            if owner is None:
                return self._void
            target = owner.reference(attribute)
        except FormatError as error:
            return UnknownType("<damaged>", error.message)
        if target is None:
            return UnknownType("<missing>", "its description is in a file that is not here")
        return self.type_of(target)

    def target(self, die: Die, attribute: int = c.AT_TYPE) -> Callable[[], Type]:
        """Return what :meth:`target_of` does, to be called later."""
        return partial(self.target_of, die, attribute)

    def name_of(self, die: Die) -> str:
        """Return the qualified name of a type, ``""`` without one.

        :raises FormatError: the entries are damaged.
        """
        return sanitise_line(self.units.type_name(die))

    def owner_of(self, function: Die) -> Type | None:
        """Return the class that a function is a method of, ``None`` for other functions.

        :raises FormatError: the entries are damaged.
        """
        owner = find(function, c.AT_NAME)
        scope = self.units.scope_of(owner) if owner is not None else None
        return self.type_of(scope) if scope is not None and scope.tag in KEYWORDS else None

    # -- by tag --------------------------------------------------------------------------------

    def _make(self, die: Die) -> Type:
        tag = die.tag
        if tag == c.TAG_BASE_TYPE:
            return self._scalar(die)
        if tag in KEYWORDS:
            return self._compound(die)
        if tag in _SIZED_BY_TARGET and self._is_circular(die):
            return UnknownType(self.name_of(die) or "<damaged>", _CIRCLE)
        if tag in _POINTERS:
            size = die.number(c.AT_BYTE_SIZE) or die.unit.header.address_size
            if size > _MAX_SCALAR:
                raise FormatError(f"a pointer of {size} bytes", offset=die.offset)
            return PointerType(self.target(die), size, _POINTERS[tag], self.name_of(die))
        if tag in _TYPEDEFS:
            return TypedefType(self.name_of(die), self.target(die))
        if tag in _QUALIFIERS or tag in _TRANSPARENT:
            return self._qualified(die)
        if tag == c.TAG_ENUMERATION_TYPE:
            return self._enum(die)
        if tag == c.TAG_ARRAY_TYPE:
            return self._array(die)
        if tag in (c.TAG_SUBROUTINE_TYPE, c.TAG_SUBPROGRAM, c.TAG_INLINED_SUBROUTINE):
            return self.function(die)
        if tag == c.TAG_PTR_TO_MEMBER_TYPE:
            return self._member_pointer(die)
        if tag in _OBJECTS:
            return self.target_of(die)
        return self._odd(die)

    @staticmethod
    def _is_circular(die: Die) -> bool:
        current: Die | None = die
        for _ in range(MAX_CHAIN):
            if current is None or current.tag not in _SIZED_BY_TARGET:
                return False
            current = current.reference(c.AT_TYPE)
        return True

    def _scalar(self, die: Die) -> Type:
        name = self.name_of(die)
        size = die.number(c.AT_BYTE_SIZE)
        if size is None:
            bits = die.number(c.AT_BIT_SIZE)
            size = (bits + 7) // 8 if bits is not None else None
        encoding = _ENCODINGS.get(die.number(c.AT_ENCODING) or 0)
        if size == 0 and name in ("void", "()"):
            return self._void
        if size is None or not 0 < size <= _MAX_SCALAR:
            return UnknownType(name, "a basic type of no sound size")
        order = {_BIG: "big", _LITTLE: "little"}.get(die.number(c.AT_ENDIANITY) or 0)
        if order is not None and order != die.unit.section.order:
            return UnknownType(name, "its bytes are not in the order of the processor", size)
        if encoding is None:
            return UnknownType(name, "a basic type of an encoding that is not known", size)
        if name in _WIDE and encoding in (Encoding.SIGNED, Encoding.UNSIGNED):
            encoding = Encoding.WIDE_CHAR
        return ScalarType(name, size, encoding)

    def _qualified(self, die: Die) -> Type:
        """Return the type behind qualifiers that follow each other, with all of them."""
        found: set[str] = set()
        last = die
        for _ in range(MAX_CHAIN):
            found.add(_QUALIFIERS.get(last.tag, ""))
            following = last.reference(c.AT_TYPE)
            if following is None or (
                following.tag not in _QUALIFIERS and following.tag not in _TRANSPARENT
            ):
                break
            last = following
        words = tuple(word for word in _QUALIFIERS.values() if word in found)
        return QualifiedType(self.target(last), words) if words else self.target_of(last)

    def _member_pointer(self, die: Die) -> Type:
        owner = self.target(die, c.AT_CONTAINING_TYPE)
        target = self.target(die)
        size = die.number(c.AT_BYTE_SIZE)
        if size is None:
            # The Itanium C++ ABI, section 2.3: to methods, a function and what to add to `this`.
            behind = die.reference(c.AT_TYPE)
            is_method = behind is not None and behind.tag == c.TAG_SUBROUTINE_TYPE
            size = die.unit.header.address_size * (2 if is_method else 1)
        return MemberPointerType(target, owner, size)

    def _odd(self, die: Die) -> Type:
        name = self.name_of(die)
        size = die.number(c.AT_BYTE_SIZE)
        if die.tag == c.TAG_UNSPECIFIED_TYPE:
            if name.endswith("nullptr_t") or name == "decltype(nullptr)":
                size = size or die.unit.header.address_size
                return PointerType(lambda: self._void, size, name=name)
            if name in ("void", ""):
                return self._void
            return UnknownType(name, "the compiler does not specify this type", size)
        if die.tag == c.TAG_STRING_TYPE and size is not None:
            char = ScalarType("character", 1, Encoding.UNSIGNED_CHAR)
            return ArrayType(lambda: char, size, lower=1)
        return UnknownType(name, f"a type of a kind that is not known (tag {die.tag:#x})", size)

    # -- arrays --------------------------------------------------------------------------------

    def _array(self, die: Die) -> Type:
        if not _COMPUTED.isdisjoint(die.attributes):
            return UnknownType(self.name_of(die), "an array that a program places when it runs")
        element = self.target_of(die)
        dimensions: list[tuple[int | None, int]] = []
        for child in children(die):
            if child.tag not in (c.TAG_SUBRANGE_TYPE, c.TAG_ENUMERATION_TYPE):
                continue
            stride = child.number(c.AT_BYTE_STRIDE)
            if len(dimensions) >= _MAX_DIMENSIONS or child.tag == c.TAG_ENUMERATION_TYPE:
                return UnknownType(self.name_of(die), "an array of dimensions that make no sense")
            if stride is not None and stride != element.size:
                return UnknownType(self.name_of(die), "an array with gaps between its elements")
            dimensions.append(bounds(child))
        if c.AT_BYTE_STRIDE in die.attributes or c.AT_BIT_STRIDE in die.attributes:
            stride = die.number(c.AT_BYTE_STRIDE)
            if stride is None or stride != element.size:
                return UnknownType(self.name_of(die), "an array with gaps between its elements")
        if die.unit.language not in FORTRAN and die.number(c.AT_ORDERING) != _COLUMN_MAJOR:
            dimensions.reverse()
        return self._nested(die, element, dimensions or [(None, 0)])

    def _nested(self, die: Die, element: Type, dimensions: list[tuple[int | None, int]]) -> Type:
        """Return the array of these dimensions, the innermost first."""
        is_vector = bool(die.number(c.AT_GNU_VECTOR))
        found = element
        for count, lower in dimensions:
            inner = found.size
            size = inner * count if inner is not None and count is not None else None
            if size is not None and size >> 8 * die.unit.header.address_size:
                return UnknownType(self.name_of(die), "an array larger than the memory", None)
            found = ArrayType(
                partial(_same, found), count, size=size, lower=lower, is_vector=is_vector
            )
        return found

    # -- enumerations --------------------------------------------------------------------------

    def _enum(self, die: Die) -> Type:
        is_declaration = bool(die.number(c.AT_DECLARATION))
        if is_declaration:
            definition = die.reference(c.AT_SIGNATURE) or self.definition_of(die)
            if definition is not None and not definition.number(c.AT_DECLARATION):
                return self.type_of(definition)
        size = die.number(c.AT_BYTE_SIZE)
        if size is not None and not 0 < size <= _MAX_SCALAR:
            raise FormatError(f"an enumeration of {size} bytes", offset=die.offset)
        base = _integer_behind(die)
        if size is None and base is not None:
            size = base.number(c.AT_BYTE_SIZE)
        if size is None and not is_declaration:
            raise FormatError("an enumeration without a size", offset=die.offset)
        underlying = self.target(die) if base is not None else partial(_underlying, die, size)
        return EnumType(
            self.name_of(die),
            underlying,
            partial(self._enumerators, die, underlying),
            size=size,
            is_scoped=bool(die.number(c.AT_ENUM_CLASS)),
            is_declaration=is_declaration,
        )

    def _enumerators(self, die: Die, underlying: Callable[[], Type]) -> Iterator[Enumerator]:
        kind = underlying().bare
        size = die.number(c.AT_BYTE_SIZE) or kind.size
        is_signed = is_signed_scalar(kind)
        for child in children(die):
            if child.tag != c.TAG_ENUMERATOR:
                continue
            value = constant(child, c.AT_CONST_VALUE, size, is_signed)
            name = text_of(child)
            if value is not None and name:
                yield Enumerator(name, value)

    # -- functions -----------------------------------------------------------------------------

    def function(self, die: Die, owner: Callable[[], Type | None] | None = None) -> FunctionType:
        """Return the type of a function; *owner* is its class where that is known already.

        :raises FormatError: the entries are damaged.
        """
        if owner is None and die.tag != c.TAG_SUBROUTINE_TYPE:
            owner = partial(self.owner_of, die)
        described = self._described(die)
        is_variadic = any(
            child.tag == c.TAG_UNSPECIFIED_PARAMETERS for child in children(described)
        )
        is_old = die.unit.language in c.LANG_C_LIKE and find(die, c.AT_PROTOTYPED) is None
        return FunctionType(
            self.target(die),
            partial(self._parameters, described),
            is_variadic=is_variadic,
            is_prototyped=not is_old,
            owner=owner,
        )

    @staticmethod
    def _described(die: Die) -> Die:
        """Return the entry that has the parameters: *die*, or the one that it is an instance of."""
        for _ in range(MAX_CHAIN):
            for child in children(die):
                if child.tag in (c.TAG_FORMAL_PARAMETER, c.TAG_UNSPECIFIED_PARAMETERS):
                    return die
            origin = die.reference(c.AT_ABSTRACT_ORIGIN) or die.reference(c.AT_SPECIFICATION)
            if origin is None:
                break
            die = origin
        return die

    def _parameters(self, die: Die) -> list[Type]:
        found: list[Type] = []
        for child in children(die):
            if child.tag != c.TAG_FORMAL_PARAMETER:
                continue
            owner = find(child, c.AT_ARTIFICIAL)
            if owner is not None and owner.number(c.AT_ARTIFICIAL) and not found:
                continue  # this
            found.append(self.target_of(child))
            if len(found) >= _MAX_PARAMETERS:
                raise FormatError("a function of too many parameters", offset=die.offset)
        return found

    # -- classes -------------------------------------------------------------------------------

    def _compound(self, die: Die) -> Type:
        if c.AT_SIGNATURE in die.attributes:
            target = die.reference(c.AT_SIGNATURE)
            if target is not None and target.tag in KEYWORDS and not _is_same(target, die):
                return self.type_of(target) if _is_plain(target) else _declared(self, die)
        if die.number(c.AT_DECLARATION):
            return _declared(self, die)
        size = die.number(c.AT_BYTE_SIZE)
        return CompoundType(
            self.name_of(die),
            size,
            KEYWORDS[die.tag],
            partial(self._parts, die),
            origin=self.origin,
        )

    def _parts(self, die: Die) -> CompoundParts:
        from polydbg.symbols.dwarf_type_parts import compound_parts

        return compound_parts(self, die)


class DeclaredType(CompoundType):
    """A class that an entry only declares: what completes it is looked for when it is needed."""

    def __init__(
        self, name: str, keyword: str, find_definition: Callable[[], Type], origin: object
    ) -> None:
        super().__init__(name, None, keyword, CompoundParts, is_declaration=True, origin=origin)
        self._find = find_definition

    @cached_property
    def _definition(self) -> CompoundType | None:
        found = self._find()
        return found if isinstance(found, CompoundType) and found is not self else None

    @property
    def size(self) -> int | None:
        return self._definition.size if self._definition is not None else None

    @property
    def is_declaration(self) -> bool:
        return self._definition is None

    @cached_property
    def parts(self) -> CompoundParts:
        return self._definition.parts if self._definition is not None else CompoundParts()


def _declared(builder: DwarfTypeBuilder, die: Die) -> Type:
    def definition() -> Type:
        try:
            found = builder.definition_of(die)
        except FormatError:
            found = None
        if found is None or found.number(c.AT_DECLARATION):
            return builder.type_of(None)
        return builder.type_of(found)

    return DeclaredType(builder.name_of(die), KEYWORDS[die.tag], definition, builder.origin)


def text_of(die: Die) -> str:
    """Return the plain name of an entry, ``""`` without one."""
    return sanitise_line(text(die.string(c.AT_NAME) or b""))


def _is_plain(die: Die) -> bool:
    return c.AT_SIGNATURE not in die.attributes and not die.number(c.AT_DECLARATION)


def _is_same(left: Die, right: Die) -> bool:
    return left.unit is right.unit and left.offset == right.offset


def is_signed_scalar(type_: Type) -> bool:
    """Tell whether numbers of the type have a sign; characters in DWARF say so."""
    signed = (Encoding.SIGNED, Encoding.SIGNED_CHAR)
    return isinstance(type_, ScalarType) and type_.encoding in signed


def _underlying(die: Die, size: int | None) -> Type:
    """Return an integer type for an enumeration that does not name its own."""
    is_signed = any(
        (child.number(c.AT_CONST_VALUE) or 0) < 0
        for child in children(die)
        if child.tag == c.TAG_ENUMERATOR
    )
    if size is None:
        return UnknownType("", "an enumeration without a size")
    return ScalarType("", size, Encoding.SIGNED if is_signed else Encoding.UNSIGNED)


def _integer_behind(die: Die) -> Die | None:
    """Return the entry of the basic type that an enumeration is stored as, ``None`` for none."""
    current = die.reference(c.AT_TYPE)
    for _ in range(MAX_CHAIN):
        if current is None or current.tag not in _SIZED_BY_TARGET:
            break
        current = current.reference(c.AT_TYPE)
    return current if current is not None and current.tag == c.TAG_BASE_TYPE else None


def _same(type_: Type) -> Type:
    return type_
