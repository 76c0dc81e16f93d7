"""Values of attributes: read one, or step over many. Source: DWARF 5 section 7.5.5."""

from __future__ import annotations

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import abbrev
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.reading import cstring, cut, sleb128, uleb128, unsigned
from polydbg.memory.space import ByteOrder

Value = int | bytes
"""Numbers, offsets and indexes as they stand; strings, blocks and 16-byte data as bytes."""

_MAX_STEPS = 16
_BLOCK_SIZES = {c.FORM_BLOCK1: 1, c.FORM_BLOCK2: 2, c.FORM_BLOCK4: 4}
_STEP_SIZES = {abbrev.STEP_BLOCK1: 1, abbrev.STEP_BLOCK2: 2, abbrev.STEP_BLOCK4: 4}

STRING_INDEXES = frozenset(
    {
        c.FORM_STRX,
        c.FORM_STRX1,
        c.FORM_STRX2,
        c.FORM_STRX3,
        c.FORM_STRX4,
        c.FORM_GNU_STR_INDEX,
    }
)
ADDRESS_INDEXES = frozenset(
    {
        c.FORM_ADDRX,
        c.FORM_ADDRX1,
        c.FORM_ADDRX2,
        c.FORM_ADDRX3,
        c.FORM_ADDRX4,
        c.FORM_GNU_ADDR_INDEX,
    }
)
LOCAL_REFERENCES = frozenset({c.FORM_REF1, c.FORM_REF2, c.FORM_REF4, c.FORM_REF8, c.FORM_REF_UDATA})


def read_value(
    data: bytes,
    position: int,
    form: int,
    constant: int,
    encoding: abbrev.Encoding,
    order: ByteOrder,
) -> tuple[int, Value, int]:
    """Return the form (what DW_FORM_indirect leads to), the value and the position after it.

    DW_FORM_LLVM_addrx_offset is (index << 32) + offset.

    :raises FormatError: unknown form, or the data ends within the value.
    """
    for _ in range(_MAX_STEPS):
        if form != c.FORM_INDIRECT:
            break
        form, position = uleb128(data, position)
    size = encoding.size_of(form)
    if size is not None:
        if form == c.FORM_IMPLICIT_CONST:
            return form, constant, position
        if form == c.FORM_FLAG_PRESENT:
            return form, 1, position
        end = position + size
        if end > len(data):
            raise cut("value", position)
        if size == 16:
            return form, data[position:end], end
        return form, int.from_bytes(data[position:end], order), end
    if form in abbrev.LEB_FORMS:
        return form, *(sleb128 if form == c.FORM_SDATA else uleb128)(data, position)
    if form == c.FORM_STRING:
        return form, *cstring(data, position)
    if form == c.FORM_LLVM_ADDRX_OFFSET:
        index, position = uleb128(data, position)
        return form, (index << 32) + unsigned(data, position, 4, order), position + 4
    return form, *_block(data, position, form, order)


def _block(data: bytes, position: int, form: int, order: ByteOrder) -> tuple[bytes, int]:
    if form in (c.FORM_EXPRLOC, c.FORM_BLOCK):
        size, position = uleb128(data, position)
    else:
        width = _BLOCK_SIZES.get(form)
        if width is None:
            raise FormatError(f"unknown DWARF form {form:#x}", offset=position)
        size = unsigned(data, position, width, order)
        position += width
    if position + size > len(data):
        raise cut("block", position)
    return data[position : position + size], position + size


def step_over(
    data: bytes,
    position: int,
    steps: tuple[int, ...],
    encoding: abbrev.Encoding,
    order: ByteOrder,
) -> int:
    """Return the position after the values that *steps* describe; it may lie past the end.

    :raises FormatError: the data ends within a value of unknown size.
    """
    try:
        for step in steps:
            if step >= 0:
                position += step
            elif step == abbrev.STEP_LEB:
                while data[position] >= 0x80:
                    position += 1
                position += 1
            elif step == abbrev.STEP_BLOCK and data[position] < 0x80:
                position += 1 + data[position]
            else:
                position = _step(data, position, step, encoding, order)
    except IndexError:
        raise cut("value", position) from None
    return position


def _step(
    data: bytes, position: int, step: int, encoding: abbrev.Encoding, order: ByteOrder
) -> int:
    if step == abbrev.STEP_BLOCK:
        size, position = uleb128(data, position)
        return position + size
    if step == abbrev.STEP_STRING:
        return cstring(data, position)[1]
    if step == abbrev.STEP_INDIRECT:
        form, position = uleb128(data, position)
        return read_value(data, position, form, 0, encoding, order)[2]
    width = _STEP_SIZES[step]
    return position + width + unsigned(data, position, width, order)
