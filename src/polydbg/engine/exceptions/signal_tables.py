"""The numbers of signals and of ``si_code``, which each system, and on Linux some processors, give
out anew.

Facts: ``signal(7)`` and ``sigaction(2)`` of Linux, the kernel's ``asm-generic/siginfo.h``;
``signal(3)``, ``siginfo(3)``, ``<sys/signal.h>`` and ``<sys/siginfo.h>`` of FreeBSD, NetBSD and
OpenBSD.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec


class SignalTables(msgspec.Struct, frozen=True):
    """*names* by number and the *realtime* range (first, last); *codes* by name of the signal are
    those of faults, *general* those of any signal; *by_process* are those of *general* with which a
    process is named as the sender."""

    names: Mapping[int, str]
    realtime: tuple[int, int]
    codes: Mapping[str, Mapping[int, str]]
    general: Mapping[int, str]
    by_process: frozenset[int]


def _numbered(names: str) -> dict[int, str]:
    return dict(enumerate(names.split(), 1))


_LINUX_NAMES = _numbered(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 "
    "SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG "
    "SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS"
)
_MIPS_NAMES = _numbered(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGEMT SIGFPE SIGKILL SIGBUS SIGSEGV SIGSYS "
    "SIGPIPE SIGALRM SIGTERM SIGUSR1 SIGUSR2 SIGCHLD SIGPWR SIGWINCH SIGURG SIGIO SIGSTOP SIGTSTP "
    "SIGCONT SIGTTIN SIGTTOU SIGVTALRM SIGPROF SIGXCPU SIGXFSZ"
)
_PARISC_NAMES = _numbered(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGSTKFLT SIGFPE SIGKILL SIGBUS SIGSEGV SIGXCPU "
    "SIGPIPE SIGALRM SIGTERM SIGUSR1 SIGUSR2 SIGCHLD SIGPWR SIGVTALRM SIGPROF SIGIO SIGWINCH "
    "SIGSTOP SIGTSTP SIGCONT SIGTTIN SIGTTOU SIGURG SIGXFSZ SIGSYS"
)
_BSD_NAMES = _numbered(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGEMT SIGFPE SIGKILL SIGBUS SIGSEGV SIGSYS "
    "SIGPIPE SIGALRM SIGTERM SIGURG SIGSTOP SIGTSTP SIGCONT SIGCHLD SIGTTIN SIGTTOU SIGIO SIGXCPU "
    "SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGINFO SIGUSR1 SIGUSR2"
)
_SPARC_NAMES = _BSD_NAMES | {29: "SIGPWR"}  # Alpha's are the same

_ILL = "ILL_ILLOPC ILL_ILLOPN ILL_ILLADR ILL_ILLTRP ILL_PRVOPC ILL_PRVREG ILL_COPROC ILL_BADSTK"
_FPE = "FPE_INTDIV FPE_INTOVF FPE_FLTDIV FPE_FLTOVF FPE_FLTUND FPE_FLTRES FPE_FLTINV FPE_FLTSUB"
_COMMON_CODES = {
    "SIGILL": _numbered(_ILL),
    "SIGFPE": _numbered(_FPE),
    "SIGSEGV": _numbered("SEGV_MAPERR SEGV_ACCERR"),
    "SIGBUS": _numbered("BUS_ADRALN BUS_ADRERR BUS_OBJERR"),
    "SIGTRAP": _numbered("TRAP_BRKPT TRAP_TRACE"),
    "SIGCHLD": _numbered("CLD_EXITED CLD_KILLED CLD_DUMPED CLD_TRAPPED CLD_STOPPED CLD_CONTINUED"),
    "SIGIO": _numbered("POLL_IN POLL_OUT POLL_MSG POLL_ERR POLL_PRI POLL_HUP"),
    "SIGEMT": _numbered("EMT_TAGOVF"),
}
_LINUX_CODES = {
    **_COMMON_CODES,
    "SIGILL": _numbered(f"{_ILL} ILL_BADIADDR"),
    "SIGFPE": {**_numbered(_FPE), 14: "FPE_FLTUNK", 15: "FPE_CONDTRAP"},
    "SIGSEGV": _numbered(
        "SEGV_MAPERR SEGV_ACCERR SEGV_BNDERR SEGV_PKUERR SEGV_ACCADI SEGV_ADIDERR SEGV_ADIPERR "
        "SEGV_MTEAERR SEGV_MTESERR SEGV_CPERR"
    ),
    "SIGBUS": _numbered("BUS_ADRALN BUS_ADRERR BUS_OBJERR BUS_MCEERR_AR BUS_MCEERR_AO"),
    "SIGTRAP": _numbered("TRAP_BRKPT TRAP_TRACE TRAP_BRANCH TRAP_HWBKPT TRAP_UNK TRAP_PERF"),
    "SIGSYS": _numbered("SYS_SECCOMP SYS_USER_DISPATCH"),
}
_LINUX_GENERAL = {
    0: "SI_USER",
    -1: "SI_QUEUE",
    -2: "SI_TIMER",
    -3: "SI_MESGQ",
    -4: "SI_ASYNCIO",
    -5: "SI_SIGIO",
    -6: "SI_TKILL",
    -7: "SI_DETHREAD",
    -60: "SI_ASYNCNL",
    0x80: "SI_KERNEL",
}
_FREEBSD_CODES = {
    **_COMMON_CODES,
    "SIGFPE": _numbered(_FPE.replace("FPE_INTDIV FPE_INTOVF", "FPE_INTOVF FPE_INTDIV"))
    | {9: "FPE_FLTIDO"},
    "SIGSEGV": {1: "SEGV_MAPERR", 2: "SEGV_ACCERR", 100: "SEGV_PKUERR"},
    "SIGBUS": {1: "BUS_ADRALN", 2: "BUS_ADRERR", 3: "BUS_OBJERR", 100: "BUS_OOMERR"},
    "SIGTRAP": _numbered("TRAP_BRKPT TRAP_TRACE TRAP_DTRACE TRAP_CAP"),
}
_FREEBSD_GENERAL = {
    0: "SI_NOINFO",
    0x10001: "SI_USER",
    0x10002: "SI_QUEUE",
    0x10003: "SI_TIMER",
    0x10004: "SI_ASYNCIO",
    0x10005: "SI_MESGQ",
    0x10006: "SI_KERNEL",
    0x10007: "SI_LWP",
}
_NETBSD_CODES = {
    **_COMMON_CODES,
    "SIGTRAP": _numbered(
        "TRAP_BRKPT TRAP_TRACE TRAP_EXEC TRAP_CHLD TRAP_LWP TRAP_DBREG TRAP_SCE TRAP_SCX"
    ),
}
_NETBSD_GENERAL = {
    0: "SI_USER",
    -1: "SI_QUEUE",
    -2: "SI_TIMER",
    -3: "SI_ASYNCIO",
    -4: "SI_MESGQ",
    -5: "SI_LWP",
    0x7FFF: "SI_NOINFO",
}
_OPENBSD_GENERAL = {0: "SI_USER", -1: "SI_LWP", -2: "SI_QUEUE", -3: "SI_TIMER"}
_SENDING = frozenset({"SI_USER", "SI_QUEUE", "SI_MESGQ", "SI_TKILL", "SI_LWP"})


@cache
def signal_tables(platform: str, arch: str) -> SignalTables:
    """Return the numbers of *platform*; Linux's, on *arch*, for systems without numbers here."""
    names, realtime = _linux_names(arch), (32, 64)
    codes: Mapping[str, Mapping[int, str]] = _LINUX_CODES
    general = _LINUX_GENERAL
    if platform == "freebsd":
        names, realtime = _BSD_NAMES | {32: "SIGTHR", 33: "SIGLIBRT"}, (65, 126)
        codes, general = _FREEBSD_CODES, _FREEBSD_GENERAL
    elif platform == "netbsd":
        names, realtime = _BSD_NAMES | {32: "SIGPWR"}, (33, 63)
        codes, general = _NETBSD_CODES, _NETBSD_GENERAL
    elif platform == "openbsd":
        names, realtime = _BSD_NAMES | {32: "SIGTHR"}, (0, -1)
        codes, general = _COMMON_CODES, _OPENBSD_GENERAL
    by_process = frozenset(code for code, name in general.items() if name in _SENDING)
    return SignalTables(names, realtime, codes, general, by_process)


def _linux_names(arch: str) -> dict[int, str]:
    if arch.startswith("mips"):
        return _MIPS_NAMES
    if arch.startswith(("parisc", "hppa")):
        return _PARISC_NAMES
    return _SPARC_NAMES if arch.startswith(("sparc", "alpha")) else _LINUX_NAMES
