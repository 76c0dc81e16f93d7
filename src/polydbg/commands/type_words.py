"""Types in ``dt``'s words: ``[3] line_item``, ``Ptr64 Char``, ``Pos 4, 7 Bits``, function types.

Shapes are those of the engine: command-language.md 19.1. *verbose* is what ``-v`` asks for;
*indent* is how far the row is moved in: the result of a function type stands behind it.
"""

from __future__ import annotations

from polydbg.base.text import sanitise_line
from polydbg.types.model import (
    MAX_CHAIN,
    ArrayType,
    BitField,
    CompoundType,
    EnumType,
    FunctionType,
    MemberPointerType,
    PointerType,
    QualifiedType,
    ScalarType,
    Type,
    TypedefType,
    UnknownType,
    VoidType,
)
from polydbg.types.naming import keyword_of, named, scalar_word, spelled, spelled_tightly

NO_TYPE = "<no type information>"
MAX_ENUMERATORS = 1 << 16
_MAX_PARAMETERS = 256


def type_words(type_: Type, *, verbose: bool = False, indent: str = "") -> str:
    """Return what stands behind a member's name where no object is shown."""
    words: list[str] = []
    for _ in range(MAX_CHAIN):
        bare = type_.bare
        if isinstance(bare, PointerType):
            words.append(pointer_word(bare, verbose=verbose))
            type_ = bare.target
        elif isinstance(bare, ArrayType):
            words.append(f"[{count_of(bare)}] ")
            type_ = bare.element
        else:
            words.append(_last_words(type_, verbose=verbose, indent=indent))
            return "".join(words)
    return "".join(words[:1]) + NO_TYPE


def pointer_word(type_: PointerType, *, verbose: bool = False) -> str:
    """Return ``Ptr64 `` or, for *verbose*, ``Ptr64 to ``."""
    return f"Ptr{8 * type_.size} {'to ' if verbose else ''}"


def count_of(array: ArrayType) -> int:
    """Return how many elements an array has, 0 where it does not say."""
    return array.count or 0


def _last_words(type_: Type, *, verbose: bool, indent: str) -> str:
    bare = type_.bare
    if isinstance(bare, ScalarType):
        return scalar_word(bare)
    if isinstance(bare, CompoundType):
        return compound_words(type_, verbose=verbose)
    if isinstance(bare, EnumType):
        return enumeration_words(type_, bare) if verbose else name_of(type_)
    if isinstance(bare, FunctionType):
        return f"{indent} {tight(bare.result)} "
    if isinstance(bare, VoidType):
        return "Void"
    if isinstance(bare, MemberPointerType):
        return tight(bare)
    if isinstance(bare, UnknownType):
        return sanitise_line(bare.name) or NO_TYPE
    return name_of(type_)


def tight(type_: Type) -> str:
    """Return a type as parameters and variables show theirs: ``order*``."""
    return sanitise_line(spelled_tightly(type_))


def spelling(type_: Type) -> str:
    """Return a type as ``??`` shows it, fit for one line: ``struct order *``."""
    return sanitise_line(spelled(type_))


def name_of(type_: Type) -> str:
    """Return the name of a class or enumeration; one without a name has that of its typedef."""
    name = ""
    bare = type_.bare
    for _ in range(MAX_CHAIN):
        if bare.name or not isinstance(type_, (TypedefType, QualifiedType)):
            break
        name = type_.name or name
        type_ = type_.target
    return sanitise_line(bare.name or name or named(bare))


def compound_words(type_: Type, *, verbose: bool = False) -> str:
    """Return ``order`` or, for *verbose*, ``struct order, 14 elements, 0xa8 bytes``."""
    bare = type_.bare
    if not verbose or not isinstance(bare, CompoundType):
        return name_of(type_)
    return f"{keyword_of(bare)}{name_of(type_)}, {size_words(bare)}"


def size_words(type_: CompoundType) -> str:
    """Return ``14 elements, 0xa8 bytes``."""
    size = "size unknown" if type_.size is None else f"{type_.size:#x} bytes"
    return f"{element_count(type_)} elements, {size}"


def element_count(type_: CompoundType) -> int:
    """Return how many fields, bases and methods a class has."""
    parts = type_.parts
    if parts.member_count is not None:
        return parts.member_count
    return len(parts.members) + len(parts.methods)


def enumeration_words(type_: Type, bare: EnumType) -> str:
    """Return ``Enum Level,  3 total enums``, which ends its line."""
    return f"Enum {name_of(type_)},  {len(bare.enumerators)} total enums\n"


def enumerator_words(name: str, number: int, size: int | None) -> str:
    """Return ``LevelHigh = 0n3``; negative values in hex, as wide as the type."""
    if number >= 0:
        return f"{sanitise_line(name)} = 0n{number}"
    return f"{sanitise_line(name)} = {number & (1 << 8 * (size or 8)) - 1:#x}"


def bit_field_words(field: BitField, *, verbose: bool = False) -> str:
    """Return ``Pos 4, 7 Bits``."""
    prefix = "Bitfield " if verbose else ""
    return f"{prefix}Pos {field.position}, {field.size} Bit{'s' if field.size != 1 else ''}"


def signature_words(name: str, function: FunctionType, indent: str = "") -> str:
    """Return a function with its result and parameters, each of these on a line of its own."""
    head = f"{sanitise_line(name)} {indent} {tight(function.result)} "
    parameters = [tight(each) for each in function.parameters[:_MAX_PARAMETERS]]
    if function.is_variadic or len(function.parameters) > _MAX_PARAMETERS:
        parameters.append("...")
    if not parameters:
        return f"{head}( void )"
    return f"{head}(\n\t" + ", \n\t".join(parameters) + ")"
