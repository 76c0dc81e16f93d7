"""Instruction text in WinDbg's notation, flow, backwards decoding, effective addresses.

Expected texts that no transcript covers are from listings of the engine that people published.
"""

from __future__ import annotations

import random

import pytest

from polydbg.arch.disassembly import (
    Disassembler,
    Flow,
    FlowKind,
    Instruction,
    MemoryOperand,
    append_suffix,
    effective_address_suffix,
    register_target,
    target_suffix,
)

AMD64 = Disassembler("amd64")
X86 = Disassembler("x86")
ARM64 = Disassembler("arm64")
HERE = 0x7FF61B401530


def text(digits: str, engine: Disassembler = AMD64, address: int = HERE, **names: int) -> str:
    """Return the texts of all instructions in *digits*; *names* are symbols."""
    symbols = {value: f"app!{name}" for name, value in names.items()}
    rows = engine.decode(bytes.fromhex(digits), address, symbols.get)
    return "; ".join(row.text for row in rows)


@pytest.mark.parametrize(
    ("digits", "want"),
    [
        ("83c009", "add     eax,9"),
        ("83c00a", "add     eax,0Ah"),
        ("83c010", "add     eax,10h"),
        ("83c8ff", "or      eax,0FFFFFFFFh"),
        ("4883ec80", "sub     rsp,0FFFFFFFFFFFFFF80h"),
        ("6683f8ff", "cmp     ax,0FFFFh"),
        ("668338ff", "cmp     word ptr [rax],0FFFFh"),
        ("8038ff", "cmp     byte ptr [rax],0FFh"),
        ("3cff", "cmp     al,0FFh"),
        ("6afe", "push    0FFFFFFFFFFFFFFFEh"),
        ("6bc0ff", "imul    eax,eax,0FFFFFFFFh"),
        ("c7442420feffffff", "mov     dword ptr [rsp+20h],0FFFFFFFEh"),
        ("48c7442420feffffff", "mov     qword ptr [rsp+20h],0FFFFFFFFFFFFFFFEh"),
        ("48b88877665544332211", "mov     rax,1122334455667788h"),
        ("c8100001", "enter   10h,1"),
        ("c20800", "ret     8"),
    ],
)
def test_immediates(digits: str, want: str) -> None:
    assert text(digits) == want


@pytest.mark.parametrize(
    ("digits", "want"),
    [
        ("8b45fc", "mov     eax,dword ptr [rbp-4]"),
        ("8b45f0", "mov     eax,dword ptr [rbp-10h]"),
        ("488b8578ffffff", "mov     rax,qword ptr [rbp-88h]"),
        ("4a8b44d118", "mov     rax,qword ptr [rcx+r10*8+18h]"),
        ("8b04c5f8ffffff", "mov     eax,dword ptr [rax*8-8]"),
        ("8b042500000000", "mov     eax,dword ptr [0]"),
        ("890c250800ffff", "mov     dword ptr [0FFFFFFFFFFFF0008h],ecx"),
        ("65488b042530000000", "mov     rax,qword ptr gs:[30h]"),
        ("65488b5260", "mov     rdx,qword ptr gs:[rdx+60h]"),
        ("662e0f1f840000000000", "nop     word ptr cs:[rax+rax]"),
        ("0f1f4000", "nop     dword ptr [rax]"),
        ("420f114400f0", "movups  xmmword ptr [rax+r8-10h],xmm0"),
    ],
)
def test_memory_operands_in_text(digits: str, want: str) -> None:
    assert text(digits) == want


def test_symbols_of_targets_and_data() -> None:
    assert text("7424", f=HERE + 0x26) == "je      app!f (00007ff6`1b401556)"
    assert text("7424") == "je      00007ff6`1b401556"
    assert text("e8fbffffff", g=HERE) == "call    app!g (00007ff6`1b401530)"
    assert (
        text("891507ac0000", gCount=HERE + 6 + 0xAC07)
        == "mov     dword ptr [app!gCount (00007ff6`1b40c13d)],edx"
    )
    assert text("ff1500000000") == "call    qword ptr [00007ff6`1b401536]"
    assert text("488d0d00000000") == "lea     rcx,[00007ff6`1b401537]"


