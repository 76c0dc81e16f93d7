"""Numbers in the entries of types: constants with their signs, bounds, places of bit fields.

Sources: DWARF 5 sections 5.7.6 (members), 5.13 (subranges) and 7.5.5 (constants); DWARF 3 section
5.5.6 for the older way to place bit fields.
"""

from __future__ import annotations

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.unit import Die
from polydbg.memory.space import ByteOrder
from polydbg.types.model import BitField

_OP_CONST1U, _OP_CONST2U, _OP_CONSTU, _OP_PLUS_UCONST, _OP_LIT0 = 0x08, 0x0A, 0x10, 0x23, 0x30
_MAX_NUMBER = 64
_MAX_OFFSET = 1 << 48
#: Languages whose arrays begin at 1: Fortran, Ada, Pascal, Modula, Cobol, PL/I, Julia.
_FROM_ONE = frozenset(
    (0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0D, 0x0E, 0x0F, 0x17, 0x1F, 0x22, 0x23)
)
FORTRAN = frozenset((0x07, 0x08, 0x0E, 0x22, 0x23, 0x2D))
"""Languages whose arrays vary in their first index first."""


def constant(die: Die, attribute: int, size: int | None, is_signed: bool) -> int | None:
    """Return the constant of an attribute as a number of *size* bytes, which its form alone does
    not tell the sign of; ``None`` without one, or where it is no number."""
    found = die.attributes.get(attribute)
    if found is None:
        return None
    form, value = found
    if form in (c.FORM_STRP, c.FORM_STRING, c.FORM_STRX, c.FORM_LINE_STRP, c.FORM_EXPRLOC):
        return None
    if isinstance(value, bytes):
        if not 0 < len(value) <= _MAX_NUMBER:
            return None
        size = len(value) if size is None else size
        value = int.from_bytes(value, die.unit.section.order)
    return value if size is None else as_number(value, size, is_signed)


def as_number(value: int, size: int, is_signed: bool) -> int:
    """Return *value* as a number of *size* bytes."""
    bits = 8 * min(size, _MAX_NUMBER)
    value &= (1 << bits) - 1
    return value - (1 << bits) if bits and is_signed and value >> bits - 1 else value


def signed_number(die: Die, attribute: int) -> int | None:
    """Return a number that may be negative: one of eight bytes is what a signed one looks like."""
    value = die.number(attribute)
    return value - (1 << 64) if value is not None and value >> 63 == 1 else value


def bounds(subrange: Die) -> tuple[int | None, int]:
    """Return how many elements a dimension has, ``None`` where the file does not say or a program
    computes it, and the index of the first."""
    lower = signed_number(subrange, c.AT_LOWER_BOUND)
    if lower is None:
        lower = 1 if subrange.unit.language in _FROM_ONE else 0
    if _is_constant(subrange, c.AT_COUNT):
        count = signed_number(subrange, c.AT_COUNT)
        return (count if count is not None and count >= 0 else None), lower
    if not _is_constant(subrange, c.AT_UPPER_BOUND):
        return None, lower
    upper = signed_number(subrange, c.AT_UPPER_BOUND)
    if upper is None:
        return None, lower
    if subrange.unit.header.address_size == 4 and upper == 0xFFFFFFFF:
        upper = -1  # what older compilers write for no element at all
    return max(upper - lower + 1, 0), lower


def _is_constant(die: Die, attribute: int) -> bool:
    """Tell whether the attribute is there and a number, not a reference to a variable."""
    found = die.attributes.get(attribute)
    return found is not None and isinstance(found[1], int) and found[0] not in _REFERENCES


_REFERENCES = frozenset(
    (
        c.FORM_REF1,
        c.FORM_REF2,
        c.FORM_REF4,
        c.FORM_REF8,
        c.FORM_REF_UDATA,
        c.FORM_REF_ADDR,
        c.FORM_GNU_REF_ALT,
        c.FORM_SEC_OFFSET,
        c.FORM_LOCLISTX,
    )
)


def member_offset(die: Die) -> int | bytes:
    """Return where a member begins, in bytes, or the expression that computes its address from
    that of the object.

    :raises FormatError: the offset is impossible.
    """
    expression = die.block(c.AT_DATA_MEMBER_LOCATION)
    if expression is None:
        offset = signed_number(die, c.AT_DATA_MEMBER_LOCATION) or 0
    else:
        if not expression or expression[0] != _OP_PLUS_UCONST:
            return expression
        offset, end = uleb128(expression, 1)
        if end != len(expression):
            return expression
    if abs(offset) > _MAX_OFFSET:
        raise FormatError(f"a member at offset {offset:#x} of its class", offset=die.offset)
    return offset


def bit_field(die: Die, type_size: int | None, class_size: int | None) -> tuple[int, BitField]:
    """Return the offset in bytes of the storage unit of a bit field, and where in it that lies.

    The unit is as wide as the declared type, of *type_size* bytes, and aligned like that, unless
    it would pass the end of the class, of *class_size* bytes, or not hold the whole field.

    :raises FormatError: the numbers are impossible.
    """
    bits = die.number(c.AT_BIT_SIZE) or 0
    order = die.unit.section.order
    start = signed_number(die, c.AT_DATA_BIT_OFFSET)
    if start is None:
        start = _start_of_old(die, bits, type_size, order)
    else:
        base = member_offset(die)
        start += 8 * base if isinstance(base, int) else 0
    if not 0 < bits <= 8 * _MAX_NUMBER or not 0 <= start < 8 * _MAX_OFFSET:
        raise FormatError(f"a bit field of {bits} bits at bit {start}", offset=die.offset)
    unit = type_size if type_size is not None and type_size <= _MAX_NUMBER else 0
    offset = start // (8 * unit) * unit if unit else 0
    end = offset + unit
    if not unit or start + bits > 8 * end or (class_size is not None and end > class_size):
        offset = start // 8
        unit = (start % 8 + bits + 7) // 8
    position = start - 8 * offset
    if order == "big":
        position = 8 * unit - position - bits
    return offset, BitField(position, bits, unit)


def _start_of_old(die: Die, bits: int, type_size: int | None, order: ByteOrder) -> int:
    """Return the first bit of a field in the way of DWARF 2 and 3: *bit_offset* counts from the
    most significant bit of a unit of *byte_size* bytes. Bits are counted in the order of memory."""
    base = member_offset(die)
    if isinstance(base, bytes):
        raise FormatError("the place of a bit field is computed", offset=die.offset)
    size = die.number(c.AT_BYTE_SIZE) or type_size or 0
    from_top = signed_number(die, c.AT_BIT_OFFSET)
    if from_top is None:
        return 8 * base  # a field at the very start may go without
    return 8 * base + (from_top if order == "big" else 8 * size - from_top - bits)


def vtable_index(die: Die) -> int | None:
    """Return the number of a virtual function in its table, ``None`` where the file does not
    say."""
    expression = die.block(c.AT_VTABLE_ELEM_LOCATION)
    if expression is None:
        return die.number(c.AT_VTABLE_ELEM_LOCATION)
    try:
        if len(expression) == 1 and _OP_LIT0 <= expression[0] < _OP_LIT0 + 32:
            return expression[0] - _OP_LIT0
        if expression and expression[0] == _OP_CONSTU:
            value, end = uleb128(expression, 1)
            return value if end == len(expression) else None
        sizes = {_OP_CONST1U: 1, _OP_CONST2U: 2}
        if expression and len(expression) == 1 + sizes.get(expression[0], -1):
            return int.from_bytes(expression[1:], die.unit.section.order)
    except FormatError:
        pass
    return None
