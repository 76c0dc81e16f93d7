"""Finds the files of ELF modules: the image, its separate debug file, and what they say.

Where the dump yields a module's build id, only files of that id are used, unless ``.reload /i``
asked for others. Where it yields none, a file is used when nothing speaks against it, and the
module counts as unverified. Images are looked for along the paths of the session, in its root file
systems (by the recorded path as the process saw it, then by name), by build id in ``.build-id``
trees and debuginfod's cache, and at the recorded path on this host.

A separate debug file is found by the build id in ``.build-id`` trees, symbol stores and
debuginfod's cache, or by the name and checksum that ``.gnu_debuglink`` records; in the session's
root file systems too. What is nowhere on this host, servers are asked for by the build id.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.debug_files import (
    build_id_path,
    debug_places,
    debuginfod_file,
    image_places,
    is_of_debuginfod,
    root_debug_paths,
    symbol_directories,
)
from polydbg.engine.elf_evidence import ElfEvidence
from polydbg.engine.modules import Module, ModuleMap
from polydbg.engine.settings import Settings
from polydbg.engine.sysroots import Sysroots
from polydbg.formats.elf.debug_links import AltLink, DebugLink, crc_of
from polydbg.images.elf import ElfImage
from polydbg.symbols.dwarf_files import elf_dwarf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.source import SymbolSource
from polydbg.symbols.store import (
    Asker,
    FileKind,
    IdCheck,
    Outcome,
    SymbolPath,
    Trail,
    Verify,
    Wanted,
    ask_servers,
    locate,
)
from polydbg.symbols.store.contents import elf_key
from polydbg.symbols.store.hostpath import file_problem
from polydbg.symbols.store.root_paths import DELETED, path_candidates
from polydbg.symbols.store.sysroot import FoundFile
from polydbg.targets.target import ModuleInfo, Target

_RIGHT_BUILD = "Take the debug file that was made with this build."
_DELETE = (
    "Delete it: debuginfod's client keeps whatever a server sends, polydbg asks servers itself."
)
_UNSTRIPPED = "Take the debug file that objcopy --only-keep-debug made before strip."


class _Found(msgspec.Struct, frozen=True, eq=False):
    """An image file to use, and whether it is of another build."""

    image: ElfImage
    mismatched: bool = False


class ElfFiles:
    """The search for the files of ELF modules of *target* along the paths in *settings*, then in
    *folders* (of the dump). *notify* receives (identifier, message) for what the user should see.
    With *load_anything* files of another build are used where there are no right ones."""

    def __init__(
        self,
        settings: Settings,
        folders: Sequence[Path],
        cancel: CancelToken,
        notify: Callable[[str, str], None],
        sysroots: Sysroots,
        target: Target,
        asker: Asker,
        *,
        load_anything: bool = False,
    ) -> None:
        self._settings = settings
        self._folders = folders
        self._cancel = cancel
        self._notify = notify
        self._sysroots = sysroots
        self._target = target
        self._asker = asker
        self._load_anything = load_anything

    # -- images ------------------------------------------------------------------------------

    def find_image(self, module: Module, trail: Trail) -> ElfImage | None:
        """Return the image file of *module*, ``None`` where none of the right id is found."""
        search = _ImageSearch(module.info, self._target, self._cancel)
        found = self._right_image(search, trail)
        if found is None and self._load_anything:
            search.takes_any = True
            found = self._right_image(search, Trail())
        if found is None:
            self._say_refused(module.info, trail)
            return None
        module.image_file = Path(found.image.path or found.image.name)
        module.mismatched = found.mismatched
        module.is_unverified = not search.has_id and not found.mismatched
        return found.image

    def _right_image(self, search: _ImageSearch, trail: Trail) -> _Found | None:
        info = search.info
        path, wanted = self._settings.image_search_path, self._wanted(info)
        found = self._along(search, wanted, path, trail)
        if found is not None:
            return found
        for each in self._in_roots(search, trail):
            if (found := search.image_of(each, trail)) is not None:
                return found
        for place in image_places(self._settings, info.build_id.hex()):
            if (found := search.image_at(place, trail)) is not None:
                return found
        second = Trail()
        recorded = [path.removesuffix(DELETED) for path in search.paths]
        extra = msgspec.structs.replace(
            wanted, extra_paths=(*self._folders, *recorded), any_name=False
        )
        found = self._along(search, extra, SymbolPath.parse(""), second)
        for entry in second.entries:
            trail.add(entry.place, entry.outcome, entry.detail, entry.found_id, entry.step)
        if found is None:
            verify = _verifier(info.build_id.hex())
            fetched = ask_servers(wanted, path, verify, trail, self._asker)
            found = search.image_at(fetched, trail) if fetched is not None else None
        return found

    def _wanted(self, info: ModuleInfo) -> Wanted:
        build_id = info.build_id.hex()
        main = next(iter(self._target.modules()), None)
        return Wanted(
            kind=FileKind.IMAGE,
            name=info.file_name.removesuffix(DELETED),
            key=elf_key(build_id, debug=False) if build_id else None,
            id_text=f"build id {build_id}" if build_id else "",
            any_name=main is not None and main.base == info.base,
            flat=True,
            build_id=build_id,
        )

    def _along(
        self, search: _ImageSearch, wanted: Wanted, path: SymbolPath, trail: Trail
    ) -> _Found | None:
        located = locate(
            wanted,
            path,
            search.check_file,
            trail,
            load_anything=search.takes_any,
            cancel=self._cancel,
        )
        if located is None:
            return None
        try:
            return _Found(ElfImage.from_file(located.path), located.mismatched)
        except DebuggerError as error:
            # It was whole a moment ago: replaced while we looked.
            trail.add(located.path, Outcome.DAMAGED, error.message)
            return None

    def _in_roots(self, search: _ImageSearch, trail: Trail) -> Iterator[FoundFile]:
        arch, cancel, notify = self._target.arch, self._cancel, self._notify
        yield from self._sysroots.candidates(search.paths, arch, trail, cancel, notify)
        if build_id := search.info.build_id.hex():
            path = f"/usr/lib/{build_id_path(build_id)}"
            yield from self._sysroots.exact([path], arch, trail, cancel, notify)

    def _say_refused(self, info: ModuleInfo, trail: Trail) -> None:
        """Say that a file was found that has another build id than the module."""
        entry = next((each for each in trail.entries if each.outcome is Outcome.WRONG_ID), None)
        if entry is None:
            return
        what = f"build id mismatch - Dump: {info.build_id.hex()}, File: {entry.found_id or 'none'}"
        if not info.build_id:
            what = f"another file: {entry.detail}"
        self._notify(
            "image.mismatched",
            sanitise_line(f"*** WARNING: Check Image - {what} - {entry.place}"),
        )

    # -- symbols -----------------------------------------------------------------------------

    def open_dwarf(self, module: Module, modules: ModuleMap, trail: Trail) -> SymbolSource | None:
        """Return the DWARF of *module*, in its image or its separate debug file, which the module
        keeps; ``None`` where there is none."""
        image = modules.elf_image(module)
        module.debug_file = self._debug_file(module, image, trail)
        files = [file for file in (image, module.debug_file) if file is not None]
        if not files:
            return None
        table: ElfSource | None = None
        try:
            table = ElfSource(files[0], module.debug_file)
        except DebuggerError as error:  # DWARF may be whole all the same
            _add_damaged(trail, files[-1].path or files[-1].name, error)
        try:
            return elf_dwarf(
                files[0],
                module.debug_file,
                table=table,
                folders=[*self._folders, *symbol_directories(self._settings)],
                supplementary=self._supplementary,
            )
        except DebuggerError as error:
            _add_damaged(trail, files[-1].path or files[-1].name, error)
            return None

    def open_table(self, module: Module, modules: ModuleMap) -> SymbolSource | None:
        """Return the symbol tables of *module*, ``None`` where there are none."""
        image = modules.elf_image(module) or module.debug_file
        if image is None:
            return None
        try:
            source = ElfSource(image, module.debug_file)
        except DebuggerError:
            return None  # the search for DWARF has told the trail
        return None if source.status == "no symbols" else source

    def _debug_file(self, module: Module, image: ElfImage | None, trail: Trail) -> ElfImage | None:
        build_id = image.build_id if image is not None else None
        if not module.mismatched:
            build_id = module.info.build_id.hex() or build_id
        try:
            link = image.debug_link() if image is not None else None
        except DebuggerError:
            link = None
        file_name = module.info.file_name.removesuffix(DELETED)
        name = link.name if link is not None else f"{file_name}.debug"
        wanted = Wanted(FileKind.PDB, name)
        if build_id:
            wanted = msgspec.structs.replace(debug_wanted(build_id), name=name)
        elements = [each.text for each in self._settings.symbol_path.elements]
        trail.begin(wanted, elements)
        if image is not None and image.path and _has_dwarf(image, trail):
            trail.add(image.path, Outcome.FOUND, "DWARF in the image", image.build_id or "")
            return None
        # Without an image, or a link in it, the file has the name that objcopy's users give it.
        likely = link or (DebugLink(name, 0) if build_id else None)
        for found in self._debug_candidates(module, build_id, likely, trail):
            place = found.path or found.name
            wrong = self._difference(found, build_id, link)
            if not wrong:
                _add_right(found, trail)
                return found
            step = _step_at(place, _RIGHT_BUILD)
            trail.add(place, Outcome.WRONG_ID, wrong, found.build_id or "", step)
            found.close()
        return None

    def _debug_candidates(
        self, module: Module, build_id: str | None, link: DebugLink | None, trail: Trail
    ) -> Iterator[ElfImage]:
        """Yield files that may be the separate debug file."""
        file = module.image_file
        beside = file if file is not None and file.is_file() else None  # it is in no archive
        places = debug_places(self._settings, self._folders, beside, build_id, link)
        for place, _ in places:
            yield from _opened(place, trail)
        if build_id:
            if (cached := debuginfod_file(build_id, "debuginfo")) is not None:
                yield from _opened(cached, trail)
            if (stored := self._in_store(build_id)) is not None:
                yield from _opened(stored, trail)
        folders = [os.path.dirname(each) for each in self._recorded(module)]
        paths = root_debug_paths(folders, build_id, link)
        for found in self._sysroots.exact(
            paths, self._target.arch, trail, self._cancel, self._notify
        ):
            try:
                yield _image_of(found)
            except DebuggerError as error:
                _add_damaged(trail, found.shown, error)
        if build_id:
            yield from self._from_servers(build_id, trail)

    def _recorded(self, module: Module) -> list[str]:
        paths = _ImageSearch(module.info, self._target, self._cancel).paths
        inside = str(module.image_file or "").partition("!")[2]
        return [*([inside] if inside else ()), *(c for p in paths for c in path_candidates(p))]

    def _in_store(self, build_id: str) -> Path | None:
        """Return the debug file that a symbol store has under its own key."""
        wanted, path = debug_wanted(build_id), self._settings.symbol_path
        located = locate(wanted, path, _verifier(build_id), Trail(), cancel=self._cancel)
        return located.path if located is not None else None

    def _from_servers(self, build_id: str, trail: Trail) -> Iterator[ElfImage]:
        """Yield the debug file that servers have, if it is here by now."""
        wanted, path = debug_wanted(build_id), self._settings.symbol_path
        fetched = ask_servers(wanted, path, _verifier(build_id), trail, self._asker)
        if fetched is not None:
            yield from _opened(fetched, trail)

    def _supplementary(self, link: AltLink) -> ElfImage | None:
        """Return the file of dwz that *link* leads to in a root file system."""
        paths = [link.path] if link.path.startswith("/") else []
        paths += root_debug_paths([], link.build_id, None)
        cancel, notify = self._cancel, self._notify
        for found in self._sysroots.exact(paths, self._target.arch, Trail(), cancel, notify):
            try:
                image = _image_of(found)
            except DebuggerError:
                continue
            if image.build_id == link.build_id:
                return image
        stored = self._in_store(link.build_id)
        if stored is not None:
            return ElfImage.from_file(stored)
        return next(self._from_servers(link.build_id, Trail()), None)

    def _difference(self, found: ElfImage, build_id: str | None, link: DebugLink | None) -> str:
        """Compare a debug file's build id, or without one the checksum in the link to it; return
        in words what is wrong, ``""`` for nothing."""
        if build_id or link is None:
            return "" if found.build_id == build_id else f"wanted build id {build_id or 'none'}"
        crc = crc_of(found.buffer or b"", self._cancel.check)
        words = f"its checksum is {crc:08x}, that in .gnu_debuglink {link.crc:08x}"
        return "" if crc == link.crc else words


def debug_wanted(build_id: str) -> Wanted:
    """Return what symbol stores and servers are asked for: a separate debug file."""
    key, words = elf_key(build_id, debug=True), f"build id {build_id}"
    return Wanted(FileKind.PDB, "_.debug", key, words, flat=True, build_id=build_id)


def _verifier(build_id: str) -> Verify:
    """Return what compares the build id of a file; it touches nothing of the session's."""

    def check(path: Path) -> IdCheck:
        image = ElfImage.from_file(path)
        try:
            return IdCheck(image.build_id == build_id, image.build_id or "")
        finally:
            image.close()

    return check


