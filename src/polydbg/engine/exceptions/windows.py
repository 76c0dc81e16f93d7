"""Names of Windows exceptions as the engine words them, and what their parameters say.

Facts: the texts are those of the recorded engine (``windbg-transcripts``) and of its documentation
of event filters (``sx``); the codes are NTSTATUS values. Crashpad's two codes for dumps that
were asked for are in its ``util/win/exception_codes.h``.
"""

from __future__ import annotations

from polydbg.targets.target import ExceptionRecord

EXCEPTION_NAMES = {
    0xC0000005: "Access violation",
    0xC0000420: "Assertion failure",
    0xCFFFFFFF: "Application hang",
    0x80000003: "Break instruction exception",
    0xE06D7363: "C++ EH exception",
    0xE0434F4D: "CLR exception",
    0xE0434352: "CLR exception",
    0xE0444143: "CLR notification exception",
    0x40010008: "Control-Break exception",
    0x40010005: "Control-C exception",
    0x80000002: "Data misaligned",
    0x40010009: "Debugger command exception",
    0x80000001: "Guard page violation",
    0xC000001D: "Illegal instruction",
    0xC0000006: "In-page I/O error",
    0xC0000094: "Integer divide-by-zero",
    0xC0000095: "Integer overflow",
    0xC0000008: "Invalid handle",
    0xC000001E: "Invalid lock sequence",
    0xC000001C: "Invalid system call",
    0xC0000037: "Port disconnected",
    0xEFFFFFFF: "Service hang",
    0x80000004: "Single step exception",
    0xC0000409: "Security check failure or stack buffer overrun",
    0xC00000FD: "Stack overflow",
    0xC0000421: "Verifier stop",
    0x406D1388: "Visual C++ exception",
    0x80000007: "Wake debugger",
    0x40080201: "Windows Runtime Originate Error",
    0x40080202: "Windows Runtime Transform Error",
    0x4000001F: "WOW64 breakpoint",
    0x4000001E: "WOW64 single step exception",
    0xC0000096: "Privileged instruction",
    0x0517A7ED: "Simulated exception of Crashpad",
    0x0CCA11ED: "Dump of another process by Crashpad",
}
"""Code -> the words of the event line."""

FAST_FAIL_CODES = {
    0: "FAST_FAIL_LEGACY_GS_VIOLATION",
    1: "FAST_FAIL_VTGUARD_CHECK_FAILURE",
    2: "FAST_FAIL_STACK_COOKIE_CHECK_FAILURE",
    3: "FAST_FAIL_CORRUPT_LIST_ENTRY",
    4: "FAST_FAIL_INCORRECT_STACK",
    5: "FAST_FAIL_INVALID_ARG",
    6: "FAST_FAIL_GS_COOKIE_INIT",
    7: "FAST_FAIL_FATAL_APP_EXIT",
    8: "FAST_FAIL_RANGE_CHECK_FAILURE",
    9: "FAST_FAIL_UNSAFE_REGISTRY_ACCESS",
    10: "FAST_FAIL_GUARD_ICALL_CHECK_FAILURE",
    11: "FAST_FAIL_GUARD_WRITE_CHECK_FAILURE",
    12: "FAST_FAIL_INVALID_FIBER_SWITCH",
    13: "FAST_FAIL_INVALID_SET_OF_CONTEXT",
    14: "FAST_FAIL_INVALID_REFERENCE_COUNT",
    18: "FAST_FAIL_INVALID_JUMP_BUFFER",
    19: "FAST_FAIL_MRDATA_MODIFIED",
    20: "FAST_FAIL_CERTIFICATION_FAILURE",
    21: "FAST_FAIL_INVALID_EXCEPTION_CHAIN",
    22: "FAST_FAIL_CRYPTO_LIBRARY",
    23: "FAST_FAIL_INVALID_CALL_IN_DLL_CALLOUT",
    24: "FAST_FAIL_INVALID_IMAGE_BASE",
    25: "FAST_FAIL_DLOAD_PROTECTION_FAILURE",
    26: "FAST_FAIL_UNSAFE_EXTENSION_CALL",
    27: "FAST_FAIL_DEPRECATED_SERVICE_INVOKED",
    28: "FAST_FAIL_INVALID_BUFFER_ACCESS",
    29: "FAST_FAIL_INVALID_BALANCED_TREE",
    30: "FAST_FAIL_INVALID_NEXT_THREAD",
    31: "FAST_FAIL_GUARD_ICALL_CHECK_SUPPRESSED",
    32: "FAST_FAIL_APCS_DISABLED",
    33: "FAST_FAIL_INVALID_IDLE_STATE",
    34: "FAST_FAIL_MRDATA_PROTECTION_FAILURE",
    35: "FAST_FAIL_UNEXPECTED_HEAP_EXCEPTION",
    36: "FAST_FAIL_INVALID_LOCK_STATE",
    37: "FAST_FAIL_GUARD_JUMPTABLE",
    38: "FAST_FAIL_INVALID_LONGJUMP_TARGET",
    39: "FAST_FAIL_INVALID_DISPATCH_CONTEXT",
    40: "FAST_FAIL_INVALID_THREAD",
    41: "FAST_FAIL_INVALID_SYSCALL_NUMBER",
    42: "FAST_FAIL_INVALID_FILE_OPERATION",
    43: "FAST_FAIL_LPAC_ACCESS_DENIED",
    44: "FAST_FAIL_GUARD_SS_FAILURE",
    57: "FAST_FAIL_CONTROL_INVALID_RETURN_ADDRESS",
}
"""Subcode of c0000409 raised by ``int 29h`` -> its name in winnt.h."""

ACCESS_VIOLATION = 0xC0000005
IN_PAGE_ERROR = 0xC0000006
FAST_FAIL = 0xC0000409
REQUESTED_DUMPS = frozenset({0x0517A7ED, 0x0CCA11ED})
"""Codes of Crashpad's dumps of processes that did not crash."""


def exception_name(code: int) -> str | None:
    """Return the words for *code* in an event line, or ``None`` for an unknown one."""
    return EXCEPTION_NAMES.get(code)


def access_text(record: ExceptionRecord, pointer_size: int = 8) -> str | None:
    """Return what an access violation or in-page error tried, as ``.exr`` words it."""
    if record.code not in (ACCESS_VIOLATION, IN_PAGE_ERROR) or len(record.parameters) < 2:
        return None
    kind, address = record.parameters[0], record.parameters[1]
    words = {
        0: "Attempt to read from address",
        1: "Attempt to write to address",
        8: "Attempt to execute non-executable address",
    }.get(kind)
    if words is None:
        return None
    return f"{words} {address:0{2 * pointer_size}x}"


def meaning_text(record: ExceptionRecord, pointer_size: int = 8) -> str:
    """Return the line that ``.exr`` adds below the parameters, or ``""``."""
    if record.code == FAST_FAIL and record.parameters:
        subcode = record.parameters[0]
        return f"Subcode: {subcode:#x} {FAST_FAIL_CODES.get(subcode, '')}".rstrip()
    return access_text(record, pointer_size) or ""
