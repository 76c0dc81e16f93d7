"""Signals of Linux, Android and the BSDs in words: what they are, who sent them.

Facts: ``sigaction(2)``. A record's code is the signal, its flags are ``si_code`` and its address is
``si_addr``. Old writers of Breakpad store no ``si_code`` (0), cores without a ``siginfo_t`` neither
that nor an address. Crashpad, as our reader of cores, gives no address to a signal that has none,
but the sender's process, user and value as parameters; Breakpad stores ``si_addr`` all the same,
where the sender's process and user lie then.
"""

from __future__ import annotations

import msgspec

from polydbg.engine.exceptions.signal_tables import SignalTables
from polydbg.targets.target import ExceptionRecord

DUMP_REQUESTED = 0xFFFFFFFF
"""The code of a dump that was asked for, without a crash (Breakpad and Crashpad)."""

FAULTS = frozenset({"SIGILL", "SIGFPE", "SIGSEGV", "SIGBUS", "SIGTRAP", "SIGSYS", "SIGEMT"})
"""Signals for which ``si_addr`` is an address, unless a process sent them."""

_MEANINGS = {
    "SEGV_MAPERR": "nothing is mapped at the address",
    "SEGV_ACCERR": "the mapping does not permit the access",
    "SEGV_BNDERR": "a bounds check failed",
    "SEGV_PKUERR": "a protection key denies the access",
    "SEGV_MTEAERR": "memory tags differ (reported late: the address is not known)",
    "SEGV_MTESERR": "memory tags differ",
    "SEGV_CPERR": "a return or indirect branch breaks control-flow protection",
    "BUS_ADRALN": "the address is not aligned",
    "BUS_ADRERR": "no storage behind the address: mostly past the end of a mapped file",
    "BUS_OBJERR": "the hardware reports an error",
    "BUS_OOMERR": "no memory was left for the page",
    "BUS_MCEERR_AR": "a memory error was consumed",
    "BUS_MCEERR_AO": "a memory error was found",
    "FPE_INTDIV": "integer divided by zero, or the quotient does not fit",
    "FPE_INTOVF": "integer overflow",
    "FPE_FLTDIV": "floating-point number divided by zero",
    "ILL_ILLOPC": "illegal opcode",
    "ILL_ILLOPN": "illegal operand",
    "ILL_PRVOPC": "privileged opcode",
    "ILL_PRVREG": "privileged register",
    "ILL_BADSTK": "internal stack error",
    "TRAP_BRKPT": "a breakpoint",
    "TRAP_TRACE": "a single step",
    "TRAP_HWBKPT": "a hardware breakpoint or watchpoint",
    "SYS_SECCOMP": "a seccomp filter denies the system call",
}


class Sender(msgspec.Struct, frozen=True):
    """The process and the user that sent a signal."""

    process_id: int
    user_id: int


def signal_name(code: int, tables: SignalTables) -> str | None:
    """Return ``SIGSEGV`` for signal *code*, ``SIGRT_2`` for a real-time one."""
    first, last = tables.realtime
    if first <= code <= last:
        return f"SIGRT_{code - first}"
    return tables.names.get(code)


def signed_code(flags: int) -> int:
    """Return ``si_code``, a signed number, from the unsigned field that holds it."""
    return flags - (1 << 32) if flags >= 1 << 31 else flags


def code_name(name: str, flags: int, tables: SignalTables) -> str:
    """Return the name of the ``si_code`` in *flags* for signal *name*, ``""`` if it has none."""
    code = signed_code(flags)
    return tables.general.get(code) or tables.codes.get(name, {}).get(code, "")


def has_no_code(record: ExceptionRecord) -> bool:
    """Return whether 0 may mean that no ``si_code`` was stored rather than what the system means
    by it.

    Crashpad, which always stores it, gives parameters to signals that processes send.
    """
    return not record.flags and not record.parameters


def fault_address(name: str, record: ExceptionRecord, tables: SignalTables) -> int | None:
    """Return the address of a fault; ``None`` for signals that have none or were sent, and where
    none is stored.

    Linux's kernel gives 0 with ``SI_KERNEL``: that is no address either.
    """
    if name not in FAULTS:
        return None
    general = tables.general.get(signed_code(record.flags), "")
    if has_no_code(record) or not general:
        return record.address
    return record.address or None if general == "SI_KERNEL" else None


def sender(
    name: str, record: ExceptionRecord, pointer_size: int, tables: SignalTables
) -> Sender | None:
    """Return who sent the signal, ``None`` if the kernel did or the dump does not say.

    A signal that no fault raises is taken for sent where no ``si_code`` is stored.
    """
    if has_no_code(record) and (name in FAULTS or tables.general.get(0) != "SI_USER"):
        return None
    if signed_code(record.flags) not in tables.by_process:
        return None
    if len(record.parameters) >= 2:
        process, user = record.parameters[:2]
        return Sender(process & 0xFFFFFFFF, user & 0xFFFFFFFF)
    # si_pid and si_uid share their place with si_addr; a 32-bit address holds only the former.
    if not record.address or pointer_size != 8:
        return None
    return Sender(record.address & 0xFFFFFFFF, record.address >> 32)


def meaning_text(
    name: str, record: ExceptionRecord, pointer_size: int, tables: SignalTables
) -> str:
    """Return in words what ``si_code`` says of the signal, or ``""``."""
    if has_no_code(record) and name in FAULTS:
        return "No si_code is stored, or a process sent the signal (SI_USER)"
    if found := sender(name, record, pointer_size, tables):
        return f"Sent by process {found.process_id:x}, user 0n{found.user_id}"
    code = code_name(name, record.flags, tables)
    if code == "SI_KERNEL" and name == "SIGSEGV" and not record.address:
        return "The kernel knows no address: mostly one that is not canonical"
    if name == "SIGSYS" and record.parameters:
        return f"System call 0n{record.parameters[0] & 0xFFFFFFFF}"
    return _MEANINGS.get(code, "").capitalize()