@pytest.mark.parametrize(
    ("digits", "want"),
    [
        ("a4", "movs    byte ptr [rdi],byte ptr [rsi]"),
        ("f3a4", "rep movs byte ptr [rdi],byte ptr [rsi]"),
        ("f348a5", "rep movs qword ptr [rdi],qword ptr [rsi]"),
        ("f348ab", "rep stos qword ptr [rdi]"),
        ("f2ae", "repne scas byte ptr [rdi]"),
        ("f3a6", "repe cmps byte ptr [rsi],byte ptr [rdi]"),
        ("ac", "lods    byte ptr [rsi]"),
        ("f00fb111", "lock cmpxchg dword ptr [rcx],edx"),
        ("f0480fc70e", "lock cmpxchg16b oword ptr [rsi]"),
        ("f3c3", "rep ret"),
        ("f390", "pause"),
        ("cc", "int     3"),
        ("cd29", "int     29h"),
        ("c3", "ret"),
        ("f7e1", "mul     eax,ecx"),
        ("f7e9", "imul    ecx"),
        ("48f7f1", "div     rax,rcx"),
        ("f77c2408", "idiv    eax,dword ptr [rsp+8]"),
        ("f6f1", "div     al,cl"),
        ("0f0d8b90000000", "prefetchw [rbx+90h]"),
        ("0fae5dac", "stmxcsr dword ptr [rbp-54h]"),
        ("66480f6ec2", "movd    xmm0,rdx"),
        ("f20f100424", "movsd   xmm0,mmword ptr [rsp]"),
        ("668703", "xchg    ax,word ptr [rbx]"),
        ("6690", "xchg    ax,ax"),
        ("660fd6401c", "movq    mmword ptr [rax+1Ch],xmm0"),
        ("f2480f2a442450", "cvtsi2sd xmm0,qword ptr [rsp+50h]"),
        ("0f1200", "movlps  xmm0,qword ptr [rax]"),
        ("db2c24", "fld     tbyte ptr [rsp]"),
        ("d8c1", "fadd    st,st(1)"),
        ("dec1", "faddp   st(1),st"),
        ("c5fc1101", "vmovups ymmword ptr [rcx],ymm0"),
        ("8701", "xchg    eax,dword ptr [rcx]"),
        ("8501", "test    dword ptr [rcx],eax"),
    ],
)
def test_prefixes_and_forms_of_its_own(digits: str, want: str) -> None:
    assert text(digits) == want


@pytest.mark.parametrize(
    ("digits", "want"),
    [
        ("64a118000000", "mov     eax,dword ptr fs:[00000018h]"),
        ("a1c0b04000", "mov     eax,dword ptr ds:[0040B0C0h]"),
        ("f3ab", "rep stos dword ptr es:[edi]"),
        ("a5", "movs    dword ptr es:[edi],dword ptr [esi]"),
        ("6c", "ins     byte ptr es:[edi],dx"),
        ("6f", "outs    dx,dword ptr [esi]"),
        ("60", "pushad"),
        ("6aff", "push    0FFFFFFFFh"),
        ("ea1e27dd743300", "jmp     0033:74DD271E"),
        ("8d4424f8", "lea     eax,[esp-8]"),
    ],
)
def test_x86(digits: str, want: str) -> None:
    assert text(digits, X86, 0x401000) == want


def test_x86_symbols() -> None:
    names = {"table": 0x4010C0}
    assert text("a1c0104000", X86, 0x401000, **names) == (
        "mov     eax,dword ptr [app!table (004010c0)]"
    )
    assert text("68c0104000", X86, 0x401000, **names) == "push    offset app!table (004010c0)"
    assert text("0dc0104000", X86, 0x401000, **names) == ("or      eax,offset app!table (004010c0)")
    assert text("ff2485c0104000", X86, 0x401000, **names) == (
        "jmp     dword ptr app!table (004010c0)[eax*4]"
    )


def test_arm64() -> None:
    data = bytes.fromhex("60030191f333")[:4] + (0x97FD2397).to_bytes(4, "little")
    rows = list(ARM64.decode(data, 0xFFFFF801BCD52DE8, lambda at: f"nt+{at & 0xFF:#x}"))
    assert [row.row("a") for row in rows] == [
        "a 91010360 add         x0,x27,#0x40",
        "a 97fd2397 bl          nt+0x48 (fffff801`bcc9bc48)",
    ]


