"""Call frame information built by hand: forms that compilers of today no longer write, and damage.

What they do write is compared with llvm-dwarfdump in tests/corpus.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest

from polydbg.base.errors import Cancelled, FormatError
from polydbg.formats.dwarf.cfi import CallFrameTable, SearchTable
from polydbg.formats.dwarf.cfi_pointers import Bases
from polydbg.formats.dwarf.cfi_rules import CfaRule, FrameRules, RegisterRule, RuleKind
from polydbg.formats.section import Section
from polydbg.memory.space import ByteOrder

START = 0x1000
RVA = 0x8000
ENTRY = "0c0708 9001"  # CFA = r7 + 8, r16 at CFA - 8


def bases(size: int = 8, order: ByteOrder = "little", **more: int) -> Bases:
    return Bases(size, order, lambda value: value, **more)


def u(value: int, size: int, order: ByteOrder = "little") -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, order)


def entry(body: bytes, *, wide: bool = False, order: ByteOrder = "little") -> bytes:
    head = u(0xFFFFFFFF, 4) + u(len(body), 8, order) if wide else u(len(body), 4, order)
    return head + body


def cie(
    program: str = ENTRY,
    augmentation: bytes = b"",
    data: bytes = b"",
    *,
    version: int = 1,
    factors: str = "0178",
    more: bytes = b"",
    identifier: bytes = bytes(4),
    column: str = "10",
) -> bytes:
    return (
        identifier
        + bytes([version])
        + augmentation
        + b"\0"
        + more
        + bytes.fromhex(factors + column)
        + data
        + bytes.fromhex(program)
    )


def eh_frame(head: bytes, program: str = "", fields: bytes | None = None, **options: int) -> bytes:
    """Return a CIE and the entry of a function of 0x40 bytes at START."""
    first = entry(head)
    body = u(len(first) + 4, 4) + (u(START, 8) + u(0x40, 8) if fields is None else fields)
    return first + entry(body + bytes.fromhex(program)) + bytes(4)


def table(data: bytes, **options: object) -> CallFrameTable:
    given = {"rva": RVA, **options}
    return CallFrameTable(Section(data), bases(), **given)  # type: ignore[arg-type]


def rules(data: bytes, at: int = START, **options: object) -> FrameRules:
    found = table(data, **options).rules_at(at)
    assert found is not None
    return found


def offset(value: int) -> RegisterRule:
    return RegisterRule(RuleKind.OFFSET, value)


def test_plain_entry() -> None:
    found = rules(eh_frame(cie()), START + 0x3F)
    assert found == FrameRules(
        start=START,
        end=START + 0x40,
        cfa=CfaRule(7, 8),
        registers={16: offset(-8)},
        return_register=16,
        is_signal_frame=False,
        ra_signed=False,
        uses_key_b=False,
        address_size=8,
        entry_register=7,
    )
    assert table(eh_frame(cie())).rules_at(START + 0x40) is None
    assert table(eh_frame(cie())).rules_at(START - 1) is None


@pytest.mark.parametrize(
    ("program", "number", "rule"),
    [
        ("8602", 6, offset(-16)),
        ("050602", 6, offset(-16)),
        ("11067e", 6, offset(16)),
        ("2f0602", 6, offset(16)),
        ("0706", 6, RegisterRule(RuleKind.UNDEFINED)),
        ("0806", 6, RegisterRule(RuleKind.SAME)),
        ("090603", 6, RegisterRule(RuleKind.REGISTER, 3)),
        ("140602", 6, RegisterRule(RuleKind.VAL_OFFSET, -16)),
        ("15067e", 6, RegisterRule(RuleKind.VAL_OFFSET, 16)),
        ("1006027708", 6, RegisterRule(RuleKind.EXPRESSION, 0, b"\x77\x08")),
        ("1606027708", 6, RegisterRule(RuleKind.VAL_EXPRESSION, 0, b"\x77\x08")),
        ("8602 c6", 6, None),
        ("8602 0606", 6, None),
        ("0710 d0", 16, offset(-8)),
        ("0a 8602 0b", 6, None),
        ("00 2e10 8602", 6, offset(-16)),
    ],
)
def test_register_rules(program: str, number: int, rule: RegisterRule | None) -> None:
    assert rules(eh_frame(cie(), program)).registers.get(number) == rule


@pytest.mark.parametrize(
    ("program", "cfa"),
    [
        ("0c0610", CfaRule(6, 16)),
        ("12067e", CfaRule(6, 16)),
        ("0d06", CfaRule(6, 8)),
        ("0e20", CfaRule(7, 32)),
        ("137c", CfaRule(7, 32)),
        ("0f027708", CfaRule(0, 0, b"\x77\x08")),
        ("30062005", CfaRule(6, 32)),
        ("31067e05", CfaRule(6, 16)),
        ("0a 0e20 0b", CfaRule(7, 8)),
    ],
)
def test_cfa_rules(program: str, cfa: CfaRule) -> None:
    assert rules(eh_frame(cie(), program)).cfa == cfa


@pytest.mark.parametrize(
    "step", ["44", "0204", "030400", "0404000000", "1d0400000000000000", f"01{START + 4:016x}"]
)
def test_rows(step: str) -> None:
    if step.startswith("01"):
        step = "01" + u(START + 4, 8).hex()
    data = eh_frame(cie(), step + "0e10 480e18")
    found = [rules(data, START + at) for at in (3, 4, 11, 12)]
    assert [each.cfa.offset for each in found] == [8, 16, 16, 24]
    assert [(each.start - START, each.end - START) for each in found] == [
        (0, 4),
        (4, 12),
        (4, 12),
        (12, 64),
    ]


def test_augmentations() -> None:
    # A personality behind an aligned pointer, a language's data, 32-bit pointers from here.
    head = cie(augmentation=b"zPLRSBG", data=bytes([13, 0x1B]) + bytes(4) + b"\x1b\x1b" + bytes(6))
    first = len(entry(head))
    fields = u(START - (RVA + first + 8), 4) + u(0x40, 4) + b"\x04abcd"
    found = rules(eh_frame(head, "0e10", fields))
    assert (found.is_signal_frame, found.uses_key_b) == (True, True)
    assert found.cfa == CfaRule(7, 16)


def test_signed_return_addresses() -> None:
    data = eh_frame(cie(), "44 2d 44 2d 44 2c")
    assert [rules(data, START + 4 * at).ra_signed for at in range(4)] == [False, True, False, True]
    assert rules(eh_frame(cie(), "0a 2d 0b")).ra_signed is False


def test_register_windows() -> None:
    found = rules(eh_frame(cie(), "2d"), is_sparc=True)
    assert found.registers[14] == RegisterRule(RuleKind.REGISTER, 30)
    assert (found.registers[16], found.registers[31]) == (offset(0), offset(120))
    assert not found.ra_signed


@pytest.mark.parametrize("name", [b"", b"eh", b"armcc+", b"S"])
def test_augmentations_without_size(name: bytes) -> None:
    more = bytes(8) if name == b"eh" else b""
    found = rules(eh_frame(cie(augmentation=name, more=more)))
    assert found.cfa == CfaRule(7, 8)
    assert found.is_signal_frame == (name == b"S")


@pytest.mark.parametrize(
    ("encoding", "value", "size"),
    [
        (0x00, START, 8),
        (0x02, START, 2),
        (0x03, START, 4),
        (0x04, START, 8),
        (0x0B, START, 4),
        (0x20, START - 0x400, 8),
        (0x3B, START - 0x9000, 4),
    ],
)
def test_encodings(encoding: int, value: int, size: int) -> None:
    head = cie(augmentation=b"zR", data=bytes([1, encoding]))
    data = eh_frame(head, fields=u(value, size) + u(0x40, size) + b"\0")
    found = CallFrameTable(Section(data), bases(text=0x400, data=0x9000), rva=RVA).rules_at(START)
    assert found is not None
    assert found.end == START + 0x40


def test_encodings_of_varying_length() -> None:
    head = cie(augmentation=b"zR", data=bytes([1, 0x01]))
    assert rules(eh_frame(head, fields=bytes.fromhex("8020 40 00"))).start == START
    head = cie(augmentation=b"zR", data=bytes([1, 0x50]))
    pad = bytes(-(len(entry(head)) + 8) % 8)
    assert rules(eh_frame(head, fields=pad + u(START, 8) + u(0x40, 8) + b"\0")).start == START


@pytest.mark.parametrize("encoding", [0x80, 0x9B, 0xFF, 0x0F, 0x20, 0x30, 0x60])
def test_refused_encodings(encoding: int) -> None:
    head = cie(augmentation=b"zR", data=bytes([1, encoding]))
    assert table(eh_frame(head)).rules_at(START) is None


def debug_frame(version: int, *, wide: bool, order: ByteOrder, segment: int = 0) -> bytes:
    word = 8 if wide else 4
    more = bytes([4, segment]) if version == 4 else b""
    head = cie(version=version, more=more, identifier=b"\xff" * word, column="10")
    first = entry(head, wide=wide, order=order)
    size = 4 if version == 4 else 8
    places = u(0, segment) + u(START, size, order) + u(0x40, size, order)
    left_out = u(0, segment) + u(0, size, order) + u(0x4000, size, order)
    return b"".join(
        (
            first,
            bytes(4),  # nothing, which does not end the section
            entry(u(0, word, order) + left_out, wide=wide, order=order),
            entry(u(0, word, order) + places + b"\x0e\x10", wide=wide, order=order),
        )
    )


@pytest.mark.parametrize("version", [1, 3, 4])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("order", ["little", "big"])
def test_debug_frame(version: int, wide: bool, order: ByteOrder) -> None:
    data = debug_frame(version, wide=wide, order=order, segment=2 if version == 4 else 0)
    section = Section(data, big=order == "big")
    made = CallFrameTable(section, bases(8, order), is_eh=False)
    found = made.rules_at(START)
    assert found is not None
    assert found.cfa == CfaRule(7, 16)
    assert found.address_size == (4 if version == 4 else 8)
    assert made.rules_at(0x100) is None
    assert (found := made.fde_at(START)) is not None
    assert found.start == START


def with_table(data: bytes, at: int, rows: list[tuple[int, int]]) -> CallFrameTable:
    head = b"\1\x1b\x03\x3b" + u(RVA - at - 4, 4) + u(len(rows), 4)
    raw = head + b"".join(u(a - at, 4) + u(b - at, 4) for a, b in rows)
    search = SearchTable(Section(raw), bases(), at)
    return CallFrameTable(Section(data), bases(), rva=RVA, search=search)


def test_the_search_table_is_believed_while_it_agrees() -> None:
    data = eh_frame(cie())
    place = RVA + len(entry(cie()))
    true = with_table(data, 0x7000, [(START, place), (START + 0x1000, place)])
    assert true.rules_at(START - 1) is None
    assert true.rules_at(START + 5) is not None
    assert true.rules_at(START + 0x40) is None
    assert "_index" not in vars(true)
    for rows in ([(START - 8, place)], [(START, RVA)], [(START, RVA + 0x10000)], [(START, 0)]):
        lying = with_table(data, 0x7000, rows)
        assert lying.rules_at(START + 5) is not None
        assert "_index" in vars(lying)


@pytest.mark.parametrize(
    "head", ["", "02", "011bff3b", "011b03ff", "011b033b0000000000000000", "011b033b00000000ff"]
)
def test_no_search_table(head: str) -> None:
    with pytest.raises(FormatError):
        SearchTable(Section(bytes.fromhex(head)), bases(), 0x7000)


@pytest.mark.parametrize(
    "program",
    [
        "3f",
        "0b",
        "0c",
        "0f0577",
        "0a" * 100,
        "07ffffff7f",
        "".join(f"07{n & 127 | 128:02x}{n >> 7:02x}" for n in range(400)),
        "3d",
    ],
)
def test_damaged_programs(program: str) -> None:
    with pytest.raises(FormatError):
        rules(eh_frame(cie(), program))


def test_no_cfa_is_damage() -> None:
    with pytest.raises(FormatError, match="no rule"):
        rules(eh_frame(cie("")))


@pytest.mark.parametrize("name", [b"x", b"mcount"])
def test_unknown_augmentation(name: bytes) -> None:
    assert table(eh_frame(cie(augmentation=name))).rules_at(START) is None


def test_cut_at_every_length() -> None:
    data = eh_frame(cie(augmentation=b"zPLRS", data=b"\4\xff\x1b\x03\0"), "0e10")
    for size in range(len(data)):
        made = table(data[:size])
        with suppress(FormatError):
            made.rules_at(START)


def test_rows_are_kept() -> None:
    made = table(eh_frame(cie()))
    assert made.rules_at(START) is made.rules_at(START)
    assert msgspec.structs.asdict(rules(eh_frame(cie())))["return_register"] == 16


def test_listing_all_entries_can_be_stopped() -> None:
    calls: list[int] = []

    def poll() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Cancelled

    made = table(entry(bytes(12)) * 5000, poll=poll)
    with pytest.raises(Cancelled):
        made.fde_at(START)
    assert made.fde_at(START) is None
    assert len(calls) > 2
