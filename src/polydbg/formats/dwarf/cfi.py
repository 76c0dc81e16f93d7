"""Call frame information: ``.eh_frame`` with its search table, and ``.debug_frame``.

Nothing is indexed where ``.eh_frame_hdr`` has a table: it is searched in place, and one entry is
decoded for one question. ``.debug_frame``, and ``.eh_frame`` without a table or with one that does
not agree with it, are read through once.

Sources: DWARF 5 section 6.4.1 (``.debug_frame``), LSB Core, "DWARF Extensions" (``.eh_frame``,
``.eh_frame_hdr``); GCC and binutils for the augmentations ``eh``, ``S``, ``B`` and ``G``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import cfi_pointers as pointers
from polydbg.formats.dwarf.cfi_pointers import Bases, read_number, read_pointer
from polydbg.formats.dwarf.cfi_rules import Factors, FrameRules, RuleMachine
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.reading import cstring, cut, sleb128, uleb128, unsigned
from polydbg.formats.section import Section

MAX_ENTRY: Final = 1 << 20
"""Bytes of one entry; a program of instructions may have a part of it."""

_MAX_SECTION = 1 << 29
_CACHE_LIMIT = 20_000
_POLL_EVERY = 1024
_NO_LOCATION: Final = 0
"""What linkers write as the address of functions that they left out, in ``.debug_frame``."""

_ESCAPE = 0xFFFFFFFF
_USUAL = 0x3B  # 4 bytes, signed, from the start of the table


class Cie(msgspec.Struct, frozen=True):
    """A common information entry: what the entries of many functions share.

    *place* is the RVA of the first byte of *instructions*.
    """

    code_factor: int
    data_factor: int
    return_register: int
    encoding: int
    has_augmentation_size: bool
    is_signal_frame: bool
    uses_key_b: bool
    address_size: int
    segment_size: int
    instructions: bytes
    place: int


class Fde(msgspec.Struct, frozen=True):
    """A frame description entry: the function from RVA *start* up to *end*."""

    start: int
    end: int
    cie: Cie
    instructions: bytes
    place: int


class _Entry(msgspec.Struct, frozen=True):
    """The header of an entry. *cie* is the offset of its CIE, ``None`` where it is one itself;
    *body* the bytes behind the header, the first of which is at offset *at*."""

    cie: int | None
    body: bytes
    at: int


class CallFrameTable:
    """One section of call frame information.

    Addresses are RVAs. Methods raise :class:`FormatError` where the section is damaged, and
    :class:`~polydbg.base.errors.MemoryReadError` where it is in memory and a byte is absent.
    """

    def __init__(
        self,
        data: Section,
        bases: Bases,
        *,
        rva: int | None = None,
        is_eh: bool = True,
        is_sparc: bool = False,
        search: SearchTable | None = None,
        poll: Callable[[], None] = lambda: None,
    ) -> None:
        """Read *data*, an ``.eh_frame`` at *rva* or, where *is_eh* is false, a ``.debug_frame``.
        *poll* is called now and then while all entries are listed, and may raise."""
        self._data = data
        self._bases = bases
        self._rva = rva or 0
        self._is_eh = is_eh
        self._is_sparc = is_sparc
        self._search = search
        self._poll = poll
        self._cies: dict[int, Cie | FormatError] = {}
        self._initial: dict[int, RuleMachine] = {}
        self._rows: dict[int, FrameRules | None] = {}

    # -- questions -------------------------------------------------------------------------

    def rules_at(self, rva: int) -> FrameRules | None:
        """Return the rules at *rva*, ``None`` where no entry covers it."""
        if rva in self._rows:
            return self._rows[rva]
        if len(self._rows) >= _CACHE_LIMIT:
            self._rows.clear()
        fde = self.fde_at(rva)
        found = self._rows[rva] = None if fde is None else self.run(fde, rva)
        return found

    def fde_at(self, rva: int) -> Fde | None:
        """Return the entry of the function at *rva*."""
        if self._search is not None:
            try:
                return self._searched(self._search, rva)
            except FormatError:
                self._search = None  # it lies: what it led to is no entry, or another one's
        index = self._index
        for rank in index.covering(rva):
            return self.fde(index.values[rank])
        return None

    def _searched(self, search: SearchTable, rva: int) -> Fde | None:
        found = search.find(rva)
        if found is None:
            return None
        start, entry = found
        fde = self.fde(entry - self._rva)
        if fde is None or fde.start != start:
            raise FormatError("the table of call frame information does not agree with it")
        return fde if fde.start <= rva < fde.end else None

    def run(self, fde: Fde, rva: int) -> FrameRules:
        """Return the row of *fde* that holds at *rva*.

        :raises FormatError: the instructions make no sense, or give no CFA.
        """
        cie = fde.cie
        initial = self._initial_rules(cie)
        machine = RuleMachine(self._factors(cie, fde.place, fde.start), fde.start, rva, initial)
        machine.run(fde.instructions)
        if not machine.has_cfa:
            raise FormatError(f"no rule for the frame at {rva:#x}")
        return FrameRules(
            start=machine.start,
            end=fde.end if machine.end is None else min(machine.end, fde.end),
            cfa=machine.cfa,
            registers=machine.rules,
            return_register=cie.return_register,
            is_signal_frame=cie.is_signal_frame,
            ra_signed=machine.is_signed,
            uses_key_b=cie.uses_key_b,
            address_size=cie.address_size,
            entry_register=initial.cfa.register,
        )

    def _initial_rules(self, cie: Cie) -> RuleMachine:
        found = self._initial.get(cie.place)
        if found is None:
            found = RuleMachine(self._factors(cie, cie.place, 0), 0, 0)
            found.run(cie.instructions)
            self._initial[cie.place] = found
        return found

    def _factors(self, cie: Cie, place: int, function: int) -> Factors:
        bases = self._sized(cie.address_size)
        return Factors(
            cie.code_factor,
            cie.data_factor,
            bases.order,
            cie.address_size,
            lambda data, at: read_pointer(data, at, cie.encoding, bases, place, function),
            self._is_sparc,
        )

    def _sized(self, address_size: int) -> Bases:
        if address_size == self._bases.address_size:
            return self._bases
        return msgspec.structs.replace(self._bases, address_size=address_size)

    # -- entries ---------------------------------------------------------------------------

    def fde(self, offset: int) -> Fde | None:
        """Return the entry at *offset* of the section, ``None`` if it is a CIE or none at all."""
        entry = self._entry(offset)
        if entry is None or entry.cie is None:
            return None
        return self._fde_of(entry)

    def _entry(self, offset: int) -> _Entry | None:
        """Return the entry at *offset*, ``None`` for an empty one."""
        data = self._data
        size = data.number(offset, 4)
        word, at = 4, offset + 4
        if size == _ESCAPE:
            size, word, at = data.number(at, 8), 8, at + 8
        if size == 0:
            return None
        if size > MAX_ENTRY:
            raise FormatError(f"a call frame entry of {size} bytes", offset=offset)
        if self._is_eh:
            word = 4
        raw = data.take(at, size)
        identifier = unsigned(raw, 0, word, data.order)
        if self._is_eh:
            cie = None if identifier == 0 else at - identifier
        else:
            cie = None if identifier == (1 << 8 * word) - 1 else identifier
        return _Entry(cie, raw[word:], at + word)

    def _cie(self, offset: int) -> Cie:
        found = self._cies.get(offset)
        if found is None:
            # A damaged one is asked for by each of its functions: what is wrong is kept too.
            try:
                found = self._read_cie(offset)
            except FormatError as error:
                found = error
            self._cies[offset] = found
        if isinstance(found, FormatError):
            raise found
        return found

    def _read_cie(self, offset: int) -> Cie:
        entry = self._entry(offset)
        if entry is None or entry.cie is not None:
            raise FormatError("an entry's CIE is none", offset=offset)
        return self._parse_cie(entry)

    def _parse_cie(self, entry: _Entry) -> Cie:
        body = entry.body
        version = unsigned(body, 0, 1, "little")
        if version not in (1, 3, 4):
            raise FormatError(f"call frame information of version {version}", offset=entry.at)
        text, position = cstring(body, 1)
        address_size, segment_size = self._bases.address_size, 0
        if version == 4:
            if position + 2 > len(body):
                raise cut("CIE", entry.at)
            address_size, segment_size = body[position], body[position + 1]
            position += 2
        if address_size not in (2, 4, 8) or segment_size > 8:
            raise FormatError(f"addresses of {address_size} bytes", offset=entry.at)
        if text.startswith(b"eh"):  # GCC 2: a pointer to the function's exception table
            position += address_size
            text = text[2:]
        code_factor, position = uleb128(body, position)
        data_factor, position = sleb128(body, position)
        if version == 1:
            return_register, position = unsigned(body, position, 1, "little"), position + 1
        else:
            return_register, position = uleb128(body, position)
        place = self._rva + entry.at
        extra = _Augmentation(text, body, position, self._sized(address_size), place)
        return Cie(
            code_factor=code_factor,
            data_factor=data_factor,
            return_register=return_register,
            encoding=extra.encoding,
            has_augmentation_size=extra.has_size,
            is_signal_frame=extra.is_signal_frame,
            uses_key_b=extra.uses_key_b,
            address_size=address_size,
            segment_size=segment_size,
            instructions=body[extra.end :],
            place=place + extra.end,
        )

    def _fde_of(self, entry: _Entry) -> Fde:
        assert entry.cie is not None
        cie = self._cie(entry.cie)
        body, place = entry.body, self._rva + entry.at
        start, size, position = self._extent(cie, body, place)
        if cie.has_augmentation_size:
            skipped, position = uleb128(body, position)
            position += skipped
            if position > len(body):
                raise cut("FDE", entry.at)
        return Fde(start, start + size, cie, body[position:], place + position)

    def _extent(self, cie: Cie, body: bytes, place: int) -> tuple[int, int, int]:
        """Return the start and the size of a function, and the position behind them."""
        bases = self._sized(cie.address_size)
        position = cie.segment_size
        start, position = read_pointer(body, position, cie.encoding, bases, place)
        size, position = read_number(body, position, cie.encoding & 0x0F, bases)
        return start, size & bases.mask, position

    # -- the index of all ------------------------------------------------------------------

    @cached_property
    def _index(self) -> Intervals:
        return Intervals(self._extents())

    def _extents(self) -> Iterator[tuple[int, int, int]]:
        """Yield start, end and offset of each function's entry; damage ends the section."""
        data, offset = self._data, 0
        end = min(data.size, _MAX_SECTION)
        count = 0
        while offset + 4 <= end:
            count += 1
            if count % _POLL_EVERY == 0:
                self._poll()
            size = data.number(offset, 4)
            header = 4
            if size == _ESCAPE and offset + 12 <= end:
                size, header = data.number(offset + 4, 8), 12
            if size == 0 and self._is_eh:
                return  # the terminator
            if size > end - offset - header:
                return
            if size:
                found = self._extent_at(offset)
                if found is not None:
                    yield *found, offset
            offset += header + size

    def _extent_at(self, offset: int) -> tuple[int, int] | None:
        """Return where the function of the entry at *offset* begins and ends; ``None`` for a CIE,
        for what makes no sense, and for functions that were left out when linking."""
        try:
            entry = self._entry(offset)
            if entry is None or entry.cie is None:
                return None
            cie = self._cie(entry.cie)
            start, size, _ = self._extent(cie, entry.body, self._rva + entry.at)
            if not self._is_eh and self._is_left_out(cie, entry.body):
                return None
        except FormatError:
            return None
        return (start, start + size) if size else None

    def _is_left_out(self, cie: Cie, body: bytes) -> bool:
        value = unsigned(body, cie.segment_size, cie.address_size, self._bases.order)
        return value == _NO_LOCATION


