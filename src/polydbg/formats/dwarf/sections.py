"""The sections that DWARF readers ask for, whatever kind of file they come from."""

from __future__ import annotations

from collections.abc import Callable

from polydbg.formats.section import Section
from polydbg.memory.space import ByteOrder

SectionLoader = Callable[[str], Section | None]
"""From a name (``.debug_info.dwo``) to the expanded section, ``None`` if absent."""


class DebugSections:
    """The debug sections of one ELF, PE, ``.dwo`` or ``.dwp`` file, each loaded once.

    *load* does what the container needs: long COFF names, compression, ``.zdebug_`` names.
    """

    def __init__(self, load: SectionLoader, *, big: bool = False, address_size: int = 8) -> None:
        """*address_size* in bytes holds where a section does not say its own."""
        self._load = load
        self._loaded: dict[str, Section] = {}
        self._big = big
        self.address_size = address_size

    @property
    def order(self) -> ByteOrder:
        return "big" if self._big else "little"

    def get(self, name: str) -> Section:
        """Return the section *name*, an empty one where the file has none.

        :raises FormatError: the section cannot be expanded.
        """
        section = self._loaded.get(name)
        if section is None:
            section = self._load(name)
            if section is None:
                section = Section(big=self._big)
            self._loaded[name] = section
        return section
