"""What stopped the program, named in the terms of the system that it ran on.

Windows exceptions, signals of Linux, Android and the BSDs, Mach exceptions of macOS and iOS,
Fuchsia's exceptions: each keeps its own number and name. Systems without a table here show numbers
alone.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from polydbg.base.text import address_text
from polydbg.engine.exceptions import mach, signals, windows
from polydbg.engine.exceptions.signal_tables import SignalTables, signal_tables
from polydbg.engine.session import System
from polydbg.targets.target import DumpEvent, ExceptionRecord, SystemInfo

_FUCHSIA = {  # zircon/syscalls/exception.h
    0x008: "ZX_EXCP_GENERAL",
    0x108: "ZX_EXCP_FATAL_PAGE_FAULT",
    0x208: "ZX_EXCP_UNDEFINED_INSTRUCTION",
    0x308: "ZX_EXCP_SW_BREAKPOINT",
    0x408: "ZX_EXCP_HW_BREAKPOINT",
    0x508: "ZX_EXCP_UNALIGNED_ACCESS",
    0x8008: "ZX_EXCP_THREAD_STARTING",
    0x8108: "ZX_EXCP_THREAD_EXITING",
    0x8208: "ZX_EXCP_POLICY_ERROR",
    0x8308: "ZX_EXCP_PROCESS_STARTING",
}


class ExceptionKind(Enum):
    """Whose numbers an exception's code and flags are."""

    WINDOWS = "windows"
    SIGNAL = "signal"
    MACH = "mach"
    FUCHSIA = "fuchsia"
    OTHER = "other"


class ExceptionWords(msgspec.Struct, frozen=True):
    """An exception in words.

    *name* is ``Access violation``, ``SIGSEGV``, ``EXC_BAD_ACCESS``, ``""`` if unknown; *flags_name*
    the name of ``si_code`` or of the kernel's code, ``""`` on Windows; *title* the words of an
    event line; *meaning* what ``.exr`` says below the parameters. *address* is what the system
    reports as the address of the fault, where it reports one (never on Windows, whose parameters
    hold it). *is_crash* is false for dumps that were asked for; *sender* is the process that sent a
    signal, ``None`` where none did or nothing names it.
    """

    kind: ExceptionKind
    name: str
    flags_name: str
    title: str
    meaning: str = ""
    address: int | None = None
    is_crash: bool = True
    sender: signals.Sender | None = None


def exception_kind(info: SystemInfo) -> ExceptionKind:
    """Return whose exceptions a system has; a dump that names no system counts as Windows'."""
    return {
        "windows": ExceptionKind.WINDOWS,
        "windows-ce": ExceptionKind.WINDOWS,
        "unknown": ExceptionKind.WINDOWS,
        "linux": ExceptionKind.SIGNAL,
        "android": ExceptionKind.SIGNAL,
        "freebsd": ExceptionKind.SIGNAL,
        "netbsd": ExceptionKind.SIGNAL,
        "openbsd": ExceptionKind.SIGNAL,
        "macos": ExceptionKind.MACH,
        "ios": ExceptionKind.MACH,
        "fuchsia": ExceptionKind.FUCHSIA,
    }.get(info.platform, ExceptionKind.OTHER)


def describe_exception(
    record: ExceptionRecord, info: SystemInfo, pointer_size: int = 8
) -> ExceptionWords:
    """Return the words for *record*, an exception of the system that *info* describes."""
    kind = exception_kind(info)
    if kind is ExceptionKind.WINDOWS:
        return _windows(record, pointer_size)
    if record.code == signals.DUMP_REQUESTED:
        return ExceptionWords(
            kind,
            "dump requested",
            "",
            f"no crash: the dump was requested (code {record.code:08x})",
            is_crash=False,
        )
    if kind is ExceptionKind.SIGNAL:
        return _signal(record, signal_tables(info.platform, info.arch), pointer_size)
    if kind is ExceptionKind.MACH:
        return _mach(record, info.arch, pointer_size)
    name = _FUCHSIA.get(record.code, "") if kind is ExceptionKind.FUCHSIA else ""
    title = _title(name or f"exception code {record.code:08x}", "", record.address, pointer_size)
    return ExceptionWords(kind, name, "", title, address=record.address)


def describe_event(event: DumpEvent, system: System) -> ExceptionWords:
    """Return the words for *event* of *system*; one that is not stored is made up by the reader."""
    info = system.target.system()
    kind = exception_kind(info)
    if not event.is_stored and kind is not ExceptionKind.WINDOWS:
        title = "no exception is stored in the dump"
        return ExceptionWords(kind, "", "", title, is_crash=False)
    words = describe_exception(event.exception, info, system.pointer_size)
    return words if event.is_stored else msgspec.structs.replace(words, is_crash=False)


def exception_title(event: DumpEvent, system: System) -> str:
    """Return the words of an event line: ``Access violation - code c0000005 (first/second chance
    not available)``, ``SIGSEGV (SEGV_MAPERR) at 00000000`00000045``."""
    return describe_event(event, system).title


def _windows(record: ExceptionRecord, pointer_size: int) -> ExceptionWords:
    name = windows.exception_name(record.code) or ""
    return ExceptionWords(
        ExceptionKind.WINDOWS,
        name,
        "",
        f"{name or 'Unknown exception'} - code {record.code:08x} "
        "(first/second chance not available)",
        windows.meaning_text(record, pointer_size),
        is_crash=record.code not in windows.REQUESTED_DUMPS,
    )


def _signal(record: ExceptionRecord, tables: SignalTables, pointer_size: int) -> ExceptionWords:
    if not record.code:
        title = "no signal (code 00000000)"
        return ExceptionWords(ExceptionKind.SIGNAL, "", "", title, is_crash=False)
    name = signals.signal_name(record.code, tables) or ""
    flags_name = ""
    if not signals.has_no_code(record):
        flags_name = signals.code_name(name, record.flags, tables)
    address = signals.fault_address(name, record, tables)
    return ExceptionWords(
        ExceptionKind.SIGNAL,
        name,
        flags_name,
        _title(name or f"signal 0n{record.code}", flags_name, address, pointer_size),
        signals.meaning_text(name, record, pointer_size, tables),
        address,
        sender=signals.sender(name, record, pointer_size, tables),
    )


def _mach(record: ExceptionRecord, arch: str, pointer_size: int) -> ExceptionWords:
    name = mach.type_name(record.code) or ""
    flags_name = mach.flags_name(record, arch)
    address = mach.fault_address(record)
    return ExceptionWords(
        ExceptionKind.MACH,
        name,
        flags_name,
        _title(name or f"Mach exception code {record.code:08x}", flags_name, address, pointer_size),
        mach.meaning_text(record, arch),
        address,
        is_crash=record.code != mach.SIMULATED,
    )


def _title(name: str, flags_name: str, address: int | None, pointer_size: int) -> str:
    """Return ``SIGSEGV (SEGV_MAPERR) at ADDRESS``, as much of it as is known."""
    code = f" ({flags_name})" if flags_name else ""
    where = f" at {address_text(address, pointer_size)}" if address is not None else ""
    return f"{name}{code}{where}"
