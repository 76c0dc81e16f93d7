"""Threads that are stopped in Linux's futex call, by their registers and the code before them.

Facts: ``futex(2)`` and ``syscall(2)`` (which register has what, and the instruction); the numbers
are those of each processor's ``unistd.h``. x86 keeps the number of a call in a register of its own
for as long as the call lasts. Elsewhere a thread that a signal takes out of a call is set back to
the instruction that makes it, so that one is looked for at the program counter and before it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from polydbg.arch.registers import program_counter
from polydbg.engine.session import System
from polydbg.targets.target import ThreadInfo

_PRIVATE, _REALTIME = 0x80, 0x100
_WAIT, _LOCK_PI, _WAIT_BITSET, _WAIT_REQUEUE_PI, _LOCK_PI2 = 0, 6, 9, 11, 13
_NAMES = {
    _WAIT: "FUTEX_WAIT",
    _LOCK_PI: "FUTEX_LOCK_PI",
    _WAIT_BITSET: "FUTEX_WAIT_BITSET",
    _WAIT_REQUEUE_PI: "FUTEX_WAIT_REQUEUE_PI",
    _LOCK_PI2: "FUTEX_LOCK_PI2",
}
_PI = frozenset({_LOCK_PI, _LOCK_PI2})
_RESTARTS = frozenset({-512, -513, -514, -516})  # ERESTARTSYS and its like
_LOADS_NUMBER = b"\xb8\xca\0\0\0"  # mov eax,202
_LOADED_BEFORE = 24


class _Convention(msgspec.Struct, frozen=True):
    """*numbers* of the call, the register with the number (``""`` where the instruction has it),
    its first three arguments, and the instructions that make calls. *is_kept*: the register holds
    the number only during a call."""

    numbers: frozenset[int]
    number: str
    arguments: tuple[str, str, str]
    instructions: tuple[bytes, ...]
    is_kept: bool = False


#: Of s390 the instruction is read with the number of the call, 238, in it.
_CONVENTIONS: Mapping[str, _Convention] = {
    "amd64": _Convention(
        frozenset({202, 0x40000000 | 202}),
        "orig_rax",
        ("rdi", "rsi", "rdx"),
        (b"\x0f\x05",),
        is_kept=True,
    ),
    "x86": _Convention(
        frozenset({240, 422}),
        "orig_eax",
        ("ebx", "ecx", "edx"),
        (b"\xcd\x80", b"\x0f\x34", b"\x0f\x05"),
        is_kept=True,
    ),
    "arm64": _Convention(frozenset({98}), "x8", ("x0", "x1", "x2"), (b"\x01\x00\x00\xd4",)),
    "arm": _Convention(
        frozenset({240, 422}),
        "r7",
        ("orig_r0", "r1", "r2"),
        (b"\x00\x00\x00\xef", b"\x00\xdf"),
    ),
    "riscv64": _Convention(frozenset({98}), "a7", ("a0", "a1", "a2"), (b"\x73\x00\x00\x00",)),
    "ppc64": _Convention(
        frozenset({221}),
        "r0",
        ("orig_r3", "r4", "r5"),
        (b"\x44\x00\x00\x02", b"\x02\x00\x00\x44"),
    ),
    "ppc": _Convention(frozenset({221}), "r0", ("orig_r3", "r4", "r5"), (b"\x44\x00\x00\x02",)),
    "s390x": _Convention(frozenset(), "", ("orig_r2", "r3", "r4"), (b"\x0a\xee",)),
    "s390": _Convention(frozenset(), "", ("orig_r2", "r3", "r4"), (b"\x0a\xee",)),
}


class FutexCall(msgspec.Struct, frozen=True):
    """A wait for the 32-bit word at *address* to change from *expected*; *is_pi* of calls that
    take a lock whose word is its owner's id. *is_guess* where the code could not be read."""

    thread: ThreadInfo
    address: int
    operation: str
    expected: int
    is_pi: bool
    is_guess: bool


def futex_call(system: System, thread: ThreadInfo) -> FutexCall | None:
    """Return the futex call that *thread* waits in, ``None`` where it does not."""
    convention = _CONVENTIONS.get(system.target.arch)
    if convention is None:
        return None
    registers = system.target.registers(thread)
    pc = program_counter(registers)
    number = registers.get(convention.number)
    is_certain = number is not None or not convention.number
    if number is not None and number not in convention.numbers:
        return None
    if not is_certain and not _seems_to_wait(system, registers, pc):
        return None
    values = [registers.get(name) for name in convention.arguments]
    address, operation, expected = values
    if pc is None or address is None or operation is None or expected is None:
        return None
    operation &= ~(_PRIVATE | _REALTIME) & 0xFFFFFFFF
    if operation not in _NAMES or address % 4 or not address:
        return None
    made = _makes_call(system, convention, pc)
    if made is False or (made is None and not convention.number):
        return None
    return FutexCall(
        thread=thread,
        address=address,
        operation=_NAMES[operation],
        expected=expected & 0xFFFFFFFF,
        is_pi=operation in _PI,
        is_guess=not is_certain or (made is None and not convention.is_kept),
    )


def _seems_to_wait(system: System, registers: Mapping[str, int], pc: int | None) -> bool:
    """Tell whether a thread of x86-64 waits, of which the number of the call is not known (it is
    not in minidumps): the code before the call loads it, and the result is one that the kernel
    replaces before programs see it."""
    result = registers.get("rax", 0) - (1 << 64)
    if pc is None or system.target.arch != "amd64" or result not in _RESTARTS:
        return False
    return _LOADS_NUMBER in system.memory.read_some(pc - _LOADED_BEFORE, _LOADED_BEFORE)


def has_call_numbers(system: System) -> bool:
    """Tell whether the registers of threads say which call of the system they are in."""
    convention = _CONVENTIONS.get(system.target.arch)
    if convention is None:
        return False
    registers = (system.target.registers(thread) for thread in system.threads[:1])
    return not convention.number or any(convention.number in each for each in registers)


def _makes_call(system: System, convention: _Convention, pc: int) -> bool | None:
    """Tell whether a call is made right before *pc*, or there where calls are begun again;
    ``None`` where the code is not at hand."""
    is_read = False
    for code in convention.instructions:
        for at in (pc - len(code), *(() if convention.is_kept else (pc,))):
            data = system.memory.read_some(at, len(code))
            if data == code:
                return True
            is_read = is_read or len(data) == len(code)
    return False if is_read else None
