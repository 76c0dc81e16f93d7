"""The parts of an analysis: operands, pointers, recursion, names of run-times, buckets."""

from __future__ import annotations

import pytest

from polydbg.arch.disassembly import Disassembler
from polydbg.engine.analysis.blame import bucket_hash
from polydbg.engine.analysis.model import AccessKind
from polydbg.engine.analysis.operands import operand_accesses
from polydbg.engine.analysis.pointers import (
    Fill,
    below_null,
    fill_pattern,
    is_canonical,
    is_null,
    is_of_system,
    text_in,
)
from polydbg.engine.analysis.recursion import find_recursion
from polydbg.engine.analysis.runtime import end_reason, is_helper, is_system
from polydbg.engine.modules import Module, Place
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import ModuleInfo
from polydbg.unwind.frames import Frame, FrameTrust

REGISTERS = {
    "rax": 0, "rbx": 0x100, "rcx": 3, "rdx": 0x7000, "rsi": 0x2000, "rdi": 0x3000,
    "rsp": 0x8000, "rbp": 0x9000, "rip": 0x140001000, "r8": 0x41,
}  # fmt: skip


def accesses(
    code: str, arch: str = "amd64", registers: dict[str, int] = REGISTERS
) -> list[tuple[str, int, int, str]]:
    instruction = Disassembler(arch).decode_one(bytes.fromhex(code), 0x140001000 % (1 << 32))
    assert instruction is not None
    found = operand_accesses(instruction, registers, arch)
    return [(a.kind.value, a.address, a.size, a.base) for a in found]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("894810", [("write", 0x10, 4, "rax")]),  # mov dword ptr [rax+10h],ecx
        ("8b448bf8", [("read", 0x104, 4, "rbx")]),  # mov eax,[rbx+rcx*4-8]
        ("833800", [("read", 0, 4, "rax")]),  # cmp dword ptr [rax],0
        ("ff00", [("write", 0, 4, "rax")]),  # inc dword ptr [rax]
        ("f738", [("read", 0, 4, "rax")]),  # idiv dword ptr [rax]
        ("50", [("write", 0x7FF8, 8, "rsp")]),  # push rax
        ("58", [("read", 0x8000, 8, "rsp")]),  # pop rax
        ("c3", [("read", 0x8000, 8, "rsp")]),  # ret
        ("ff10", [("read", 0, 8, "rax"), ("write", 0x7FF8, 8, "rsp")]),  # call qword ptr [rax]
        ("f348a5", [("read", 0x2000, 8, "rsi"), ("write", 0x3000, 8, "rdi")]),  # rep movsq
        ("aa", [("write", 0x3000, 1, "rdi")]),  # stosb
        ("488d4810", []),  # lea rcx,[rax+10h] accesses nothing
        ("65488b042530000000", []),  # mov rax,gs:[30h]: the segment's base is not known
        ("488b0425f0ffffff", [("read", 0xFFFFFFFFFFFFFFF0, 8, "")]),  # an absolute address
        ("0f1f4000", []),  # nop dword ptr [rax]
    ],
)
def test_operands_of_x64(code: str, expected: list[tuple[str, int, int, str]]) -> None:
    assert accesses(code) == expected


def test_operands_of_x86_are_32_bits_wide() -> None:
    registers = {"eax": 0xFFFFFFFF, "esp": 0x1000}
    assert accesses("894010", "x86", registers) == [("write", 0xF, 4, "eax")]
    assert accesses("50", "x86", registers) == [("write", 0xFFC, 4, "esp")]


def test_operands_over_unknown_registers_are_left_out() -> None:
    assert accesses("894810", registers={"rcx": 1}) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("200440f9", [("read", 0x1008, 0, "x1")]),  # ldr x0,[x1,#8]
        ("200400f9", [("write", 0x1008, 0, "x1")]),  # str x0,[x1,#8]
        ("20004039", [("read", 0x1000, 1, "x1")]),  # ldrb w0,[x1]
        ("207862f8", [("read", 0x1010, 0, "x1")]),  # ldr x0,[x1,x2,lsl #3]
        ("fd7bbfa9", [("write", 0x8000 - 16, 0, "sp")]),  # stp fp,lr,[sp,#-10h]!
        ("20000091", []),  # add
    ],
)
def test_operands_of_arm64(code: str, expected: list[tuple[str, int, int, str]]) -> None:
    registers = {"x1": 0x1000, "x2": 2, "sp": 0x8000}
    assert accesses(code, "arm64", registers) == expected


def test_fill_patterns_with_an_offset_added() -> None:
    pattern = fill_pattern(0xFEEEFEEEFEEEFF06, 8)
    assert pattern is not None
    assert pattern.word == 0xFEEEFEEE
    assert pattern.state is Fill.FREED
    pattern = fill_pattern(0xCDCDCDCD, 4)
    assert pattern is not None
    assert pattern.state is Fill.FRESH
    assert fill_pattern(0xCDCDCDCD, 8) is None  # half a pointer holds the pattern: by chance
    assert fill_pattern(0x00007FF612345678, 8) is None


