"""Verdicts on dumps that were built to have one cause each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from polydbg.engine.analysis.analyze import analyze
from polydbg.engine.analysis.model import Analysis, Confidence
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, u64, x86_context

CODE, STACK, DATA = 0x140001000, 0x7E000, 0x200000
STORE = "894810"  # mov dword ptr [rax+10h],ecx
LOAD = "488b00"  # mov rax,qword ptr [rax]
AV, NT = 0xC0000005, 2
LINUX = 0x8201

Step = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A call of the builder: its name, arguments, keywords."""


def analysis(
    tmp_path: Path,
    code: str,
    *,
    exception: int = AV,
    parameters: tuple[int, ...] = (),
    address: int | None = None,
    flags: int = 0,
    platform: int = NT,
    stack: bytes = bytes(0x800),
    build: Sequence[Step] = (),
    **registers: int,
) -> Analysis:
    """Return the analysis of a dump that stopped at *code* with these registers."""
    registers = {"rip": CODE, "rsp": STACK + 0x100, "rcx": 7, **registers}
    context = amd64_context(**registers)
    builder = MinidumpBuilder("amd64").system(platform=platform)
    builder.module(CODE & ~0xFFFF, 0x10000, r"C:\app\app.exe")
    builder.thread(7, context, stack=(STACK, stack))
    if code:
        builder.memory(CODE, bytes.fromhex(code).ljust(16, b"\x90"))
    for name, arguments, keywords in build:
        getattr(builder, name)(*arguments, **keywords)
    where = registers["rip"] if address is None else address
    builder.exception(7, exception, where, parameters, context=context, flags=flags)
    path = tmp_path / "built.dmp"
    path.write_bytes(builder.build())
    session = Session()
    try:
        return analyze(session, session.open_dump(str(path)))
    finally:
        session.close()


def said(found: Analysis) -> str:
    return " ".join((found.verdict.summary, *found.verdict.evidence))


def test_null_pointer_with_a_field(tmp_path: Path) -> None:
    found = analysis(tmp_path, STORE, parameters=(1, 0x10), rax=0)
    assert found.verdict.problem_class == "NULL_POINTER_WRITE"
    assert found.verdict.confidence is Confidence.CERTAIN
    assert "rax = 00000000`00000000" in said(found)
    assert found.bucket == "NULL_POINTER_WRITE_c0000005_app.exe+0x1000"


def test_small_number_taken_for_a_pointer_is_only_likely(tmp_path: Path) -> None:
    found = analysis(tmp_path, STORE, parameters=(1, 0x15), rax=5)
    assert found.verdict.problem_class == "NULL_POINTER_WRITE"
    assert found.verdict.confidence is Confidence.LIKELY


def test_a_report_that_the_operands_contradict_is_not_certain(tmp_path: Path) -> None:
    found = analysis(tmp_path, STORE, parameters=(1, 0x5000000), rax=0x70000000)
    assert found.verdict.confidence is not Confidence.CERTAIN
    assert "do not give the reported address" in said(found)


@pytest.mark.parametrize("reported", [0xFFFFFFFFFFFFFFFF])
def test_non_canonical_address_comes_from_the_operands(tmp_path: Path, reported: int) -> None:
    found = analysis(tmp_path, STORE, parameters=(0, reported), rax=0x4142434445464748)
    access = found.fault.access
    assert access is not None
    assert access.address == 0x4142434445464758
    assert not access.is_reported
    assert access.kind.value == "write"
    assert found.verdict.problem_class == "INVALID_POINTER_WRITE"
    assert "spell" in said(found)


def test_linux_reports_non_canonical_addresses_as_kernel_signals(tmp_path: Path) -> None:
    found = analysis(
        tmp_path, LOAD, exception=11, flags=0x80, address=0, platform=LINUX, rax=0xDEAD000000000010
    )
    access = found.fault.access
    assert access is not None
    assert access.address == 0xDEAD000000000010
    assert found.verdict.problem_class == "INVALID_POINTER_READ"
    assert found.fault.name == "SIGSEGV"
    assert "SIGSEGV" in found.bucket


