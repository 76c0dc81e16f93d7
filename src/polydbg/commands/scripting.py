"""``!py``, ``.scriptload`` and its like, ``.chain``: Python, and where commands come from.

WinDbg's extensions are libraries of Windows for its own engine: here Python takes their place. What
scripts and packages declare is described in :mod:`polydbg.engine.scripts`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import ModuleType

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.host_files import host_text
from polydbg.commands.host_programs import require_programs
from polydbg.commands.output import Heading, Item, ShownItem, Text
from polydbg.commands.registry import REGISTRY, Command, command
from polydbg.commands.script_runner import INLINE, run_python
from polydbg.engine.scripts import LoadedScript, Package, ScriptCommand, ScriptSession, declared_in
from polydbg.engine.session import Session

_MAX_SCRIPT = 16 << 20
_FAMILY = "scripting"
_BOUND = ("thread", "frame")


class ScriptRow(ShownItem, frozen=True):
    """A loaded script, or a package with commands; *problem* says why it could not be imported."""

    name: str
    version: str
    path: str
    commands: tuple[str, ...]
    problem: str = ""


@command(
    "!py",
    summary="Evaluate Python and show the value, or run its statements. session is the open dump "
    "as the library shows it (docs/library.md), thread and frame are the current ones; names that "
    "are set stay. -v shows the whole traceback of an error.",
    syntax="!py [-v] expression | !py statements",
    example="!py [hex(frame.pc) for frame in thread.frames()]",
    family=_FAMILY,
    rest_of_line=True,
)
def python(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    verbose = _takes_verbose(cursor)
    text = cursor.rest_of_line().strip()
    require_programs(ctx, "!py")
    if not text:
        raise CommandError("an expression is missing", identifier="script.no-code",
                           hint="!py len(session.threads)")  # fmt: skip
    names = ctx.session.scripts.namespace
    yield from run_python(
        ctx, lambda session: _evaluated(text, _bind(names, session, text)), verbose=verbose
    )


def _takes_verbose(cursor: Cursor) -> bool:
    return cursor.match(r"[ \t]*-v(?=\s)") is not None


def _evaluated(text: str, names: dict[str, object]) -> object:
    """Return the value of an expression; statements have none."""
    try:
        code = compile(text, INLINE, "eval")
    except SyntaxError:
        exec(compile(text, INLINE, "exec"), names)
        return None
    return eval(code, names)


def _bind(names: dict[str, object], session: ScriptSession | None, text: str) -> dict[str, object]:
    """Give *names* what scripts find in theirs; the stack is walked where *text* speaks of it."""
    import polydbg

    names.update(session=session, polydbg=polydbg)
    for name in _BOUND:
        if name in text:
            names[name] = getattr(session, name, None)
    return names


@command(
    ".scriptload",
    summary="Run a Python script and keep what it declares: commands under "
    '@polydbg.command("!name"). It finds session, thread and frame. -v shows the whole traceback '
    "of an error. A file of NatVis is loaded as .nvload does.",
    syntax=".scriptload [-v] file.py",
    example=".scriptload orders.py    its !commands are in .help then",
    family=_FAMILY,
)
def load_script(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    verbose = _takes_verbose(cursor)
    path = _path(cursor)
    if path.lower().endswith(".natvis"):
        yield from ctx.run(f'.nvload "{path}"')
        return
    require_programs(ctx, ".scriptload")
    module = _module(path)
    yield from run_python(ctx, _running(path, module, ()), files=(path,), verbose=verbose)
    commands = declared_in(vars(module))
    for each in commands:
        if REGISTRY.is_name(each.name):
            raise CommandError(
                f"{each.name} is a command of the debugger", identifier="script.name-taken",
                hint="give the script's command another name",
            )  # fmt: skip
    ctx.session.scripts.add(LoadedScript(path, module, commands))
    yield Text(value=f"Python script successfully loaded from '{sanitise_line(path)}'")


@command(
    ".scriptrun",
    summary='Run a Python script once, as a program (__name__ is "__main__"); arguments is the '
    "list of the words behind its name. Nothing of it stays. -v shows the traceback of an error.",
    syntax=".scriptrun [-v] file.py [argument ...]",
    example=".scriptrun report.py short",
    family=_FAMILY,
)
def run_script(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    verbose = _takes_verbose(cursor)
    path = _path(cursor)
    arguments: list[str] = []
    while not cursor.at_end:
        arguments.append(cursor.string_or_word())
    require_programs(ctx, ".scriptrun")
    module = _module(path)
    module.__name__ = "__main__"
    yield from run_python(
        ctx, _running(path, module, tuple(arguments)), files=(path,), verbose=verbose
    )


def _path(cursor: Cursor) -> str:
    name = cursor.string_or_word()
    if not name:
        raise CommandError(
            "a file is missing", identifier="script.no-name", hint=".scriptload FILE.py"
        )
    return os.path.abspath(os.path.expanduser(name))


def _module(path: str) -> ModuleType:
    module = ModuleType(os.path.splitext(os.path.basename(path))[0])
    module.__file__ = path
    return module


def _running(
    path: str, module: ModuleType, arguments: tuple[str, ...]
) -> Callable[[ScriptSession | None], None]:
    text = host_text(path, _MAX_SCRIPT)

    def run(session: ScriptSession | None) -> None:
        code = compile(text, path, "exec")
        names = _bind(vars(module), session, text)
        names["arguments"] = list(arguments)
        exec(code, names)

    return run


@command(
    ".scriptunload",
    summary="Forget a Python script with its commands.",
    syntax=".scriptunload file.py",
    example=".scriptload orders.py; .scriptunload orders.py",
    family=_FAMILY,
)
def unload_script(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    name = cursor.string_or_word()
    scripts = ctx.session.scripts
    found = scripts.remove(os.path.abspath(os.path.expanduser(name))) or scripts.remove(name)
    if found is None:
        raise CommandError(
            f"no script {sanitise_line(name)} is loaded", identifier="script.unknown",
            hint=".scriptlist lists them",
        )  # fmt: skip
    yield Text(value=f"Python script unloaded from '{sanitise_line(found.path)}'")


@command(
    ".scriptlist",
    summary="List the scripts that are loaded.",
    syntax=".scriptlist",
    example=".scriptlist",
    family=_FAMILY,
)
def list_scripts(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield Heading(value="Command Loaded Scripts:")
    for script in ctx.session.scripts.scripts:
        yield _script_row(script, f"    Python script from '{sanitise_line(script.path)}'")


@command(
    ".scriptproviders",
    summary="List the languages of scripts.",
    syntax=".scriptproviders",
    example=".scriptproviders",
    family=_FAMILY,
)
def list_providers(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield Heading(value="Available Script Providers:")
    yield Text(value="    NatVis (extension '.natvis')")
    yield Text(value="    Python (extension '.py')")


def _script_row(script: LoadedScript, shown: str) -> ScriptRow:
    return ScriptRow(
        name=script.module.__name__,
        version="",
        path=script.path,
        commands=tuple(each.name for each in script.commands),
        shown=shown,
    )


@command(
    ".chain",
    summary="List where commands are looked for: the debugger, loaded scripts, installed packages.",
    syntax=".chain",
    example=".chain",
    family=_FAMILY,
)
def chain(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg import __version__

    yield Heading(value="Extension chain:")
    yield Text(value=f"    polydbg: version {__version__}, {len(REGISTRY.commands())} commands")
    for script in reversed(ctx.session.scripts.scripts):
        names = " ".join(each.name for each in script.commands)
        yield _script_row(script, f"    {sanitise_line(script.path)}: {names or 'no commands'}")
    for package in ctx.session.scripts.packages():
        yield _package_row(package)


def _package_row(package: Package) -> ScriptRow:
    names = tuple(each.name for each in package.commands)
    problem = sanitise_line(package.problem)
    shown = f"    {package.name}: version {package.version}"
    shown += f", could not be imported: {problem}" if problem else f", {' '.join(names)}"
    return ScriptRow(
        name=package.name,
        version=package.version,
        path="",
        commands=names,
        problem=problem,
        shown=shown,
    )


@command(
    ".load",
    summary="Say what takes the place of WinDbg's extensions; a script is loaded.",
    syntax=".load file",
    example=".load orders.py    as .scriptload; an extension of Windows is refused",
    family=_FAMILY,
    aliases=(".loadby", ".unload", ".unloadall", ".setdll"),
)
def load_extension(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    name = cursor.string_or_word()
    cursor.rest()
    if name.lower().endswith((".py", ".natvis")):
        yield from ctx.run(f'.scriptload "{name}"')
        return
    raise CommandError(
        "extensions of WinDbg are libraries for its own engine and are not loaded",
        identifier="script.no-extensions",
        hint=".scriptload FILE.py adds commands, installed packages do (.chain); .help lists them",
    )


def command_of_script(session: Session, name: str) -> Command | None:
    """Return the command of a script or package, ``None`` if none declares *name*."""
    found = session.scripts.command_named(name)
    return declared(found) if found is not None else None


def declared(found: ScriptCommand) -> Command:
    """Return a command of Python as the debugger's own are declared."""

    def run(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
        arguments = cursor.rest()
        file = found.function.__code__.co_filename if hasattr(found.function, "__code__") else ""
        yield from run_python(
            ctx, lambda session: _called(found, session, arguments), files=(file,)
        )

    return Command(found.name, run, found.summary, found.syntax, found.example, "scripts")


def _called(found: ScriptCommand, session: ScriptSession | None, arguments: str) -> object:
    if session is None:
        raise CommandError("No debuggee", hint="open a dump: .opendump FILE")
    return found(session, arguments)
