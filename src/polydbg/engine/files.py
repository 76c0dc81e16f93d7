"""Finds the files of modules: the PDB, the image; keeps the trail of where it looked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from polydbg.base.errors import DebuggerError
from polydbg.base.identifiers import DebugId
from polydbg.engine.modules import Module, ModuleMap, SymbolState
from polydbg.engine.settings import LOAD_ANYTHING, Settings
from polydbg.images.pe import PeImage
from polydbg.symbols.exports import ExportSource
from polydbg.symbols.pdb import PdbSource, open_pdb
from polydbg.symbols.store import FileKind, IdCheck, Located, Wanted, locate
from polydbg.symbols.store.path import SymbolPath
from polydbg.symbols.store.trail import Trail


class FileFinder:
    """Loads symbols and images for modules by the session's paths.

    *notify* receives (identifier, message) for what the user should see beside the answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.notify: Callable[[str, str], None] = lambda identifier, message: None

    def load_symbols(self, module: Module, modules: ModuleMap, dump_path: str) -> None:
        """Fill *module*'s symbols: its PDB, else the exports of its image, else none."""
        module.symbol_trail = Trail()
        module.pdb_key = self._debug_id(module, modules)
        located = self._find_pdb(module, dump_path)
        if located is not None:
            try:
                module.symbols = open_pdb(located.path)
                module.state = SymbolState.LOADED
                module.mismatched = located.mismatched
            except DebuggerError as error:
                self.notify("symbols.damaged", f"*** ERROR: {located.path}: {error.message}")
        image_name = module.info.file_name
        if module.symbols is not None:
            self._verify(module, image_name)
            return
        image = modules.image(module)
        if image is not None and next(iter(image.exports()), None) is not None:
            module.symbols = ExportSource(image)
            module.state = SymbolState.LOADED
            self.notify(
                "symbols.exports-only",
                "*** ERROR: Symbol file could not be found.  Defaulted to export symbols for "
                f"{image_name} - ",
            )
            return
        module.state = SymbolState.NONE
        if image is None:
            self.notify("image.not-found", f"Unable to load image {module.info.image_path}")
        self.notify(
            "symbols.none",
            f"*** ERROR: Module load completed but symbols could not be loaded for {image_name}",
        )

    def _verify(self, module: Module, image_name: str) -> None:
        """Say what could not be compared, as the engine does when symbols load."""
        if not module.info.timestamp:
            self.notify(
                "symbols.unverified", f"*** WARNING: Unable to verify timestamp for {image_name}"
            )
        elif not module.info.checksum:
            self.notify(
                "symbols.unverified", f"*** WARNING: Unable to verify checksum for {image_name}"
            )
        if module.mismatched:
            self.notify(
                "symbols.mismatched",
                f"*** WARNING: symbols are of another build, loaded all the same: {image_name}",
            )

    def _debug_id(self, module: Module, modules: ModuleMap) -> DebugId | None:
        """Return the id the PDB must have: from the dump's CodeView record, else the image's."""
        if module.info.debug_id is not None:
            return module.info.debug_id
        image = modules.image(module)
        try:
            record = image.codeview() if image else None
        except DebuggerError:
            record = None
        return record.debug_id if record else None

    def pdb_wanted(self, module: Module) -> Wanted | None:
        """Return what is to be found for *module*'s symbols, ``None`` without any record."""
        path = module.info.pdb_path or ""
        stem = os.path.splitext(module.info.file_name)[0]
        name = path.replace("\\", "/").rsplit("/", 1)[-1] or f"{stem}.pdb"
        key = module.pdb_key
        return Wanted(
            kind=FileKind.PDB,
            name=name,
            key=key.key if key else None,
            id_text=f"{key.braced} age {key.age}" if key else "",
            extra_paths=(path,) if path else (),
        )

    def _find_pdb(self, module: Module, dump_path: str) -> Located | None:
        wanted = self.pdb_wanted(module)
        trail = module.symbol_trail
        if wanted is None or trail is None:
            return None

        def verify(path: Path) -> IdCheck:
            try:
                source: PdbSource = open_pdb(path)
            except DebuggerError as error:
                return IdCheck(False, "", error.message)
            found = source.debug_id
            source.close()
            same = module.pdb_key is not None and found == module.pdb_key
            return IdCheck(same, f"{found.braced} age {found.age}", "")

        return locate(
            wanted,
            self._with_dump_folder(self._settings.symbol_path, dump_path),
            verify,
            trail,
            load_anything=bool(self._settings.symbol_options & LOAD_ANYTHING),
        )

    def find_image(self, module: Module, dump_path: str) -> PeImage | None:
        """Return the image file of *module*, checked by timestamp and size, or ``None``."""
        module.image_trail = Trail()
        info = module.info
        wanted = Wanted(
            kind=FileKind.IMAGE,
            name=info.file_name,
            key=info.code_id.key,
            id_text=f"timestamp {info.timestamp:08X}, size {info.size:X}",
            extra_paths=(),
        )

        def verify(path: Path) -> IdCheck:
            try:
                image = PeImage.from_file(path)
            except DebuggerError as error:
                return IdCheck(False, "", error.message)
            found = f"timestamp {image.timestamp:08X}, size {image.size_of_image:X}"
            same = image.timestamp == info.timestamp and image.size_of_image == info.size
            image.close()
            return IdCheck(same, found, "")

        elements = self._settings.image_path.text, self._settings.symbol_path.text
        path = SymbolPath.parse(";".join(e for e in elements if e))
        located = locate(
            wanted, self._with_dump_folder(path, dump_path), verify, module.image_trail
        )
        if located is None:
            return None
        module.image_file = located.path
        try:
            return PeImage.from_file(located.path)
        except DebuggerError:
            return None

    @staticmethod
    def _with_dump_folder(path: SymbolPath, dump_path: str) -> SymbolPath:
        """Return *path* followed by the folder of the dump, where people put files together."""
        folder = os.path.dirname(os.path.abspath(dump_path))
        return SymbolPath.parse(";".join(e for e in (path.text, folder) if e))