@pytest.mark.parametrize(
    ("value", "word"),
    [(0xFEEEFEEEFEEEFEEE, "feeefeee"), (0xCDCDCDCDCDCDCDCD, "cdcdcdcd")],
)
def test_fill_patterns_name_the_heap(tmp_path: Path, value: int, word: str) -> None:
    found = analysis(tmp_path, LOAD, parameters=(0, 0xFFFFFFFFFFFFFFFF), rax=value)
    assert found.verdict.problem_class == f"INVALID_POINTER_READ_FILL_PATTERN_{word}"
    assert found.verdict.confidence is Confidence.LIKELY


def test_nothing_mapped(tmp_path: Path) -> None:
    regions: list[Step] = [("region", (start, 0x1000), {}) for start in (DATA, 0x900000)]
    found = analysis(tmp_path, LOAD, parameters=(0, 0x700000), rax=0x700000, build=regions)
    assert "nothing is mapped" in found.verdict.summary
    assert found.verdict.confidence is Confidence.CERTAIN


def test_nothing_known_of_the_address_is_said(tmp_path: Path) -> None:
    found = analysis(tmp_path, LOAD, parameters=(0, 0x700000), rax=0x700000)
    assert "does not say what was mapped" in said(found)
    assert found.verdict.confidence is not Confidence.CERTAIN


def test_write_to_read_only_memory(tmp_path: Path) -> None:
    regions: list[Step] = [("region", (DATA, 0x1000), {"protect": 2})]
    found = analysis(tmp_path, STORE, parameters=(1, DATA + 0x10), rax=DATA, build=regions)
    assert found.verdict.problem_class == "READ_ONLY_WRITE"


def test_memory_of_an_unloaded_module(tmp_path: Path) -> None:
    gone: list[Step] = [("unloaded", (0x300000, 0x10000, "gone.dll"), {})]
    found = analysis(tmp_path, LOAD, parameters=(0, 0x301000), rax=0x301000, build=gone)
    assert found.verdict.problem_class == "UNLOADED_MODULE_READ"
    assert "gone.dll" in found.verdict.summary


def test_call_of_a_null_function_pointer(tmp_path: Path) -> None:
    stack = u64(CODE + 0x20).rjust(0x108, b"\0").ljust(0x800, b"\0")
    caller: list[Step] = [
        ("memory", (CODE + 0x10, bytes(14) + b"\xff\xd0" + bytes(16)), {})
    ]  # call rax
    found = analysis(tmp_path, "", parameters=(8, 0), rip=0, stack=stack, build=caller)
    assert found.verdict.problem_class == "NULL_POINTER_EXECUTE"
    assert found.blame is not None
    assert found.blame.frame.number == 1
    assert "called" in said(found)


def test_wild_return_says_what_the_stack_still_holds(tmp_path: Path) -> None:
    wild = 0x4242424242424242
    data = bytearray(0x800)
    data[0xF8:0x100] = u64(wild)  # ret took it from here
    data[0x180:0x188] = u64(CODE + 0x20)
    caller: list[Step] = [("memory", (CODE + 0x10, bytes(14) + b"\xff\xd0" + bytes(16)), {})]
    found = analysis(tmp_path, "", parameters=(8, wild), rip=wild, stack=bytes(data), build=caller)
    assert found.verdict.problem_class == "INVALID_POINTER_EXECUTE"
    assert "a ret took it from the stack" in said(found)
    assert "BBBBBBBB" in said(found)


def test_stack_overflow_of_linux_is_seen_from_the_stack_pointer(tmp_path: Path) -> None:
    found = analysis(
        tmp_path, "50", exception=11, flags=1, address=STACK - 8, platform=LINUX, rsp=STACK
    )
    assert found.verdict.problem_class == "STACK_OVERFLOW"
    assert found.verdict.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    ("code", "rcx", "problem"),
    [
        ("f7f9", 0, "INTEGER_DIVIDE_BY_ZERO"),  # idiv ecx
        ("f7f9", 5, "INTEGER_DIVIDE_OVERFLOW"),
    ],
)
def test_division(tmp_path: Path, code: str, rcx: int, problem: str) -> None:
    found = analysis(tmp_path, code, exception=0xC0000094, rcx=rcx)
    assert found.verdict.problem_class == problem
    assert found.verdict.confidence is Confidence.CERTAIN


