"""Signals of Linux and Android: their names, the names of ``si_code``, who sent them.

Facts: ``signal(7)`` and ``sigaction(2)``, the kernel's ``asm-generic/siginfo.h`` and
``arch/mips/include/uapi/asm/signal.h``. Breakpad and Crashpad store the signal as the exception's
code, ``si_code`` as its flags and ``si_addr`` as its address; old writers of Breakpad store no
``si_code`` (0). Crashpad stores no address for a signal that has none, but the sender's process,
user and value as parameters; Breakpad stores ``si_addr`` all the same, where the sender's process
and user lie then.
"""

from __future__ import annotations

import msgspec

from polydbg.targets.target import ExceptionRecord

DUMP_REQUESTED = 0xFFFFFFFF
"""The code of a dump that was asked for, without a crash (Breakpad and Crashpad)."""

FAULTS = frozenset({"SIGILL", "SIGFPE", "SIGSEGV", "SIGBUS", "SIGTRAP", "SIGSYS", "SIGEMT"})
"""Signals for which ``si_addr`` is an address, unless a process sent them."""

SI_USER = 0
SI_KERNEL = 0x80


def _numbered(names: str) -> dict[int, str]:
    return dict(enumerate(names.split(), 1))


_NAMES = _numbered(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 "
    "SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG "
    "SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS"
)
_MIPS_NAMES = _numbered(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGEMT SIGFPE SIGKILL SIGBUS SIGSEGV SIGSYS "
    "SIGPIPE SIGALRM SIGTERM SIGUSR1 SIGUSR2 SIGCHLD SIGPWR SIGWINCH SIGURG SIGIO SIGSTOP SIGTSTP "
    "SIGCONT SIGTTIN SIGTTOU SIGVTALRM SIGPROF SIGXCPU SIGXFSZ"
)
_FIRST_REALTIME, _LAST_REALTIME = 32, 64

_CODES = {
    "SIGILL": _numbered(
        "ILL_ILLOPC ILL_ILLOPN ILL_ILLADR ILL_ILLTRP ILL_PRVOPC ILL_PRVREG ILL_COPROC ILL_BADSTK "
        "ILL_BADIADDR"
    ),
    "SIGFPE": _numbered(
        "FPE_INTDIV FPE_INTOVF FPE_FLTDIV FPE_FLTOVF FPE_FLTUND FPE_FLTRES FPE_FLTINV FPE_FLTSUB"
    )
    | {14: "FPE_FLTUNK", 15: "FPE_CONDTRAP"},
    "SIGSEGV": _numbered(
        "SEGV_MAPERR SEGV_ACCERR SEGV_BNDERR SEGV_PKUERR SEGV_ACCADI SEGV_ADIDERR SEGV_ADIPERR "
        "SEGV_MTEAERR SEGV_MTESERR SEGV_CPERR"
    ),
    "SIGBUS": _numbered("BUS_ADRALN BUS_ADRERR BUS_OBJERR BUS_MCEERR_AR BUS_MCEERR_AO"),
    "SIGTRAP": _numbered("TRAP_BRKPT TRAP_TRACE TRAP_BRANCH TRAP_HWBKPT TRAP_UNK TRAP_PERF"),
    "SIGSYS": _numbered("SYS_SECCOMP SYS_USER_DISPATCH"),
    "SIGCHLD": _numbered("CLD_EXITED CLD_KILLED CLD_DUMPED CLD_TRAPPED CLD_STOPPED CLD_CONTINUED"),
    "SIGIO": _numbered("POLL_IN POLL_OUT POLL_MSG POLL_ERR POLL_PRI POLL_HUP"),
    "SIGEMT": _numbered("EMT_TAGOVF"),
}
_SENT = {
    SI_USER: "SI_USER",
    -1: "SI_QUEUE",
    -2: "SI_TIMER",
    -3: "SI_MESGQ",
    -4: "SI_ASYNCIO",
    -5: "SI_SIGIO",
    -6: "SI_TKILL",
    -7: "SI_DETHREAD",
    -60: "SI_ASYNCNL",
}
_BY_PROCESS = frozenset({SI_USER, -1, -3, -6})
"""Values of ``si_code`` with which a process is named as the sender."""

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


def signal_name(code: int, arch: str) -> str | None:
    """Return ``SIGSEGV`` for signal *code*, ``SIGRT_2`` for a real-time one; *arch* matters."""
    if _FIRST_REALTIME <= code <= _LAST_REALTIME:
        return f"SIGRT_{code - _FIRST_REALTIME}"
    return (_MIPS_NAMES if arch.startswith("mips") else _NAMES).get(code)


def signed_code(flags: int) -> int:
    """Return ``si_code``, a signed number, from the unsigned field that holds it."""
    return flags - (1 << 32) if flags >= 1 << 31 else flags


def code_name(name: str, flags: int) -> str:
    """Return the name of the ``si_code`` in *flags* for signal *name*, ``""`` if it has none."""
    code = signed_code(flags)
    if code <= 0:
        return _SENT.get(code, "")
    return "SI_KERNEL" if code == SI_KERNEL else _CODES.get(name, {}).get(code, "")


def has_no_code(record: ExceptionRecord) -> bool:
    """Return whether 0 may mean that no ``si_code`` was stored rather than ``SI_USER``.

    Crashpad, which always stores it, gives parameters to signals that processes send.
    """
    return not record.flags and not record.parameters


def fault_address(name: str, record: ExceptionRecord) -> int | None:
    """Return the address of a fault; ``None`` for signals that have none or were sent.

    The kernel gives 0 with ``SI_KERNEL``: that is no address either.
    """
    code = signed_code(record.flags)
    if name not in FAULTS or code < 0 or (code == SI_KERNEL and not record.address):
        return None
    return record.address


def sender(name: str, record: ExceptionRecord, pointer_size: int) -> Sender | None:
    """Return who sent the signal, ``None`` if the kernel did or the dump does not say.

    A signal that no fault raises is taken for sent where no ``si_code`` is stored.
    """
    if signed_code(record.flags) not in _BY_PROCESS or (has_no_code(record) and name in FAULTS):
        return None
    if name not in FAULTS and len(record.parameters) >= 2:
        process, user = record.parameters[:2]
        return Sender(process & 0xFFFFFFFF, user & 0xFFFFFFFF)
    # si_pid and si_uid share their place with si_addr; a 32-bit address holds only the former.
    if not record.address or pointer_size != 8:
        return None
    return Sender(record.address & 0xFFFFFFFF, record.address >> 32)


def meaning_text(name: str, record: ExceptionRecord, pointer_size: int) -> str:
    """Return in words what ``si_code`` says of the signal, or ``""``."""
    if has_no_code(record) and name in FAULTS:
        return "No si_code is stored, or a process sent the signal (SI_USER)"
    if found := sender(name, record, pointer_size):
        return f"Sent by process {found.process_id:x}, user 0n{found.user_id}"
    code = code_name(name, record.flags)
    if code == "SI_KERNEL" and name == "SIGSEGV" and not record.address:
        return "The kernel knows no address: mostly one that is not canonical"
    if name == "SIGSYS" and record.parameters:
        return f"System call 0n{record.parameters[0] & 0xFFFFFFFF}"
    return _MEANINGS.get(code, "").capitalize()
