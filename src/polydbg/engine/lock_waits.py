"""Threads that wait in ``RtlEnterCriticalSection``, and for which section.

The section is the call's first argument. On x86 it lies on the stack. On x64 and ARM64 it was in a
volatile register that nobody restores: the instructions before the call say how it was made (an
address, or a register that calls keep); else it is looked for where the waiting functions may have
kept it, among the registers that they saved and the words of their frames: a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from polydbg.arch.disassembly import Disassembler, FlowKind, Instruction
from polydbg.base.cancel import CancelToken
from polydbg.engine.code import before, disassembler
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame, walk_stack
from polydbg.targets.target import ThreadInfo

MAX_THREADS = 4096
_DEPTH = 12  # rows: the waiting functions are the innermost ones
_SYSTEM = ("ntdll", "kernel32", "kernelbase", "verifier", "vrfcore", "wow64")
_WAITING = frozenset(
    (
        "RtlEnterCriticalSection",
        "RtlpEnterCriticalSectionContended",
        "RtlpWaitForCriticalSection",
        "RtlpWaitOnCriticalSection",
        "EnterCriticalSection",
    )
)
_MAX_STACK = 0x800  # bytes of the waiting functions' frames that are searched
_MAX_BEFORE = 12  # instructions before a call
_ARGUMENT = {"amd64": ("rcx", "ecx"), "arm64": ("x0", "w0")}
_ADDRESS = re.compile(r"\w+,\[(?:.*\()?([0-9a-f]{8}`[0-9a-f]{8})\)?\]$")
_BASED = re.compile(r"\w+,\[(\w+)(?:([+-])([0-9A-F]+)h?)?\]$", re.IGNORECASE)
_MOVED = re.compile(r"\w+,(\w+)$")


class SectionWait(msgspec.Struct, frozen=True):
    """*thread* waits for the section at *address*; *reason* says how that is known."""

    thread: ThreadInfo
    address: int
    is_guess: bool
    reason: str


def section_waits(
    system: System,
    is_contended: Callable[[int], bool],
    known: frozenset[int],
    cancel: CancelToken,
    progress: Callable[[str, int, int], None],
) -> list[SectionWait]:
    """Return the waits of the first 4096 threads.

    *is_contended* says whether what lies at an address is a section with waiters; *known* are
    those already found.
    """
    found = []
    threads = system.threads[:MAX_THREADS]
    for index, thread in enumerate(threads):
        progress("threads", index, len(threads))
        cancel.check()
        wait = _wait(system, thread, is_contended, known, cancel)
        if wait is not None:
            found.append(wait)
    return found


def _wait(
    system: System,
    thread: ThreadInfo,
    is_contended: Callable[[int], bool],
    known: frozenset[int],
    cancel: CancelToken,
) -> SectionWait | None:
    rows = _system_rows(system, thread, cancel)
    at = next((i for i in range(len(rows) - 1, -1, -1) if _is_waiting(rows[i])), None)
    if at is None:
        return _nameless(system, thread, rows, known)
    name = rows[at].place.base_text
    caller = rows[at + 1] if at + 1 < len(rows) else None
    address = _argument(system, rows[at], caller)
    if address is not None:
        doubtful = caller is not None and caller.trust.is_guess
        return SectionWait(thread, address, doubtful, f"argument of {name}")
    for address, where in _kept(system, rows[: at + 1]):
        if is_contended(address):
            return SectionWait(thread, address, True, f"{where} in {name}")
    return None


def _system_rows(system: System, thread: ThreadInfo, cancel: CancelToken) -> list[StackFrame]:
    """Return the innermost rows that lie in system modules, and the one that called them."""
    rows = []
    registers = system.thread_registers(thread)
    for row in walk_stack(system, registers, _DEPTH, cancel, inline=False):
        rows.append(row)
        if not row.place.module.lower().startswith(_SYSTEM):
            break
    return rows


def _is_waiting(row: StackFrame) -> bool:
    # A name with an offset as large as this is another function's without symbols.
    return (
        row.place.symbol.lstrip("_").split("@")[0] in _WAITING and row.place.displacement < 0x1000
    )


def _nameless(
    system: System, thread: ThreadInfo, rows: list[StackFrame], known: frozenset[int]
) -> SectionWait | None:
    """Look for a contended section in the registers of ntdll's frames: ntdll has no names."""
    if any(row.place.symbol for row in rows if _is_ntdll(row)):
        return None
    for row in rows:
        if not _is_ntdll(row):
            break
        for register, value in row.registers.items():
            if value in known:
                return SectionWait(thread, value, True, f"{register} in {row.place.text}")
    return None


