"""What every executable image can say, whatever its format, and the records of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from polydbg.base.identifiers import DebugId
from polydbg.memory.space import AddressSpace


class Section(msgspec.Struct, frozen=True):
    """A section: *rva* and *size* in memory, both in bytes; *characteristics* as in the header."""

    name: str
    rva: int
    size: int
    file_offset: int
    file_size: int
    characteristics: int


class Export(msgspec.Struct, frozen=True):
    """An export; *name* is ``None`` with an ordinal only, *forwarder* ``DLL.Name`` or ``None``."""

    name: str | None
    ordinal: int
    rva: int
    forwarder: str | None


class CodeViewRecord(msgspec.Struct, frozen=True):
    """Where the linker put the debug file: its id and the path it wrote."""

    debug_id: DebugId
    path: str
    signature: str  # "RSDS", "NB10"


class Image(Protocol):
    """An executable image, from its file or from memory. Addresses are RVAs, in bytes: RVA 0 is
    where its first page is mapped.

    Methods raise :class:`~polydbg.base.errors.FormatError` where the image is damaged and
    :class:`~polydbg.base.errors.MemoryReadError` (its address an RVA) where a byte is absent.
    """

    name: str
    path: str | None

    @property
    def machine(self) -> str:
        """Return the processor: ``amd64``, ``x86``, ``arm64``, ..."""
        ...

    @property
    def size_of_image(self) -> int: ...

    @property
    def space(self) -> AddressSpace:
        """Return the image as an address space of RVAs."""
        ...

    @property
    def entry_point(self) -> int | None:
        """Return the RVA where it starts; ``None`` or 0 if it says none."""
        ...

    def sections(self) -> Sequence[Section]: ...

    def is_code(self, rva: int) -> bool:
        """Tell whether *rva* lies in a part with code."""
        ...

    def permissions_at(self, rva: int) -> str | None:
        """Return what the loader at first allows at *rva*, ``r-x`` or the like; ``None`` where
        nothing is mapped."""
        ...

    def constant_parts(self) -> Sequence[tuple[int, int]]:
        """Return the parts, from RVA up to RVA, that no program writes to: what the file holds is
        what memory holds, see :meth:`read_as_loaded`."""
        ...

    def read_as_loaded(self, rva: int, size: int, base: int) -> bytes:
        """Return at most *size* bytes at *rva* as the loader makes them for an image at *base*."""
        ...

    def close(self) -> None:
        """Give up the mapped file. No method may be called afterwards."""
        ...
