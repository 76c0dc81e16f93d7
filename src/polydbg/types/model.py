"""Types as debug information describes them: one model for PDB, DWARF and whatever comes.

A type loads what it refers to when it is asked for, so a class whose members point back to it is
no trouble, and a file is read no further than the question. Readers make each type once, hence
types compare by identity; two modules may describe the same one. Sizes and offsets are in bytes
unless they say bits. Sources: DWARF 5 section 5, LLVM "CodeView Type Records".
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from polydbg.types.value import Value

MAX_CHAIN = 64
"""How many typedefs, qualifiers or pointers may follow each other before a file is damaged."""


class Type:
    """Base of all types. *name* is qualified and as the debug information spells it, without
    ``struct`` and its like, ``""`` for types without one; *size* is ``None`` for what has none or
    is only declared."""

    name: str = ""

    @property
    def size(self) -> int | None:
        return None

    @property
    def bare(self) -> Type:
        """Return what stands behind typedefs and qualifiers."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class VoidType(Type):
    """``void``: no value at all."""

    name = "void"


class UnknownType(Type):
    """A type that the file has no sound record of; *reason* says why, for people."""

    def __init__(self, name: str, reason: str, size: int | None = None) -> None:
        self.name = name
        self.reason = reason
        self._size = size

    @property
    def size(self) -> int | None:
        return self._size


