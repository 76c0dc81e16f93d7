"""Exceptions keep the number and the name of the system that they come from."""

from __future__ import annotations

import msgspec
import pytest

from polydbg.engine.exceptions.naming import ExceptionKind, describe_exception
from polydbg.targets.target import ExceptionRecord, SystemInfo

_SYSTEM = SystemInfo("amd64", "linux", 0x8201, 9, 0, 0, 1, 0, 0, 0, 0, "", 0)


def words(
    platform: str,
    code: int,
    flags: int = 0,
    address: int | None = 0x1000,
    parameters: tuple[int, ...] = (),
    arch: str = "amd64",
) -> tuple[str, str]:
    system = msgspec.structs.replace(_SYSTEM, platform=platform, arch=arch)
    record = ExceptionRecord(code, flags, 0, address, parameters)
    found = describe_exception(record, system)
    return found.title, found.meaning


@pytest.mark.parametrize(
    ("code", "flags", "title"),
    [
        (11, 1, "SIGSEGV (SEGV_MAPERR) at 00000000`00001000"),
        (11, 2, "SIGSEGV (SEGV_ACCERR) at 00000000`00001000"),
        (11, 9, "SIGSEGV (SEGV_MTESERR) at 00000000`00001000"),
        (11, 0, "SIGSEGV at 00000000`00001000"),
        (11, 77, "SIGSEGV at 00000000`00001000"),
        (7, 2, "SIGBUS (BUS_ADRERR) at 00000000`00001000"),
        (8, 1, "SIGFPE (FPE_INTDIV) at 00000000`00001000"),
        (4, 2, "SIGILL (ILL_ILLOPN) at 00000000`00001000"),
        (5, 4, "SIGTRAP (TRAP_HWBKPT) at 00000000`00001000"),
        (5, 0x80, "SIGTRAP (SI_KERNEL) at 00000000`00001000"),
        (6, 0xFFFFFFFA, "SIGABRT (SI_TKILL)"),
        (6, 0, "SIGABRT"),
        (34, 0xFFFFFFFF, "SIGRT_2 (SI_QUEUE)"),
        (99, 0, "signal 0n99"),
        (0, 0, "no signal (code 00000000)"),
        (0xFFFFFFFF, 0, "no crash: the dump was requested (code ffffffff)"),
    ],
)
def test_signals(code: int, flags: int, title: str) -> None:
    assert words("linux", code, flags)[0] == title
    assert words("android", code, flags)[0] == title


def test_si_kernel_gives_no_address() -> None:
    title, meaning = words("linux", 11, 0x80, 0)
    assert title == "SIGSEGV (SI_KERNEL)"
    assert "not canonical" in meaning


def test_senders_of_signals() -> None:
    # Breakpad: si_pid and si_uid lie in the place of si_addr.
    title, meaning = words("linux", 6, 0xFFFFFFFA, 0x3E8_0000_1234)
    assert (title, meaning) == ("SIGABRT (SI_TKILL)", "Sent by process 1234, user 0n1000")
    # Crashpad: process, user and value as parameters.
    title, meaning = words("linux", 6, 0, 0, (0x55, 7, 0))
    assert (title, meaning) == ("SIGABRT (SI_USER)", "Sent by process 55, user 0n7")
    assert words("linux", 11, 0)[1].startswith("No si_code is stored")
    assert words("linux", 31, 1, 0x1000, (59, 0xC000003E))[1] == "System call 0n59"


def test_mips_numbers_its_signals_in_its_own_way() -> None:
    assert words("linux", 10, 1, arch="mips")[0].startswith("SIGBUS (BUS_ADRALN)")
    assert words("linux", 10, 1)[0] == "SIGUSR1"
    assert words("linux", 10, 1, arch="sparc64")[0].startswith("SIGBUS (BUS_ADRALN)")
    assert words("linux", 12, arch="parisc")[0] == "SIGXCPU"


def test_a_process_that_sends_the_signal_of_a_fault_is_named() -> None:
    title, meaning = words("linux", 11, 0, None, (0x55, 7))
    assert (title, meaning) == ("SIGSEGV (SI_USER)", "Sent by process 55, user 0n7")
    assert words("linux", 8, 0xFFFFFFFF, None, (0x55, 7, 1))[1] == "Sent by process 55, user 0n7"


def test_no_address_is_made_up_where_none_is_stored() -> None:
    assert words("linux", 11, 0, None) == (
        "SIGSEGV",
        "No si_code is stored, or a process sent the signal (SI_USER)",
    )


@pytest.mark.parametrize(
    ("platform", "code", "flags", "title"),
    [
        ("freebsd", 10, 2, "SIGBUS (BUS_ADRERR) at 00000000`00001000"),
        ("freebsd", 8, 1, "SIGFPE (FPE_INTOVF) at 00000000`00001000"),
        ("freebsd", 8, 2, "SIGFPE (FPE_INTDIV) at 00000000`00001000"),
        ("freebsd", 11, 100, "SIGSEGV (SEGV_PKUERR) at 00000000`00001000"),
        ("freebsd", 5, 0x10007, "SIGTRAP (SI_LWP)"),
        ("freebsd", 30, 0x10001, "SIGUSR1 (SI_USER)"),
        ("freebsd", 67, 0, "SIGRT_2"),
        ("netbsd", 8, 1, "SIGFPE (FPE_INTDIV) at 00000000`00001000"),
        ("netbsd", 12, 0, "SIGSYS at 00000000`00001000"),
        ("netbsd", 32, 0, "SIGPWR"),
        ("openbsd", 6, 0xFFFFFFFF, "SIGABRT (SI_LWP)"),
        ("openbsd", 29, 0, "SIGINFO"),
    ],
)
def test_the_bsds_have_numbers_of_their_own(
    platform: str, code: int, flags: int, title: str
) -> None:
    assert words(platform, code, flags)[0] == title


