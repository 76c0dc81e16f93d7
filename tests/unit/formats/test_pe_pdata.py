"""``.pdata`` and UNWIND_INFO, from built bytes."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.pe.header import DataDirectory
from polydbg.formats.pe.pdata import (
    RuntimeFunction,
    UnwindOp,
    chain_of,
    find_function,
    primary_of,
    read_unwind_info,
    resolve_indirect,
)
from polydbg.memory.space import BufferSpace
from polydbg.testing.pe_builder import code, u32, unwind_info


def test_search_finds_every_row_and_no_other() -> None:
    rows = [(0x1000 + 0x20 * i, 0x1000 + 0x20 * i + 0x18, i * 4) for i in range(1000)]
    space = BufferSpace(b"".join(u32(*row) for row in rows))
    table = DataDirectory(0, 12 * len(rows))
    for begin, end, unwind in rows:
        assert find_function(space, table, begin) == RuntimeFunction(begin, end, unwind)
        assert find_function(space, table, end - 1) == RuntimeFunction(begin, end, unwind)
        assert find_function(space, table, end) is None
    assert find_function(space, table, 0xFFF) is None
    assert find_function(space, DataDirectory(0, 0), 0x1000) is None


def test_search_in_missing_memory() -> None:
    with pytest.raises(MemoryReadError):
        find_function(BufferSpace(b""), DataDirectory(0, 1200), 0x1000)


def test_all_operations() -> None:
    data = unwind_info(
        code(0x30, 9, 12, 0x3450, 0x0012),
        code(0x2C, 8, 6, 3),
        code(0x28, 5, 14, 0x5678, 0x0001),
        code(0x24, 4, 3, 7),
        code(0x20, 3, 0),
        code(0x1C, 1, 1, 0x2340, 0x0001),
        code(0x18, 1, 0, 0x20),
        code(0x10, 2, 4),
        code(0x08, 0, 5),
        code(0x00, 10, 1),
        prolog=0x30,
        flags=1,
        frame=(5, 3),
        tail=u32(0xABCD),
    )
    info = read_unwind_info(BufferSpace(data), 0)
    assert [(c.prolog_offset, c.op, c.info, c.value) for c in info.codes] == [
        (0x30, UnwindOp.SAVE_XMM128_FAR, 12, 0x123450),
        (0x2C, UnwindOp.SAVE_XMM128, 6, 48),
        (0x28, UnwindOp.SAVE_NONVOL_FAR, 14, 0x15678),
        (0x24, UnwindOp.SAVE_NONVOL, 3, 56),
        (0x20, UnwindOp.SET_FPREG, 0, 0),
        (0x1C, UnwindOp.ALLOC_LARGE, 1, 0x12340),
        (0x18, UnwindOp.ALLOC_LARGE, 0, 0x100),
        (0x10, UnwindOp.ALLOC_SMALL, 4, 40),
        (0x08, UnwindOp.PUSH_NONVOL, 5, 0),
        (0x00, UnwindOp.PUSH_MACHFRAME, 1, 0),
    ]
    assert (info.prolog_size, info.frame_register, info.frame_offset) == (0x30, 5, 48)
    assert info.handler_rva == 0xABCD


def test_epilogs_of_version_2() -> None:
    """Never seen on a real file."""
    data = unwind_info(
        code(9, 6, 1),  # size 9, one at the end
        code(0x34, 6, 2),  # 0x234 before the end
        code(0x40, 6, 0),
        code(0, 6, 0),  # pads the pair
        code(4, 2, 3),
        version=2,
        prolog=4,
    )
    info = read_unwind_info(BufferSpace(data), 0)
    assert (info.epilog_size, info.epilogs) == (9, (9, 0x234, 0x40))
    assert [c.op for c in info.codes] == [UnwindOp.ALLOC_SMALL]


def test_a_zero_slot_pads_epilogs_of_version_2() -> None:
    """Never seen on a real file."""
    data = unwind_info(code(5, 6, 1), [0], code(1, 0, 3), version=2, prolog=1)
    info = read_unwind_info(BufferSpace(data), 0)
    assert info.epilogs == (5,)
    assert [(c.op, c.info) for c in info.codes] == [(UnwindOp.PUSH_NONVOL, 3)]


@pytest.mark.parametrize(
    "data",
    [
        unwind_info(version=3),
        unwind_info(version=0),
        unwind_info([4 | 12 << 8]),
        unwind_info(code(4, 1, 1, 5)),  # two slots of three
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_unwind_info(BufferSpace(data), 0)


def test_chained_both_ways() -> None:
    head = unwind_info(code(1, 0, 3), prolog=1)
    head += bytes(-len(head) % 16)
    part_at = len(head)
    part = unwind_info(flags=4, tail=u32(0x1000, 0x1010, 0))
    row_at = part_at + len(part)
    space = BufferSpace(head + part + u32(0x1000, 0x1010, 0))
    chained = RuntimeFunction(0x2000, 0x2010, part_at)
    indirect = RuntimeFunction(0x3000, 0x3010, row_at | 1)
    assert [len(info.codes) for info in chain_of(space, chained)] == [0, 1]
    assert [len(info.codes) for info in chain_of(space, indirect)] == [1]
    assert resolve_indirect(space, indirect).begin == 0x1000
    assert primary_of(space, chained).begin == primary_of(space, indirect).begin == 0x1000


def test_circles_are_refused() -> None:
    self_chained = BufferSpace(unwind_info(flags=4, tail=u32(0, 0x10, 0)))
    self_indirect = BufferSpace(u32(0, 0x10, 1))
    for space, row in (
        (self_chained, RuntimeFunction(0, 0x10, 0)),
        (self_indirect, RuntimeFunction(0, 0x10, 1)),
    ):
        with pytest.raises(FormatError, match="without end"):
            chain_of(space, row)
        with pytest.raises(FormatError, match="without end"):
            primary_of(space, row)


def test_every_cut_is_our_error() -> None:
    whole = unwind_info(code(8, 1, 1, 1, 2), code(4, 5, 3, 1, 2), flags=4, tail=u32(1, 2, 3))
    for length in range(len(whole)):
        with pytest.raises(MemoryReadError):
            read_unwind_info(BufferSpace(whole[:length]), 0)
