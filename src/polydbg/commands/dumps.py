"""``.opendump`` and the first screen: what the file is, what happened, what is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.events import event_words, exception_item
from polydbg.commands.output import Hex, Item, Notice, ShownItem
from polydbg.commands.registry import command
from polydbg.commands.stop_display import RowStyle, instruction_at
from polydbg.commands.target_info import description, times
from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.program import process_id
from polydbg.engine.session import System, expand_dump_arguments
from polydbg.engine.stack import StackFrame
from polydbg.symbols.store.trail import Trail
from polydbg.targets.dump_file import shown_path

_MAX_NOTICES = 2


class FirstScreen(ShownItem, frozen=True):
    """What is said on opening, at most twelve lines of text.

    *member* is the way to the dump in the archive *path*, or empty; *cause* is a guess and says so;
    *missing* names what would make answers better, with the step; *notes* is what was
    noticed about the file itself.
    """

    path: str
    member: str
    kind: str
    os: str
    session_time: str
    process_id: Hex
    thread_id: Hex
    event: str
    detail: str
    crash_address: Hex | None
    crash_frame: str
    source: str
    instruction: str
    cause: str
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def first_screen(ctx: CommandContext, system: System) -> FirstScreen:
    """Return the first screen of *system*; loads symbols of the crash frame's module alone."""
    target = system.target
    event = target.event()
    registers = system.exception_registers()
    if registers is None:
        registers = system.thread_registers(system.thread) if system.thread else {}
    frame = next(ctx.session.stack(system, registers, 1, ctx.cancel), None)
    path = shown_path(target.path, target.member)
    lines = [f"Loading Dump File [{sanitise_line(path)}]", target.kind_line]
    lines += [f"Comment: '{sanitise_line(c)[:200]}'" for c in target.system().comments[:1]]
    about = description(system)
    when = times(system, with_cpu=False)
    is_timed = target.system().dump_time_unix is not None
    lines.append(f"{about.os}; {when.session_time if is_timed else 'time of the dump not known'}")
    words, detail = event_words(system) or "", ""
    if event is not None and event.is_stored:
        detail = exception_item(system, event.exception).meaning
        lines.append(f"({process_id(system):x}.{event.thread_id:x}): {words}")
    elif event is not None:
        words = "no exception is stored: a snapshot of a process, not a crash"
        lines.append(f"({process_id(system):x}.{event.thread_id:x}): {words}")
    crash_frame = source = instruction = ""
    if frame is not None:
        crash_frame = frame.place.text
        source = f"[{frame.file} @ {frame.line}]" if frame.file else ""
        lines.append(f"{crash_frame} {source}".rstrip() + ":")
        with contextlib.suppress(DebuggerError):  # code of a processor that is not decoded
            instruction = instruction_at(system, frame.frame.pc, registers, RowStyle()).shown
            lines.append(instruction)
    problem, cause, confidence = _verdict(ctx, system, registers, frame)
    if cause:
        lines.append(f"Verdict ({confidence}): {cause}")
    missing = _missing(ctx, system, frame.frame.pc if frame else None)
    notes = _notes(system)
    shown = [*(f"Note: {note}" for note in notes), *(f"Missing: {each}" for each in missing)]
    lines += shown[: max(0, 11 - len(lines))]
    second = ".ecxr; k (crash stack)"
    if problem == "TERMINATED" and len(system.threads) > 1:  # ended because it hung, may be
        second = "!analyze -hang (who waits for whom)"
    lines.append(f"Next: !analyze -v (all evidence), {second}, .help (commands)")
    return FirstScreen(
        path=target.path,
        member=target.member,
        kind=target.kind_line,
        os=about.os,
        session_time=when.session_time,
        process_id=process_id(system),
        thread_id=event.thread_id if event else 0,
        event=words,
        detail=detail,
        crash_address=event.exception.address if event else None,
        crash_frame=crash_frame,
        source=source,
        instruction=instruction,
        cause=cause,
        missing=tuple(missing),
        notes=tuple(notes),
        shown="\n".join(lines),
    )


