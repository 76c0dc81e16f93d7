"""What tells names in PE images that have no PDB: DWARF and COFF symbols, which MinGW and clang
leave in the image or in a separate debug file, and exports.

A debug file is one of this build when its GUID is that of the module's CodeView record, or its
checksum the one in the image's ``.gnu_debuglink``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.identifiers import DebugId
from polydbg.engine.modules import Module
from polydbg.engine.settings import Settings
from polydbg.images.pe import PeImage
from polydbg.symbols.exports import ExportSource
from polydbg.symbols.source import SymbolSource
from polydbg.symbols.store import Outcome, Trail
from polydbg.symbols.store.path import MICROSOFT
from polydbg.targets.target import ModuleInfo

if TYPE_CHECKING:
    from polydbg.formats.elf.debug_links import DebugLink

_OF_WINDOWS = re.compile(r"(?:\\\?\?\\)?(?:[a-z]:\\(?:windows|winnt)|\\systemroot)\\", re.I)


class PeFiles:
    """The search for the DWARF and the COFF symbols of one module along the symbol path in
    *settings*, then in *folders* (of the dump)."""

    def __init__(
        self,
        settings: Settings,
        folders: Sequence[Path],
        cancel: CancelToken,
        module: Module,
        image: PeImage | None,
    ) -> None:
        self._settings = settings
        self._folders = folders
        self._cancel = cancel
        self._module = module
        self.image = image
        self._debug: PeImage | None = None

    def open_dwarf(self, debug_id: DebugId | None, trail: Trail) -> SymbolSource | None:
        """Return the DWARF of the module, in its image or in a debug file; ``None`` where there is
        none. What was found is added to *trail*."""
        image = self.image
        try:
            if image is None or not _has_dwarf(image):
                self._debug = self._find_debug(debug_id, trail)
            answering = self._debug or image
            if answering is None or not _has_dwarf(answering):
                return None
            from polydbg.symbols.dwarf_files import pe_dwarf

            table = self._coff() or self.open_exports()
            found = pe_dwarf(answering, table=table, folders=self._folders)
        except DebuggerError as error:
            place = (self._debug or image or self._module.info).name
            trail.add(place, Outcome.DAMAGED, error.message)
            return None
        if self._debug is None:
            trail.add(answering.path or answering.name, Outcome.FOUND, "DWARF in the image")
        return found

    def open_table(self, trail: Trail) -> SymbolSource | None:
        """Return the COFF symbols of the module, ``None`` where there are none."""
        try:
            found = self._coff()
        except DebuggerError as error:
            trail.add(self._module.info.file_name, Outcome.DAMAGED, error.message)
            return None
        if found is not None:
            trail.add(found.path, Outcome.STRIPPED, "it has COFF symbols, which are names alone")
        return found

    def open_exports(self) -> SymbolSource | None:
        """Return the exports of the image, ``None`` where it has none or they cannot be read."""
        image = self.image
        try:
            if image is None or image.export_addresses() is None:
                return None
        except DebuggerError:
            return None
        if not image.name:
            image.name = self._module.info.file_name
        return ExportSource(image)

    def _coff(self) -> SymbolSource | None:
        from polydbg.symbols.coff import coff_source

        for file in (self._debug, self.image):
            found = coff_source(file) if file is not None else None
            if found is not None:
                return found
        return None

    # -- separate debug files ----------------------------------------------------------------

    def _find_debug(self, debug_id: DebugId | None, trail: Trail) -> PeImage | None:
        from polydbg.engine.debug_files import debug_places

        link = self.image.debug_link() if self.image is not None else None
        build_id = debug_id.key[:32].lower() if debug_id is not None else None
        image_file = self._module.image_file
        for place, is_of_id in debug_places(
            self._settings, self._folders, image_file, build_id, link
        ):
            self._cancel.check()
            if not place.is_file():
                if not is_of_id:  # few programs of Windows are in such trees: say nothing of them
                    trail.add(place, Outcome.MISSING)
                continue
            try:
                found = PeImage.from_file(place)
            except DebuggerError as error:
                trail.add(place, Outcome.DAMAGED, error.message)
                continue
            if self._is_right(found, place, debug_id if is_of_id else None, link, trail):
                return found
            found.close()
        return None

    def _is_right(
        self,
        found: PeImage,
        place: Path,
        debug_id: DebugId | None,
        link: DebugLink | None,
        trail: Trail,
    ) -> bool:
        """Compare a debug file with the id, or with the checksum of the link without one."""
        if debug_id is not None:
            here = found.debug_id
            is_right = here is not None and here.key[:32] == debug_id.key[:32]
            text, wanted = here.key[:32] if here is not None else "", debug_id.key[:32]
        elif link is not None:
            from polydbg.formats.elf.debug_links import crc_of

            crc = crc_of(found.buffer or b"", self._cancel.check)
            is_right = crc == link.crc
            text, wanted = f"{crc:08x}", f"{link.crc:08x}, the checksum in .gnu_debuglink"
        else:
            return False
        if is_right:
            trail.add(place, Outcome.FOUND, found_id=text)
        else:
            trail.add(place, Outcome.WRONG_ID, f"wanted {wanted}", text)
        return is_right


def steps_to_microsoft(settings: Settings, info: ModuleInfo) -> list[str]:
    """Return how to get a file of Windows itself, where no path names Microsoft's server."""
    elements = settings.symbol_path.elements + settings.image_path.elements
    is_asked = any(MICROSOFT in element.stores for element in elements)
    if is_asked or not _OF_WINDOWS.match(info.image_path):
        return []
    return [
        "It is a file of Windows: .symfix+ lets Microsoft's server be asked for it (-y 'srv*' on "
        "the command line)."
    ]


def _has_dwarf(image: PeImage) -> bool:
    info = next((each for each in image.sections() if each.name == ".debug_info"), None)
    return info is not None and image.section_data(info).size > 0
