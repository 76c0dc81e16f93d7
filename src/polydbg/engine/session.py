"""What is true now: the open dumps, the current thread and frame, paths, settings.

Owned by the engine thread; nothing here prints. Only commands read the "current" of anything.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from polydbg.arch.registers import program_counter
from polydbg.base.cancel import CancelToken
from polydbg.base.errors import TargetError
from polydbg.engine.aliases import Aliases
from polydbg.engine.code import CodeView
from polydbg.engine.evaluation import Evaluator
from polydbg.engine.files import FileFinder
from polydbg.engine.log import SessionLog
from polydbg.engine.memory import SystemMemory
from polydbg.engine.memory_view import MemoryView
from polydbg.engine.modules import ModuleLoader, ModuleMap
from polydbg.engine.scripts import ScriptBook
from polydbg.engine.settings import Settings
from polydbg.engine.stack import StackFrame, walk_stack
from polydbg.memory.overlay import Overlay
from polydbg.memory.space import ByteOrder
from polydbg.targets.target import MemoryRegion, Target, ThreadInfo, byte_order
from polydbg.targets.wow64 import is_wow64, narrowed, runs_32_bit_code, x86_registers
from polydbg.unwind.frames import Frame

if TYPE_CHECKING:
    from polydbg.engine.address_map import AddressMap
    from polydbg.engine.type_finder import TypeFinder
    from polydbg.engine.views.view_set import ViewSet


class Scope(msgspec.Struct, eq=False):
    """The register context and frame that ``r``, ``k`` and names refer to.

    *context* is set by ``.cxr``, ``.ecxr`` and ``.frame /c`` and replaces the thread's own
    registers until reset; *frame* is the number chosen by ``.frame``, *origin* the frame whose
    registers the context is, ``None`` where it is one that the processor had.
    """

    context: Mapping[str, int] | None = None
    frame: int = 0
    origin: Frame | None = None


class System(msgspec.Struct, eq=False):
    """One open dump: its target, modules, memory, and what is current in it."""

    ordinal: int
    target: Target
    memory: SystemMemory
    modules: ModuleMap
    threads: Sequence[ThreadInfo]
    thread: ThreadInfo | None
    machine: str  # the processor that commands speak of: the target's, or .effmach's choice
    scope: Scope = msgspec.field(default_factory=Scope)
    memory_view: MemoryView = msgspec.field(default_factory=MemoryView)
    code_view: CodeView = msgspec.field(default_factory=CodeView)
    overlay: Overlay | None = None
    register_overlay: dict[int, dict[str, int]] = msgspec.field(default_factory=dict)
    is_wow64: bool = False  # a 64-bit picture of a 32-bit process
    _types: TypeFinder | None = None
    _address_map: AddressMap | None = None
    _mappings: tuple[list[MemoryRegion], tuple[int, int]] | None = None
    _event_thread: ThreadInfo | None = None

    @property
    def types(self) -> TypeFinder:
        """Return the types of the modules, by name."""
        from polydbg.engine.type_finder import TypeFinder

        if self._types is None:
            self._types = TypeFinder(self)
        return self._types

    def address_map(self, cancel: CancelToken | None = None) -> AddressMap:
        """Return the map of the process's addresses, made when it is first asked for and anew
        after the modules changed."""
        from polydbg.engine.address_map import AddressMap

        known = self._address_map
        if known is None or known.modules != self.modules.modules:
            poll = cancel.check if cancel is not None else lambda: None
            known = self._address_map = AddressMap(self, poll)
        return known

    def mappings(self) -> tuple[list[MemoryRegion], tuple[int, int]]:
        """Return the regions of a map of Linux's kind, ascending, and from where to where those
        reach that may be executed ((0, 0): none may); every stack asks for both."""
        if self._mappings is None:
            listed = (each for each in self.target.regions() if each.file is not None)
            regions = sorted(listed, key=attrgetter("base"))
            code = [each for each in regions if each.file and "x" in each.file.permissions]
            self._mappings = regions, (code[0].base, code[-1].end) if code else (0, 0)
        return self._mappings

    @property
    def byte_order(self) -> ByteOrder:
        """Return how numbers of several bytes lie in memory."""
        return byte_order(self.target)

    @property
    def pointer_size(self) -> int:
        if self.machine == self.target.arch:
            return self.target.pointer_size
        return 8 if "64" in self.machine else 4

    @property
    def machines(self) -> tuple[str, ...]:
        """Return the processors whose registers threads have, the target's own first."""
        return (self.target.arch, "x86") if self.is_wow64 else (self.target.arch,)

    @property
    def event_machine(self) -> str:
        """Return the processor whose code ran at the event, by the exception's registers where
        they are stored."""
        native, thread = self.target.exception_registers(), self.event_thread
        if native is None and thread is not None:
            native = self.target.registers(thread)
        return self._machine_of(native or {})

    def _machine_of(self, native: Mapping[str, int]) -> str:
        return "x86" if self.is_wow64 and runs_32_bit_code(native) else self.target.arch

    def select_machine(self, machine: str) -> None:
        """Speak of another of :attr:`machines`; the thread stays, its own registers are in
        force again."""
        if machine != self.machine:
            self.machine = machine
            self.modules.pointer_size = self.pointer_size
            self.scope = Scope()
            self.code_view = CodeView()

    @contextmanager
    def machine_of_event(self) -> Iterator[None]:
        """Speak of :attr:`event_machine` for a while, and then go on as before."""
        kept = self.machine, self.scope, self.code_view
        self.select_machine(self.event_machine)
        try:
            yield
        finally:
            self.machine, self.scope, self.code_view = kept
            self.modules.pointer_size = self.pointer_size

    def machine_at(self, address: int) -> str:
        """Return the processor that the code at *address* is for: its image's, where a process
        has code of two."""
        if self.is_wow64 and (module := self.modules.at(address)):
            image = self.modules.image(module)
            if image is not None and image.machine in self.machines:
                return image.machine
        return self.machine

    def thread_registers(self, thread: ThreadInfo) -> Mapping[str, int]:
        """Return a thread's own registers, those of :attr:`machine`, with ``.overlay``'s edits."""
        if self.machine == self.target.arch:
            registers = self.target.registers(thread)
        else:
            registers = x86_registers(self.target, thread)
        if edits := self.register_overlay.get(thread.id):
            return {**registers, **{name: edits[name] for name in edits if name in registers}}
        return registers

    def exception_registers(self) -> Mapping[str, int] | None:
        """Return the registers stored with the exception, those of the code that raised it."""
        native = self.target.exception_registers()
        if native is not None and self._machine_of(native) != self.target.arch:
            return narrowed(native)
        return native

    def select_exception(self) -> Mapping[str, int] | None:
        """Make the exception's thread current with the registers stored with it, and return
        them; ``None`` when none are stored. The machine becomes that of the code that ran."""
        native, event = self.target.exception_registers(), self.target.event()
        if native is None or event is None:
            return None
        self.select_machine(self._machine_of(native))
        for thread in self.threads:
            if thread.id == event.thread_id:
                self.select_thread(thread)
        self.scope.context = self.exception_registers()
        return self.scope.context

    def scope_registers(self) -> Mapping[str, int]:
        """Return the registers in force: the set context, else the current thread's."""
        if self.scope.context is not None:
            return self.scope.context
        return self.thread_registers(self.thread) if self.thread else {}

    @property
    def pc(self) -> int | None:
        """Return the program counter of the registers in force, ``None`` if it is not known."""
        return program_counter(self.scope_registers())

    @property
    def event_thread(self) -> ThreadInfo | None:
        """Return the thread of the event, or the first."""
        if self._event_thread is None and self.threads:
            event = self.target.event()
            ident = event.thread_id if event is not None else None
            found = (thread for thread in self.threads if thread.id == ident)
            self._event_thread = next(found, self.threads[0])
        return self._event_thread

    def select_thread(self, thread: ThreadInfo) -> None:
        """Make *thread* current, with its own registers and frame 0."""
        self.thread = thread
        self.scope = Scope()