def _verdict(
    ctx: CommandContext, system: System, registers: Mapping[str, int], frame: StackFrame | None
) -> tuple[str, str, str]:
    """Return the kind of problem, what happened and how sure that is, ``""`` where nothing explains
    the event."""
    from polydbg.engine.analysis.judge import first_verdict
    from polydbg.engine.analysis.model import Confidence

    verdict = first_verdict(ctx.session, system, registers, [frame] if frame else [], ctx.cancel)
    if verdict is None or verdict.confidence is Confidence.UNKNOWN:
        return "", "", ""
    return verdict.problem_class, sanitise_line(verdict.summary), verdict.confidence.value


def _notes(system: System) -> list[str]:
    """Return what was noticed while reading the file, the first of it."""
    # Streams of other writers are kept as bytes and change no answer.
    warnings = [w for w in system.target.warnings() if w.identifier != "dump.unknown-stream"]
    return [sanitise_line(w.message) for w in warnings[:_MAX_NOTICES]]


def _missing(ctx: CommandContext, system: System, pc: int | None) -> list[str]:
    """Return what would make answers better, each with the next step."""
    module = system.modules.at(pc) if pc is not None else None
    if module is None:
        return []
    if module.info.image_format == "elf" and module.state is not SymbolState.DEFERRED:
        from polydbg.engine.elf_advice import lack_of

        lack = lack_of(system.modules, module)
        if lack is not None:
            package = f", package {lack.package_words}" if lack.package_words else ""
            what = f"{lack.missing} of {module.name} ({lack.id_words}{package})"
            is_pending = ctx.session.files.downloads.is_pending(module.info)
            step = _PENDING if is_pending else lack.steps()[0]
            words = (f"{what}.", lack.found_instead, step)
            text = " ".join(each for each in words if each)
            return [f"{text} !sym why * lists what all modules lack."]
    has_symbols = module.state is SymbolState.LOADED and module.symbols is not None
    if has_symbols and not module.status.startswith("export"):
        return []
    return [_symbols_missing(module)]


_PENDING = "A server is being asked; what arrives is used at once (!sym status)."


def _symbols_missing(module: Module) -> str:
    trail: Trail | None = module.symbol_trail
    advice = trail.advice() if trail else []
    step = advice[0] if advice else f"!sym why {module.name} says where was looked."
    return f"symbols of {module.name}. {step}"


@command(
    ".opendump",
    summary="Open another dump, or the dump in an archive, beside those that are open.",
    syntax='.opendump [/c "member"] [file]',
    example='.opendump other.dmp; ||1s; .opendump /c "second.dmp" both.zip',
    family="dumps",
)
def open_dump(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    # /c picks a member; without a file the archive opened last is meant.
    member = ""
    if cursor.match(r"\s*/c\b"):
        member = cursor.string_or_word()
        if not member:
            raise CommandError("Non-empty string required", identifier="command.argument-missing")
    path = cursor.string_or_word()
    if not path and member:
        path = _last_archive(ctx)
    if not path:
        raise CommandError("Non-empty string required", identifier="command.argument-missing")
    for name in expand_dump_arguments([path]):
        system = ctx.session.open_dump(name, member, ctx.cancel, ctx.progress)
        yield first_screen(ctx, system)
        if len(ctx.session.systems) > 1:
            yield Notice(
                identifier="session.opened-beside",
                value=f"opened as system {system.ordinal}; ||{system.ordinal}s makes it current",
            )


def _last_archive(ctx: CommandContext) -> str:
    for system in reversed(ctx.session.systems):
        if system.target.member:
            return system.target.path
    raise CommandError(
        "no archive is open",
        identifier="command.argument-missing",
        hint='name it: .opendump /c "MEMBER" ARCHIVE',
    )
