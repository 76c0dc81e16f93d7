"""Finds the Breakpad symbol file of a module: its name, its id, whether a candidate is the one.

Breakpad names a module by its debug file: a PDB on Windows, the image itself elsewhere. Its id is
GUID and age of the PDB, the UUID of a Mach-O image with age 0, or the first 16 bytes of an ELF
build id taken for a GUID, with age 0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.identifiers import DebugId
from polydbg.symbols.store import (
    Asker,
    FileKind,
    IdCheck,
    Outcome,
    SymbolPath,
    Trail,
    Wanted,
    locate,
)
from polydbg.targets.target import ModuleInfo

if TYPE_CHECKING:  # its patterns take a while to compile: only where a file was found
    from polydbg.symbols.breakpad import BreakpadSource

_SAID_ALREADY = frozenset((Outcome.MISSING, Outcome.NOT_ASKED))


_DWARF_FILES = {"macho": (".dSYM", ""), "elf": (".debug",)}
"""How the names of files end that have a module's DWARF, by its format, behind its own name."""


def breakpad_wanted(
    info: ModuleInfo, debug_id: DebugId | None, debug_path: str, folders: Sequence[Path]
) -> Wanted:
    """Return what is to be found for a module. *debug_path* is the debug file that its record
    names, *folders* are tried last."""
    words = f"{debug_id.braced} age {debug_id.age:x}" if debug_id else ""
    if info.build_id:
        words = f"build id {info.build_id.hex()}"
    stem, _ = os.path.splitext(info.file_name)
    name = f"{stem}.pdb" if info.is_pe else info.file_name
    return Wanted(
        kind=FileKind.BREAKPAD,
        name=debug_path or name,
        key=debug_id.key if debug_id else None,
        id_text=words,
        extra_paths=tuple(folders),
        image_name=info.file_name,
        also=tuple(f"{info.file_name}{end}" for end in _DWARF_FILES.get(info.image_format, ())),
    )


def open_matching(
    info: ModuleInfo,
    wanted: Wanted,
    debug_id: DebugId | None,
    path: SymbolPath,
    trail: Trail,
    *,
    load_anything: bool = False,
    cancel: CancelToken | None = None,
    asker: Asker | None = None,
) -> tuple[BreakpadSource | None, bool]:
    """Return the symbol file, ready for questions, and whether it is of another build."""

    def verify(candidate: Path) -> IdCheck:
        from polydbg.symbols.breakpad import open_breakpad

        source = open_breakpad(candidate)
        try:
            found = source.debug_id
            return IdCheck(_matches(source, info, debug_id), found.key if found else "")
        finally:
            source.close()

    located = locate(
        wanted, path, verify, trail, load_anything=load_anything, cancel=cancel, asker=asker
    )
    if located is None:
        return None, False
    from polydbg.symbols.breakpad import open_breakpad

    try:
        return open_breakpad(located.path), located.mismatched
    except (DebuggerError, OSError) as error:
        # It was whole a moment ago: replaced while we looked.
        trail.add(located.path, Outcome.DAMAGED, str(error))
        return None, False


def _matches(source: BreakpadSource, info: ModuleInfo, debug_id: DebugId | None) -> bool:
    """Compare ids; where the module has no debug id, the code id (timestamp and size) counts."""
    if debug_id is not None:
        return source.debug_id == debug_id
    return bool(info.timestamp) and source.code_id == info.code_id.key.upper()


def add_second_search(trail: Trail, second: Trail, wanted: Wanted) -> None:
    """Add to the *trail* of a search for a PDB what the *second* one, for a Breakpad file at the
    same places, has to say: one line when it found none."""
    known = set(trail.entries)
    news = [e for e in second.entries if e.outcome not in _SAID_ALREADY and e not in known]
    for entry in news:
        trail.add(entry.place, entry.outcome, entry.detail, entry.found_id, entry.step)
    if not any(entry.outcome is Outcome.FOUND for entry in news):
        name = wanted.kind.file_name(wanted.name.replace("\\", "/").rsplit("/", 1)[-1])
        trail.add(name, Outcome.MISSING, "no Breakpad symbol file at these places either")
