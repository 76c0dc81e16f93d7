"""One frame as the places of variables need it: registers, memory, frame addresses, the caller.

Only what unwinding restored is told: a register that a callee may have overwritten is not known in
its caller. Frame addresses come from call frame rules where the module has some, else from where
the walk found the caller, unless that is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from polydbg.arch.registers import sub_register
from polydbg.base.errors import DebuggerError
from polydbg.engine.modules import Module
from polydbg.engine.stack import StackFrame, unwind_view
from polydbg.targets.target import ThreadInfo
from polydbg.types.place import ValueUnavailableError
from polydbg.types.source import FrameView, TypeSource
from polydbg.types.value import Memory
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.method import Callee
from polydbg.unwind.processors import Processor, is_unwound, processor
from polydbg.unwind.walker import callee_of, callers_of

if TYPE_CHECKING:
    from polydbg.engine.session import System

_X87: Final = {"amd64": 33, "x86": 11}
"""DWARF's number of ``st0``; the vector registers behind it that processors have since."""
_WIDER: Final = {"amd64": (("xmm", 67, 16), ("k", 118, 8)), "x86": (("k", 93, 8),)}
_X87_COUNT = 8


def frame_view(system: System, frame: StackFrame, thread: ThreadInfo | None = None) -> FrameView:
    """Return the view of *frame*, which lies on the stack of *thread*, by default the current one.
    Inlined calls have that of the frame that they are in."""
    return PhysicalFrameView(system, frame.frame, thread or system.thread)


def thread_view(system: System, module: Module, view: FrameView | None) -> FrameView:
    """Return the view for a variable of *module* that lies in no frame: it tells memory and the
    thread's own copies alone, of the thread of *view*, without one of the current one."""
    thread = view.thread if isinstance(view, PhysicalFrameView) else system.thread
    # No frame has a register.
    nowhere = Frame(module.base, 0, None, {}, FrameTrust.SCAN, False, None, False, "")
    return PhysicalFrameView(system, nowhere, thread)


class PhysicalFrameView:
    """A :class:`~polydbg.types.source.FrameView` of one unwound frame."""

    def __init__(self, system: System, frame: Frame, thread: ThreadInfo | None) -> None:
        self._system = system
        self._frame = frame
        self.thread = thread
        self._module = system.modules.at(frame.lookup_pc)

    @property
    def machine(self) -> str:
        return self._system.machine

    @property
    def memory(self) -> Memory:
        return self._system.memory

    @property
    def module_base(self) -> int:
        return self._module.base if self._module is not None else 0

    @property
    def types(self) -> TypeSource | None:
        return self._system.modules.symbols(self._module) if self._module is not None else None

    @property
    def rva(self) -> int:
        return self._frame.lookup_pc - self.module_base

    # -- registers -------------------------------------------------------------------------

    @property
    def _registers(self) -> Mapping[str, int]:
        return self._frame.registers

    @cached_property
    def _processor(self) -> Processor | None:
        machine = self.machine
        return processor(machine) if is_unwound(machine) else None

    def register(self, name: str) -> int:
        value = self._known(name)
        if value is None:
            raise ValueUnavailableError(f"register {name} was not kept in this frame")
        return value

    def _known(self, name: str) -> int | None:
        value = self._registers.get(name)
        if value is None:
            part = sub_register(name, self._registers)
            whole = self._registers.get(part.parent) if part is not None else None
            value = part.extract(whole) if part is not None and whole is not None else None
        return value

    def register_by_number(self, number: int) -> tuple[str, int]:
        name = self._name_of(number)
        if not name:
            raise ValueUnavailableError(f"register {number} of DWARF is not known")
        for wider in _wider_names(name):
            # Values may be as wide as the processor's whole register.
            value = self._registers.get(wider)
            if value is not None:
                return wider, value
        return name, self.register(name)

    def _name_of(self, number: int) -> str:
        if self._processor is not None and number in self._processor.names:
            return self._processor.names[number]
        first = _X87.get(self.machine)
        if first is not None and first <= number < first + _X87_COUNT:
            return f"st{number - first}"
        for prefix, start, count in _WIDER.get(self.machine, ()):
            if start <= number < start + count:
                return f"{prefix}{number - start + (16 if prefix == 'xmm' else 0)}"
        return ""

    # -- frame addresses -------------------------------------------------------------------

    @cached_property
    def _callee(self) -> Callee:
        system = self._system
        callee = callee_of(self._frame, system.machine, system.byte_order)
        if callee is None:
            raise ValueUnavailableError("stacks of this processor are not known")
        return callee

    def cfa(self) -> int:
        found = self._cfa_by_rules()
        return found if found is not None else self._cfa_by_caller()

    def _cfa_by_rules(self) -> int | None:
        """Return what the module's call frame rules say, ``None`` where it has none here."""
        view = unwind_view(self._system)
        found = view.call_frames_at(self._frame.lookup_pc)
        if found is None:
            return None
        from polydbg.unwind.dwarf_frame import frame_address

        base, frames = found
        try:
            rules = frames.rules_at(self._frame.lookup_pc - base)
            if rules is None or rules.is_signal_frame:
                return None
            return frame_address(rules, self._callee, view.memory)
        except DebuggerError as error:
            raise ValueUnavailableError(f"the frame's address: {error.message}") from error

    def _cfa_by_caller(self) -> int:
        caller_sp = self._frame.caller_sp
        if caller_sp is None or self._frame.machine_frame:
            raise ValueUnavailableError("the frame's address is not known")
        caller = self._caller_frame
        if caller is None or caller.trust.is_guess or self._processor is None:
            raise ValueUnavailableError("the frame's address is a guess")
        return caller_sp + self._processor.sp_bias

    def virtual_frame(self) -> int:
        if self.machine != "x86":
            raise ValueUnavailableError("only x86 has virtual frames")
        from polydbg.unwind.x86_frames import virtual_frame

        try:
            return virtual_frame(self._callee, unwind_view(self._system))
        except DebuggerError as error:
            raise ValueUnavailableError(error.message) from error

    # -- other frames and memory -----------------------------------------------------------

    @cached_property
    def _caller_frame(self) -> Frame | None:
        system = self._system
        return next(callers_of(unwind_view(system), self._frame, 1, system.machine), None)

    def caller(self) -> PhysicalFrameView:
        return self._caller

    @cached_property
    def _caller(self) -> PhysicalFrameView:
        if self._frame.machine_frame:
            raise ValueUnavailableError("the caller's frame did not call, it was interrupted")
        caller = self._caller_frame
        if caller is None or not caller.pc:
            raise ValueUnavailableError("the frame has no caller")
        if caller.trust.is_guess or caller.follows_guess:
            raise ValueUnavailableError("the caller's frame is a guess")
        return PhysicalFrameView(self._system, caller, self.thread)

    def thread_local(self, module_base: int, offset: int) -> int:
        from polydbg.engine.thread_local import thread_local_address

        module = self._system.modules.at(module_base)
        if module is None:
            raise ValueUnavailableError("the variable's module is not known")
        return thread_local_address(self._system, self.thread, module, offset)


def _wider_names(name: str) -> tuple[str, ...]:
    """Return what whole registers are called whose lower part *name* is, the widest first."""
    if name.startswith("xmm"):
        return "zmm" + name[3:], "ymm" + name[3:]
    if name[0] == "d" and name[1:].isdigit():
        return ("v" + name[1:],)
    return ()
