"""What ``.reload`` does to a list of modules: look again, take out, put in."""

from __future__ import annotations

import msgspec

from polydbg.engine.files import FileFinder
from polydbg.engine.modules import Module, ModuleMap, SymbolState
from polydbg.engine.session import Session, System
from polydbg.targets.target import ModuleInfo, UnloadedModuleInfo


def forget(modules: ModuleMap, module: Module, files: FileFinder) -> Module:
    """Give up what was found for *module*; return the one that takes its place in *modules*."""
    files.forget(module.info)
    return modules.renew(module)


def refresh(system: System, files: FileFinder) -> None:
    """Look again for the files of every module: paths or options changed.

    Symbols stay deferred, but for the module that execution stands in, as in the engine.
    """
    here = _current_module(system)
    was_loaded = here is not None and here.state is not SymbolState.DEFERRED
    for module in list(system.modules.modules):
        fresh = forget(system.modules, module, files)
        if module is here and was_loaded:
            here = fresh
    if here is not None and was_loaded:
        system.modules.symbols(here)


def refresh_all(session: Session) -> None:
    """:func:`refresh` in every open dump."""
    for system in session.systems:
        refresh(system, session.files)


def reload_list(system: System, files: FileFinder) -> None:
    """Take the target's own list again and forget what was found."""
    was_loaded = {m.info for m in system.modules.modules if m.state is not SymbolState.DEFERRED}
    for module in list(system.modules.modules):
        forget(system.modules, module, files)
    system.modules.fill(system.target.modules())
    here = _current_module(system)
    if here is not None and here.info in was_loaded:
        system.modules.symbols(here)


def unload(system: System, module: Module, files: FileFinder) -> None:
    """Take *module* out of the list; the dump's own list brings it back."""
    fresh = forget(system.modules, module, files)
    system.modules.fill([m.info for m in system.modules.modules if m is not fresh])


def add(system: System, info: ModuleInfo, files: FileFinder) -> Module:
    """Put a module into the list in place of those with its base; return it."""
    modules = system.modules
    for module in list(modules.modules):
        if module.base == info.base:
            forget(modules, module, files)
    kept = [m.info for m in modules.modules if m.base != info.base]
    if any(other.name.lower() == info.name.lower() for other in kept):
        info = msgspec.structs.replace(info, name=f"{info.name}_{info.base:x}")
    modules.fill([*kept, info])
    return next(m for m in modules.modules if m.info is info)


def unloaded_info(gone: UnloadedModuleInfo) -> ModuleInfo:
    """Return an unloaded module as one that can be put back (``.reload /unl``)."""
    return module_info(gone.name, gone.base, gone.size, gone.timestamp, gone.checksum)


def module_info(
    file_name: str, base: int, size: int, timestamp: int = 0, checksum: int = 0
) -> ModuleInfo:
    """Return a module named after its file."""
    from polydbg.targets.module_names import module_name

    return ModuleInfo(module_name(file_name), file_name, base, size, timestamp, checksum)


def _current_module(system: System) -> Module | None:
    return system.modules.at(system.pc) if system.pc else None
