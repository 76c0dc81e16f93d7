"""Gives expressions their names: registers, pseudo-registers, symbols, memory of the scope."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from polydbg.arch.registers import (
    FLAGS,
    PROGRAM_COUNTERS,
    STACK_POINTERS,
    program_counter,
    sub_register,
)
from polydbg.base.errors import DebuggerError, ExpressionError
from polydbg.engine.line_search import address_of_line, search_groups
from polydbg.engine.modules import Module
from polydbg.memory.space import ByteOrder
from polydbg.types.source import VariableKind

if TYPE_CHECKING:
    from polydbg.engine.cpp_scope import CppScope
    from polydbg.engine.session import Session, System
    from polydbg.types.value import Value

_EPOCH_1601 = 116_444_736_000_000_000


class Evaluator:
    """The context that the MASM evaluator asks; see :class:`polydbg.expr.context`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.user_registers = [0] * 20  # $t0..$t19
        self.typed_registers: dict[str, Value] = {}  # those of $t0..$t19 that r? gave a type
        self.last_value = 0  # $exp
        self.last_dumped = 0  # $p
        self.last_returned = 0  # $extret: what !list is at

    @property
    def radix(self) -> int:
        return self._session.settings.radix

    @property
    def pointer_size(self) -> int:
        return self._session.current.pointer_size if self._session.has_target else 8

    def register(self, name: str) -> int | None:
        """Return a register of the context in force, a part of one, or a flag."""
        if not self._session.has_target:
            return None
        return register_value(self._session.current.scope_registers(), name)

    def pseudo_register(self, name: str) -> int | None:
        """Return ``$name``; ``None`` when this session cannot say."""
        name = name.lower()
        if name.startswith("$t") and name[2:].isdigit() and int(name[2:]) < 20:
            return self.user_registers[int(name[2:])]
        if name == "$exp":
            return self.last_value
        if name == "$p":
            return self.last_dumped
        if name == "$extret":
            return self.last_returned
        if name == "$dbgtime":
            return time.time_ns() // 100 + _EPOCH_1601
        if not self._session.has_target:
            return None
        getter = _PSEUDO.get(name)
        if getter is None:
            return _exception_part(self._session.current, name)
        return getter(self._session.current, self._session)

    def symbol(self, name: str) -> int | None:
        """Return the address of ``mod!name``, ``name`` or of the module ``mod``."""
        if not self._session.has_target:
            return None
        modules = self._session.current.modules
        if "!" not in name or name.startswith("$!"):
            local = self._local(name.removeprefix("$!"))
            if local is not None or name.startswith("$!"):
                return local
        if "!" in name:
            module_name, _, symbol = name.partition("!")
            module = modules.named(module_name)
            return self._symbol_in(module, symbol, True) if module else None
        here = self._module_here()
        for module in self._session.current.types.in_order(here):
            if (found := self._symbol_in(module, name, module is here)) is not None:
                return found
        if module := modules.named(name):
            return module.base
        return None

    def _module_here(self) -> Module | None:
        """Return the module of the selected frame; of the innermost one no walk is needed."""
        session, system = self._session, self._session.current
        if not system.scope.frame:
            return system.modules.at(system.pc or 0)
        frame = session.current_frame(session.files.cancel)
        return system.modules.at(frame.frame.lookup_pc) if frame is not None else None

    def _local(self, name: str) -> int | None:
        """Return the address of a variable of the selected frame, ``None`` if it has none of that
        name.

        :raises ExpressionError: it has no address.
        """
        if not self._session.current.thread or not self._may_be_local(name):
            return None
        found = self.cpp_scope.local(name)
        if found is None or found.address is not None:
            return found.address if found is not None else None
        raise ExpressionError(
            f"{name} is not in memory, so it has no address here",
            hint=f"?? {name} shows its value; @@c++({name}) uses it in an expression",
            identifier="value.not-in-memory",
        )

    def _may_be_local(self, name: str) -> bool:
        """Tell whether a variable of that name is in scope where the thread stands: to know that
        takes no walk over the stack, which loads the files of other modules."""
        system = self._session.current
        if not name.isidentifier():
            return False
        if system.scope.frame or system.scope.origin is not None:
            return True
        pc = system.pc
        module = system.modules.at(pc) if pc is not None else None
        source = system.modules.symbols(module) if module is not None else None
        if pc is None or module is None or source is None:
            return False
        try:
            scopes = source.scopes_at(pc - module.base)
        except DebuggerError:
            return False
        return any(each.name == name for scope in scopes for each in scope.variables)

    @property
    def cpp_scope(self) -> CppScope:
        """Return what names mean in C++ expressions now."""
        from polydbg.engine.cpp_scope import CppScope

        return CppScope(self._session)

    def evaluate_cpp(
        self,
        text: str,
        position: int = 0,
        *,
        end: int | None = None,
        blamed: int | None = None,
    ) -> tuple[int, int]:
        """Return the value of the C++ expression at *position* as 64 bits, and where it ends; see
        :func:`polydbg.expr.cpp.evaluator.evaluate_number`."""
        from polydbg.expr.cpp.evaluator import evaluate_number

        return evaluate_number(text, position, self.cpp_scope, end=end, blamed=blamed)

    def function_succeeded(self, function: int, value: int, flag: int) -> bool | None:
        """Say what ``$fnsucc`` asks; see :mod:`polydbg.engine.return_values`."""
        from polydbg.engine.return_values import is_success

        return is_success(self._session.current, function, value, bool(flag))

    def _symbol_in(self, module: Module, name: str, with_thread: bool) -> int | None:
        """Return the address of a symbol of *module*; *with_thread*: also of a variable that each
        thread has, for which debug information may have to be searched."""
        source = self._session.current.modules.symbols(module)
        if source is None:
            return None
        cancel = self._session.files.cancel
        try:
            symbol = source.symbol_named(name, cancel)
            variable = None
            if symbol is None and with_thread:
                variable = source.global_named(name, cancel)
        except DebuggerError:
            return None
        if variable is None or variable.kind is not VariableKind.THREAD:
            return module.base + symbol.rva if symbol is not None else None
        from polydbg.engine.variables import current_view, global_value

        # Each thread has its own: the selected one's is meant.
        view = current_view(self._session)
        return global_value(self._session.current, module, variable, view).address

    def source_line(self, text: str) -> int | None:
        """Return the address of ``[mod!]file:line``."""
        module_name, bang, rest = text.rpartition("!")
        file, colon, number = rest.rpartition(":")
        if not colon or not number.strip().isdigit():
            return None
        modules, cancel = self._session.current.modules, self._session.files.cancel
        if bang and (only := modules.named(module_name)):
            return address_of_line(modules, [only], file, int(number), cancel)
        pc = program_counter(self._session.current.scope_registers()) or 0
        for group in search_groups(modules, file, modules.at(pc)):
            # Most modules do not have the line, so that some have no symbols is no news.
            with self._session.files.notices.quietly():
                found = address_of_line(modules, group, file, int(number), cancel)
            if found is not None:
                return found
        return None

    def read_memory(self, address: int, size: int) -> bytes:
        return self._session.current.memory.read(address, size)

    @property
    def byte_order(self) -> ByteOrder:
        return self._session.current.byte_order

    def module_entry(self, base: int) -> int | None:
        modules = self._session.current.modules
        module = modules.at(base)
        image = modules.image(module) if module and module.base == base else None
        return base + image.entry_point if image and image.entry_point is not None else None


