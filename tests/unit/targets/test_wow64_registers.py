"""The 32-bit side of a 64-bit dump: registers from the context or from behind TLS slot 1."""

from __future__ import annotations

from polydbg.targets.minidump import MinidumpTarget
from polydbg.targets.wow64 import is_wow64, x86_registers
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, u64, x86_context

TEB, SAVED = 0x7000, 0x20000


def _dump(context: bytes, *, saved: bytes = b"\0\0\x4c\x01") -> MinidumpTarget:
    builder = MinidumpBuilder().module(0x1000, 0x1000, r"C:\Windows\System32\wow64.dll")
    builder.thread(1, context, teb=TEB)
    builder.memory(TEB + 0x1488, u64(SAVED)).memory(
        SAVED, saved + x86_context(eip=0x401000, esp=0x12F0)
    )
    return MinidumpTarget(builder.build())


def test_registers_of_a_thread_in_64_bit_code_lie_behind_tls_slot_1() -> None:
    target = _dump(amd64_context(rip=0x7FF812345678, cs=0x33))
    registers = x86_registers(target, target.threads()[0])
    assert is_wow64(target)
    assert (registers["eip"], registers["esp"]) == (0x401000, 0x12F0)


def test_registers_of_a_thread_in_32_bit_code_are_the_lower_halves_of_its_context() -> None:
    context = amd64_context(rip=0x402000, rsp=0x1300, rax=0xFFFFFFFF00000007, cs=0x23, efl=0x246)
    registers = x86_registers(_dump(context), _dump(context).threads()[0])
    assert (registers["eip"], registers["esp"], registers["eax"]) == (0x402000, 0x1300, 7)
    assert (registers["cs"], registers["efl"]) == (0x23, 0x246)
    assert not {"rip", "rax", "r8"} & registers.keys()


def test_another_machine_or_too_few_bytes_behind_the_slot_are_no_registers() -> None:
    context = amd64_context(rip=0x7FF812345678, cs=0x33)
    arm = _dump(context, saved=b"\0\0\xc4\x01")
    assert x86_registers(arm, arm.threads()[0]) == {}
    short = MinidumpTarget(
        MinidumpBuilder()
        .thread(1, context, teb=TEB)
        .memory(TEB + 0x1488, u64(SAVED))
        .memory(SAVED, b"\0\0\x4c\x01" + bytes(8))
        .build()
    )
    assert x86_registers(short, short.threads()[0]) == {}
    assert not is_wow64(short)
