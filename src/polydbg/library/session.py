"""An open dump: its threads, modules, memory and exception, and the command language.

Everything is read when it is asked for. One thread at a time may use a session; only
:meth:`DumpSession.interrupt` may be called from another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import CommandError, TargetError
from polydbg.base.text import sanitise_line
from polydbg.base.warnings import Warning
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd
from polydbg.engine.exceptions.naming import describe_event
from polydbg.engine.session import Session
from polydbg.engine.sysroots import checked_roots
from polydbg.expr.evaluator import evaluate
from polydbg.library.handle import MAX_FRAMES, Handle
from polydbg.library.records import CommandResult, CrashAnalysis, ExceptionInfo, Frame
from polydbg.library.views import Memory, Module, Thread
from polydbg.targets.target import SystemInfo, UnloadedModuleInfo

if TYPE_CHECKING:
    from polydbg.library.variables import Variable

SearchPath = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None
"""A search path in WinDbg's grammar (``;`` between its parts), a folder, or several of these."""


def open(
    path: str | os.PathLike[str],
    *,
    symbols: SearchPath = None,
    images: SearchPath = None,
    sources: SearchPath = None,
    sysroots: Sequence[str | os.PathLike[str]] = (),
    arch: str | None = None,
    symbol_wait: float = 20.0,
    offline: bool = False,
) -> DumpSession:
    """Open a dump; use the session in a ``with`` statement, or close it.

    *symbols*, *images* and *sources* are where to look for files. Without *symbols* or *images* the
    environment decides, as on the command line; ``""`` is no path at all. *sysroots* are root file
    systems, folders or archives (of ``docker save``, say), of the process of a core. *arch*
    (``amd64``, ...) is the processor of a minidump, over what the file says. *symbol_wait* is for
    how many seconds, in all, questions may wait for the servers of these paths; with *offline* none
    is asked.

    :raises DebuggerError: the file cannot be opened, or is no dump that is read.
    """
    session = Session()
    settings = session.settings
    settings.search(_text(symbols), _text(images), offline=offline)
    settings.source_path = _text(sources) or ""
    session.files.downloads.wait_at_most(symbol_wait)
    settings.sysroots = checked_roots([os.fspath(root) for root in sysroots])
    try:
        system = session.open_dump(os.fspath(path), arch=arch)
    except BaseException:
        session.close()
        raise
    return DumpSession(Handle(session, system))


def lend_to_scripts(session: Session, interpreter: Interpreter, cancel: CancelToken) -> None:
    """Let the scripts of *session* use its current dump as the library shows it; what they do is a
    part of the commands of *interpreter*, which *cancel* stops."""

    def lend() -> DumpSession | None:
        if not session.has_target:
            return None
        return DumpSession(Handle(session, session.current, cancel), interpreter)

    session.scripts.lend = lend


def _text(path: SearchPath) -> str | None:
    if path is None or isinstance(path, str):
        return path
    if isinstance(path, os.PathLike):
        return os.fspath(path)
    return ";".join(os.fspath(part) for part in path)


