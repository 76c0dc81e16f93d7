"""Functions by control flow: blocks, jump tables, parts; on bytes written here."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydbg.arch.disassembly import Disassembler
from polydbg.engine import flow
from polydbg.engine.code import before, instructions, readable_before
from polydbg.engine.flow import FlowAnalysis, FunctionCode
from polydbg.engine.functions import Function
from polydbg.engine.modules import ModuleLoader, ModuleMap
from polydbg.memory.space import BufferSpace

X64, X86 = Disassembler("amd64"), Disassembler("x86")
BASE = 0x1000


def no_modules() -> ModuleMap:
    loader = ModuleLoader(load_symbols=lambda module: None, find_image=lambda module: None)
    return ModuleMap(loader, BufferSpace(b""), 8, ())


def analysed(
    code: bytes, decoder: Disassembler = X64, *, size: int = 0, base: int = BASE
) -> FunctionCode:
    function = Function(no_modules(), None, base, size or len(code))
    memory = BufferSpace(code, base)
    return FlowAnalysis(memory, decoder, function, lambda address: None, lambda done: None).run()


def starts(code: FunctionCode) -> list[int]:
    return [block[0].address - BASE for block in code.blocks()]


def words(values: Sequence[int]) -> bytes:
    return b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values)


def test_blocks_begin_at_targets_and_after_branches() -> None:
    # 0: test eax,eax; 2: je 7; 4: inc eax; 6: nop; 7: ret
    code = analysed(bytes.fromhex("85c0 7403 ffc0 90 c3"))
    assert starts(code) == [0, 4, 7]
    assert code.is_complete
    assert len(code.rows) == 5


def test_code_that_nothing_leads_to_is_left_out() -> None:
    assert len(analysed(bytes.fromhex("eb02 cccc c3")).rows) == 2


def test_jumps_out_of_the_function_end_it() -> None:
    code = analysed(bytes.fromhex("e9fb0f0000"))
    assert list(code.rows) == [BASE]
    assert code.is_complete


def test_blocks_below_the_start_come_last_unless_by_address() -> None:
    memory = BufferSpace(bytes.fromhex("c3 90 ebfc"), BASE)
    function = Function(no_modules(), None, BASE + 2)
    code = FlowAnalysis(memory, X64, function, lambda a: None, lambda done: None).run()
    assert [block[0].address for block in code.blocks()] == [BASE + 2, BASE]
    assert [block[0].address for block in code.blocks(by_address=True)] == [BASE, BASE + 2]


def test_table_of_offsets_from_itself() -> None:
    # cmp eax,2; ja 1b; lea rdx,[1e]; movsxd rax,[rdx+rax*4]; add rax,rdx; jmp rax; four rets
    head = bytes.fromhex("83f802 7716 488d1512000000 48630482 4801d0 ffe0")
    rets = bytes.fromhex("c390 c390 c390 c39090")
    code = analysed(head + rets + words([0x15 - 0x1E, 0x17 - 0x1E, 0x19 - 0x1E, 0x15 - 0x1E + 1]))
    assert starts(code) == [0, 5, 0x15, 0x17, 0x19, 0x1B]
    assert code.is_complete


@pytest.mark.parametrize("entry", [0x7FFFFFF0, -0x7FFFFFF0])
def test_table_that_leads_elsewhere_says_so(entry: int) -> None:
    head = bytes.fromhex("488d1509000000 48630482 4801d0 ffe0")
    assert not analysed(head + words([entry])).is_complete


def test_table_of_addresses_on_x86() -> None:
    head = bytes.fromhex("83f801 7709 ff2485") + words([BASE + 0x10]) + bytes.fromhex("c3 90 c3 90")
    code = analysed(head + words([BASE + 12, BASE + 14]), X86)
    assert starts(code) == [0, 5, 12, 14]
    assert code.is_complete


def test_jumps_through_imports_and_tail_calls_leave_for_good() -> None:
    assert analysed(bytes.fromhex("ff2500000000")).is_complete
    assert analysed(bytes.fromhex("48ffe0")).is_complete
    assert not analysed(bytes.fromhex("ffe0")).is_complete


def test_unreadable_code_is_a_row_without_data() -> None:
    code = analysed(b"\x90", size=16)
    assert not code.is_complete
    assert [row.data for row in code.rows.values()] == [b"\x90", b""]


def test_endless_code_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_INSTRUCTIONS", 100)
    code = analysed(b"\x90" * 1000)
    assert code.is_cut
    assert len(code.rows) == 100


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_analysed(data: bytes) -> None:
    code = analysed(data)
    listed = [row for block in code.blocks() for row in block]
    assert len(listed) == len(code.rows) <= len(data) + 1


def test_instructions_across_reads_are_whole() -> None:
    code = bytes.fromhex("48b8") + bytes(8)
    memory = BufferSpace(code * 1000, BASE)
    stream = instructions(memory, X64, BASE)
    assert [next(stream).address for _ in range(1000)] == list(range(BASE, BASE + 10000, 10))
    assert next(stream).data == b""


def test_reading_backwards_stops_at_a_hole() -> None:
    memory = BufferSpace(b"\x90" * 32, BASE)
    assert readable_before(memory, 0x5000, 64) == b""
    assert readable_before(memory, BASE + 8, 64) == b"\x90" * 8
    assert len(before(memory, X64, BASE + 8, 4, lambda address: None, BASE)) == 4
    assert before(memory, X64, 0, 8, lambda address: None, None) == []