class Session:
    """All that one debugging session holds."""

    def __init__(self) -> None:
        self.systems: list[System] = []
        self.settings = Settings()
        self.files = FileFinder(self.settings)
        self._current: int | None = None
        self._next_ordinal = 0
        self.evaluator = Evaluator(self)
        self.fixed_aliases = [""] * 10  # $u0..$u9
        self.aliases = Aliases()
        self.scripts = ScriptBook()
        self.log = SessionLog()
        self.model_variables: dict[str, object] = {}  # dx @$name = expression
        self.is_finished = False
        self._presenter: ViewSet | None = None

    @property
    def presenter(self) -> ViewSet:
        """Return the views of types that are loaded."""
        from polydbg.engine.views.view_set import ViewSet

        if self._presenter is None:
            self._presenter = ViewSet(self)
        return self._presenter

    @property
    def has_target(self) -> bool:
        return self._current is not None

    @property
    def current(self) -> System:
        """Return the current system. :raises TargetError: nothing is open."""
        if self._current is None:
            raise TargetError(
                "No debuggee", identifier="session.no-target", hint="open a dump: .opendump FILE"
            )
        return self.system(self._current)

    def system(self, ordinal: int) -> System:
        for system in self.systems:
            if system.ordinal == ordinal:
                return system
        raise TargetError("Illegal debuggee error", identifier="session.no-such-system")

    def select_system(self, ordinal: int) -> None:
        self._current = self.system(ordinal).ordinal

    def open_dump(
        self,
        path: str,
        member: str = "",
        cancel: CancelToken | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        *,
        arch: str | None = None,
    ) -> System:
        """Open one dump file as a further system and make the first one current.

        *member* picks one of several dumps of an archive; *progress* hears of its unpacking. *arch*
        is the processor of a minidump, over what the file says.

        :raises DebuggerError: the file cannot be opened or read.
        :raises Cancelled: the user asked to stop meanwhile.
        """
        from polydbg.targets.open import open_target

        target = open_target(path, member, cancel, progress, arch=arch)
        memory = SystemMemory(target.memory)
        loader = ModuleLoader(
            load_symbols=lambda m: self.files.load_symbols(m, modules, target),
            find_image=lambda m: self.files.find_image(m, target),
            unwind_data_missing=self.files.unwind_data_missing,
            poll=self.files.poll,
        )
        modules = ModuleMap(loader, memory, target.pointer_size, target.unloaded_modules())
        modules.fill(target.modules())
        memory.modules = modules
        system = System(
            self._next_ordinal, target, memory, modules, target.threads(), None, target.arch
        )
        system.thread = system.event_thread
        system.is_wow64 = is_wow64(target)
        system.select_machine(system.event_machine)
        self._next_ordinal += 1
        self.systems.append(system)
        if self._current is None:
            self._current = system.ordinal
        return system

    def close_system(self, ordinal: int) -> None:
        """Close one dump; another open one becomes current."""
        system = self.system(ordinal)
        system.modules.close()
        system.target.close()
        self.systems.remove(system)
        if self._current == ordinal:
            self._current = self.systems[0].ordinal if self.systems else None

    def close(self) -> None:
        """Give up every file and transfer."""
        self.files.downloads.close()
        for system in list(self.systems):
            self.close_system(system.ordinal)

    def stack(
        self,
        system: System,
        registers: Mapping[str, int],
        limit: int,
        cancel: CancelToken | None = None,
    ) -> Iterator[StackFrame]:
        """Yield the stack that *registers* begin, at most *limit* rows, innermost first.

        Those of a frame that ``.frame /c`` chose begin a stack of what the frame is: a caller,
        perhaps a guess. Another pc than its own is no return address any more.
        """
        origin = system.scope.origin if registers is system.scope.context else None
        if origin is not None and program_counter(registers) != origin.pc:
            origin = None
        return walk_stack(
            system, registers, limit, cancel, inline=self.settings.inline, origin=origin
        )

    def current_frame(self, cancel: CancelToken | None = None) -> StackFrame | None:
        """Return the frame chosen by ``.frame``, or ``None`` without a stack."""
        return self.frame(self.current, self.current.scope.frame, cancel)

    def frame(
        self, system: System, number: int, cancel: CancelToken | None = None
    ) -> StackFrame | None:
        """Return the frame of that number in the register context in force."""
        if number > 0xFFFF:
            return None
        for frame in self.stack(system, system.scope_registers(), number + 1, cancel):
            if frame.number == number:
                return frame
        return None

    @property
    def prompt(self) -> str:
        """Return ``0:000>``; ``||1:0:000>`` with several systems; ``NoTarget>`` with none."""
        if self._current is None:
            return "NoTarget> "
        system = self.current
        thread = system.thread.ordinal if system.thread else 0
        prefix = f"||{system.ordinal}:" if len(self.systems) > 1 else ""
        mark = " (overlay)" if system.overlay is not None else ""
        machine = "" if system.machine == system.target.arch else f":{system.machine}"
        return f"{prefix}0:{thread:03d}{machine}{mark}> "


def expand_dump_arguments(patterns: Sequence[str]) -> list[str]:
    """Return the files that ``-z`` arguments name; wildcards are ours, not the shell's.

    :raises TargetError: a wildcard matches nothing.
    """
    paths: list[str] = []
    for pattern in patterns:
        if glob.has_magic(pattern) and not os.path.exists(pattern):
            matches = sorted(p for p in glob.glob(pattern) if os.path.isfile(p))
            if not matches:
                raise TargetError(
                    f"no file matches {pattern}",
                    identifier="dump.not-found",
                    hint="check the folder and the pattern; quote it so that the shell leaves it",
                )
            paths += matches
        else:
            paths.append(pattern)
    return paths
