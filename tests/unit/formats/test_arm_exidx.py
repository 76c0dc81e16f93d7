"""The exception tables of 32-bit ARM: built ones, and those that damage makes."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.elf.arm_exidx import ExceptionIndex, parse_codes
from polydbg.memory.space import BufferSpace, ByteOrder

INDEX, EXTAB = 0x1000, 0x2000


def prel31(target: int, place: int) -> int:
    return target - place & 0x7FFFFFFF


def index_of(
    *rows: tuple[int, int], extab: tuple[int, ...] = (), order: ByteOrder = "little"
) -> ExceptionIndex:
    """Return an index of *rows*: where the function begins, and the second word."""
    words = [
        word
        for number, (start, second) in enumerate(rows)
        for word in (prel31(start, INDEX + 8 * number), second)
    ]
    data = b"".join(word.to_bytes(4, order) for word in words).ljust(EXTAB - INDEX, b"\0")
    data += b"".join(word.to_bytes(4, order) for word in extab)
    return ExceptionIndex(BufferSpace(data, INDEX), INDEX, 8 * len(rows), order)


def to_extab(number: int, offset: int = 0) -> int:
    """Return the second word of row *number* that leads into the table."""
    return prel31(EXTAB + offset, INDEX + 8 * number + 4)


def words_of(program: str) -> list[str]:
    """Return codes in short: ``+8``, ``sp=r7``, ``r4 lr``."""
    found = []
    for code in parse_codes(bytes.fromhex(program)):
        names = " ".join(code.registers)
        found.append(
            f"{code.value:+}" if code.op.value == "alloc" else f"sp={names}"
            if code.op.value == "set sp" else f"{names} {code.value}".strip()
        )  # fmt: skip
    return found


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_row_of_an_address_is_the_last_before_it(order: ByteOrder) -> None:
    index = index_of((0x100, 1), (0x200, 0x80A8B0B0), (0x3000, 1), order=order)
    assert index.row_at(0xFF) is None
    starts = [row and row.start for row in map(index.row_at, (0x100, 0x1FF, 0x200, 0x2FFF, 0x9000))]
    assert starts == [0x100, 0x100, 0x200, 0x200, 0x3000]
    row = index.row_at(0x234)
    assert row is not None
    assert (row.end, row.cannot_unwind) == (0x3000, False)
    assert [code.registers for code in index.codes(row)] == [("r4", "lr")]
    last = index.row(2)
    assert last.cannot_unwind
    assert last.end is None
    assert index.codes(last) == ()
    assert len(index) == 3


@pytest.mark.parametrize(
    ("extab", "expected"),
    [
        ((0x8001A8B0,), [4 + 4, 8]),  # the three bytes of personality routine 0
        ((0x81010102, 0x03A8B0B0), [8, 12, 16, 8]),  # 1: two bytes and one word
        ((0x8200A8B0,), [8]),
        ((0x00000040, 0x01010203, 0xA8B0B0B0), [8, 12, 16, 8]),  # that of a language
        ((0x00000040, 0x00A8B0B0), [8]),
    ],
)
def test_entries_of_the_table(extab: tuple[int, ...], expected: list[int]) -> None:
    index = index_of((0x100, to_extab(0)), extab=extab)
    assert [code.value for code in index.codes(index.row(0))] == expected


@pytest.mark.parametrize("word", [0x81A8B0B0, 0xFFFFFFFF, 0x8FB0B0B0])
def test_unknown_rows_and_entries_are_damage(word: int) -> None:
    index = index_of((0x100, word), (0x200, to_extab(1)), extab=(word | 0x83000000,))
    for number in range(2):
        with pytest.raises(FormatError):
            index.codes(index.row(number))


def test_what_is_absent_says_where() -> None:
    index = index_of((0x100, to_extab(0)), extab=(0x81FFB0B0,))
    with pytest.raises(MemoryReadError) as caught:
        index.codes(index.row(0))
    assert caught.value.address == EXTAB + 4


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("00 3f 40 7f", ["+4", "+256", "-4", "-256"]),
        ("8400 8001 8fff", ["lr 4", "r4 4", "r4 r5 r6 r7 r8 r9 r10 r11 r12 sp lr lr 48", "sp=sp"]),
        ("97 9b 9c", ["sp=r7", "sp=r11", "sp=r12"]),
        ("a0 a7 a8 af", [
            "r4 4", "r4 r5 r6 r7 r8 r9 r10 r11 32", "r4 lr 8", "r4 r5 r6 r7 r8 r9 r10 r11 lr 36",
        ]),
        ("b101 b10f", ["r0 4", "r0 r1 r2 r3 16"]),
        ("b200 b2817f", ["+516", f"+{0x204 + (0x3F81 << 2)}"]),
        ("b381 b9", ["d8 d9 20", "d8 d9 20"]),
        ("b4 b5", ["+4", "0"]),
        ("c2 c631 c703", ["+24", "+16", "+8"]),
        ("c801 c981 d0 d7", ["d16 d17 16", "d8 d9 16", "d8 8", "d8 d9 d10 d11 d12 d13 d14 d15 64"]),
        ("a8 b0 ff", ["r4 lr 8"]),
        ("", []),
    ],
)  # fmt: skip
def test_byte_codes(program: str, expected: list[str]) -> None:
    assert words_of(program) == expected


@pytest.mark.parametrize(
    "program",
    ["8000", "9d", "9f", "b100", "b110", "b6", "b7", "ca", "d8", "ff", "c700", "c710", "c8ff",
     "84", "b1", "b3", "b2", "b2ffff", "b2" + "80" * 40 + "00"],
)  # fmt: skip
def test_refusals_spare_codes_and_cut_ones_are_errors(program: str) -> None:
    with pytest.raises(FormatError):
        parse_codes(bytes.fromhex(program))