def test_rows_with_many_bytes_take_the_padding() -> None:
    def row(digits: str) -> str:
        return next(AMD64.decode(bytes.fromhex(digits), HERE)).row("ADDR")

    assert row("4883ec10") == "ADDR 4883ec10        sub     rsp,10h"
    assert row("48898c24b0010000") == "ADDR 48898c24b0010000 mov     qword ptr [rsp+1B0h],rcx"
    assert row("65488b042588010000") == "ADDR 65488b042588010000 mov   rax,qword ptr gs:[188h]"
    assert row("48b90101010101010101") == "ADDR 48b90101010101010101 mov rcx,101010101010101h"
    assert row("c3") == "ADDR c3              ret"
    assert Instruction(0, b"", "???", "").row("ADDR") == "ADDR ??              ???"


def test_undecodable_bytes_go_on_at_the_next_byte() -> None:
    rows = list(AMD64.decode(bytes.fromhex("06 90 07 c3"), 0x1000))
    assert [(row.address, row.data.hex(), row.mnemonic) for row in rows] == [
        (0x1000, "06", "???"),
        (0x1001, "90", "nop"),
        (0x1002, "07", "???"),
        (0x1003, "c3", "ret"),
    ]


def test_truncated_last_instruction() -> None:
    rows = list(AMD64.decode(bytes.fromhex("90 e8 00"), 0x1000))
    assert [row.mnemonic for row in rows] == ["nop", "???", "???"]
    assert [row.end for row in rows] == [0x1001, 0x1002, 0x1003]
    assert [row.mnemonic for row in ARM64.decode(bytes(6), 0)][-1] == "???"


def test_count_limits_and_chunks_join() -> None:
    data = bytes.fromhex("488b442438") * 500
    assert len(list(AMD64.decode(data, 0))) == 500
    assert len(list(AMD64.decode(data, 0, count=130))) == 130
    assert list(AMD64.decode(b"", 0)) == []


def test_random_bytes_never_raise() -> None:
    source = random.Random(20)
    for engine in (AMD64, X86, ARM64):
        for _ in range(700):
            data = source.randbytes(source.randrange(40))
            address = source.choice([0, 0x401000, HERE, 2**32 - 8, 2**64 - 8])
            rows = list(engine.decode(data, address, lambda at: f"m+{at:#x}"))
            assert b"".join(row.data for row in rows) == data
            for row in rows:
                engine.flow(row)
                engine.memory_operands(row, {"rax": 2**64 - 1, "eax": 5, "rsp": 3})
                row.row("x")
            engine.backwards(data, (address + len(data)) % 2**64, 8)


@pytest.mark.parametrize(
    ("digits", "kind", "target"),
    [
        ("90", FlowKind.NEXT, None),
        ("eb02", FlowKind.JUMP, HERE + 4),
        ("ffe0", FlowKind.JUMP, None),
        ("ff2500000000", FlowKind.JUMP, None),
        ("7402", FlowKind.BRANCH, HERE + 4),
        ("e2fe", FlowKind.BRANCH, HERE),
        ("e800000000", FlowKind.CALL, HERE + 5),
        ("ffd0", FlowKind.CALL, None),
        ("c3", FlowKind.RETURN, None),
        ("f3c3", FlowKind.RETURN, None),
        ("0f0b", FlowKind.STOP, None),
        ("cd29", FlowKind.STOP, None),
        ("cc", FlowKind.NEXT, None),
        ("06", FlowKind.STOP, None),
    ],
)
def test_flow(digits: str, kind: FlowKind, target: int | None) -> None:
    row = next(AMD64.decode(bytes.fromhex(digits), HERE))
    assert AMD64.flow(row) == Flow(kind, target)


def test_flow_arm64() -> None:
    def flow(word: int) -> Flow:
        return ARM64.flow(next(ARM64.decode(word.to_bytes(4, "little"), 0x1000)))

    assert flow(0x94000002) == Flow(FlowKind.CALL, 0x1008)
    assert flow(0x14000002) == Flow(FlowKind.JUMP, 0x1008)
    assert flow(0xB4000040) == Flow(FlowKind.BRANCH, 0x1008)
    assert flow(0xD65F03C0) == Flow(FlowKind.RETURN)
    assert flow(0xD61F0100) == Flow(FlowKind.JUMP)
    assert flow(0xD503201F) == Flow(FlowKind.NEXT)


CODE = bytes.fromhex("4883ec10 48894c2408 89542404 8b442404 83c001 b902000000 99 f7f9 d1e0")


def test_backwards_from_an_anchor() -> None:
    end = HERE + len(CODE)
    rows = AMD64.backwards(CODE, end, 3, anchor=HERE)
    assert [row.text for row in rows] == ["cdq", "idiv    eax,ecx", "shl     eax,1"]
    assert rows[-1].end == end
    assert len(AMD64.backwards(CODE, end, 50, anchor=HERE)) == 9


