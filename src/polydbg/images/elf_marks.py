"""Where ARM code of an ELF image changes between A32, Thumb and data: its mapping symbols.

Source: "ELF for the Arm Architecture", "Mapping symbols": ``$a``, ``$t`` and ``$d``, each with or
without a suffix behind a dot, hold up to the next one of the section.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError
from polydbg.formats.elf import constants as elf

if TYPE_CHECKING:
    from polydbg.images.elf import ElfImage

_LOCAL_LABEL = elf.STB_LOCAL << 4 | elf.STT_NOTYPE
_KINDS = {b"$a": "a", b"$t": "t", b"$d": "d"}


class CodeMarks:
    """The mapping symbols of one image by RVA, read once."""

    def __init__(self, image: ElfImage) -> None:
        """Read those of ``.symtab``; damaged tables have none."""
        found: list[tuple[int, str]] = []
        try:
            table = image.symbols
            for columns in table.chunks() if table is not None else ():
                for place, info in enumerate(columns.infos):
                    if info != _LOCAL_LABEL or table is None:
                        continue
                    name = table.raw_name_at(columns.names[place])
                    kind = _KINDS.get(name[:2]) if name[2:3] in (b"", b".") else None
                    if kind is not None:
                        found.append((columns.values[place] - image.image_base, kind))
        except DebuggerError:
            found = []
        found.sort()
        self._rvas = [rva for rva, _ in found]
        self._kinds = [kind for _, kind in found]

    def is_thumb(self, rva: int) -> bool | None:
        """Tell whether the code at *rva* is Thumb, ``None`` where no mapping symbol says so."""
        index = bisect_right(self._rvas, rva) - 1
        kind = self._kinds[index] if index >= 0 else "d"
        return None if kind == "d" else kind == "t"
