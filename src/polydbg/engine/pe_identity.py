"""What tells one build of a PE image from another, and which PDB belongs to it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from polydbg.base.errors import DebuggerError, TargetError
from polydbg.base.identifiers import DebugId
from polydbg.images.image import CodeViewRecord
from polydbg.images.pe import PeImage
from polydbg.symbols.store import IdCheck, TrailEntry
from polydbg.targets.target import ModuleInfo


class PdbRecord(msgspec.Struct, frozen=True):
    """Which PDB a module wants: *codeview* is ``None`` when nothing says so; *is_missing* when its
    image was read and has no record, rather than not being there."""

    codeview: CodeViewRecord | None
    is_missing: bool = False

    @property
    def debug_id(self) -> DebugId | None:
        return self.codeview.debug_id if self.codeview else None

    @property
    def names_pdb(self) -> bool:
        """Return whether a PDB was made: then DWARF may be that of the runtime alone. Build ids of
        MinGW are records without a name."""
        return self.codeview is not None and bool(self.codeview.path)


def record_of(info: ModuleInfo, image: PeImage | None) -> PdbRecord:
    """Return which PDB belongs to a module: as the dump says, else as its image does."""
    if info.debug_id is not None:
        signature = info.codeview_signature or ""
        return PdbRecord(CodeViewRecord(info.debug_id, info.pdb_path or "", signature))
    if image is None:
        return PdbRecord(None)
    try:
        found = image.codeview()
    except DebuggerError:
        return PdbRecord(None)
    return PdbRecord(found, is_missing=found is None)


def check_image(path: Path, info: ModuleInfo) -> IdCheck:
    """Compare an image file with what the dump says of the module.

    Links without a timestamp make the same code id again and again, so the debug id counts too
    where both sides have one.
    """
    try:
        image = PeImage.from_file(path)
    except TargetError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise
    try:
        if image.code_id != info.code_id:
            return IdCheck(False, image.code_id.key)
        found = record_of(ModuleInfo("", "", 0, 0), image).debug_id
        if found is not None and info.debug_id is not None and found != info.debug_id:
            return IdCheck(False, found.key)
        return IdCheck(True, image.code_id.key)
    finally:
        image.close()


def difference_of(info: ModuleInfo, entry: TrailEntry) -> tuple[str, int, int]:
    """Return what differs between the dump and an image of another build, and the two numbers."""
    found = entry.found_id
    try:
        stamp, size = int(found[:8], 16), int(found[8:], 16)
    except ValueError:
        return "Timestamp", info.timestamp, 0
    if len(found) > 16 and info.debug_id is not None:
        return "Debug id", int(info.debug_id.key, 16), int(found, 16)
    if stamp != info.timestamp:
        return "Timestamp", info.timestamp, stamp
    return "Size", info.size, size
