"""Which call frame information an image and its separate debug file have, and what it says.

``.eh_frame`` is loaded with the image, so a debug file has none of it; ``.debug_frame`` may be in
either. PE files of MinGW and the like carry the same sections, found by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from polydbg.base.errors import DebuggerError, FormatError, MemoryReadError
from polydbg.formats.dwarf.cfi import CallFrameTable, SearchTable
from polydbg.formats.dwarf.cfi_pointers import Bases
from polydbg.formats.dwarf.cfi_rules import FrameRules
from polydbg.formats.elf import constants as elf
from polydbg.images.elf import ElfImage
from polydbg.images.pe import PeImage


class CallFrames(Protocol):
    """The call frame information of one module."""

    def rules_at(self, rva: int) -> FrameRules | None:
        """Return the rules at *rva*, ``None`` where nothing says.

        :raises FormatError: there are some, but they are damaged.
        """
        ...


class TableFrames:
    """Asks one table after the other; what is not in memory says nothing."""

    def __init__(self, tables: tuple[CallFrameTable, ...]) -> None:
        self.tables = tables

    def rules_at(self, rva: int) -> FrameRules | None:
        damage: FormatError | None = None
        for table in self.tables:
            try:
                found = table.rules_at(rva)
            except MemoryReadError:
                continue
            except FormatError as error:
                damage = error
                continue
            if found is not None:
                return found
        if damage is not None:
            raise damage
        return None


def call_frames_of(
    image: ElfImage | PeImage,
    debug: ElfImage | None = None,
    poll: Callable[[], None] = lambda: None,
) -> CallFrames | None:
    """Return the call frame information of *image* and its debug file, ``None`` if there is none.
    *poll* is called while long tables are searched, and may raise.

    What cannot be read (damaged headers, sections absent from memory) counts as not there.
    """
    if isinstance(image, PeImage):
        tables = tuple(_pe_tables(image, poll))
    else:
        files = [image] if debug is None else [image, debug]
        unloaded = (table for file in files for table in _debug_tables(file, poll))
        tables = (*_loaded_tables(image, poll), *unloaded)
    return TableFrames(tables) if tables else None


def _loaded_tables(image: ElfImage, poll: Callable[[], None]) -> Iterator[CallFrameTable]:
    """Yield the table of ``.eh_frame``."""
    try:
        found = image.eh_frame
        bases = _bases(image)
    except DebuggerError:
        return
    if found is None or not found.data.size:
        return
    yield CallFrameTable(
        found.data,
        bases,
        rva=found.rva,
        is_sparc=image.machine.startswith("sparc"),
        search=_search_table(image, bases),
        poll=poll,
    )


def _search_table(image: ElfImage, bases: Bases) -> SearchTable | None:
    try:
        found = image.eh_frame_hdr
        if found is None or found.rva is None:
            return None
        return SearchTable(found.data, bases, found.rva)
    except DebuggerError:
        return None


def _debug_tables(image: ElfImage, poll: Callable[[], None]) -> Iterator[CallFrameTable]:
    """Yield the table of ``.debug_frame``."""
    try:
        found = image.debug_frame
    except DebuggerError:
        return
    if found is None or not found.data.size:
        return
    header = image.header
    yield CallFrameTable(
        found.data,
        Bases(header.word, header.order, image.rva_of_pointer),
        is_eh=False,
        is_sparc=image.machine.startswith("sparc"),
        poll=poll,
    )


def _bases(image: ElfImage) -> Bases:
    """Return what the pointers of an ELF image's ``.eh_frame`` count from."""
    header = image.header
    text = image.section_named(".text")
    return Bases(
        header.word,
        header.order,
        image.rva_of_pointer,
        None if text is None else text.address - image.image_base,
        image.dynamic.rva(elf.DT_PLTGOT),
    )


def _pe_tables(image: PeImage, poll: Callable[[], None]) -> Iterator[CallFrameTable]:
    base = image.preferred_base
    bases = Bases(8 if image.header.is_64bit else 4, "little", lambda value: value - base)
    for section in image.call_frame_sections():
        is_eh = section.name.startswith(".eh_fram")
        data = image.section_data(section)
        yield CallFrameTable(data, bases, rva=section.rva, is_eh=is_eh, poll=poll)
