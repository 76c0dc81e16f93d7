"""Finds the files of modules: symbols, the image; keeps the trail of where it looked.

A Windows module's symbols are those of its PDB, without one its DWARF, else a Breakpad file, else
COFF symbols, else exports. ELF and Mach-O modules have DWARF, else a Breakpad file, else their
symbol tables.

An image comes first: its headers say which PDB belongs to it where the dump does not, its unwind
tables carry x64 stacks, and its folder is one more place for the PDB. Beside the paths of the
session, the folder of the dump is tried last: people put files together.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, FormatError
from polydbg.engine.breakpad_files import add_second_search, breakpad_wanted, open_matching
from polydbg.engine.downloads import Downloads
from polydbg.engine.load_notices import LoadNotices
from polydbg.engine.modules import Module, ModuleMap, SymbolState
from polydbg.engine.pe_files import PeFiles, steps_to_microsoft
from polydbg.engine.pe_identity import PdbRecord, check_image, record_of
from polydbg.engine.settings import LOAD_ANYTHING, Settings
from polydbg.engine.source_view import SourceView
from polydbg.engine.sysroots import Sysroots
from polydbg.images.image import Image
from polydbg.images.pe import PeImage
from polydbg.symbols.pdb import PdbSource, open_pdb
from polydbg.symbols.source import SymbolSource
from polydbg.symbols.store import (
    FileKind,
    IdCheck,
    Located,
    Outcome,
    Trail,
    Wanted,
    locate,
)
from polydbg.targets.target import ModuleInfo, Target

if TYPE_CHECKING:
    from polydbg.engine.elf_files import ElfFiles
    from polydbg.engine.macho_files import MachoFiles
    from polydbg.symbols.breakpad import BreakpadSource

_EXACT_SYMBOLS = 0x400  # SYMOPT_EXACT_SYMBOLS: whatever else says so, nothing of another build
_IMAGE_DEBUG_STRIPPED = 0x200
_PRIVATE_PDB = (
    "Whoever built it may have the private PDB of the same id: name its folder first, .sympath DIR."
)
_KEEP_DEBUG = (
    "At the next build keep what strip removes (objcopy --only-keep-debug, then "
    "--add-gnu-debuglink), or make a PDB."
)
_IMAGE_FIRST = "Its id is in the image, which comes first (!sym status shows how far it is)."


class FileFinder:
    """Loads symbols and images for modules by the session's paths.

    *notices* say what the user should see beside the answer. *cancel* is polled by long copies and
    searches. *sources* are the source files, *downloads* what comes from servers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.notices = LoadNotices()
        self.cancel = CancelToken()
        self.sources = SourceView()
        self.sysroots = Sysroots(settings)
        self.downloads = Downloads(settings)
        self._accepted: set[ModuleInfo] = set()

    def poll(self) -> None:
        """Raise :class:`~polydbg.base.errors.Cancelled` when the user asked to stop."""
        self.cancel.check()

    # -- what .reload needs ----------------------------------------------------------------

    def accept_mismatch(self, info: ModuleInfo) -> None:
        """Let the symbols of this module be of another build (``.reload /i``)."""
        self._accepted.add(info)

    def forget(self, info: ModuleInfo) -> None:
        """Forget what was accepted for and warned about a module, and listings of folders."""
        self._accepted.discard(info)
        self.notices.forget(info)
        self._settings.symbol_path.directories.clear()
        self._settings.image_path.directories.clear()
        self.sources.forget()

    # -- symbols -----------------------------------------------------------------------------

    def load_symbols(self, module: Module, modules: ModuleMap, target: Target) -> None:
        """Fill *module*'s symbols: its PDB, else what its image holds, else none.

        A missing image is said in one line, here or by :meth:`unwind_data_missing`. The name of
        the first module without a PDB is kept for :meth:`LoadNotices.take_missing`.

        :raises Cancelled: the user asked to stop; the module stays deferred.
        """
        info = module.info
        held_back = self.notices.held_back(lambda: self.downloads.is_pending(info))
        with self.downloads.for_module(info), held_back:
            self._load_symbols(module, modules, target)
            if self._settings.noisy and module.symbol_trail is not None:
                self.notices.trace(module, module.symbol_trail)

    def _load_symbols(self, module: Module, modules: ModuleMap, target: Target) -> None:
        image, dump_path = modules.pe_image(module), target.path
        record = record_of(module.info, image)
        trail = Trail()
        module.pdb_key = record.debug_id
        module.symbol_trail = trail
        if not module.info.is_pe:
            self._load_foreign(module, modules, record, target, trail)
            return
        files = PeFiles(self._settings, _dump_folder(dump_path), self.cancel, module, image)
        source, module.mismatched = self._open_any(module, record, files, dump_path, trail)
        trail.steps = steps_to_microsoft(self._settings, module.info)
        if module.image_trail is not None:
            module.image_trail.steps = trail.steps
        if image is None:
            self.notices.no_image(module)
        if source is not None:
            module.symbols = source
            module.state = SymbolState.LOADED
            is_partial = module.status.startswith("private dwarf") and record.names_pdb
            if image is None or is_partial:
                self.notices.note_missing(module)
            self.notices.unverified(module, has_image=image is not None)
            self.notices.mismatched(module)
        else:
            self._without_pdb(module, files, trail)

    def _load_foreign(
        self, module: Module, modules: ModuleMap, record: PdbRecord, target: Target, trail: Trail
    ) -> None:
        """Fill the symbols of an ELF or Mach-O module: DWARF, else Breakpad's, else those of its
        symbol tables, else none."""
        files = self._foreign_files(module.info, target)
        source: SymbolSource | None = files.open_dwarf(module, modules, trail) if files else None
        if source is None:
            source, other = self._open_breakpad(module, record, target.path, trail)
            module.mismatched |= other
        if source is None and files is not None:
            source = files.open_table(module, modules)
        if source is not None:
            module.symbols = source
            module.state = SymbolState.LOADED
            self.notices.mismatched(module)
            self._note_lack(module, modules)
            return
        module.state = SymbolState.NONE
        self._note_lack(module, modules)
        self.notices.no_symbols(module)

    def _note_lack(self, module: Module, modules: ModuleMap) -> None:
        """Add to the trails of an ELF module how to get what it lacks."""
        if module.info.image_format != "elf":
            return
        from polydbg.engine.elf_advice import lack_of

        lack = lack_of(modules, module)
        if lack is None:
            return
        if module.image_trail is not None:
            module.image_trail.steps = lack.image_steps()
        if module.symbol_trail is not None:
            module.symbol_trail.steps = lack.debug_steps()
        if lack.lacks_image:
            self.notices.note_missing(module)

    def _foreign_files(self, info: ModuleInfo, target: Target) -> ElfFiles | MachoFiles | None:
        """Return what finds the files of modules of this format, ``None`` for PE images."""
        common = (self._settings, _dump_folder(target.path), self.cancel, self.notices.notify)
        if info.image_format == "elf":
            from polydbg.engine.elf_files import ElfFiles

            any_build = self._loads_anything(info)
            roots = (self.sysroots, target, self.downloads)
            return ElfFiles(*common, *roots, load_anything=any_build)
        if info.image_format == "macho":
            from polydbg.engine.macho_files import MachoFiles

            return MachoFiles(*common, self.downloads, load_anything=self._loads_anything(info))
        return None

    def _without_pdb(self, module: Module, files: PeFiles, trail: Trail) -> None:
        """Fall back on COFF symbols, else on the export table, and say so of that."""
        self.notices.no_pdb(module)
        self.notices.unusable(trail)
        table = files.open_table(trail)
        module.symbols = table or files.open_exports()
        module.state = SymbolState.NONE if module.symbols is None else SymbolState.LOADED
        if module.symbols is None:
            self.notices.no_symbols(module)
        elif table is None:
            self.notices.exports_only(module)

    def pdb_wanted(self, module: Module, record: PdbRecord, dump_path: str) -> Wanted:
        """Return what is to be found for *module*'s symbols."""
        codeview, image_file = record.codeview, module.image_file
        path = codeview.path if codeview else ""
        stem = os.path.splitext(module.info.file_name)[0]
        extra: list[str | Path] = [*self._other_folders(image_file, dump_path)]
        if path:
            extra.append(path)
        key = codeview.debug_id if codeview else None
        return Wanted(
            kind=FileKind.PDB,
            name=path or f"{stem}.pdb",
            key=key.key if key else None,
            id_text=f"{key.braced} age {key.age:x}" if key else "",
            extra_paths=tuple(extra),
            image_name=module.info.file_name,
        )

    def _other_folders(self, image_file: Path | None, dump_path: str) -> list[Path]:
        """Return the folders of the image and of the dump, where no path element names them."""
        is_here = image_file is not None and image_file.is_file()  # not in an archive
        folders = [image_file.parent] if image_file is not None and is_here else []
        folders += [folder for folder in _dump_folder(dump_path) if folder not in folders]
        searched = {store for e in self._settings.symbol_path.elements for store in e.stores}
        return [folder for folder in folders if str(folder) not in searched]

    def _open_any(
        self,
        module: Module,
        record: PdbRecord,
        files: PeFiles,
        dump_path: str,
        trail: Trail,
    ) -> tuple[SymbolSource | None, bool]:
        """Return the PDB of this build, else its DWARF, else its Breakpad file (that one first
        where a PDB was made), else what is of another build."""
        pdb, mismatched = self._open_pdb(module, record, files.image, dump_path, trail)
        if pdb is not None and not mismatched:
            return pdb, False
        found, other_build = None, False
        dwarf = None if record.names_pdb else files.open_dwarf(record.debug_id, trail)
        if dwarf is None:
            second = Trail()
            found, other_build = self._open_breakpad(module, record, dump_path, second)
            path = record.codeview.path if record.codeview else ""
            add_second_search(trail, second, breakpad_wanted(module.info, None, path, ()))
        if record.names_pdb and (found is None or other_build):
            dwarf = files.open_dwarf(record.debug_id, trail)
        best, is_other = found, other_build
        if dwarf is not None:
            best, is_other = dwarf, False
            self.notices.unusable(trail)
        elif found is None or (pdb is not None and other_build):
            best, is_other = pdb, mismatched
        for source in (pdb, found):
            if source is not None and source is not best:
                source.close()
        return best, is_other

    def _open_breakpad(
        self, module: Module, record: PdbRecord, dump_path: str, trail: Trail
    ) -> tuple[SymbolSource | None, bool]:
        """Return the Breakpad file and whether it is of another build; say what is damaged."""
        path = record.codeview.path if record.codeview else ""
        folders = self._other_folders(module.image_file, dump_path)
        source, mismatched = open_matching(
            module.info,
            breakpad_wanted(module.info, record.debug_id, path, folders),
            record.debug_id,
            self._settings.symbol_path,
            trail,
            load_anything=self._loads_anything(module.info),
            cancel=self.cancel,
            # Only where what is better than a Breakpad file is not on its way.
            asker=None if _is_pending(module.symbol_trail) else self.downloads,
        )
        if source is not None:
            self.notices.damaged_records(source.path, source.warnings())
        return source, mismatched

    def _open_pdb(
        self,
        module: Module,
        record: PdbRecord,
        image: PeImage | None,
        dump_path: str,
        trail: Trail,
    ) -> tuple[PdbSource | BreakpadSource | None, bool]:
        """Return the PDB, ready for questions, and whether it is of another build."""
        wanted = self.pdb_wanted(module, record, dump_path)
        expected = record.debug_id

        def verify(path: Path) -> IdCheck:
            source = _open_named_pdb(path)
            try:
                found = source.debug_id
                matches = found is not None and found == expected
                return IdCheck(matches, found.key if found else "")
            finally:
                source.close()

        located = locate(
            wanted,
            self._settings.symbol_path,
            verify,
            trail,
            load_anything=self._loads_anything(module.info),
            cancel=self.cancel,
            asker=self.downloads,
        )
        if wanted.key is None and _is_pending(module.image_trail):
            trail.add(wanted.name, Outcome.PENDING, step=_IMAGE_FIRST)
        elif wanted.key is None and image is None:
            _add_image_failures(trail, module.image_trail)
        elif record.is_missing:
            _add_no_record(trail, module.info, image)
        if located is None:
            return None, False
        return self._reopen(located, trail), located.mismatched

    def _reopen(self, located: Located, trail: Trail) -> PdbSource | BreakpadSource | None:
        try:
            source = _open_named_pdb(located.path)
        except (DebuggerError, OSError) as error:
            # It was whole a moment ago: replaced while we looked.
            trail.add(located.path, Outcome.DAMAGED, str(error))
            return None
        if not isinstance(source, PdbSource):
            self.notices.damaged_records(source.path, source.warnings())
        elif source.file.dbi.is_stripped:
            detail = "public names only, no lines, types or locals"
            trail.add(located.path, Outcome.STRIPPED, detail, step=_PRIVATE_PDB)
        return source

    def _loads_anything(self, info: ModuleInfo) -> bool:
        options = self._settings.symbol_options
        if options & _EXACT_SYMBOLS:
            return False
        return bool(options & LOAD_ANYTHING) or info in self._accepted

    # -- images ------------------------------------------------------------------------------

    def find_image(self, module: Module, target: Target) -> Image | None:
        """Return the image file of *module*, checked by its ids, or ``None``."""
        with self.downloads.for_module(module.info):
            return self._find_image(module, target)

    def _find_image(self, module: Module, target: Target) -> Image | None:
        info = module.info
        trail = module.image_trail = Trail()
        files = self._foreign_files(info, target)
        if files is not None:
            foreign = files.find_image(module, trail)
            self._trace_image(trail)
            return foreign
        extra: list[str | Path] = [*_dump_folder(target.path), info.image_path]
        wanted = Wanted(
            kind=FileKind.IMAGE,
            name=info.file_name,
            key=info.code_id.key,
            id_text=f"timestamp {info.timestamp:08X}, size {info.size:X}",
            extra_paths=tuple(extra),
        )
        located = locate(
            wanted,
            self._settings.image_search_path,
            lambda path: check_image(path, info),
            trail,
            asker=self.downloads,
        )
        if located is None:
            self.notices.other_image(info, trail)
        image = _open_image(located.path) if located else None
        if located is not None and image is not None:
            module.image_file = located.path
            if info.checksum and image.checksum and info.checksum != image.checksum:
                self.notices.difference("Checksum", info.checksum, image.checksum, located.path)
        self._trace_image(trail)
        return image

    def _trace_image(self, trail: Trail) -> None:
        if self._settings.noisy:
            self.notices.trace_image(trail)

    def unwind_data_missing(self, module: Module) -> None:
        """Say that a stack needed the image of *module*, unless its absence was said already."""
        info = module.info
        if module.image_file is not None or not info.is_pe or self.downloads.is_pending(info):
            return
        self.notices.no_unwind_data(module)


