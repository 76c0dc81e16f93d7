"""What is said beside the answer of the files of modules: missing, damaged, of another build.

What a module lacks is said once, and not while files of it are being fetched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from polydbg.base.text import sanitise_line
from polydbg.base.warnings import Warning
from polydbg.engine.modules import Module
from polydbg.engine.pe_identity import difference_of
from polydbg.symbols.store import Outcome, Trail
from polydbg.targets.target import ModuleInfo

_LACKING = frozenset(
    (
        "image.not-found",
        "symbols.exports-only",
        "symbols.none",
        "symbols.unverified",
    )
)
"""Notices of files that are not there."""
_IMAGE = "image"  # said once, whether as not found or as needed for unwinding
_PDB = "pdb"

Notify = Callable[[str, str], None]


class LoadNotices:
    """*notify* receives (identifier, message) for what the user should see."""

    def __init__(self) -> None:
        self.notify: Notify = lambda identifier, message: None
        self._said: set[tuple[ModuleInfo, str]] = set()  # which module's lack of what
        self._missing = ""

    def forget(self, info: ModuleInfo) -> None:
        """Say anew what a module lacks."""
        self._said = {each for each in self._said if each[0] != info}

    def take_missing(self) -> str:
        """Return the name of the first module whose files were not found since the last call,
        ``""`` for none: for one line that says what to do about all of them."""
        missing, self._missing = self._missing, ""
        return missing

    def note_missing(self, module: Module) -> None:
        """Keep the name of the first module whose files were not found."""
        self._missing = self._missing or module.name

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Within this, do not say of modules that they just lack files; damage is said."""
        notify, said, missing = self.notify, set(self._said), self._missing

        def damage_only(identifier: str, message: str) -> None:
            if identifier not in _LACKING:
                notify(identifier, message)

        self.notify = damage_only
        try:
            yield
        finally:
            self.notify, self._said, self._missing = notify, said, missing

    @contextlib.contextmanager
    def held_back(self, is_pending: Callable[[], bool]) -> Iterator[None]:
        """Within this, hold back what is said of a module; in the end leave out that it lacks
        files, if some are being fetched then."""
        notify, said, missing = self.notify, set(self._said), self._missing
        held: list[tuple[str, str]] = []
        self.notify = lambda identifier, message: held.append((identifier, message))
        try:
            yield
        finally:
            self.notify = notify
            leaves_out = is_pending()
            if leaves_out:
                self._said, self._missing = said, missing
            for identifier, message in held:
                if not leaves_out or identifier not in _LACKING:
                    notify(identifier, message)

    def _is_new(self, info: ModuleInfo, lack: str) -> bool:
        """Tell whether it was not said before that *info* lacks something, and note that it is."""
        is_new = (info, lack) not in self._said
        self._said.add((info, lack))
        return is_new

    # -- symbols -----------------------------------------------------------------------------

    def no_pdb(self, module: Module) -> None:
        """Keep the name of a module whose PDB was not found, once."""
        if self._is_new(module.info, _PDB):
            self.note_missing(module)

    def no_symbols(self, module: Module) -> None:
        """Say that nothing names the code of a module."""
        if not self._is_new(module.info, "symbols.none"):
            return
        name = _name(module.info)
        words = f"{name}: neither DWARF nor symbol tables were found"
        if module.info.is_pe:
            words = "*** ERROR: Module load completed but symbols could not be loaded for " + name
        else:
            self.note_missing(module)
        self.notify("symbols.none", words)

    def exports_only(self, module: Module) -> None:
        """Say that only the exports name the code of a module."""
        if self._is_new(module.info, "symbols.exports-only"):
            self.notify(
                "symbols.exports-only",
                "*** ERROR: Symbol file could not be found.  Defaulted to export symbols for "
                f"{_name(module.info)} - ",
            )

    def unusable(self, trail: Trail) -> None:
        """Say which files of the right name were no symbol files."""
        for entry in trail.entries:
            if entry.outcome is Outcome.DAMAGED:
                text = f"*** ERROR: {entry.place} is damaged: {entry.detail}"
                self.notify("symbols.damaged", sanitise_line(text))
            elif entry.outcome is Outcome.OTHER_FORMAT:
                text = f"*** ERROR: {entry.place}: {entry.detail}"
                self.notify("symbols.other-format", sanitise_line(text))

    def damaged_records(self, path: str, warnings: Sequence[Warning]) -> None:
        """Say what was left out of a symbol file."""
        for warning in warnings:
            text = sanitise_line(f"*** WARNING: {path}: {warning.message}")
            self.notify("symbols.damaged-records", text)

    def unverified(self, module: Module, *, has_image: bool) -> None:
        """Say what could not be compared, as the engine does when symbols load.

        That nothing was compared for want of the image, the notice about the image says.
        """
        if module.status.startswith("private dwarf"):
            return  # in the image, whose ids were compared, or in a file of its id or checksum
        name = _name(module.info)
        if not module.info.timestamp:
            self.notify("symbols.unverified", f"*** WARNING: Unable to verify timestamp for {name}")
        elif has_image and not module.info.checksum:
            self.notify("symbols.unverified", f"*** WARNING: Unable to verify checksum for {name}")

    def mismatched(self, module: Module) -> None:
        """Say that the symbols are of another build, if they are."""
        if module.mismatched:
            self.notify(
                "symbols.mismatched",
                "*** WARNING: symbols are of another build, loaded all the same: "
                f"{_name(module.info)}",
            )

    def trace(self, module: Module, trail: Trail) -> None:
        """Say where symbols were looked for and what came of it, for ``!sym noisy``."""
        for line in trail.lines():
            self.notify("symbols.trail", line)
        result = "no symbols loaded"
        if module.symbols is not None:
            result = f"{module.symbols.status}: {module.symbols.path}"
        self.notify("symbols.trail", sanitise_line(f"DBGHELP: {module.name} - {result}"))

    # -- images ------------------------------------------------------------------------------

    def no_image(self, module: Module) -> None:
        """Say that the image was not found, once for each module."""
        if self._is_new(module.info, _IMAGE):
            path = sanitise_line(module.info.image_path)
            self.notify("image.not-found", f"Unable to load image {path}, Win32 error 0n2")

    def no_unwind_data(self, module: Module) -> None:
        """Say that a stack needed the image, unless its absence was said already."""
        if self._is_new(module.info, _IMAGE):
            self.notify(
                "image.needed-for-unwinding",
                f"*** WARNING: x64 PDBs carry no unwind data: image {_name(module.info)} not found "
                f"(.exepath+ DIR; !sym why {module.name})",
            )

    def other_image(self, info: ModuleInfo, trail: Trail) -> None:
        """Say that an image was found that differs from the dump's, if one was."""
        entry = next((e for e in trail.entries if e.outcome is Outcome.WRONG_ID), None)
        if entry is not None:
            what, here, there = difference_of(info, entry)
            self.difference(what, here, there, entry.place)

    def difference(self, what: str, here: int, there: int, path: str | Path) -> None:
        """Say that *what* is *here* in the dump and *there* in the file at *path*."""
        text = (
            f"*** WARNING: Check Image - {what} mismatch - Dump: {here:#x}, File: {there:#x}"
            f" - {path}"
        )
        self.notify("image.mismatched", sanitise_line(text))

    def trace_image(self, trail: Trail) -> None:
        """Say where an image was looked for, for ``!sym noisy``."""
        for line in trail.lines("DBGENG:  "):
            self.notify("image.trail", line)


def _name(info: ModuleInfo) -> str:
    return sanitise_line(info.file_name)
