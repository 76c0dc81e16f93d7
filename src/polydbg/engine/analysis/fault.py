"""What an event is, whatever system it comes from: NTSTATUS codes, signals and Mach exceptions
reduced to one vocabulary. The codes themselves are never translated into one another.

Sources: winnt.h and ntstatus.h; signal(7) and sigaction(2); mach/exception_types.h.
"""

from __future__ import annotations

from polydbg.engine.analysis.model import Access, AccessKind, Fault, FaultKind
from polydbg.engine.exceptions.mach import FROM_NS_EXCEPTION
from polydbg.engine.exceptions.naming import ExceptionKind, ExceptionWords, describe_event
from polydbg.engine.exceptions.windows import FAST_FAIL, FAST_FAIL_CODES, REQUESTED_DUMPS
from polydbg.engine.session import System
from polydbg.targets.target import DumpEvent, ExceptionRecord, SystemInfo

_ACCESS = {0: AccessKind.READ, 1: AccessKind.WRITE, 8: AccessKind.EXECUTE}
_NT_KINDS = {
    0xC0000005: FaultKind.ACCESS,
    0xC0000006: FaultKind.IN_PAGE,
    0xC00000FD: FaultKind.STACK_OVERFLOW,
    0x80000001: FaultKind.GUARD_PAGE,
    0x80000002: FaultKind.MISALIGNED,
    0xC0000094: FaultKind.DIVIDE,
    0xC0000095: FaultKind.OVERFLOW,
    0xC000001D: FaultKind.ILLEGAL,
    0xC0000096: FaultKind.PRIVILEGED,
    0x80000003: FaultKind.BREAKPOINT,
    0x4000001F: FaultKind.BREAKPOINT,
    0x80000004: FaultKind.SINGLE_STEP,
    0x4000001E: FaultKind.SINGLE_STEP,
    0xC0000409: FaultKind.FAIL_FAST,
    0xC0000602: FaultKind.FAIL_FAST,
    0xC0000420: FaultKind.BREAKPOINT,
    0xC0000374: FaultKind.HEAP_CORRUPTION,
    0xC0000008: FaultKind.INVALID_HANDLE,
    0xE06D7363: FaultKind.CXX_THROW,
    0x20474343: FaultKind.CXX_THROW,  # libgcc's throw
    0xE0434352: FaultKind.MANAGED,
    0xE0434F4D: FaultKind.MANAGED,
    0x406D1388: FaultKind.DEBUG_OUTPUT,
    0x40010006: FaultKind.DEBUG_OUTPUT,
    0x4001000A: FaultKind.DEBUG_OUTPUT,
    0x40010005: FaultKind.TERMINATED,
    0xCFFFFFFF: FaultKind.HANG,
    **dict.fromkeys(REQUESTED_DUMPS, FaultKind.REQUESTED),
    0x40000015: FaultKind.ABORT,  # STATUS_FATAL_APP_EXIT
    0xC0000417: FaultKind.ABORT,  # STATUS_INVALID_CRUNTIME_PARAMETER
    **dict.fromkeys(range(0xC000008C, 0xC0000094), FaultKind.FLOATING_POINT),
}
_SIGNALS = {
    "SIGILL": FaultKind.ILLEGAL,
    "SIGTRAP": FaultKind.BREAKPOINT,
    "SIGABRT": FaultKind.ABORT,
    "SIGBUS": FaultKind.ACCESS,
    "SIGFPE": FaultKind.DIVIDE,
    "SIGSEGV": FaultKind.ACCESS,
    "SIGSYS": FaultKind.BAD_SYSTEM_CALL,
    **dict.fromkeys(
        (
            *("SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGTERM", "SIGPIPE", "SIGALRM"),
            *("SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGPROF"),
        ),
        FaultKind.TERMINATED,
    ),
    **dict.fromkeys(("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"), FaultKind.REQUESTED),
    **dict.fromkeys(("SIGXCPU", "SIGXFSZ"), FaultKind.RESOURCE),
}
_SENT = ("SI_USER", "SI_TKILL", "SI_QUEUE", "SI_LWP", "SI_MESGQ", "SI_TIMER")
_CODE_KINDS = {
    "BUS_ADRALN": FaultKind.MISALIGNED,
    "BUS_ADRERR": FaultKind.IN_PAGE,
    "BUS_OOMERR": FaultKind.IN_PAGE,
    "BUS_MCEERR_AR": FaultKind.HARDWARE,
    "BUS_MCEERR_AO": FaultKind.HARDWARE,
    "TRAP_TRACE": FaultKind.SINGLE_STEP,
    "TRAP_HWBKPT": FaultKind.SINGLE_STEP,
    "TRAP_DBREG": FaultKind.SINGLE_STEP,
    "FPE_INTOVF": FaultKind.OVERFLOW,
    "ILL_PRVOPC": FaultKind.PRIVILEGED,
    "ILL_PRVREG": FaultKind.PRIVILEGED,
    **dict.fromkeys(
        (
            *("FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV", "FPE_FLTSUB"),
            *("FPE_FLTUNK", "FPE_CONDTRAP", "FPE_FLTIDO"),
        ),
        FaultKind.FLOATING_POINT,
    ),
}
_INSTRUCTION_FAULTS = (
    *(FaultKind.ACCESS, FaultKind.ILLEGAL, FaultKind.DIVIDE, FaultKind.BREAKPOINT),
    FaultKind.BAD_SYSTEM_CALL,
)
"""What the signals mean unless a process sent them."""
_MACH_KINDS = {
    1: FaultKind.ACCESS,
    2: FaultKind.ILLEGAL,
    3: FaultKind.DIVIDE,
    6: FaultKind.BREAKPOINT,
    10: FaultKind.ABORT,
    11: FaultKind.RESOURCE,
    FROM_NS_EXCEPTION: FaultKind.OBJECTIVE_C_THROW,
}
_MACH_CODE_KINDS = {
    "EXC_I386_SGL": FaultKind.SINGLE_STEP,
    "EXC_ARM_DA_DEBUG": FaultKind.SINGLE_STEP,
    "EXC_I386_INTO": FaultKind.OVERFLOW,
    "EXC_ARM_DA_ALIGN": FaultKind.MISALIGNED,
    "EXC_ARM_SP_ALIGN": FaultKind.MISALIGNED,
    **dict.fromkeys(
        (
            *("EXC_I386_EXTERR", "EXC_I386_SSEEXTERR", "EXC_I386_EXTOVR", "EXC_ARM_FP_UNDEFINED"),
            *("EXC_ARM_FP_IO", "EXC_ARM_FP_DZ", "EXC_ARM_FP_OF", "EXC_ARM_FP_UF", "EXC_ARM_FP_IX"),
            "EXC_ARM_FP_ID",
        ),
        FaultKind.FLOATING_POINT,
    ),
}
_EXC_I386_GPFLT = 13  # the code of a general protection fault: no address is reported


