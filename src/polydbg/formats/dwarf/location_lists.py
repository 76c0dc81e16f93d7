"""Lists of locations: ``.debug_loc`` (versions 2 to 4), ``.debug_loclists`` (5), their split forms.

A list says where a variable is at each address. Views, which tell apart what gcc knows of one
address more than once, are left alone: they stand before the list, or in entries of their own.
Sources: DWARF 4 section 2.6.2, DWARF 5 sections 2.6.2, 7.7.3 and 7.29; the GNU proposal
"DebugFission" for ``.debug_loc.dwo``.
"""

from __future__ import annotations

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.forms import Value
from polydbg.formats.dwarf.reading import cut, uleb128, unsigned
from polydbg.formats.dwarf.unit import Unit
from polydbg.formats.section import Section

_MAX_ENTRIES = 1 << 16
_MAX_EXPRESSION = 1 << 16
#: No entry is longer without its expression: a kind and three numbers.
_MAX_HEAD = 100
(
    _END_OF_LIST,
    _BASE_ADDRESSX,
    _STARTX_ENDX,
    _STARTX_LENGTH,
    _OFFSET_PAIR,
    _DEFAULT_LOCATION,
    _BASE_ADDRESS,
    _START_END,
    _START_LENGTH,
    _VIEW_PAIR,
) = range(10)

_Head = tuple[int | None, int | None, int]


def expression_at(unit: Unit, form: int, value: Value, address: int) -> bytes | None:
    """Return the expression that holds at *address* of the file, of an attribute of *unit* that is
    an expression or a list of them; ``None`` where no entry of the list covers the address.

    :raises FormatError: the list is damaged.
    """
    if isinstance(value, bytes):
        return value
    version = unit.header.version
    if version >= 5:
        section = unit.file.get(".debug_loclists")
        start = unit.file.contribution(unit, ".debug_loclists")
        offset = _list_offset(unit, section, value) if form == c.FORM_LOCLISTX else value
        return _Walk(unit, section, start + offset).indexed_kinds(address)
    section = unit.file.get(".debug_loc")
    start = unit.file.contribution(unit, ".debug_loc")
    walk = _Walk(unit, section, start + value)
    return walk.split_kinds(address) if unit.file.suffix else walk.pairs(address)


def _list_offset(unit: Unit, section: Section, index: int) -> int:
    """Return where list *index* of the unit's part of ``.debug_loclists`` begins."""
    size = unit.header.offset_size
    base = unit.root.number(c.AT_LOCLISTS_BASE)
    if base is None:
        # Without the attribute the table of a split unit stands behind the section's header.
        base = 12 if size == 4 else 20
    start = unit.file.contribution(unit, ".debug_loclists") + base + index * size
    return base + section.number(start, size)