def test_division_without_its_code_is_only_likely(tmp_path: Path) -> None:
    found = analysis(tmp_path, "", exception=0xC0000094)
    assert found.verdict.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    ("exception", "parameters", "problem"),
    [
        (0xC0000409, (2, 0), "STACK_BUFFER_OVERRUN"),
        (0xC0000409, (7,), "FAIL_FAST_FATAL_APP_EXIT"),
        (0xC0000409, (3,), "FAIL_FAST_CORRUPT_LIST_ENTRY"),
        (0xC0000096, (), "PRIVILEGED_INSTRUCTION"),
        (0xC0000374, (), "HEAP_CORRUPTION"),
        (0xE0434352, (), "CLR_EXCEPTION"),
        (0xE0001234, (1,), "APPLICATION_FAULT"),
        (0x0517A7ED, (), "DUMP_REQUESTED"),
        (0xC0000006, (0, DATA, 0xC000009C), "IN_PAGE_ERROR"),
        (0xC000008E, (), "FLOAT_FAULT"),
    ],
)
def test_codes_of_windows(
    tmp_path: Path, exception: int, parameters: tuple[int, ...], problem: str
) -> None:
    assert (
        analysis(tmp_path, "90", exception=exception, parameters=parameters).verdict.problem_class
        == problem
    )


@pytest.mark.parametrize(
    ("signal", "flags", "problem"),
    [
        (8, 1, "INTEGER_DIVIDE_BY_ZERO"),
        (8, 3, "FLOAT_FAULT"),
        (4, 2, "ILLEGAL_INSTRUCTION"),
        (4, 5, "PRIVILEGED_INSTRUCTION"),
        (6, 0, "ABORT"),
        (15, 0, "TERMINATED"),
        (11, 0xFFFFFFFA, "TERMINATED"),  # SI_TKILL: sent, not raised
        (0xFFFFFFFF, 0, "DUMP_REQUESTED"),
    ],
)
def test_signals(tmp_path: Path, signal: int, flags: int, problem: str) -> None:
    found = analysis(tmp_path, "90", exception=signal, flags=flags, platform=LINUX)
    assert found.verdict.problem_class == problem


def test_no_event_is_a_snapshot(tmp_path: Path) -> None:
    builder = MinidumpBuilder("amd64").system()
    builder.thread(7, amd64_context(rip=CODE, rsp=STACK), stack=(STACK, bytes(64)))
    path = tmp_path / "built.dmp"
    path.write_bytes(builder.build())
    session = Session()
    found = analyze(session, session.open_dump(str(path)))
    session.close()
    assert found.verdict.problem_class == "SNAPSHOT"
    assert found.is_hang


def test_x86_thrown_type_is_read_by_absolute_addresses(tmp_path: Path) -> None:
    """ThrowInfo -> CatchableTypeArray -> CatchableType -> TypeDescriptor, all of 32 bits."""

    def words(*values: int) -> bytes:
        return b"".join(value.to_bytes(4, "little") for value in values)

    info, array, catchable, descriptor = DATA, DATA + 0x40, DATA + 0x80, DATA + 0xC0
    data = bytearray(0x200)
    data[0:16] = words(0, 0, 0, array)
    data[0x40:0x48] = words(1, catchable)
    data[0x80:0x88] = words(0, descriptor)
    data[0xC8:0xE0] = b".?AVBroken@shop@@".ljust(24, b"\0")
    context = x86_context(eip=0x401000, esp=STACK)
    builder = MinidumpBuilder("x86").system().module(0x400000, 0x10000, "app.exe")
    builder.thread(7, context, stack=(STACK, bytes(64))).memory(DATA, bytes(data))
    builder.exception(7, 0xE06D7363, 0x401000, (0x19930520, DATA + 0x100, info), context=context)
    path = tmp_path / "built.dmp"
    path.write_bytes(builder.build())
    session = Session()
    found = analyze(session, session.open_dump(str(path)))
    session.close()
    assert "shop::Broken" in found.verdict.summary