def _add_image_failures(trail: Trail, image_trail: Trail | None) -> None:
    """Add why servers did not give the image, which alone tells the id of the symbols."""
    for entry in image_trail.entries if image_trail is not None else ():
        if entry.outcome in (Outcome.FAILED, Outcome.NOT_ASKED) and entry.step:
            detail = f"the id is in the image: {entry.detail}"
            trail.add(entry.place, entry.outcome, detail, step=entry.step)


def _is_pending(trail: Trail | None) -> bool:
    return trail is not None and any(each.outcome is Outcome.PENDING for each in trail.entries)


def _dump_folder(dump_path: str) -> tuple[Path, ...]:
    """Return the folder that holds the dump, where there is a file."""
    return (Path(os.path.abspath(dump_path)).parent,) if dump_path else ()


def _add_no_record(trail: Trail, info: ModuleInfo, image: PeImage | None) -> None:
    trail.add(info.file_name, Outcome.NO_RECORD)
    if image is not None and image.characteristics & _IMAGE_DEBUG_STRIPPED:
        detail = "its header says that debug information was removed"
        trail.add(info.file_name, Outcome.STRIPPED, detail, step=_KEEP_DEBUG)


def _open_named_pdb(path: Path) -> PdbSource | BreakpadSource:
    """Open what bears the name of a PDB: some stores keep Breakpad's text under it.

    :raises FormatError: when it is neither.
    :raises OSError: when it cannot be opened.
    """
    try:
        return open_pdb(path)
    except FormatError as error:
        if error.identifier != "pdb.breakpad":
            raise
    from polydbg.symbols.breakpad import open_breakpad

    return open_breakpad(path)


def _open_image(path: Path) -> PeImage | None:
    try:
        return PeImage.from_file(path)
    except DebuggerError:
        return None