def test_freebsd_names_the_sender() -> None:
    found = words("freebsd", 11, 0x10001, None, (0x55, 7))
    assert found == ("SIGSEGV (SI_USER)", "Sent by process 55, user 0n7")
    assert words("freebsd", 11, 0, None, (0, 0)) == ("SIGSEGV (SI_NOINFO)", "")


@pytest.mark.parametrize(
    ("code", "flags", "parameters", "arch", "title"),
    [
        (1, 1, (), "amd64", "EXC_BAD_ACCESS (KERN_INVALID_ADDRESS) at 00000000`00001000"),
        (1, 2, (), "arm64", "EXC_BAD_ACCESS (KERN_PROTECTION_FAILURE) at 00000000`00001000"),
        (1, 13, (), "amd64", "EXC_BAD_ACCESS (EXC_I386_GPFLT) at 00000000`00001000"),
        (1, 0x101, (), "arm64", "EXC_BAD_ACCESS (EXC_ARM_DA_ALIGN) at 00000000`00001000"),
        (2, 1, (), "x86", "EXC_BAD_INSTRUCTION (EXC_I386_INVOP) at 00000000`00001000"),
        (2, 1, (), "arm64", "EXC_BAD_INSTRUCTION (EXC_ARM_UNDEFINED) at 00000000`00001000"),
        (3, 1, (), "amd64", "EXC_ARITHMETIC (EXC_I386_DIV) at 00000000`00001000"),
        (
            5,
            0x10003,
            (5, 0x10003, 6),
            "amd64",
            "EXC_SOFTWARE (EXC_SOFT_SIGNAL) at 00000000`00001000",
        ),
        (6, 2, (), "amd64", "EXC_BREAKPOINT (EXC_I386_BPT) at 00000000`00001000"),
        (10, 0x0B100001, (), "amd64", "EXC_CRASH (SIGSEGV, EXC_BAD_ACCESS, KERN_INVALID_ADDRESS)"),
        (10, 0x06000000, (), "amd64", "EXC_CRASH (SIGABRT)"),
        (
            11,
            3 << 29 | 1 << 26,
            (),
            "arm64",
            "EXC_RESOURCE (RESOURCE_TYPE_MEMORY, FLAVOR_HIGH_WATERMARK)",
        ),
        (
            12,
            2 << 29 | 1,
            (12, 2 << 61 | 1 << 32 | 4, 0),
            "arm64",
            "EXC_GUARD (GUARD_TYPE_FD, GUARD_EXC_CLOSE)",
        ),
        (0x43507378, 0, (), "amd64", "simulated exception of Crashpad"),
        (77, 3, (), "amd64", "Mach exception code 0000004d at 00000000`00001000"),
    ],
)
def test_mach_exceptions(
    code: int, flags: int, parameters: tuple[int, ...], arch: str, title: str
) -> None:
    assert words("macos", code, flags, parameters=parameters, arch=arch)[0] == title
    assert words("ios", code, flags, parameters=parameters, arch=arch)[0] == title


def test_packed_codes_in_words() -> None:
    assert words("macos", 5, 0x10003, parameters=(5, 0x10003, 6))[1] == "Signal 6 SIGABRT"
    cpu = 1 << 61 | 1 << 58 | 60 << 7 | 50
    assert words("ios", 11, cpu >> 32, parameters=(11, cpu, 0))[1] == (
        "Limit: 50% of a processor within 60 s"
    )
    guard = 2 << 61 | 1 << 32 | 4
    assert words("ios", 12, guard >> 32, parameters=(12, guard, 0x99))[1] == (
        "Guarded: 0x4, guard 0x99"
    )


def test_windows_keeps_its_words() -> None:
    title, meaning = words("windows", 0xC0000005, 0, 0x1000, (1, 0x45))
    assert title == "Access violation - code c0000005 (first/second chance not available)"
    assert meaning == "Attempt to write to address 0000000000000045"
    assert words("windows", 11)[0].startswith("Unknown exception - code 0000000b")


def test_other_systems_show_numbers_and_requested_dumps_are_no_crash() -> None:
    assert words("fuchsia", 0x108)[0] == "ZX_EXCP_FATAL_PAGE_FAULT at 00000000`00001000"
    assert words("solaris", 11)[0] == "exception code 0000000b at 00000000`00001000"
    record = ExceptionRecord(0xFFFFFFFF, 0, 0, 0, ())
    found = describe_exception(record, _SYSTEM)
    assert (found.kind, found.is_crash) == (ExceptionKind.SIGNAL, False)
    simulated = ExceptionRecord(0x517A7ED, 0, 0, 0, ())
    system = msgspec.structs.replace(_SYSTEM, platform="windows")
    assert not describe_exception(simulated, system).is_crash
