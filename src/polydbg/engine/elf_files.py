"""Finds the files of ELF modules: the image, its separate debug file, and what they say.

Where the dump yields a module's build id, only files of that id are used. A separate debug file is
found by the build id in ``.build-id`` trees (``.build-id/ab/cdef.debug``), or by the name and
checksum that ``.gnu_debuglink`` records, beside the image, in ``.debug`` there, and under
``/usr/lib/debug``, as gdb looks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.debug_files import debug_places
from polydbg.engine.modules import Module, ModuleMap
from polydbg.engine.settings import Settings
from polydbg.formats.elf.constants import ET_EXEC
from polydbg.formats.elf.debug_links import DebugLink, crc_of
from polydbg.images.elf import ElfImage
from polydbg.symbols.dwarf_files import elf_dwarf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.source import SymbolSource
from polydbg.symbols.store import (
    FileKind,
    IdCheck,
    Outcome,
    SymbolPath,
    Trail,
    Wanted,
    locate,
)
from polydbg.targets.target import ModuleInfo


class ElfFiles:
    """The search for the files of ELF modules along the paths in *settings*, then in *folders*
    (of the dump)."""

    def __init__(self, settings: Settings, folders: Sequence[Path], cancel: CancelToken) -> None:
        self._settings = settings
        self._folders = folders
        self._cancel = cancel

    # -- images ------------------------------------------------------------------------------

    def find_image(self, module: Module, trail: Trail) -> ElfImage | None:
        """Return the image file of *module*, ``None`` where none of the right id is found."""
        info = module.info
        images, symbols = self._settings.image_path, self._settings.symbol_path
        elements = tuple(dict.fromkeys(images.elements + symbols.elements))
        build_id = info.build_id.hex()
        wanted = Wanted(
            kind=FileKind.IMAGE,
            name=info.file_name,
            key=f"elf-buildid-{build_id}" if build_id else None,
            id_text=f"build id {build_id}" if build_id else "",
            extra_paths=(*self._folders, info.image_path),
        )
        path = SymbolPath(images.text, elements, symbols.directories)
        located = locate(
            wanted, path, lambda candidate: _check(candidate, info), trail, cancel=self._cancel
        )
        if located is None:
            return None
        try:
            image = ElfImage.from_file(located.path)
        except DebuggerError as error:
            # It was whole a moment ago: replaced while we looked.
            trail.add(located.path, Outcome.DAMAGED, error.message)
            return None
        module.image_file = located.path
        return image

    # -- symbols -----------------------------------------------------------------------------

    def open_dwarf(self, module: Module, modules: ModuleMap, trail: Trail) -> SymbolSource | None:
        """Return the DWARF of *module*, in its image or its separate debug file, which the module
        keeps; ``None`` where there is none."""
        image = modules.elf_image(module)
        module.debug_file = self._debug_file(module, image, trail)
        files = [file for file in (image, module.debug_file) if file is not None]
        if not files:
            return None
        try:
            table = ElfSource(files[0], module.debug_file)
            return elf_dwarf(files[0], module.debug_file, table=table, folders=self._folders)
        except DebuggerError as error:
            trail.add(files[-1].path or files[-1].name, Outcome.DAMAGED, error.message)
            return None

    def open_table(self, module: Module, modules: ModuleMap) -> SymbolSource | None:
        """Return the symbol tables of *module*, ``None`` where there are none."""
        image = modules.elf_image(module) or module.debug_file
        if image is None:
            return None
        try:
            source = ElfSource(image, module.debug_file)
        except DebuggerError:
            return None
        return None if source.status == "no symbols" else source

    def _debug_file(self, module: Module, image: ElfImage | None, trail: Trail) -> ElfImage | None:
        build_id = module.info.build_id.hex() or (image.build_id if image is not None else None)
        if image is not None and image.path and image.debug_sections().get(".debug_info").size:
            return None
        try:
            link = image.debug_link() if image is not None else None
        except DebuggerError:
            link = None
        folders, file = self._folders, module.image_file
        for place, _ in debug_places(self._settings, folders, file, build_id, link):
            if not place.is_file():
                trail.add(place, Outcome.MISSING)
                continue
            try:
                found = ElfImage.from_file(place)
            except DebuggerError as error:
                trail.add(place, Outcome.DAMAGED, error.message)
                continue
            if self._is_right(found, build_id, link):
                trail.add(place, Outcome.FOUND, found_id=build_id or "")
                return found
            detail = f"wanted build id {build_id}" if build_id else "not of the link's checksum"
            trail.add(place, Outcome.WRONG_ID, detail, found.build_id or "")
            found.close()
        return None

    def _is_right(self, found: ElfImage, build_id: str | None, link: DebugLink | None) -> bool:
        """Compare a debug file's build id; without one the checksum in the link to it."""
        if build_id or link is None:
            return found.build_id == build_id
        return crc_of(found.buffer or b"", self._cancel.check) == link.crc


def _check(path: Path, info: ModuleInfo) -> IdCheck:
    """Compare an image file's build id with the module's."""
    image = ElfImage.from_file(path)
    try:
        found = image.build_id or ""
        if info.build_id:
            return IdCheck(found == info.build_id.hex(), found)
        if not info.size:  # nothing but where it is is known
            return IdCheck(image.header.type == ET_EXEC and image.image_base == info.base, found)
        return IdCheck(image.size_of_image >= info.size, found)
    finally:
        image.close()
