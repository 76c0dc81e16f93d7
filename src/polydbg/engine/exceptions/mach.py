"""Mach exceptions of macOS and iOS: types, the kernel's codes by processor, packed codes.

Facts: XNU's ``mach/exception_types.h``, ``mach/kern_return.h``, ``mach/i386/exception.h``,
``mach/arm/exception.h``, ``kern/exc_resource.h``, ``kern/exc_guard.h``; Breakpad's
``minidump_exception_mac.h``; Crashpad's ``util/mach/mach_extensions.h``. A dump's exception code is
the type and its flags the kernel's code; Crashpad adds type, code and subcode as parameters, and
for EXC_RESOURCE and EXC_GUARD its flags are the upper half of the 64-bit code.
"""

from __future__ import annotations

from polydbg.targets.target import ExceptionRecord

EXC_BAD_ACCESS = 1
EXC_SOFTWARE = 5
EXC_CRASH = 10
EXC_RESOURCE = 11
EXC_GUARD = 12
SIMULATED = 0x43507378
FROM_NS_EXCEPTION = 0x43506E78

TYPES = {
    1: "EXC_BAD_ACCESS",
    2: "EXC_BAD_INSTRUCTION",
    3: "EXC_ARITHMETIC",
    4: "EXC_EMULATION",
    5: "EXC_SOFTWARE",
    6: "EXC_BREAKPOINT",
    7: "EXC_SYSCALL",
    8: "EXC_MACH_SYSCALL",
    9: "EXC_RPC_ALERT",
    10: "EXC_CRASH",
    11: "EXC_RESOURCE",
    12: "EXC_GUARD",
    13: "EXC_CORPSE_NOTIFY",
    SIMULATED: "simulated exception of Crashpad",
    FROM_NS_EXCEPTION: "uncaught NSException",
}

_KERN = {
    1: "KERN_INVALID_ADDRESS",
    2: "KERN_PROTECTION_FAILURE",
    3: "KERN_NO_SPACE",
    4: "KERN_INVALID_ARGUMENT",
    5: "KERN_FAILURE",
    6: "KERN_RESOURCE_SHORTAGE",
    8: "KERN_NO_ACCESS",
    9: "KERN_MEMORY_FAILURE",
    10: "KERN_MEMORY_ERROR",
    50: "KERN_CODESIGN_ERROR",
}
_X86_FAULTS = {
    10: "EXC_I386_INVTSSFLT",
    11: "EXC_I386_SEGNPFLT",
    12: "EXC_I386_STKFLT",
    13: "EXC_I386_GPFLT",
    17: "EXC_I386_ALIGNFLT",
}
_X86 = {
    1: _KERN | {13: "EXC_I386_GPFLT"},
    2: _X86_FAULTS | {1: "EXC_I386_INVOP"},
    3: {
        1: "EXC_I386_DIV",
        2: "EXC_I386_INTO",
        3: "EXC_I386_NOEXT",
        4: "EXC_I386_EXTOVR",
        5: "EXC_I386_EXTERR",
        6: "EXC_I386_EMERR",
        7: "EXC_I386_BOUND",
        8: "EXC_I386_SSEEXTERR",
    },
    6: {1: "EXC_I386_SGL", 2: "EXC_I386_BPT"},
}
_ARM = {
    1: _KERN
    | {
        0x101: "EXC_ARM_DA_ALIGN",
        0x102: "EXC_ARM_DA_DEBUG",
        0x103: "EXC_ARM_SP_ALIGN",
        0x104: "EXC_ARM_SWP",
        0x105: "EXC_ARM_PAC_FAIL",
    },
    2: {1: "EXC_ARM_UNDEFINED"},
    3: {
        0: "EXC_ARM_FP_UNDEFINED",
        1: "EXC_ARM_FP_IO",
        2: "EXC_ARM_FP_DZ",
        3: "EXC_ARM_FP_OF",
        4: "EXC_ARM_FP_UF",
        5: "EXC_ARM_FP_IX",
        6: "EXC_ARM_FP_ID",
    },
    6: {1: "EXC_ARM_BREAKPOINT", 0x102: "EXC_ARM_DA_DEBUG"},
}
_SOFTWARE = {
    0x10000: "EXC_UNIX_BAD_SYSCALL",
    0x10001: "EXC_UNIX_BAD_PIPE",
    0x10002: "EXC_UNIX_ABORT",
    0x10003: "EXC_SOFT_SIGNAL",
    0xDEADC0DE: "uncaught NSException",  # Breakpad's own
}
_SIGNAL_NAMES = (
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGEMT SIGFPE SIGKILL SIGBUS SIGSEGV SIGSYS "
    "SIGPIPE SIGALRM SIGTERM"
)
_SIGNALS = dict(enumerate(_SIGNAL_NAMES.split(), 1))
_RESOURCES = {
    1: ("RESOURCE_TYPE_CPU", {1: "FLAVOR_CPU_MONITOR", 2: "FLAVOR_CPU_MONITOR_FATAL"}),
    2: ("RESOURCE_TYPE_WAKEUPS", {1: "FLAVOR_WAKEUPS_MONITOR"}),
    3: ("RESOURCE_TYPE_MEMORY", {1: "FLAVOR_HIGH_WATERMARK", 2: "FLAVOR_DIAG_MEMLIMIT"}),
    4: ("RESOURCE_TYPE_IO", {1: "FLAVOR_IO_PHYSICAL_WRITES", 2: "FLAVOR_IO_LOGICAL_WRITES"}),
    5: ("RESOURCE_TYPE_THREADS", {1: "FLAVOR_THREADS_HIGH_WATERMARK"}),
    6: ("RESOURCE_TYPE_PORTS", {1: "FLAVOR_PORT_SPACE_FULL"}),
}
_GUARDS = {
    1: ("GUARD_TYPE_MACH_PORT", "DESTROY MOD_REFS SET_CONTEXT UNGUARDED INCORRECT_GUARD"),
    2: ("GUARD_TYPE_FD", "CLOSE DUP NOCLOEXEC SOCKET_IPC FILEPORT MISMATCH WRITE"),
    3: ("GUARD_TYPE_USER", ""),
    4: ("GUARD_TYPE_VN", ""),
    5: ("GUARD_TYPE_VIRT_MEMORY", "DEALLOC_GAP"),
    6: ("GUARD_TYPE_REJECTED_SC", ""),
}