def test_backwards_synchronizes_without_an_anchor() -> None:
    rows = AMD64.backwards(b"\xcc" * 40 + CODE, HERE, 4)
    assert [row.text for row in rows][1:] == ["cdq", "idiv    eax,ecx", "shl     eax,1"]
    assert AMD64.backwards(b"\x06", HERE, 4) == []
    assert AMD64.backwards(b"", HERE, 4) == []


REGISTERS = {"rsp": 0x7FFE3C40E9A0, "rax": 0x10, "r8": 0x20, "gs_base": 0x5000, "rdi": 1, "rsi": 2}


@pytest.mark.parametrize(
    ("digits", "want"),
    [
        ("89442438", [MemoryOperand("ss", 0x7FFE3C40E9D8, 0x7FFE3C40E9D8, 4)]),
        ("420f114400f0", [MemoryOperand("ds", 0x20, 0x20, 16)]),
        ("65488b042530000000", [MemoryOperand("gs", 0x30, 0x5030, 8)]),
        ("64488b042530000000", [MemoryOperand("fs", 0x30, None, 8)]),
        ("ff10", [MemoryOperand("ds", 0x10, 0x10, 8, True)]),
        ("890500000000", [MemoryOperand("ds", HERE + 6, HERE + 6, 4)]),
        ("488d4424f8", []),
        ("0f1f4000", []),
        ("8b01", []),  # rcx is not given
        ("f3a4", []),  # the engine shows none for x64 strings
        ("50", []),
    ],
)
def test_memory_operands(digits: str, want: list[MemoryOperand]) -> None:
    row = next(AMD64.decode(bytes.fromhex(digits), HERE))
    assert AMD64.memory_operands(row, REGISTERS) == want


def test_effective_address_text() -> None:
    operand = MemoryOperand("ss", 0x7FFE3C40E9D8, 0x7FFE3C40E9D8, 4)
    assert effective_address_suffix([operand], lambda *_: bytes(4), None) == (
        "ss:00007ffe`3c40e9d8=00000000"
    )
    assert effective_address_suffix([operand], lambda *_: None, None).endswith("=????????")
    assert effective_address_suffix([], lambda *_: None, None) == ""
    narrow = MemoryOperand("ds", 0x120044, 0x120044, 4)
    assert (
        effective_address_suffix([narrow], lambda *_: None, None, bits=32, selectors={"ds": 0x2B})
        == "ds:002b:00120044=????????"
    )
    slot = MemoryOperand("ds", 0x7FF61B40B3C8, 0x7FF61B40B3C8, 8, True)
    code = (0x7FFD1C0061C0).to_bytes(8, "little")
    assert (
        effective_address_suffix([slot], lambda *_: code, lambda at: "libwork!copy_all")
        == "ds:00007ff6`1b40b3c8={libwork!copy_all (00007ffd`1c0061c0)}"
    )


def test_x86_string_operands_show_both() -> None:
    row = next(X86.decode(bytes.fromhex("a5"), 0x401000))
    operands = X86.memory_operands(row, {"edi": 0x121ABD80, "esi": 0x12EDDC})
    suffix = effective_address_suffix(
        operands, lambda *_: None, None, bits=32, selectors={"es": 0x23, "ds": 0x23}
    )
    assert suffix == "es:0023:121abd80=???????? ds:0023:0012eddc=????????"


def test_register_targets() -> None:
    row = next(AMD64.decode(bytes.fromhex("ffd0"), HERE))
    assert register_target(row, REGISTERS) == 0x10
    assert target_suffix(0x7FFB08B60230, lambda at: "K!F") == "{K!F (00007ffb`08b60230)}"
    assert target_suffix(0x17470800000, None) == "{00000174`70800000}"


def test_suffix_ends_in_column_79_if_there_is_room() -> None:
    row = "0003a6cd 8900            mov     dword ptr [eax],eax"
    assert append_suffix(row, "ds:002b:41414141=????????") == row + "  ds:002b:41414141=????????"
    short = "046bea78 0f8411000000    je      046bea8f"
    assert len(append_suffix(short, "[br=1]")) == 79
    assert append_suffix("x" * 90, "[br=1]") == "x" * 90 + " [br=1]"
    assert append_suffix(row, "") == row


def test_unknown_architecture() -> None:
    with pytest.raises(ValueError, match="mips"):
        Disassembler("mips")