class _Augmentation:
    """What the augmentation string and data of a CIE say; *end* is the position behind them."""

    def __init__(self, text: bytes, body: bytes, position: int, bases: Bases, place: int) -> None:
        self.encoding = pointers.ABSOLUTE
        self.is_signal_frame = False
        self.uses_key_b = False
        self.has_size = text.startswith(b"z")
        self.end = position
        if self.has_size:
            size, position = uleb128(body, position)
            self.end = position + size
            if self.end > len(body):
                raise cut("CIE", position)
        elif text and not text.startswith(b"armcc") and text.strip(b"SBG"):
            raise FormatError(f"unknown augmentation {text[:16]!r}")
        for letter in text:
            position = self._letter(letter, body, position, bases, place)
            if position < 0:
                return

    def _letter(self, letter: int, body: bytes, position: int, bases: Bases, place: int) -> int:
        """Take one letter; return the position behind its data, -1 where the rest is unknown."""
        if letter == ord("z") or letter == ord("G"):
            return position
        if letter == ord("S"):
            self.is_signal_frame = True
        elif letter == ord("B"):
            self.uses_key_b = True
        elif letter == ord("R"):
            self.encoding = unsigned(body, position, 1, "little")
            return position + 1
        elif letter == ord("L"):
            return position + 1
        elif letter == ord("P"):
            encoding = unsigned(body, position, 1, "little")
            return pointers.skip_pointer(body, position + 1, encoding, bases, place)
        else:
            return -1
        return position