class _Walk:
    """Walks one list of *section* from *offset* on."""

    def __init__(self, unit: Unit, section: Section, offset: int) -> None:
        self._unit = unit
        self._section = section
        self._start = self._at = offset
        self._size = unit.header.address_size
        self._mask = (1 << 8 * self._size) - 1

    def pairs(self, address: int) -> bytes | None:
        """Look in a list of pairs of addresses (versions 2 to 4)."""
        base = self._unit.base_address
        for _ in range(_MAX_ENTRIES):
            start, end = self._section.numbers(self._at, 2, self._size)
            self._at += 2 * self._size
            if start == self._mask:
                base = end
            elif start == end == 0:
                return None
            else:
                size = self._length(2)
                if start + base & self._mask <= address < end + base & self._mask:
                    return self._expression(size)
                self._at += size
        raise self._endless()

    def split_kinds(self, address: int) -> bytes | None:
        """Look in a list of GNU's split units of version 4."""
        base: int | None = self._unit.base_address
        for _ in range(_MAX_ENTRIES):
            data = self._head()
            kind = data[0]
            if kind == 0:
                return None
            start, end, position = self._split_entry(data, base)
            self._at += position
            if kind == 1:
                base = start
                continue
            size = self._length(2)
            if start is not None and end is not None and start <= address < end:
                return self._expression(size)
            self._at += size
        raise self._endless()

    def _split_entry(self, data: bytes, base: int | None) -> _Head:
        kind, order, unit = data[0], self._section.order, self._unit
        if kind == 4:
            low, high = unsigned(data, 1, 4, order), unsigned(data, 5, 4, order)
            return (None, None, 9) if base is None else (base + low, base + high, 9)
        if kind not in (1, 2, 3):
            raise FormatError(f"unknown DWARF location entry {kind:#x}", offset=self._at)
        first, position = uleb128(data, 1)
        start = unit.indexed_address(first)
        if kind == 1:
            return start, None, position
        if kind == 2:
            second, position = uleb128(data, position)
            return start, unit.indexed_address(second), position
        length = unsigned(data, position, 4, order)
        return start, None if start is None else start + length, position + 4

    def indexed_kinds(self, address: int) -> bytes | None:
        """Look in a list of version 5."""
        base: int | None = self._unit.base_address
        otherwise: bytes | None = None
        for _ in range(_MAX_ENTRIES):
            data = self._head()
            kind = data[0]
            if kind == _END_OF_LIST:
                return otherwise
            start, end, position = self._entry(data, base)
            self._at += position
            if kind in (_BASE_ADDRESSX, _BASE_ADDRESS):
                base = start
            if kind in (_BASE_ADDRESSX, _BASE_ADDRESS, _VIEW_PAIR):
                continue
            size = self._length(0)
            if kind == _DEFAULT_LOCATION:
                otherwise = self._expression(size)
            elif start is not None and end is not None and start <= address < end:
                return self._expression(size)
            self._at += size
        raise self._endless()

    def _entry(self, data: bytes, base: int | None) -> _Head:
        """Return start, end (of a base address the start alone) and the size of an entry without
        its expression."""
        kind, unit, size = data[0], self._unit, self._size
        if kind == _DEFAULT_LOCATION:
            return None, None, 1
        if kind in (_BASE_ADDRESS, _START_END, _START_LENGTH):
            order = self._section.order
            first, position = unsigned(data, 1, size, order), 1 + size
            if kind == _BASE_ADDRESS:
                return first, None, position
            if kind == _START_END:
                return first, unsigned(data, position, size, order), position + size
            second, position = uleb128(data, position)
            return first, first + second, position
        if kind > _VIEW_PAIR:
            raise FormatError(f"unknown DWARF location entry {kind:#x}", offset=self._at)
        first, position = uleb128(data, 1)
        if kind == _BASE_ADDRESSX:
            return unit.indexed_address(first), None, position
        second, position = uleb128(data, position)
        if kind == _OFFSET_PAIR and base is not None:
            return base + first, base + second, position
        if kind in (_OFFSET_PAIR, _VIEW_PAIR):
            return None, None, position
        start = unit.indexed_address(first)
        if kind == _STARTX_ENDX:
            return start, unit.indexed_address(second), position
        return start, None if start is None else start + second, position

    # -- reading ---------------------------------------------------------------------------

    def _head(self) -> bytes:
        data = self._section.rest(self._at, _MAX_HEAD)
        if not data:
            raise cut("list of locations", self._at)
        return data

    def _length(self, size: int) -> int:
        """Read how long the expression is that follows: *size* bytes, LEB128 for 0."""
        if size:
            length = self._section.number(self._at, size)
            self._at += size
            return length
        length, position = uleb128(self._head(), 0)
        self._at += position
        if length > _MAX_EXPRESSION:
            raise FormatError(f"a DWARF expression of {length} bytes", offset=self._at)
        return length

    def _expression(self, size: int) -> bytes:
        return self._section.take(self._at, size)

    def _endless(self) -> FormatError:
        return FormatError("a DWARF list of locations does not end", offset=self._start)
