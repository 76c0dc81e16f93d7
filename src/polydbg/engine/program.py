"""The program that a process runs: its module, its path, its number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydbg.targets.process_files import process_files
from polydbg.targets.target import UNKNOWN_PROCESS_ID, ModuleInfo

if TYPE_CHECKING:
    from polydbg.engine.session import System

_VFT_APP = 1


def program_module(system: System) -> ModuleInfo | None:
    """Return the module of the process's program, ``None`` when the dump has no modules.

    It comes first in the list; under a simulator of iOS its linker does. Crashpad says in the
    version record of ELF and Mach-O modules which one is the executable.
    """
    modules = system.target.modules()
    marked = (
        module
        for module in modules
        if not module.is_pe and module.version is not None and module.version.file_type == _VFT_APP
    )
    return next(marked, modules[0] if modules else None)


def program_path(system: System) -> str:
    """Return the program's path, or what Linux's files call it where there is no module."""
    module = program_module(system)
    if module is not None:
        return module.image_path
    files = process_files(system.target)
    if files is None:
        return ""
    return files.command_line[0] if files.command_line else files.status.get("Name", "")


def process_id(system: System) -> int:
    """Return the process id, or the number that stands for an unknown one."""
    pid = system.target.process_id
    return UNKNOWN_PROCESS_ID if pid is None else pid