def type_name(code: int) -> str | None:
    """Return ``EXC_BAD_ACCESS`` and the like, ``None`` for a type that is not known."""
    return TYPES.get(code)


def code_name(exception: int, code: int, arch: str) -> str:
    """Return the kernel's word for *code* of an exception type on *arch*, ``""`` if unknown."""
    if exception == EXC_SOFTWARE:
        return _SOFTWARE.get(code, "")
    tables = _X86 if arch in ("amd64", "x86") else _ARM if arch in ("arm64", "arm") else {}
    if exception == EXC_BAD_ACCESS:
        return tables.get(exception, _KERN).get(code, "")
    return tables.get(exception, {}).get(code, "")


def flags_name(record: ExceptionRecord, arch: str) -> str:
    """Return the word for the record's code, decoded as its type packs it, or ``""``."""
    if record.code == EXC_CRASH:
        exception, code, signal = _crash(_code(record))
        inner = TYPES.get(exception, "")
        words = [_SIGNALS.get(signal, f"signal {signal}" if signal else "")]
        words += [inner, code_name(exception, code, arch) if inner else ""]
        return ", ".join(word for word in words if word)
    if record.code == EXC_RESOURCE:
        code = _packed(record)
        kind, flavors = _RESOURCES.get(code >> 61 & 7, ("", {}))
        return ", ".join(word for word in (kind, flavors.get(code >> 58 & 7, "")) if word)
    if record.code == EXC_GUARD:
        code = _packed(record)
        kind, bits = _GUARDS.get(code >> 61 & 7, ("", ""))
        flavor = code >> 32 & 0x1FFFFFFF
        names = [f"GUARD_EXC_{bit}" for i, bit in enumerate(bits.split()) if flavor >> i & 1]
        return ", ".join([kind, *names]) if kind else ""
    return code_name(record.code, _code(record), arch)


def fault_address(record: ExceptionRecord) -> int | None:
    """Return the address that the exception is about; packed codes have none."""
    if record.code in (EXC_CRASH, EXC_RESOURCE, EXC_GUARD, SIMULATED, FROM_NS_EXCEPTION):
        return None
    return record.address


def meaning_text(record: ExceptionRecord, arch: str) -> str:
    """Return in words what the codes say beyond their names, or ``""``."""
    subcode = record.parameters[2] if len(record.parameters) > 2 else 0
    if record.code == EXC_SOFTWARE and record.flags == 0x10003 and subcode:
        return f"Signal {subcode} {_SIGNALS.get(subcode, '')}".rstrip()
    if record.code == EXC_RESOURCE and len(record.parameters) > 1:
        code = record.parameters[1]
        kind = code >> 61 & 7
        if kind == 1:
            return f"Limit: {code & 0x7F}% of a processor within {code >> 7 & 0x1FFFFFF} s"
        if kind == 3:
            return f"Limit: {code & 0x1FFF} MB"
    if record.code == EXC_GUARD and len(record.parameters) > 1:
        return f"Guarded: {record.parameters[1] & 0xFFFFFFFF:#x}, guard {subcode:#x}"
    if record.code == EXC_BAD_ACCESS and code_name(1, record.flags, arch) == "EXC_I386_GPFLT":
        return "The kernel knows no address: mostly one that is not canonical"
    return ""


def _code(record: ExceptionRecord) -> int:
    """Return the code, whole where the parameters hold it."""
    return record.parameters[1] if len(record.parameters) > 1 else record.flags


def _packed(record: ExceptionRecord) -> int:
    """Return a 64-bit code, of which the flags alone have the upper half."""
    return record.parameters[1] if len(record.parameters) > 1 else record.flags << 32


def _crash(code: int) -> tuple[int, int, int]:
    """Return the original type and code and the signal that EXC_CRASH packs into its code."""
    return code >> 20 & 0xF, code & 0xFFFFF, code >> 24 & 0xFF