class SearchTable:
    """The table of ``.eh_frame_hdr``: pairs of a function's address and that of its entry."""

    def __init__(self, data: Section, bases: Bases, rva: int) -> None:
        """Read the header of *data*, which is at *rva*.

        :raises FormatError: it has no table, or one that cannot be searched.
        """
        # Its data-relative pointers count from its own start.
        self._bases = msgspec.structs.replace(bases, data=rva)
        self._mask = bases.mask
        self._data = data
        self._rva = rva
        head = data.rest(0, 4 + 2 * 10)
        if len(head) < 4 or head[0] != 1:
            raise FormatError("unknown version of .eh_frame_hdr")
        start, count_encoding, self._encoding = head[1], head[2], head[3]
        size = pointers.size_of(self._encoding, bases.address_size)
        if size is None or count_encoding == pointers.OMIT:
            raise FormatError(".eh_frame_hdr has no table")
        position = pointers.skip_pointer(head, 4, start, bases, rva)
        count, self._first = read_number(head, position, count_encoding, bases)
        self._size = size
        room = (data.size - self._first) // (2 * size)
        if not 0 < count <= room:
            raise FormatError(f"a table of {count} functions has room for {room}")
        self.count = count

    def find(self, rva: int) -> tuple[int, int] | None:
        """Return start and entry, both RVAs, of the last function that begins at *rva* or before
        it, ``None`` if none does."""
        low, high = 0, self.count
        pointer = self._pointer
        while low < high:
            middle = (low + high) // 2
            if pointer(middle * 2) <= rva:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return None
        return pointer(low * 2 - 2), pointer(low * 2 - 1)

    def _pointer(self, index: int) -> int:
        offset = self._first + index * self._size
        raw = self._data.take(offset, self._size)
        if self._encoding == _USUAL:
            value = int.from_bytes(raw, self._bases.order, signed=True)
            return self._rva + value & self._mask
        return read_pointer(raw, 0, self._encoding, self._bases, self._rva + offset)[0]