class Encoding(enum.Enum):
    """What the bytes of a scalar stand for."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    BOOL = "bool"
    CHAR = "char"  # plain char: signed as the data model says
    SIGNED_CHAR = "signed char"
    UNSIGNED_CHAR = "unsigned char"
    WIDE_CHAR = "wide char"  # wchar_t
    UTF = "utf"  # char8_t, char16_t, char32_t, Rust's char
    FLOAT = "float"
    COMPLEX = "complex"  # two floats, real part first
    DECIMAL = "decimal"  # decimal floating point

    @property
    def is_character(self) -> bool:
        return self in _CHARACTERS


_CHARACTERS = frozenset(
    (
        Encoding.CHAR,
        Encoding.SIGNED_CHAR,
        Encoding.UNSIGNED_CHAR,
        Encoding.WIDE_CHAR,
        Encoding.UTF,
    )
)


class ScalarType(Type):
    """A number, a character or a truth value."""

    def __init__(self, name: str, size: int, encoding: Encoding) -> None:
        self.name = name
        self._size = size
        self.encoding = encoding

    @property
    def size(self) -> int:
        return self._size


class PointerKind(enum.Enum):
    """What a pointer looks like in the source."""

    POINTER = "*"
    REFERENCE = "&"
    RVALUE_REFERENCE = "&&"


class PointerType(Type):
    """A pointer or reference to *target*. *name* is set where the language names it (Rust).

    What is stored points *adjustment* bytes behind the start of the object: ``this`` of a virtual
    function that overrides one of a second base is stored as a pointer to that base.
    """

    def __init__(
        self,
        target: Callable[[], Type],
        size: int,
        kind: PointerKind = PointerKind.POINTER,
        name: str = "",
        adjustment: int = 0,
    ) -> None:
        self._target = target
        self._size = size
        self.adjustment = adjustment
        self.kind = kind
        self.name = name

    @cached_property
    def target(self) -> Type:
        return self._target()

    @property
    def size(self) -> int:
        return self._size

    @property
    def is_reference(self) -> bool:
        return self.kind is not PointerKind.POINTER

    @property
    def is_called_reference(self) -> bool:
        """Whether its source calls it a reference: also those of Rust, which ``*`` follows."""
        return self.is_reference or self.name.startswith("&")


class MemberPointerType(Type):
    """A pointer to a member of *owner*; *target* is a :class:`FunctionType` for methods."""

    def __init__(
        self, target: Callable[[], Type], owner: Callable[[], Type], size: int | None
    ) -> None:
        self._target = target
        self._owner = owner
        self._size = size

    @cached_property
    def target(self) -> Type:
        return self._target()

    @cached_property
    def owner(self) -> Type:
        return self._owner()

    @property
    def size(self) -> int | None:
        return self._size


class ArrayType(Type):
    """*count* elements, ``None`` where the file does not say (flexible arrays, ``extern int a[]``).

    Dimensions nest: ``int [2][3]`` has 2 elements of type ``int [3]``. *lower* is the index of the
    first element (0 but in Fortran and its like); *is_vector* marks SIMD types.
    """

    def __init__(
        self,
        element: Callable[[], Type],
        count: int | None,
        *,
        size: int | None = None,
        lower: int = 0,
        is_vector: bool = False,
    ) -> None:
        self._element = element
        self.count = count
        self._size = size
        self.lower = lower
        self.is_vector = is_vector

    @cached_property
    def element(self) -> Type:
        return self._element()

    @property
    def size(self) -> int | None:
        count, array = 1, self
        for _ in range(MAX_CHAIN):
            if array._size is not None or array.count is None:
                return count * array._size if array._size is not None else None
            count *= array.count
            element = array.element.bare
            if not isinstance(element, ArrayType):
                return count * element.size if element.size is not None else None
            array = element
        return None  # arrays of themselves: the file is damaged


class Enumerator(msgspec.Struct, frozen=True):
    """A name for a value of an enumeration; the value has the sign of the underlying type."""

    name: str
    value: int


class EnumType(Type):
    """An enumeration; *underlying* gives its width and sign."""

    def __init__(
        self,
        name: str,
        underlying: Callable[[], Type],
        load: Callable[[], Iterable[Enumerator]],
        *,
        size: int | None = None,
        is_scoped: bool = False,
        is_declaration: bool = False,
    ) -> None:
        self.name = name
        self._underlying = underlying
        self._load = load
        self._size = size
        self.is_scoped = is_scoped
        self.is_declaration = is_declaration

    @cached_property
    def underlying(self) -> Type:
        return self._underlying()

    @cached_property
    def enumerators(self) -> Sequence[Enumerator]:
        return tuple(self._load())

    @property
    def size(self) -> int | None:
        if self._size is not None:
            return self._size
        bare = self.underlying.bare
        return bare.size if isinstance(bare, ScalarType) else None


class TypedefType(Type):
    """Another *name* for *target*."""

    def __init__(self, name: str, target: Callable[[], Type]) -> None:
        self.name = name
        self._target = target

    @cached_property
    def target(self) -> Type:
        return self._target()

    @property
    def size(self) -> int | None:
        return self.bare.size

    @property
    def bare(self) -> Type:
        return _bare(self)


class QualifiedType(Type):
    """*target* with ``const``, ``volatile`` and their like: *qualifiers* in order of C."""

    def __init__(self, target: Callable[[], Type], qualifiers: tuple[str, ...]) -> None:
        self._target = target
        self.qualifiers = qualifiers

    @cached_property
    def target(self) -> Type:
        return self._target()

    @property
    def size(self) -> int | None:
        return self.bare.size

    @property
    def bare(self) -> Type:
        return _bare(self)


def _bare(type_: Type) -> Type:
    for _ in range(MAX_CHAIN):
        if not isinstance(type_, (TypedefType, QualifiedType)):
            return type_
        type_ = type_.target
    return UnknownType("<damaged>", "typedefs of the debug information go in a circle")


class FunctionType(Type):
    """A function. *parameters* do not include ``this``; *owner* is the class of a method."""

    def __init__(
        self,
        result: Callable[[], Type],
        parameters: Callable[[], Sequence[Type]],
        *,
        is_variadic: bool = False,
        is_prototyped: bool = True,
        convention: str = "",
        owner: Callable[[], Type | None] | None = None,
    ) -> None:
        self._result = result
        self._parameters = parameters
        self.is_variadic = is_variadic
        self.is_prototyped = is_prototyped
        self.convention = convention
        self._owner = owner

    @cached_property
    def result(self) -> Type:
        return self._result()

    @cached_property
    def parameters(self) -> Sequence[Type]:
        return tuple(self._parameters())

    @cached_property
    def owner(self) -> Type | None:
        return self._owner() if self._owner is not None else None


class BitField(msgspec.Struct, frozen=True):
    """Where a bit field lies in its storage unit, which begins at the member's offset.

    The unit is *unit_size* bytes wide and read as a number in the target's byte order; *position*
    counts its bits from the least significant one. (Both ways of DWARF and PDB's end up as this.)
    """

    position: int
    size: int
    unit_size: int


class MemberKind(enum.Enum):
    """What stands in a class."""

    FIELD = "field"
    BASE = "base"
    VIRTUAL_BASE = "virtual base"
    STATIC = "static"
    VTABLE = "vtable"  # the pointer to the table of virtual functions


class Member(msgspec.Struct, frozen=True):
    """A part of a class, *offset* bytes from its start. *name* is ``""`` for anonymous structures
    and unions, whose members are reached as if they were the class's own; a base's is its type's.

    *locate* finds the offset of a virtual base in an object (it differs from class to class), and
    raises :class:`~polydbg.base.errors.DebuggerError` where it cannot be told. *address* is that of
    a static member as an RVA of its module, ``None`` where the file does not say; *constant* is its
    value as a number where it has only that. *is_artificial*: the compiler made it.
    """

    name: str
    type: Type
    offset: int = 0
    kind: MemberKind = MemberKind.FIELD
    bit_field: BitField | None = None
    locate: Callable[[Value], int] | None = None
    address: int | None = None
    constant: int | None = None
    is_artificial: bool = False


class Method(msgspec.Struct, frozen=True):
    """A function of a class; *vtable_offset* is that of a virtual one in bytes."""

    name: str
    type: FunctionType
    is_static: bool = False
    is_virtual: bool = False
    vtable_offset: int | None = None


class TemplateArgument(msgspec.Struct, frozen=True):
    """An argument of a template: a *type*, or a *value* of that type."""

    name: str
    type: Type
    value: int | None = None


class Variant(msgspec.Struct, frozen=True):
    """One form of a variant type (a Rust enumeration): in force when the discriminant lies in one
    of *ranges* (both ends included), or, where there are none, when no other form is."""

    ranges: tuple[tuple[int, int], ...]
    members: tuple[Member, ...]


class VariantPart(msgspec.Struct, frozen=True):
    """The forms of a variant type, and the member that tells which one is in force."""

    discriminant: Member | None
    variants: tuple[Variant, ...]


class NestedType(msgspec.Struct, frozen=True):
    """A type that is declared in a class; *name* is without that of the class, ``""`` for one
    without a name."""

    name: str
    type: Callable[[], Type]


class CompoundParts(msgspec.Struct, frozen=True):
    """What a class holds, in the order of its declaration."""

    members: tuple[Member, ...] = ()
    methods: tuple[Method, ...] = ()
    arguments: tuple[TemplateArgument, ...] = ()
    variant_part: VariantPart | None = None
    nested: tuple[NestedType, ...] = ()  # where the file lists them with the class
    member_count: int | None = None  # what the debugger calls elements: fields, bases and methods


class CompoundType(Type):
    """A structure, class or union; *keyword* is how it was declared.

    *is_declaration* tells of a type that this file only declares and has no definition of: its
    definition may be in another module. *origin* is the
    :class:`~polydbg.types.source.TypeSource` that describes it: static members are addressed from
    the base of its module.
    """

    def __init__(
        self,
        name: str,
        size: int | None,
        keyword: str,
        load: Callable[[], CompoundParts],
        *,
        is_declaration: bool = False,
        unique_name: str = "",
        origin: object = None,
    ) -> None:
        self.name = name
        self._size = size
        self.origin = origin
        self.keyword = keyword
        self._load = load
        self._is_declaration = is_declaration
        self.unique_name = unique_name

    @property
    def is_declaration(self) -> bool:
        return self._is_declaration

    @property
    def size(self) -> int | None:
        return self._size

    @cached_property
    def parts(self) -> CompoundParts:
        return self._load()

    @property
    def members(self) -> tuple[Member, ...]:
        return self.parts.members

    @property
    def bases(self) -> tuple[Member, ...]:
        return tuple(
            each
            for each in self.parts.members
            if each.kind in (MemberKind.BASE, MemberKind.VIRTUAL_BASE)
        )
