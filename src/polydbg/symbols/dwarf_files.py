"""From files to :class:`~polydbg.symbols.dwarf.DwarfSource`: where DWARF lies, which other files
hold parts of it.

Split units are looked for in the package beside the file (``prog.dwp``), then where their skeletons
say, then by that name beside the file; the supplementary file of dwz where the link says, beside
the file, and under ``.build-id``. What has another id is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.line_header import is_absolute
from polydbg.formats.dwarf.sections import DebugSections
from polydbg.formats.elf.debug_links import AltLink
from polydbg.formats.pdb.sources import last_component
from polydbg.formats.section import Section
from polydbg.images.elf import ElfImage
from polydbg.images.macho import MachoImage
from polydbg.images.pe import PeImage
from polydbg.symbols import dwarf_index
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_pe import PeDwarfSource
from polydbg.symbols.dwarf_units import SplitFile
from polydbg.symbols.source import SymbolSource
from polydbg.symbols.store.hostpath import is_network

_MAX_SPLIT_FILES = 4096
_DEBUG_ROOT = Path("/usr/lib/debug")


def elf_dwarf(
    image: ElfImage,
    debug: ElfImage | None = None,
    *,
    table: SymbolSource | None = None,
    folders: Iterable[Path] = (),
    supplementary: Callable[[AltLink], ElfImage | None] | None = None,
) -> DwarfSource | None:
    """Return the source of the DWARF of *image*, or of its separate file *debug*; ``None`` where
    neither has any.

    *table* answers where DWARF does not. Split and supplementary files are also looked for in
    *folders*; *supplementary* finds one of the latter kind that is at none of these places, and
    passes it on. Neither image is closed by the source, but files that it opened itself are.

    :raises FormatError: a section cannot be expanded.
    """
    for file in (debug, image):
        sections = file.debug_sections() if file is not None else None
        if file is None or sections is None or not sections.get(".debug_info").size:
            continue
        others = OtherFiles(Path(file.path) if file.path else None, folders, supplementary)
        lowest = dwarf_index.lowest_address(image)
        return DwarfSource(
            DwarfFile(sections, supplementary=others.supplementary(file)),
            file.path or file.name,
            base=image.image_base,
            lowest=lowest,
            table=table,
            table_is_complete=table is not None and table.status == "elf symbols",
            opener=others.split,
            index=_index(file, sections, lowest),
            on_close=others.close,
        )
    return None


def _index(file: ElfImage, sections: DebugSections, lowest: int) -> dwarf_index.DwarfIndex | None:
    """Return the index of a large file; where there is none it is made, for the next time."""
    if sections.get(".debug_info").size < dwarf_index.SMALLEST or not dwarf_index.is_on():
        return None
    found = dwarf_index.find(file, lowest)
    if found is None:
        from polydbg.symbols.dwarf_index_writer import start

        start(file, lowest)
    return found


def pe_dwarf(
    image: PeImage, *, table: SymbolSource | None = None, folders: Iterable[Path] = ()
) -> DwarfSource | None:
    """Return the source of the DWARF inside a PE image (MinGW, clang for windows-gnu), ``None``
    where it has none. Arguments are those of :func:`elf_dwarf`."""
    sections = pe_sections(image)
    if sections is None or not sections.get(".debug_info").size:
        return None
    others = OtherFiles(Path(image.path) if image.path else None, folders)
    code = [each.rva for each in image.sections() if image.is_code(each.rva)]
    base = image.preferred_base
    return PeDwarfSource(
        DwarfFile(sections),
        image.path or image.name,
        base=base,
        lowest=base + min(code, default=1),
        table=table,
        table_is_complete=table is not None and table.status == "coff symbols",
        opener=others.split,
        on_close=others.close,
    )


def macho_dwarf(
    image: MachoImage,
    debug: MachoImage | None = None,
    *,
    table: SymbolSource | None = None,
    on_close: Callable[[], None] | None = None,
) -> DwarfSource | None:
    """Return the source of the DWARF of a Mach-O image, or of *debug*, its dSYM; ``None`` where
    neither has any. *table* answers where DWARF does not. Neither image is closed by the source,
    which calls *on_close*.

    :raises FormatError: a section cannot be expanded.
    """
    for file in (debug, image):
        sections = file.debug_sections() if file is not None else None
        if file is None or sections is None or not sections.get(".debug_info").size:
            continue
        code = [each.address for each in file.section_headers if each.is_code and each.size]
        return DwarfSource(
            DwarfFile(sections),
            file.path or file.name,
            base=file.image_base,
            lowest=max(min(code, default=1), 1),
            table=table,
            table_is_complete=table is not None and table.status == "macho symbols",
            on_close=on_close,
        )
    return None


def pe_sections(image: PeImage) -> DebugSections | None:
    """Return the debug sections of a PE file, ``None`` for an image from memory: names of more than
    8 bytes stand in the file alone."""
    if image.buffer is None:
        return None
    found = {each.name: each for each in image.sections()}

    def load(name: str) -> Section | None:
        section = found.get(name)
        return None if section is None else image.section_data(section)

    return DebugSections(load, address_size=8 if image.header.is_64bit else 4)


class OtherFiles:
    """The files that belong to the debug file at *path*, opened when they are asked for."""

    def __init__(
        self,
        path: Path | None,
        folders: Iterable[Path] = (),
        finder: Callable[[AltLink], ElfImage | None] | None = None,
    ) -> None:
        self._path = path
        self._finder = finder
        self._folders = [*([path.parent] if path is not None else ()), *folders]
        self._opened: dict[Path, DwarfFile | None] = {}
        self._images: list[ElfImage] = []

    def close(self) -> None:
        """Close every file that was opened."""
        for image in self._images:
            image.close()
        self._images.clear()

    def _open(self, path: Path) -> ElfImage | None:
        try:
            # Pipes and devices would block, or never end.
            image = ElfImage.from_file(path) if path.is_file() else None
        except DebuggerError:
            return None
        if image is None:
            return None
        self._images.append(image)
        return image

    def _split_file(self, path: Path) -> DwarfFile | None:
        if path not in self._opened and len(self._opened) < _MAX_SPLIT_FILES:
            image = self._open(path)
            self._opened[path] = (
                DwarfFile(_split_sections(image), suffix=".dwo") if image is not None else None
            )
        return self._opened.get(path)

    def split(self, wanted: SplitFile) -> DwarfFile | None:
        """Return the package or file that has the split unit, ``None`` where none is found."""
        for path in self._split_places(wanted):
            file = self._split_file(path)
            with suppress(FormatError):
                if file is not None and file.split_unit(wanted.id) is not None:
                    return file
        return None

    def _split_places(self, wanted: SplitFile) -> Iterable[Path]:
        if self._path is not None:
            for folder in self._folders:
                yield folder / f"{self._path.name}.dwp"
                # foo.debug and foo share foo.dwp.
                yield folder / f"{self._path.stem}.dwp"
        named = wanted.name
        if not is_absolute(named):
            named = f"{wanted.comp_dir}/{named}" if wanted.comp_dir else ""
        if named and not is_network(named):  # recorded in a file: it would be told who we are
            yield Path(named)
        for folder in self._folders:
            if not is_absolute(wanted.name) and ".." not in Path(wanted.name).parts:
                yield folder / wanted.name
            yield folder / last_component(wanted.name)

    def supplementary(self, file: ElfImage) -> DwarfFile | None:
        """Return the supplementary (dwz) file that *file* links to, ``None`` where there is none or
        it is not found."""
        link = file.alt_link()
        if link is None:
            return None
        places = []
        if is_absolute(link.path):
            places = [] if is_network(link.path) else [Path(link.path)]
        else:
            places = [folder / link.path for folder in self._folders]
        places += [folder / last_component(link.path) for folder in self._folders]
        for root in (*self._folders, _DEBUG_ROOT):
            places.append(root / ".build-id" / link.build_id[:2] / f"{link.build_id[2:]}.debug")
        for place in places:
            image = self._open(place)
            if image is not None and image.build_id == link.build_id:
                return DwarfFile(image.debug_sections())
        image = self._finder(link) if self._finder is not None else None
        if image is None:
            return None
        self._images.append(image)
        return DwarfFile(image.debug_sections())


def _split_sections(image: ElfImage) -> DebugSections:
    """Return the sections of a ``.dwo`` or ``.dwp`` file. Type units of version 5 stand in groups:
    each in a section of its own of the same name."""

    def load(name: str) -> Section | None:
        found = [each for each in image.section_headers if each.name == name]
        parts = [part for part in map(image.section_data, found) if part is not None]
        if len(parts) < 2:
            return parts[0] if parts else None
        whole = b"".join(part.take(0, part.size) for part in parts)
        return Section(whole, big=image.header.is_big)

    header = image.header
    return DebugSections(load, big=header.is_big, address_size=header.word)