class _ImageSearch:
    """What decides whether a file is the image of one module. With *takes_any*, one of another
    build is."""

    def __init__(self, info: ModuleInfo, target: Target, cancel: CancelToken) -> None:
        self.info = info
        self.takes_any = False
        self._evidence = ElfEvidence(info, target, cancel.check)
        mapped = self._evidence.mapped_path
        self.paths = list(dict.fromkeys(each for each in (mapped, info.image_path) if each))

    @property
    def has_id(self) -> bool:
        """Tell whether the dump tells the build: by the build id, or as Breakpad writes it."""
        return bool(self.info.build_id) or self.info.debug_id is not None

    def check_file(self, path: Path) -> IdCheck:
        """Tell whether a file of this host is the module's image.

        :raises DebuggerError: it is no ELF file, or cannot be read.
        """
        image = ElfImage.from_file(path)
        try:
            return self._check(image)
        finally:
            image.close()

    def image_at(self, place: Path, trail: Trail) -> _Found | None:
        """Return the image in a file of this host, or tell *trail* why it is not the one."""
        for image in _opened(place, trail):
            return self._accepted(image, str(place), trail)
        return None

    def image_of(self, found: FoundFile, trail: Trail) -> _Found | None:
        """Return the image in a file of a root, or tell *trail* why it is not the one."""
        try:
            image = _image_of(found)
        except DebuggerError as error:
            trail.add(found.shown, Outcome.DAMAGED, error.message)
            return None
        return self._accepted(image, found.shown, trail)

    def _accepted(self, image: ElfImage, shown: str, trail: Trail) -> _Found | None:
        check = self._check(image)
        if check.matches:
            trail.add(shown, Outcome.FOUND, found_id=check.found_id)
            return _Found(image)
        if check.problem:
            trail.add(shown, Outcome.DAMAGED, check.problem, check.found_id)
        else:
            detail = check.difference or f"wanted build id {self.info.build_id.hex()}"
            trail.add(shown, Outcome.WRONG_ID, detail, check.found_id, _step_at(shown))
            if self.takes_any:
                return _Found(image, mismatched=True)
        image.close()
        return None

    def _check(self, image: ElfImage) -> IdCheck:
        found = image.build_id or ""
        if image.is_debug_only:
            return IdCheck(False, found, "it holds debug information only")
        if self.info.build_id:
            return IdCheck(found == self.info.build_id.hex(), found)
        wanted, has = self.info.debug_id, image.debug_id
        if wanted is not None and has is not None:
            matches = has.guid == wanted.guid
            words = f"wanted the id {wanted.braced}"
            return IdCheck(matches, found, difference="" if matches else words)
        difference = self._evidence.difference(image)
        return IdCheck(not difference, found, difference=difference)


