"""Finds the files of Mach-O modules: the image, its dSYM, and what they say.

Only files with the module's UUID are used, unless ``.reload /i`` asked for others. An image is
found by its name along the paths, within bundles too (``App.app/Contents/MacOS/App``), or where it
was. A dSYM is found beside the image or its bundle (``X.dSYM/Contents/Resources/DWARF/X``), in the
folders of the paths under the same names or any other that ends in ``.dSYM``, and by its UUID in
trees such as lldb's (``3F58/BC3D/EABE/3361/B5FB/52A676298598``) and in symbol stores
(``_.dwarf/mach-uuid-sym-UUID/_.dwarf``).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.modules import Module, ModuleMap
from polydbg.engine.settings import Settings
from polydbg.formats.macho.header import MH_DSYM
from polydbg.images.macho import MachoImage
from polydbg.symbols.dwarf_files import macho_dwarf
from polydbg.symbols.macho import MachoSource
from polydbg.symbols.source import SymbolSource
from polydbg.symbols.store import (
    Asker,
    FileKind,
    IdCheck,
    Outcome,
    Trail,
    Wanted,
    ask_servers,
    locate,
)
from polydbg.symbols.store.contents import macho_key
from polydbg.symbols.store.hostpath import file_problem, host_path, unsafe_reason
from polydbg.symbols.store.path import is_url
from polydbg.symbols.store.sources import components
from polydbg.targets.target import ModuleInfo

_DSYM = ".dSYM"
_INSIDE = ("Contents", "Resources", "DWARF")
_BUNDLES = (".app", ".framework", ".xpc", ".appex", ".bundle", ".plugin", ".kext")
_MAX_BUNDLES = 512
_MAX_SUFFIXES = 8
_UUID_GROUPS = (0, 4, 8, 12, 16, 20, 32)


class MachoFiles:
    """The search for the files of Mach-O modules along the paths in *settings*, then in *folders*
    (of the dump). *notify* receives (identifier, message) for what the user should see."""

    def __init__(
        self,
        settings: Settings,
        folders: Sequence[Path],
        cancel: CancelToken,
        notify: Callable[[str, str], None],
        asker: Asker,
        *,
        load_anything: bool = False,
    ) -> None:
        """With *load_anything* files with another UUID are used where there are no right ones."""
        self._settings = settings
        self._folders = folders
        self._cancel = cancel
        self._notify = notify
        self._asker = asker
        self._load_anything = load_anything

    # -- images ------------------------------------------------------------------------------

    def find_image(self, module: Module, trail: Trail) -> MachoImage | None:
        """Return the image file of *module*, ``None`` where none of the right UUID is found."""
        info = module.info
        wanted_id = uuid_of(info)
        wanted = Wanted(
            kind=FileKind.IMAGE,
            name=info.file_name,
            key=macho_key(wanted_id, debug=False) if wanted_id else None,
            id_text=f"UUID {uuid_text(wanted_id)}" if wanted_id else "",
            extra_paths=(*self._in_bundles(info), *self._folders, info.image_path),
        )
        located = locate(
            wanted,
            self._settings.image_search_path,
            lambda candidate: _check(candidate, info),
            trail,
            load_anything=self._load_anything,
            cancel=self._cancel,
            asker=self._asker,
        )
        if located is None:
            self._say_refused(info, trail)
            return None
        try:
            image = MachoImage.from_file(located.path, uuid=wanted_id)
        except DebuggerError as error:
            # It was whole a moment ago: replaced while we looked.
            trail.add(located.path, Outcome.DAMAGED, error.message)
            return None
        module.image_file = located.path
        return image

    def _in_bundles(self, info: ModuleInfo) -> Iterator[Path]:
        """Yield files of the folders that are there under an end of the recorded path."""
        parts = components(info.image_path)
        for root in self._directories():
            for start in range(max(len(parts) - _MAX_SUFFIXES, 0), len(parts) - 1):
                found = self._descend(root, *parts[start:])
                if found is not None:
                    yield found

    def _say_refused(self, info: ModuleInfo, trail: Trail) -> None:
        """Say that a file was found that has another UUID than the module."""
        entry = next((each for each in trail.entries if each.outcome is Outcome.WRONG_ID), None)
        wanted = uuid_of(info)
        if entry is not None and wanted is not None:
            text = (
                f"*** WARNING: Check Image - UUID mismatch - Dump: {uuid_text(wanted)}, "
                f"File: {entry.found_id or 'none'} - {entry.place}"
            )
            self._notify("image.mismatched", sanitise_line(text))

    # -- symbols -----------------------------------------------------------------------------

    def open_dwarf(self, module: Module, modules: ModuleMap, trail: Trail) -> SymbolSource | None:
        """Return the DWARF of *module*, in its dSYM or its image; ``None`` where there is none."""
        image = modules.macho_image(module)
        debug = self._dsym(module, image, trail)
        files = [file for file in (image, debug) if file is not None]
        if not files:
            return None
        try:
            table = MachoSource(files[0], debug)
            found = macho_dwarf(
                files[0], debug, table=table, on_close=None if debug is None else debug.close
            )
        except DebuggerError as error:
            trail.add(files[-1].path or files[-1].name, Outcome.DAMAGED, error.message)
            return None
        answering = debug or image
        if found is not None and answering is not None:
            module.mismatched = _is_other(answering, module.info)
        if found is None and image is not None and image.is_file:
            _say_where_left(image, trail)
        return found

    def open_table(self, module: Module, modules: ModuleMap) -> SymbolSource | None:
        """Return the symbol table of *module*, ``None`` where there is none."""
        image = modules.macho_image(module) or self._dsym(module, None, Trail())
        if image is None:
            return None
        source = MachoSource(image)
        if source.status == "no symbols":
            return None
        module.mismatched = _is_other(image, module.info)
        return source

    def _dsym(self, module: Module, image: MachoImage | None, trail: Trail) -> MachoImage | None:
        wanted = uuid_of(module.info) or (image.uuid if image is not None else None)
        name = module.info.file_name + _DSYM
        elements = [each.text for each in self._settings.symbol_path.elements]
        sought = Wanted(FileKind.PDB, name)
        if wanted is not None:
            sought = msgspec.structs.replace(dsym_wanted(wanted), name=name)
        trail.begin(sought, elements)
        if unsafe_reason(module.info.file_name) or wanted is None:
            return None
        other: MachoImage | None = None
        for place in dict.fromkeys(self._dsym_places(module, wanted)):
            self._cancel.check()
            try:
                found = MachoImage.from_file(place, uuid=wanted)
            except DebuggerError as error:
                trail.add(place, Outcome.DAMAGED, error.message)
                continue
            if found.header.file_type != MH_DSYM:
                found.close()  # the image itself
                continue
            if found.uuid == wanted:
                trail.add(place, Outcome.FOUND, found_id=uuid_text(wanted))
                if other is not None:
                    other.close()
                return found
            trail.add(place, Outcome.WRONG_ID, f"wanted {sought.id_text}", _words_of(found))
            if other is None and self._load_anything:
                other = found
            else:
                found.close()
        if other is None:
            trail.add(name, Outcome.MISSING)
        return self._stored_dsym(wanted, trail) or other

    def _stored_dsym(self, uuid: bytes, trail: Trail) -> MachoImage | None:
        """Return the dSYM's file out of the default cache or from a server."""

        def verify(path: Path) -> IdCheck:
            image = MachoImage.from_file(path, uuid=uuid)
            try:
                return IdCheck(image.uuid == uuid, _words_of(image))
            finally:
                image.close()

        wanted, path = dsym_wanted(uuid), self._settings.symbol_path
        located = locate(wanted, path, verify, Trail(), cancel=self._cancel)
        found = located.path if located is not None else None
        found = found or ask_servers(wanted, path, verify, trail, self._asker)
        return MachoImage.from_file(found, uuid=uuid) if found is not None else None

    def _dsym_places(self, module: Module, uuid: bytes) -> Iterator[Path]:
        """Yield the files that may be the dSYM's."""
        name = module.info.file_name
        names = [name, *(part for part in components(module.info.image_path) if _is_bundle(part))]
        if module.image_file is not None:
            folders = [module.image_file.parent, *module.image_file.parents[:_MAX_SUFFIXES]]
            for folder in folders:
                yield from self._in_bundle(folder, names, name)
        digits = uuid.hex().upper()
        groups = [digits[a:b] for a, b in itertools.pairwise(_UUID_GROUPS)]
        for root in self._directories():
            if file_problem(root) is None:
                yield root  # given itself
                continue
            if root.name.endswith(_DSYM):
                yield from self._in_bundle(root.parent, [root.name.removesuffix(_DSYM)], name)
            yield from self._in_bundle(root, names, name)
            for parts in (
                (name,),
                tuple(groups),
                ("_.dwarf", f"mach-uuid-sym-{uuid.hex()}", "_.dwarf"),
            ):
                found = self._descend(root, *parts)
                if found is not None:
                    yield found
            for bundle in _bundles(root):
                yield from self._in_bundle(root, [bundle], name)

    def _in_bundle(self, folder: Path, bundles: Sequence[str], name: str) -> Iterator[Path]:
        for each in bundles:
            found = self._descend(folder, each + _DSYM, *_INSIDE, name)
            if found is not None:
                yield found

    def _descend(self, root: Path, *parts: str) -> Path | None:
        """Return the regular file at *parts* below *root*, if there is one."""
        found = self._settings.symbol_path.directories.descend(str(root), *parts)
        return Path(found) if found is not None and file_problem(Path(found)) is None else None

    def _directories(self) -> Iterator[Path]:
        paths = (self._settings.symbol_path, self._settings.image_path)
        seen: set[Path] = set()
        for element in (each for path in paths for each in path.elements):
            for text in element.stores:
                root = host_path(text) if text and not is_url(text) else None
                if root is not None and root not in seen:
                    seen.add(root)
                    yield root
        yield from (folder for folder in self._folders if folder not in seen)