def _is_ntdll(row: StackFrame) -> bool:
    # A second one, of a WOW64 process, has its base behind the name.
    return row.place.module.lower().partition("_")[0] == "ntdll"


def _argument(system: System, row: StackFrame, caller: StackFrame | None) -> int | None:
    """Return the first argument of the function of *row*, ``None`` where nothing proves it."""
    if system.machine == "x86":
        if row.frame.caller_sp is None:
            return None
        data = system.memory.read_some(row.frame.caller_sp, 4)
        return int.from_bytes(data, "little") if len(data) == 4 else None
    names = _ARGUMENT.get(system.machine)
    if names is None or caller is None or not caller.frame.is_return_address:
        return None
    start = caller.frame.pc - caller.place.displacement if caller.place.symbol else None
    decoder = disassembler(system.machine)
    rows = before(system.memory, decoder, caller.frame.pc, _MAX_BEFORE, lambda address: None, start)
    return argument_before(decoder, rows, names, caller.registers)


def argument_before(
    decoder: Disassembler,
    rows: list[Instruction],
    names: tuple[str, str],
    registers: Mapping[str, int],
) -> int | None:
    """Return what a register held at the call that ends *rows*, from how it was set.

    *names* are the register's names in both widths; *registers* those that calls keep, as they are
    in the caller. ``None`` where it came from memory, from an unknown register or across a jump.
    """
    changed: set[str] = set()
    for row in reversed(rows[:-1]):
        if decoder.flow(row).kind is not FlowKind.NEXT or not row.is_decoded:
            return None
        target = row.operands.split(",")[0].strip()
        if target in names:
            base, distance = _source(row)
            if base is None:
                return distance
            if base in changed or base not in registers or distance is None:
                return None
            return registers[base] + distance
        changed.add(target)
    return None


def _source(row: Instruction) -> tuple[str | None, int | None]:
    """Return the register and the distance that *row* adds up; ``(None, None)`` for neither."""
    operands = row.operands.replace(" ", "")
    if row.mnemonic == "lea":
        if match := _ADDRESS.match(operands):
            return None, int(match.group(1).replace("`", ""), 16)
        if match := _BASED.match(operands):
            distance = int(match.group(3) or "0", 16)
            return match.group(1), -distance if match.group(2) == "-" else distance
    if row.mnemonic == "mov" and (match := _MOVED.match(operands)):
        return match.group(1), 0
    return None, None


def _kept(system: System, rows: list[StackFrame]) -> Iterator[tuple[int, str]]:
    """Yield the values that the waiting functions' frames hold, the outermost frame's first."""
    size = system.pointer_size
    for row in reversed(rows):
        for register, value in row.registers.items():
            if value and not value % size:
                yield value, register
    low, high = rows[0].frame.sp, rows[-1].frame.caller_sp
    if high is None or high <= low:
        return
    # The four words of home space belong to the called function too.
    data = system.memory.read_some(low, min(high + 4 * size - low, _MAX_STACK))
    for at in range(0, len(data) - size + 1, size):
        value = int.from_bytes(data[at : at + size], "little")
        if value and not value % size:
            yield value, "a word of the stack"
