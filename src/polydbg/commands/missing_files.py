"""The list of files that the modules of a system lack (``!sym why *``)."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Item, Text
from polydbg.engine.modules import SymbolState


class MissingFiles(Item, frozen=True):
    """What a module lacks: *missing* in words. *build_id* and *package* (of ``.note.package``) are
    ``""`` when not known, *steps* what to do, the most promising first."""

    module: str
    path: str
    missing: str
    build_id: str
    package: str
    steps: tuple[str, ...]

    def text(self) -> str:
        package = f", package {self.package}" if self.package else ""
        is_hex = self.build_id.isalnum() and self.build_id != "unknown"
        ident = f"{'build ' if is_hex else ''}id {self.build_id or 'unknown'}"
        return f"{self.module}: no {self.missing}: {self.path}, {ident}{package}"


def missing_files(ctx: CommandContext) -> Iterator[Item]:
    """Look for the files of every module; yield what is missing, then how to get it.

    What to do is said in full of the first of each kind, the others differ in names alone.
    """
    from polydbg.engine.elf_advice import lack_of

    modules = ctx.system.modules
    said: dict[str, list[str]] = {}
    for number, module in enumerate(list(modules.modules)):
        ctx.cancel.check()
        ctx.progress("Looking for files", number, len(modules.modules))
        modules.symbols(module)
        modules.image(module)
        lack = lack_of(modules, module)
        if lack is not None:
            missing, ident, package = lack.missing, lack.build_id, lack.package_words
            steps = lack.steps()
        elif module.state is SymbolState.NONE or module.status.startswith("export"):
            trail = module.symbol_trail
            ident = trail.wanted.id_words if trail is not None and trail.wanted is not None else ""
            missing, package, steps = "symbols", "", trail.advice() if trail is not None else []
        else:
            continue
        said.setdefault(missing, steps)
        yield MissingFiles(
            module=module.name,
            path=sanitise_line(module.info.image_path),
            missing=missing,
            build_id=sanitise_line(ident),
            package=package,
            steps=tuple(steps),
        )
    if not said:
        yield Text(value="no module lacks its files")
    for missing, steps in said.items():
        lines = "\n".join(f"    {step}" for step in steps)
        yield Text(value=f"  {missing}, what to do (of the first):\n{lines}")