def _opened(place: Path, trail: Trail) -> Iterator[ElfImage]:
    """Yield the ELF file at *place*, or tell *trail* why there is none."""
    problem = file_problem(place)
    if problem is not None:
        trail.add(place, Outcome.UNREADABLE if problem else Outcome.MISSING, problem)
        return
    try:
        image = ElfImage.from_file(place)
    except DebuggerError as error:
        _add_damaged(trail, place, error)
        return
    yield image


def _add_damaged(trail: Trail, place: str | Path, error: DebuggerError) -> None:
    step = _step_at(place, "Replace it by a whole copy.")
    trail.add(place, Outcome.DAMAGED, error.message, step=step)


def _step_at(place: str | Path, otherwise: str = "") -> str:
    """Return what to do about a file that is no good."""
    return _DELETE if is_of_debuginfod(place) else otherwise


def _add_right(found: ElfImage, trail: Trail) -> None:
    """Tell *trail* that a debug file is of the right build, and whether it is of any use."""
    place, build_id = found.path or found.name, found.build_id or ""
    if _has_dwarf(found, trail):
        trail.add(place, Outcome.FOUND, found_id=build_id)
        return
    trail.add(place, Outcome.STRIPPED, "it has no DWARF", build_id, _UNSTRIPPED)


def _has_dwarf(image: ElfImage, trail: Trail) -> bool:
    """Tell whether the image itself has DWARF that can be read."""
    try:
        return bool(image.debug_sections().get(".debug_info").size)
    except DebuggerError as error:
        _add_damaged(trail, image.path or image.name, error)
        return False


def _image_of(found: FoundFile) -> ElfImage:
    """Return a file of a root as an image. :raises FormatError: it is none."""
    name = found.path.rsplit("/", 1)[-1]
    return ElfImage.from_buffer(found.buffer, name, found.host_path or found.shown)
