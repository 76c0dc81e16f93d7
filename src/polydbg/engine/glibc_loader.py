"""What glibc's loader says of modules with thread-local variables: their numbers, and since when.

glibc has constants for debuggers (``_thread_db_...``), each of three 32-bit numbers: the width of a
field in bits, how many there are, and its offset. Those of the loader's list say where it keeps the
number of a module, and a list of slots by number: a slot has the module's entry, and the generation
of the list in which it got it. Source: the interface of ``nptl_db`` as glibc's symbols give it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from polydbg.engine.structure import Structure
from polydbg.memory.space import AddressSpace, ByteOrder

_MAX_NUMBER = 1 << 16
_MAX_OFFSET = 1 << 16
_MAX_PARTS = 1 << 10
_LIBRARIES = ("libc", "libpthread")
_LOADERS = ("ld",)

FindSymbol = Callable[[str, tuple[str, ...]], int | None]
"""From a name, and the beginnings of modules' names, to an address; ``None`` where it is not
known."""


class _Field(NamedTuple):
    """A field: its size and offset in bytes."""

    size: int
    offset: int


class GlibcLoader:
    """The loader's list in *memory*. What cannot be told is ``None``."""

    def __init__(
        self, memory: AddressSpace, pointer_size: int, order: ByteOrder, find: FindSymbol
    ) -> None:
        self._memory = memory
        self._size = pointer_size
        self._order: ByteOrder = order
        self._find = find

    def number_of(self, entry: int) -> int | None:
        """Return the number of the module with the loader's *entry*, ``None`` where it has none or
        nothing says where that is kept."""
        number = self._value(entry, self._field("link_map_l_tls_modid"))
        return number if number is not None and 0 < number < _MAX_NUMBER else None

    def generation_of(self, number: int, entry: int) -> int | None:
        """Return the generation in which *entry* got that *number*, ``None`` where nothing says
        so."""
        head = self._field("rtld_global__dl_tls_dtv_slotinfo_list")
        loader = self._find("_rtld_global", _LOADERS)
        length, following = (
            self._field("dtv_slotinfo_list_len"),
            self._field("dtv_slotinfo_list_next"),
        )
        slots = self._field("dtv_slotinfo_list_slotinfo")
        age, owner = self._field("dtv_slotinfo_gen"), self._field("dtv_slotinfo_map")
        if head is None or loader is None or slots is None or age is None or owner is None:
            return None
        part = self._value(loader, head)
        for _ in range(_MAX_PARTS):
            count = self._value(part, length) if part else None
            if not part or count is None:
                return None
            if number < count:
                slot = part + slots.offset + number * 2 * self._size
                return self._value(slot, age) if self._value(slot, owner) == entry else None
            number -= count
            part = self._value(part, following)
        return None

    def _field(self, name: str) -> _Field | None:
        address = self._find(f"_thread_db_{name}", _LIBRARIES)
        if address is None:
            return None
        record = Structure(self._memory, address, self._size, self._order)
        bits, offset = record.number(0, 4), record.number(8, 4)
        if bits is None or offset is None or offset > _MAX_OFFSET:
            return None
        # Of the slots, an array, the width is that of all.
        return _Field(bits // 8 if bits in (32, 64) else self._size, offset)

    def _value(self, address: int | None, field: _Field | None) -> int | None:
        if address is None or field is None:
            return None
        structure = Structure(self._memory, address, self._size, self._order)
        return structure.number(field.offset, field.size)