def test_what_pointers_say_of_themselves() -> None:
    assert is_null(0xFFFF)
    assert not is_null(0x10000)
    assert below_null(0xFFFFFFFFFFFFFFF8, 8) == 8
    assert below_null(0xFFFF0000, 4) is None
    assert is_canonical(0x7FFFFFFFFFFF, "amd64")
    assert is_canonical(0xFFFF800000000000, "amd64")
    assert not is_canonical(0x800000000000, "amd64")
    assert is_canonical(0xFFFF0000, "x86")
    assert is_of_system(0xFFFF800000000000, "amd64", "linux")
    assert not is_of_system(0xB400007123456789, "arm64", "linux")  # a tagged pointer
    assert is_of_system(0xFFFFFF8000000000, "arm64", "linux")
    assert is_of_system(0xC0000000, "x86", "windows")
    assert not is_of_system(0xC0000000, "x86", "linux")
    assert text_in(0x4443424144434241, 8) == "ABCDABCD"
    assert text_in(0x41414100, 4) == ""
    assert text_in(0x0044004300420041, 8) == "ABCD"


def row(number: int, symbol: str, displacement: int = 5) -> StackFrame:
    frame = Frame(
        0x1000 + number, 0x8000 + number, 0, {}, FrameTrust.UNWIND_INFO, True, 0, False, ""
    )
    return StackFrame(number, frame, Place(0x1000, "app", symbol, displacement), "", 0, False)


def test_recursion_is_the_shortest_cycle_below_the_entry() -> None:
    names = ["leaf", "handler", *["a", "b", "c"] * 20, "main"]
    found = find_recursion([row(i, name) for i, name in enumerate(names)], is_cut=False)
    assert found is not None
    assert found.functions == ("app!a", "app!b", "app!c")
    assert (found.repeats, found.is_cut) == (20, False)


def test_no_recursion_in_an_ordinary_stack_or_one_without_names() -> None:
    assert find_recursion([row(i, f"f{i}") for i in range(30)], is_cut=False) is None
    frames = [row(i, "", 0x1000 + i) for i in range(30)]
    assert find_recursion(frames, is_cut=False) is None


def test_a_cycle_that_reaches_the_end_of_a_cut_stack_goes_on() -> None:
    found = find_recursion([row(i, "f") for i in range(64)], is_cut=True)
    assert found is not None
    assert found.is_cut
    assert found.functions == ("app!f",)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (r"C:\Windows\System32\ntdll.dll", True),
        (r"C:\Windows\System32\KERNELBASE.dll", True),
        ("/lib/x86_64-linux-gnu/libc.so.6", True),
        ("/lib/x86_64-linux-gnu/libc-2.31.so", True),
        ("/lib64/ld-linux-x86-64.so.2", True),
        ("/usr/lib/libstdc++.so.6.0.28", True),
        ("/usr/lib/system/libsystem_kernel.dylib", True),
        (r"C:\app\kernel33.dll", False),
        ("/srv/app/libcargo.so", False),
        ("/srv/app/server", False),
        (r"C:\app\VCRUNTIME140_1.dll", True),
        (r"C:\app\ucrtbase.dll", True),
    ],
)
def test_which_modules_are_the_systems(path: str, expected: bool) -> None:
    assert is_system(Module(ModuleInfo("x", path, 0x1000, 0x1000))) is expected


def test_functions_that_end_a_program_say_why() -> None:
    for name, problem in (
        ("__assert_fail", "ASSERTION"),
        ("_wassert", "ASSERTION"),
        ("__stack_chk_fail", "STACK_BUFFER_OVERRUN"),
        ("std::terminate", "CPP_TERMINATE"),
        ("__cxxabiv1::__terminate", "CPP_TERMINATE"),
        ("_purecall", "PURE_VIRTUAL_CALL"),
        ("malloc_printerr", "HEAP_CORRUPTION"),
        ("core::panicking::panic_fmt", "RUST_PANIC"),
        ("runtime.fatalpanic", "GO_PANIC"),
        ("abort", "ABORT"),
    ):
        reason = end_reason(name)
        assert reason is not None, name
        assert reason.problem_class == problem, name
        assert is_helper(name)
    assert end_reason("aborted_orders") is None
    assert not is_helper("price_order")
    assert is_helper("_CxxThrowException")
    assert is_helper("memcpy")
    assert is_helper("operator new")


def test_the_hash_of_a_bucket_never_changes() -> None:
    """Counted over years: another hash for the same bucket would split it."""
    expected = "{4c23a41e-0bc6-2961-daf3-610ddfc86721}"
    assert bucket_hash("NULL_POINTER_WRITE_c0000005_app.exe!main") == expected


def test_access_kinds_have_names_for_buckets() -> None:
    assert [kind.name for kind in AccessKind] == ["READ", "WRITE", "EXECUTE", "UNKNOWN"]