def fault_of(event: DumpEvent, system: System) -> Fault:
    """Return what *event* of *system* is, under the system's own name for it."""
    words = describe_event(event, system)
    record = event.exception
    name = words.name or f"{record.code:x}"
    if words.kind is ExceptionKind.WINDOWS:
        name = f"{record.code:08x}"
    if not event.is_stored:
        return Fault(FaultKind.NONE, name, words.flags_name)
    if words.kind is ExceptionKind.SIGNAL:
        return _signal(record, name, words)
    if words.kind is ExceptionKind.MACH:
        return _mach(record, system.target.system(), name, words)
    if words.kind is ExceptionKind.WINDOWS:
        return _windows(record, name)
    kind = FaultKind.OTHER if words.is_crash else FaultKind.REQUESTED
    return Fault(kind, name, words.flags_name)


def _windows(record: ExceptionRecord, name: str) -> Fault:
    detail = ""
    kind = _NT_KINDS.get(record.code, FaultKind.OTHER)
    access = None
    if kind in (FaultKind.ACCESS, FaultKind.IN_PAGE, FaultKind.GUARD_PAGE):
        access = Access(AccessKind.UNKNOWN, None, False)
        if len(record.parameters) >= 2:
            how, address = record.parameters[:2]
            # -1 stands for an address that the processor did not report.
            unknown = address in (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF) and how == 0
            access = Access(
                _ACCESS.get(how, AccessKind.UNKNOWN), None if unknown else address, not unknown
            )
    if record.code == FAST_FAIL and record.parameters:
        code = record.parameters[0]
        detail = FAST_FAIL_CODES.get(code, f"fast fail code {code:#x}")
    return Fault(kind, name, detail, access)


def _signal(record: ExceptionRecord, name: str, words: ExceptionWords) -> Fault:
    detail = words.flags_name
    if not words.is_crash:
        return Fault(FaultKind.REQUESTED, name, detail)
    sender = words.sender if detail else None  # without a code it is a guess
    kind = _SIGNALS.get(name, FaultKind.OTHER)
    if detail in _SENT and kind in _INSTRUCTION_FAULTS:
        # Sent: no fault of an instruction.
        return Fault(FaultKind.TERMINATED, name, detail, sender=sender)
    kind = _CODE_KINDS.get(detail, kind)
    access = None
    if kind in (FaultKind.ACCESS, FaultKind.IN_PAGE):
        address = words.address
        if not address and not record.flags:  # so leave old writers it where they could not tell
            address = None
        access = Access(AccessKind.UNKNOWN, address, address is not None)
    return Fault(kind, name, detail, access, sender)


def _mach(record: ExceptionRecord, system: SystemInfo, name: str, words: ExceptionWords) -> Fault:
    detail = words.flags_name
    kind = _MACH_CODE_KINDS.get(detail, _MACH_KINDS.get(record.code, FaultKind.OTHER))
    if not words.is_crash:
        kind = FaultKind.REQUESTED
    access = None
    if kind is FaultKind.ACCESS:
        unknown = system.arch in ("amd64", "x86") and record.flags == _EXC_I386_GPFLT
        address = None if unknown else record.address
        access = Access(AccessKind.UNKNOWN, address, address is not None)
    return Fault(kind, name, detail, access)
