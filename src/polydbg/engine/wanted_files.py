"""Which files the modules of a dump could need, by the ids that stores and servers know them by.

The searches of the session say it: what they wanted, and what they found. Beside a PDB a Breakpad
file would serve, beside separate debug information too.
"""

from __future__ import annotations

import msgspec

from polydbg.engine.breakpad_files import breakpad_wanted
from polydbg.engine.elf_advice import is_of_kernel
from polydbg.engine.modules import Module, ModuleMap
from polydbg.symbols.pdb import PdbSource
from polydbg.symbols.store import FileKind, Outcome, Trail, Wanted

PDB, IMAGE, BREAKPAD = "pdb", "image", "breakpad"
DEBUGINFO, EXECUTABLE = "debuginfo", "executable"
_STRIPPED = (Outcome.NO_RECORD, Outcome.STRIPPED)


class WantedFile(msgspec.Struct, frozen=True):
    """A file of a module. *kind* is ``pdb`` or ``image`` (PE), ``debuginfo`` or ``executable``
    (ELF, Mach-O), or ``breakpad``; *found* the place of the right file, ``""`` where there is none;
    *reason* why no store or server can be asked for it, ``""`` where they can."""

    kind: str
    wanted: Wanted
    found: str = ""
    reason: str = ""


def wanted_files(modules: ModuleMap, module: Module) -> list[WantedFile]:
    """Return the files of *module*, those that it has and those that it lacks.

    It looks for them first, as any command does; the caller sees to it that no server is asked.

    :raises Cancelled: the user asked to stop.
    """
    modules.image(module)
    modules.symbols(module)
    if module.info.is_pe:
        return _of_windows(module)
    return _of_unix(modules, module)


def _of_windows(module: Module) -> list[WantedFile]:
    info = module.info
    image = module.image_trail.wanted if module.image_trail is not None else None
    found: list[WantedFile] = []
    if image is not None:
        is_known = bool(info.timestamp or info.size) and bool(info.image_path)
        reason = "" if is_known else "the dump tells neither its name nor its timestamp and size"
        found.append(WantedFile(IMAGE, image, str(module.image_file or ""), reason))
    trail = module.symbol_trail
    pdb = trail.wanted if trail is not None else None
    if trail is None or pdb is None:
        return found
    reason = "" if pdb.key else _no_record(module, trail)
    place = module.symbols.path if isinstance(module.symbols, PdbSource) else ""
    found.append(WantedFile(PDB, pdb, "" if module.mismatched else place, reason))
    return [*found, *_breakpad(module, pdb.name)]


def _no_record(module: Module, trail: Trail) -> str:
    if any(trail.has(outcome) for outcome in _STRIPPED):
        return "its image names no PDB"
    return "the dump holds no record that names its PDB, and its image is not at hand"


def _breakpad(module: Module, debug_path: str) -> list[WantedFile]:
    """Return the Breakpad file, where its id is known."""
    debug_id = module.info.debug_id or module.pdb_key
    if debug_id is None or debug_id.is_null:
        return []
    wanted = breakpad_wanted(module.info, debug_id, debug_path, ())
    source = module.symbols
    is_it = source is not None and not module.mismatched and "breakpad" in source.status
    return [WantedFile(BREAKPAD, wanted, source.path if source is not None and is_it else "")]


def _of_unix(modules: ModuleMap, module: Module) -> list[WantedFile]:
    """Return the files of an ELF or a Mach-O module."""
    if is_of_kernel(module.info.file_name):
        return []
    image = module.image_trail.wanted if module.image_trail is not None else None
    if image is None:
        return []
    has_file = module.image_file is not None and not module.mismatched
    reason = "" if image.key else "the dump does not tell its build id"
    found = [WantedFile(EXECUTABLE, image, str(module.image_file) if has_file else "", reason)]
    debug = _debug_wanted(modules, module)
    reason = "" if debug.key else reason or "neither the dump nor the image tells the build id"
    found.append(WantedFile(DEBUGINFO, debug, _debug_place(module), reason))
    return [*found, *_breakpad(module, "")]


def _debug_wanted(modules: ModuleMap, module: Module) -> Wanted:
    info = module.info
    if info.image_format == "macho":
        from polydbg.engine.macho_files import dsym_wanted, uuid_of

        uuid = uuid_of(info)
        return dsym_wanted(uuid) if uuid else Wanted(FileKind.PDB, f"{info.file_name}.dSYM")
    from polydbg.engine.elf_files import debug_wanted

    image = modules.elf_image(module) if not module.mismatched else None
    build_id = info.build_id.hex() or (image.build_id if image is not None else "")
    return debug_wanted(build_id) if build_id else Wanted(FileKind.PDB, f"{info.file_name}.debug")


def _debug_place(module: Module) -> str:
    """Return the file that has the debug information: a separate one, or the image."""
    if module.debug_file is not None:
        return module.debug_file.path or module.debug_file.name
    source = module.symbols
    if source is None or module.mismatched or not source.status.startswith("private dwarf"):
        return ""
    return source.path