def uuid_of(info: ModuleInfo) -> bytes | None:
    """Return the UUID that the target says the module has."""
    if info.debug_id is None or info.debug_id.is_null or len(info.debug_id.guid) != 32:
        return None
    return bytes.fromhex(info.debug_id.guid)


def dsym_wanted(uuid: bytes) -> Wanted:
    """Return what symbol stores and servers are asked for: the file in a dSYM."""
    words = f"UUID {uuid_text(uuid)}"
    return Wanted(FileKind.PDB, "_.dwarf", macho_key(uuid, debug=True), words, flat=True)


def uuid_text(uuid: bytes) -> str:
    """Return a UUID as Apple's tools write it."""
    digits = uuid.hex().upper()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _words_of(image: MachoImage) -> str:
    return uuid_text(image.uuid) if image.uuid else ""


def _is_bundle(part: str) -> bool:
    return part.endswith(_BUNDLES)


def _bundles(root: Path) -> list[str]:
    """Return the names of the dSYMs in *root*, without ``.dSYM``."""
    found: list[str] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.endswith(_DSYM) and len(found) < _MAX_BUNDLES:
                    found.append(entry.name.removesuffix(_DSYM))
    except OSError:
        return []
    return sorted(found)


def _is_other(image: MachoImage, info: ModuleInfo) -> bool:
    """Tell whether *image* is of another build than the module."""
    wanted = uuid_of(info)
    return wanted is not None and image.uuid != wanted


def _say_where_left(image: MachoImage, trail: Trail) -> None:
    """Say that the debug information stayed in object files, which a dSYM is made from."""
    try:
        left = image.symbols.object_files(1) if image.symbols is not None else []
    except DebuggerError:
        return
    if left:
        detail = f"debug information stayed in object files, {left[0]}: run dsymutil where they are"
        trail.add(image.path or image.name, Outcome.STRIPPED, sanitise_line(detail))


def _check(path: Path, info: ModuleInfo) -> IdCheck:
    """Compare an image file's UUID with the module's, without one the size of ``__TEXT``."""
    wanted = uuid_of(info)
    image = MachoImage.from_file(path, uuid=wanted)
    try:
        words = _words_of(image)
        if image.header.file_type == MH_DSYM:
            return IdCheck(False, words, "it holds debug information only")
        if wanted is not None:
            return IdCheck(image.uuid == wanted, words)
        sizes = [each.size for each in image.segments if each.name == "__TEXT"]
        return IdCheck(info.size > 0 and info.size in (*sizes, image.size_of_image), words)
    finally:
        image.close()