def test_a_signal_with_the_program_counter_as_its_address_is_no_fetch(tmp_path: Path) -> None:
    """lldb stores the program counter with a signal: where that is code, it explains nothing."""
    regions: list[Step] = [("region", (CODE & ~0xFFF, 0x1000), {"protect": 0x20})]
    found = analysis(tmp_path, "", exception=11, platform=LINUX, build=regions)
    assert found.verdict.problem_class == "INVALID_POINTER"
    assert found.verdict.confidence is Confidence.POSSIBLE
    found = analysis(tmp_path, LOAD, exception=11, platform=LINUX, build=regions, rax=0)
    assert found.verdict.problem_class == "NULL_POINTER_READ"
    assert "only the instruction's own address" in said(found)


def test_a_signal_with_the_program_counter_as_its_address_outside_of_code(tmp_path: Path) -> None:
    regions: list[Step] = [("region", (DATA, 0x1000), {"protect": 4})]
    found = analysis(tmp_path, "", exception=11, platform=LINUX, rip=DATA + 0x10, build=regions)
    assert found.verdict.problem_class == "SOFTWARE_NX_FAULT"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("f4", "PRIVILEGED_INSTRUCTION"),  # hlt
        ("0f284101", "DATATYPE_MISALIGNMENT"),  # movaps xmm0,[rcx+1]
        ("c3", "INVALID_POINTER_EXECUTE"),  # ret
    ],
)
def test_general_protection_faults_of_linux(tmp_path: Path, code: str, problem: str) -> None:
    stack = b"A" * 0x800
    found = analysis(
        tmp_path, code, exception=11, flags=0x80, address=0, platform=LINUX, stack=stack, rcx=STACK
    )
    assert found.verdict.problem_class == problem
    assert found.verdict.confidence is Confidence.CERTAIN


def test_an_unreported_write_to_read_only_memory(tmp_path: Path) -> None:
    regions: list[Step] = [
        ("region", (CODE & ~0xFFF, 0x1000), {"protect": 0x20}),
        ("region", (DATA, 0x1000), {"protect": 2}),
    ]
    found = analysis(tmp_path, STORE, exception=11, platform=LINUX, rax=DATA, build=regions)
    assert found.verdict.problem_class == "READ_ONLY_WRITE"


def test_stack_overflow_into_the_guard_of_a_thread_that_the_system_does_not_know(
    tmp_path: Path,
) -> None:
    regions: list[Step] = [
        ("region", (STACK - 0x1000, 0x1000), {"protect": 1}),
        ("region", (STACK, 0x8000), {"protect": 4}),
    ]
    sp = STACK - 0x20
    found = analysis(
        tmp_path, "50", exception=11, flags=2, address=sp - 8, platform=LINUX, rsp=sp, build=regions
    )
    assert found.verdict.problem_class == "STACK_OVERFLOW"


def test_a_return_to_null_is_no_call_for_certain(tmp_path: Path) -> None:
    found = analysis(tmp_path, "", parameters=(8, 0), rip=0)
    assert found.verdict.problem_class == "NULL_POINTER_EXECUTE"
    assert found.verdict.confidence is Confidence.LIKELY
    assert "a return address was overwritten" in said(found)


def test_what_lies_where_a_module_was_unloaded_makes_it_less_sure(tmp_path: Path) -> None:
    gone: list[Step] = [
        ("unloaded", (0x300000, 0x10000, "gone.dll"), {}),
        ("region", (0x300000, 0x4000), {"protect": 2}),
    ]
    found = analysis(tmp_path, STORE, parameters=(1, 0x301010), rax=0x301000, build=gone)
    assert found.verdict.problem_class == "UNLOADED_MODULE_WRITE"
    assert found.verdict.confidence is Confidence.LIKELY
    assert "other memory lies there now" in said(found)


def test_null_that_the_operands_contradict_is_only_likely(tmp_path: Path) -> None:
    found = analysis(tmp_path, STORE, parameters=(1, 0), rax=DATA)
    assert found.verdict.problem_class == "NULL_POINTER_WRITE"
    assert found.verdict.confidence is Confidence.LIKELY


