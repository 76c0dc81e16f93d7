"""``!sym list``: the ids by which the files of the modules are asked for.

As JSON (``polydbg sym list DUMP --json``) it is what ``polydbg sym fetch`` takes on a machine that
has a network: an object a line, whose items are a :class:`SymbolIds` and its :class:`ModuleIds`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Hex, Item
from polydbg.engine.modules import SymbolState
from polydbg.engine.wanted_files import WantedFile, wanted_files
from polydbg.symbols.store.hostpath import base_name, is_safe_key, unsafe_reason

IDS_VERSION = 1
"""Version of the ids; a reader refuses others."""


_MAX_SHOWN = 300  # characters of a name; longer ones are no file's


class SymbolIds(Item, frozen=True):
    """Before the modules: *version* of the ids, *dump* the name of the file that has them."""

    version: int
    dump: str

    def text(self) -> str:
        return f"Files that the modules of {self.dump} could need, and their ids:"


class FileId(Item, frozen=True):
    """A file of a module.

    *kind* is ``pdb`` or ``image`` (Windows), ``executable`` or ``debuginfo`` (ELF, Mach-O) or
    ``breakpad`` (serves where symbols are missing). Stores keep it at *name*/*key*/*file_name*;
    debuginfod servers know it by *build_id* (``""``: they do not). *id* is the id for people.
    *found* is its place where it is at hand, else ``""``; *reason* says why nothing can be asked
    for it: then *key* is ``""``.
    """

    kind: str
    name: str
    key: str
    file_name: str
    build_id: str
    id: str
    found: str
    reason: str

    def text(self) -> str:
        state = f"at hand: {self.found}" if self.found else self.reason or "not at hand"
        key = f" {self.key}" if self.key else ""
        return f"  {self.kind:10} {self.file_name}{key} - {state}"

    @classmethod
    def of(cls, file: WantedFile) -> FileId:
        wanted, reason = file.wanted, file.reason
        name = base_name(wanted.name)[:_MAX_SHOWN]
        key = wanted.key or ""
        if (problem := unsafe_reason(name)) or (key and not is_safe_key(key)):
            reason, key = problem or "its id is no store key", ""
        return cls(
            kind=file.kind,
            name=sanitise_line(name),
            key="" if reason else key,
            file_name=sanitise_line(wanted.kind.file_name(name)),
            build_id="" if reason else wanted.build_id,
            id=sanitise_line(wanted.id_text),
            found=sanitise_line(file.found),
            reason=reason,
        )


class ModuleIds(Item, frozen=True):
    """A module and its files; *reason* says why it has none."""

    module: str
    path: str
    base: Hex
    files: tuple[FileId, ...]
    reason: str

    def text(self) -> str:
        head = f"{address_text(self.base)} {self.module}  {self.path}"
        rows = [file.text() for file in self.files] or [f"  {self.reason}"]
        return "\n".join([head, *rows])


def list_ids(ctx: CommandContext) -> Iterator[Item]:
    """Yield the ids of every module of the current system. No server is asked."""
    session, modules = ctx.session, ctx.system.modules
    yield SymbolIds(
        version=IDS_VERSION, dump=sanitise_line(os.path.basename(ctx.system.target.path))
    )
    settings, can_ask = session.settings, session.files.downloads.can_ask()
    listed = list(modules.modules)
    for number, module in enumerate(listed):
        ctx.cancel.check()
        ctx.progress("Looking for files", number, len(listed))
        was_deferred = module.state is SymbolState.DEFERRED
        before, settings.offline = settings.offline, True
        try:
            with session.files.notices.quietly():
                files = wanted_files(modules, module)
        finally:
            settings.offline = before
        if can_ask and was_deferred and not all(file.found for file in files):
            modules.renew(module)  # for what needs it next, servers are asked
        yield ModuleIds(
            module=module.name,
            path=sanitise_line(module.info.image_path),
            base=module.base,
            files=tuple(FileId.of(file) for file in files),
            reason="" if files else "it is no file: the kernel's own image in the process",
        )