def register_value(registers: Mapping[str, int], name: str) -> int | None:
    """Return a register, a part of one (``eax``, ``r8d``) or a flag (``zf``) by name."""
    name = name.lower()
    value = registers.get(name)
    if value is not None:
        return value
    if part := sub_register(name, registers):
        whole = registers.get(part.parent)
        return None if whole is None else part.extract(whole)
    if flag := FLAGS.get(name):
        efl = registers.get("efl")
        return None if efl is None else (efl >> flag.shift) & ((1 << flag.bits) - 1)
    return None


def _register(*names: str) -> Callable[[System, Session], int | None]:
    """Return a getter of the first of *names* that the processor has."""

    def get(system: System, session: Session) -> int | None:
        registers = system.scope_registers()
        values = (register_value(registers, name) for name in names)
        return next((value for value in values if value is not None), None)

    return get


def _frame_part(part: str) -> Callable[[System, Session], int | None]:
    def get(system: System, session: Session) -> int | None:
        frame = session.current_frame(session.files.cancel)
        if frame is None:
            return None
        return frame.frame.pc if part == "pc" else frame.frame.return_address

    return get


def _thread_teb(system: System, session: Session) -> int | None:
    return system.thread.teb if system.thread else None


def _process_peb(system: System, session: Session) -> int | None:
    from polydbg.engine.windows_process import peb

    try:
        return peb(system).address
    except DebuggerError:
        return None


def _event_ip(system: System, session: Session) -> int | None:
    thread = system.event_thread
    return program_counter(system.thread_registers(thread)) if thread else None


def _entry(system: System, session: Session) -> int | None:
    for module in system.modules.modules:
        if module.info.file_name.lower().endswith(".exe"):
            image = system.modules.pe_image(module)
            return module.base + image.entry_point if image else None
    return None


_PSEUDO: dict[str, Callable[[System, Session], int | None]] = {
    "$ip": _register(*PROGRAM_COUNTERS),
    "$csp": _register(*STACK_POINTERS),
    "$retreg": _register("rax", "eax", "x0"),
    "$retreg64": _register("rax"),
    "$ra": _frame_part("ra"),
    "$scopeip": _frame_part("pc"),
    "$frame": lambda system, session: system.scope.frame,
    "$eventip": _event_ip,
    "$previp": _event_ip,
    "$exentry": _entry,
    "$teb": _thread_teb,
    "$peb": _process_peb,
    "$thread": _thread_teb,
    "$tid": lambda system, session: system.thread.id if system.thread else None,
    "$tpid": lambda system, session: system.target.process_id,
    "$dtid": lambda system, session: system.thread.ordinal if system.thread else None,
    "$dpid": lambda system, session: 0,
    "$dsid": lambda system, session: system.ordinal,
    "$ptrsize": lambda system, session: system.pointer_size,
    "$pagesize": lambda system, session: 0x1000,
}


def _exception_part(system: System, name: str) -> int | None:
    """Return ``$exr_code``, ``$exr_numparams``, ``$exr_paramN`` of the event."""
    event = system.target.event()
    if event is None or not name.startswith("$exr_"):
        return None
    record, part = event.exception, name[5:]
    if part == "code":
        return record.code
    if part == "numparams":
        return len(record.parameters)
    if part.startswith("param") and part[5:].isdigit():
        index = int(part[5:])
        return record.parameters[index] if index < len(record.parameters) else None
    return None