class DumpSession:
    """An open dump. Made by :func:`open`."""

    def __init__(self, handle: Handle, interpreter: Interpreter | None = None) -> None:
        self._handle = handle
        if interpreter is None:
            interpreter = Interpreter(handle.session, handle.cancel, self._progress)
            lend_to_scripts(handle.session, interpreter, handle.cancel)
        self._interpreter = interpreter
        self.memory = Memory(handle)

    def _progress(self, text: str, done: int, total: int) -> None:
        self._handle.cancel.check()

    def __enter__(self) -> DumpSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up all files. Closing twice is no error; any other use afterwards is."""
        self._handle.close()

    def interrupt(self) -> None:
        """Make what runs in another thread raise :class:`polydbg.base.errors.Cancelled`."""
        self._handle.cancel.cancel()

    @property
    def path(self) -> str:
        return self._handle.system.target.path

    @property
    def arch(self) -> str:
        """Return the processor: ``amd64``, ``x86``, ``arm64``, ``arm``, ..."""
        return self._handle.system.target.arch

    @property
    def pointer_size(self) -> int:
        return self._handle.system.target.pointer_size

    @property
    def process_id(self) -> int | None:
        return self._handle.system.target.process_id

    @property
    def system(self) -> SystemInfo:
        """Return what the dump says of the machine, its system and the process's times."""
        return self._handle.system.target.system()

    @property
    def warnings(self) -> Sequence[Warning]:
        """Return what was found damaged or odd in the dump so far."""
        return self._handle.system.target.warnings()

    @property
    def exception(self) -> ExceptionInfo | None:
        """Return the stored exception, ``None`` for a snapshot without one."""
        system = self._handle.system
        event = system.target.event()
        if event is None or not event.is_stored:
            return None
        record = event.exception
        words = describe_event(event, system)
        return ExceptionInfo(
            code=record.code,
            name=words.name,
            address=record.address,
            flags=record.flags,
            parameters=record.parameters,
            meaning=words.meaning,
            thread_id=event.thread_id,
            registers=system.exception_registers() or {},
        )

    def analyze(self, *, hang: bool = False) -> CrashAnalysis:
        """Return what happened, with its evidence (``!analyze``); with *hang* what the threads
        wait for."""
        from polydbg.engine.analysis.analyze import analyze

        handle = self._handle
        handle.cancel.reset()
        with handle.system.machine_of_event():
            found = analyze(handle.session, handle.system, handle.cancel, hang=hang)
        return CrashAnalysis.of(found)

    @property
    def threads(self) -> list[Thread]:
        return [Thread(self._handle, thread) for thread in self._handle.system.threads]

    @property
    def event_thread(self) -> Thread | None:
        """Return the thread of the exception, else the first; ``None`` in a dump without any."""
        thread = self._handle.system.event_thread
        return Thread(self._handle, thread) if thread is not None else None

    @property
    def thread(self) -> Thread | None:
        """Return the current thread, which ``~Ns`` chooses."""
        thread = self._handle.system.thread
        return Thread(self._handle, thread) if thread is not None else None

    @property
    def frame(self) -> Frame | None:
        """Return the current frame, which ``.frame`` chooses; ``None`` without a stack."""
        system = self._handle.system
        number = system.scope.frame
        frames = self._handle.frames(system.scope_registers(), number + 1, system.thread)
        return next((frame for frame in frames if frame.number == number), None)

    def crash_frames(self, limit: int = MAX_FRAMES) -> Iterator[Frame]:
        """Yield the stack of the exception (``.ecxr; k``), of the event thread without one."""
        exception = self.exception
        if exception is not None and exception.registers:
            raised_by = self._handle.system.event_thread
            yield from self._handle.frames(exception.registers, limit, raised_by)
        elif (thread := self.event_thread) is not None:
            yield from thread.frames(limit)

    def frames_from(self, registers: Mapping[str, int], limit: int = MAX_FRAMES) -> Iterator[Frame]:
        """Yield the stack that *registers* begin; each frame is unwound when it is asked for."""
        return self._handle.frames(registers, limit)

    @property
    def modules(self) -> list[Module]:
        """Return the loaded modules by ascending base."""
        return [Module(self._handle, module) for module in self._handle.system.modules.modules]

    def module(self, name: str) -> Module:
        """Return a module by name, with or without extension, ignoring case.

        :raises TargetError: there is none.
        """
        found = self._handle.system.modules.named(name)
        if found is None:
            raise TargetError(f"no module is called {name}", identifier="module.unknown")
        return Module(self._handle, found)

    def module_at(self, address: int) -> Module | None:
        """Return the module whose range holds *address*."""
        found = self._handle.system.modules.at(address)
        return Module(self._handle, found) if found is not None else None

    @property
    def unloaded_modules(self) -> Sequence[UnloadedModuleInfo]:
        return self._handle.system.target.unloaded_modules()

    def name_of(self, address: int) -> str:
        """Return what an address is called: ``module!symbol+0x12``, or itself in hex."""
        return self._handle.system.modules.place(address).text

    def evaluate(self, expression: str) -> int:
        """Return the value of an expression as ``?`` evaluates it: ``practice!main+4``, ``@rsp``.

        :raises ExpressionError: it has no value.
        """
        return evaluate(expression, self._handle.session.evaluator)

    def value(self, expression: str) -> Variable:
        """Return the value of a C++ expression as ``??`` evaluates it, in the selected frame:
        ``app!g_config``, ``((Node *)0x1234)->next``.

        :raises ExpressionError: it has none.
        """
        from polydbg.library.variables import value_of

        self._handle.cancel.reset()
        return value_of(self._handle, expression)

    def command(self, line: str, *, check: bool = True) -> CommandResult:
        """Run a line of commands and return what it says.

        :raises CommandError: a command failed; with *check* off the failure is among the items.
        """
        self._handle.session  # noqa: B018 - raises where it is closed
        self._handle.cancel.reset()
        # What was missing when names were asked for outside of commands is none of this one's.
        self._interpreter.discard_notices()
        items = [i for i in self._interpreter.run(line) if not isinstance(i, CommandEnd)]
        result = CommandResult(line, items)
        if check and (failures := result.failures):
            first = failures[0]
            raise CommandError(first.message, hint=first.hint, identifier=first.identifier)
        return result

    def __repr__(self) -> str:
        if not self._handle.is_open:
            return "<DumpSession, closed>"
        return f"<DumpSession of {sanitise_line(self.path)!r}>"
