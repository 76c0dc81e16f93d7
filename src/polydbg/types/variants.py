"""Variant types (Rust's enumerations): which of their forms an object has."""

from __future__ import annotations

from polydbg.base.errors import DebuggerError
from polydbg.types.model import CompoundType, Variant
from polydbg.types.place import ValueUnavailableError
from polydbg.types.scalars import number_of
from polydbg.types.value import Value


def variant_of(value: Value) -> Variant | None:
    """Return the form in force of a variant type, ``None`` for other types.

    :raises ValueUnavailableError: no form belongs to the discriminant, or it cannot be told.
    :raises MemoryReadError: the discriminant is not in the target's memory.
    """
    bare = value.type.bare
    part = bare.parts.variant_part if isinstance(bare, CompoundType) else None
    if part is None:
        return None
    if part.discriminant is None:
        if len(part.variants) == 1:
            return part.variants[0]
        raise ValueUnavailableError("the debug information does not say which form is in force")
    discriminant = value.member(part.discriminant)
    number = number_of(discriminant)
    if not isinstance(number, int):
        raise ValueUnavailableError("the discriminant is no whole number")
    # Ranges are recorded with or without a sign, whatever the discriminant's type has.
    width = 8 * (discriminant.type.size or 0)
    spellings = (number, number & (1 << width) - 1, number - (1 << width))
    default: Variant | None = None
    for variant in part.variants:
        if not variant.ranges:
            default = variant
        for low, high in variant.ranges:
            if any(low <= each <= high for each in spellings):
                return variant
    if default is None:
        raise ValueUnavailableError(f"no form belongs to the discriminant {number:#x}")
    return default


def variant_name(value: Value) -> str:
    """Return the name of the form in force, ``""`` for other types or where it cannot be told."""
    try:
        variant = variant_of(value)
    except DebuggerError:
        return ""
    if variant is None:
        return ""
    return next((each.name for each in variant.members if each.name), "")