def test_a_null_pointer_to_something_large(tmp_path: Path) -> None:
    regions: list[Step] = [("region", (DATA, 0x1000), {}), ("region", (0x900000, 0x1000), {})]
    code = "8b8040230100"  # mov eax,dword ptr [rax+12340h]
    found = analysis(tmp_path, code, parameters=(0, 0x12340), rax=0, build=regions)
    assert found.verdict.problem_class == "NULL_POINTER_READ"
    assert found.verdict.confidence is Confidence.LIKELY


def test_an_address_in_the_record_that_is_not_canonical_is_not_certain(tmp_path: Path) -> None:
    found = analysis(tmp_path, LOAD, parameters=(0, 0x00FF000000000000), rax=0x00FF000000000000)
    assert found.verdict.problem_class == "INVALID_POINTER_READ"
    assert found.verdict.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    ("code", "rcx", "problem", "confidence"),
    [
        ("ffd1", 0x4141414141414141, "INVALID_POINTER_EXECUTE", Confidence.CERTAIN),  # call rcx
        (
            "ffe1",  # jmp rcx
            0xDDDDDDDDDDDDDDDD,
            "INVALID_POINTER_EXECUTE_FILL_PATTERN_dddddddd",
            Confidence.CERTAIN,
        ),
        ("0f584101", STACK, "DATATYPE_MISALIGNMENT", Confidence.LIKELY),  # addps xmm0,[rcx+1]
        ("c5fd6f4110", STACK, "DATATYPE_MISALIGNMENT", Confidence.CERTAIN),  # vmovdqa ymm0,[rcx+16]
        ("0f284101", 0x4141414141414141, "INVALID_POINTER_READ", Confidence.LIKELY),
        ("0f284108", 0, "NULL_POINTER_READ", Confidence.CERTAIN),  # movaps xmm0,[rcx+8]
        ("cd29", 0, "PRIVILEGED_INSTRUCTION", Confidence.LIKELY),  # int 29h
    ],
)
@pytest.mark.parametrize("platform", [LINUX, NT])
def test_what_the_processor_refuses(
    tmp_path: Path, code: str, rcx: int, problem: str, confidence: Confidence, platform: int
) -> None:
    record: dict[str, Any] = {"parameters": (0, 0xFFFFFFFFFFFFFFFF)}
    if platform == LINUX:
        record = {"exception": 11, "flags": 0x80, "address": 0}
    found = analysis(tmp_path, code, platform=platform, rcx=rcx, **record)
    assert (found.verdict.problem_class, found.verdict.confidence) == (problem, confidence)


def test_data_that_was_executed_is_not_judged_by_its_instruction(tmp_path: Path) -> None:
    """Bytes of data that would be a privileged instruction were never executed."""
    regions: list[Step] = [
        ("region", (DATA, 0x1000), {"protect": 4}),
        ("memory", (DATA, b"\xf4" * 16), {}),
    ]
    found = analysis(
        tmp_path, "", exception=11, flags=2, platform=LINUX, rip=DATA, address=DATA, build=regions
    )
    assert found.verdict.problem_class == "SOFTWARE_NX_FAULT"


@pytest.mark.parametrize(
    ("signal", "flags", "problem", "confidence"),
    [
        (7, 1, "DATATYPE_MISALIGNMENT", Confidence.CERTAIN),
        (7, 2, "IN_PAGE_ERROR", Confidence.POSSIBLE),  # nop accesses no memory
        (7, 4, "HARDWARE_ERROR", Confidence.CERTAIN),
        (8, 0xFFFFFFFA, "TERMINATED", Confidence.LIKELY),
        (5, 0xFFFFFFFA, "TERMINATED", Confidence.LIKELY),
        (5, 2, "SINGLE_STEP", Confidence.CERTAIN),
        (5, 1, "BREAKPOINT", Confidence.POSSIBLE),  # no int 3 is there
        (8, 0, "ARITHMETIC_FAULT", Confidence.POSSIBLE),
        (15, 0, "TERMINATED", Confidence.CERTAIN),
    ],
)
def test_how_sure_signals_are(
    tmp_path: Path, signal: int, flags: int, problem: str, confidence: Confidence
) -> None:
    found = analysis(tmp_path, "90", exception=signal, flags=flags, address=0, platform=LINUX)
    assert (found.verdict.problem_class, found.verdict.confidence) == (problem, confidence)


def test_a_signal_without_code_may_have_been_sent(tmp_path: Path) -> None:
    """kill() stores the sender's process and user where a fault has its address."""
    status: list[Step] = [("stream", (0x47670004, b"Pid:\t4242\n"), {})]
    own = analysis(tmp_path, "90", exception=11, address=4242, platform=LINUX, build=status)
    assert own.verdict.problem_class == "TERMINATED"
    other = analysis(tmp_path, "90", exception=11, address=9999, platform=LINUX, build=status)
    assert other.verdict.confidence is Confidence.POSSIBLE
    assert "a process (9999) may have sent the signal" in said(other)


def test_a_guard_page_that_is_no_stack(tmp_path: Path) -> None:
    regions: list[Step] = [("region", (DATA, 0x1000), {"protect": 4})]
    found = analysis(
        tmp_path, STORE, exception=0x80000001, parameters=(1, DATA + 0x10), rax=DATA, build=regions
    )
    assert found.verdict.problem_class == "GUARD_PAGE"


def test_a_program_of_32_bits_may_have_memory_above_3_gigabytes(tmp_path: Path) -> None:
    context = x86_context(eip=0x401000, esp=STACK, eax=0xC0001000)
    builder = MinidumpBuilder("x86").system().module(0x400000, 0x10000, "app.exe")
    builder.thread(7, context, stack=(STACK, bytes(64))).region(0xC0001000, 0x1000, protect=2)
    builder.memory(0x401000, bytes.fromhex("8908").ljust(16, b"\x90"))  # mov [eax],ecx
    builder.exception(7, AV, 0x401000, (1, 0xC0001000), context=context)
    path = tmp_path / "built.dmp"
    path.write_bytes(builder.build())
    session = Session()
    found = analyze(session, session.open_dump(str(path)))
    session.close()
    assert found.verdict.problem_class == "READ_ONLY_WRITE"


@pytest.mark.parametrize(
    ("signal", "problem"), [(19, "DUMP_REQUESTED"), (13, "TERMINATED"), (14, "TERMINATED")]
)
def test_signals_that_are_no_faults(tmp_path: Path, signal: int, problem: str) -> None:
    found = analysis(tmp_path, "90", exception=signal, platform=LINUX)
    assert found.verdict.problem_class == problem


@pytest.mark.parametrize(
    ("exception", "parameters", "confidence"),
    [
        (AV, (0, 0), Confidence.POSSIBLE),
        (0xC00000FD, (1, STACK), Confidence.LIKELY),
        (0xC0000096, (), Confidence.LIKELY),
    ],
)
def test_faults_that_the_instruction_cannot_make(
    tmp_path: Path, exception: int, parameters: tuple[int, ...], confidence: Confidence
) -> None:
    """RaiseException takes every code; without symbols only the instruction there shows it."""
    found = analysis(tmp_path, "90", exception=exception, parameters=parameters)
    assert found.verdict.confidence is confidence


@pytest.mark.parametrize("exception", [AV, 0xC00000FD, 0xC0000094, 0xC0000096, 0xC000001D])
def test_faults_that_software_raised(tmp_path: Path, exception: int) -> None:
    found = analysis(tmp_path, "90", exception=exception, parameters=(0, 0), flags=0x81)
    assert found.verdict.problem_class == "APPLICATION_FAULT"
    assert found.verdict.confidence is Confidence.LIKELY
    assert "marked as raised by software" in said(found)


def test_minus_one_is_no_null_pointer(tmp_path: Path) -> None:
    all_ones = 0xFFFFFFFFFFFFFFFF
    found = analysis(tmp_path, LOAD, parameters=(0, all_ones), rax=all_ones)
    assert found.verdict.problem_class == "INVALID_POINTER_READ"
    assert "the value -1" in said(found)


def test_the_service_interrupt_of_debuggers_is_a_breakpoint(tmp_path: Path) -> None:
    before: list[Step] = [("memory", (CODE - 0x10, bytes(13) + b"\xcd\x2d\x90"), {})]
    found = analysis(tmp_path, "90", exception=0x80000003, build=before)
    assert found.verdict.confidence is Confidence.LIKELY
    assert "`int 2Dh` before" in said(found)
