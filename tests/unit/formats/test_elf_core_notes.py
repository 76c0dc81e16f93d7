"""Registers of core notes: XSAVE layouts, SVE, ARM; FreeBSD's notes; NT_PRPSINFO of every width."""

from __future__ import annotations

import struct

import pytest

from polydbg.formats.elf.core_notes import parse_core_notes
from polydbg.formats.elf.core_records import CoreNotes
from polydbg.formats.elf.core_registers import thread_registers
from polydbg.formats.elf.core_vectors import add_sve, add_xstate
from polydbg.formats.elf.header import ElfHeader, parse_header, parse_segments
from polydbg.formats.elf.notes import iterate_notes
from polydbg.memory.space import BufferSpace
from polydbg.testing.core_builder import ElfCoreBuilder


def parsed(builder: ElfCoreBuilder) -> tuple[CoreNotes, ElfHeader]:
    space = BufferSpace(builder.build())
    header = parse_header(space)
    segment = parse_segments(space, header)[0]
    raw = space.read(segment.offset, segment.file_size)
    return parse_core_notes(iterate_notes(raw, big=header.is_big), header), header


def first_registers(builder: ElfCoreBuilder) -> dict[str, int]:
    notes, header = parsed(builder)
    return thread_registers(notes.threads[0], header, notes.system, notes.xsave_layout)


def area(size: int, xcr0: int, used: int, parts: dict[int, bytes]) -> bytes:
    """An XSAVE area with *parts* by offset."""
    data = bytearray(size)
    data[464:472] = struct.pack("<Q", xcr0)
    data[512:520] = struct.pack("<Q", used)
    for at, part in parts.items():
        data[at : at + len(part)] = part
    return bytes(data)


AVX512 = 0b1110_0111


def test_xsave_of_intel() -> None:
    low, high, zmm = b"\x11" * 16, b"\x22" * 16, b"\x33" * 32
    parts = {160: low, 576: high, 1152: zmm, 1088: b"\x05" + bytes(7), 1664: b"\x44" * 64}
    ours: dict[str, int] = {}
    add_xstate(ours, area(2696, AVX512, AVX512, parts), {}, is_long=True)
    assert ours["xmm0"] == int.from_bytes(low, "little")
    assert ours["ymm0"] == int.from_bytes(low + high, "little")
    assert ours["zmm0"] == int.from_bytes(low + high + zmm, "little")
    assert ours["zmm16"] == int.from_bytes(b"\x44" * 64, "little")
    assert ours["ymm16"] == int.from_bytes(b"\x44" * 32, "little")
    assert ours["k0"] == 5


@pytest.mark.parametrize("layout", [{}, {2: (576, 256), 5: (832, 64), 6: (896, 512)}])
def test_xsave_of_amd(layout: dict[int, tuple[int, int]]) -> None:
    parts = {832: b"\x07" + bytes(7), 896: b"\x33" * 32}
    ours: dict[str, int] = {}
    add_xstate(ours, area(2440, AVX512, AVX512, parts), layout, is_long=True)
    assert ours["k0"] == 7
    assert ours["zmm0"] >> 256 == int.from_bytes(b"\x33" * 32, "little")


def test_a_component_in_its_initial_state_is_zeros_and_one_that_is_off_is_absent() -> None:
    ours: dict[str, int] = {}
    add_xstate(ours, area(832, 7, 3, {576: b"\xff" * 16}), {}, is_long=True)
    assert ours["ymm0"] == 0
    assert "zmm0" not in ours
    assert "k0" not in ours


def test_sve() -> None:
    length = 32
    size = 16 + 32 * length + 17 * length // 8
    head = struct.pack("<IIHHHH", 0, 0, length, length, 1, 0)
    data = bytearray((head + bytes(size)).ljust(size + 64, b"\0"))
    data[16 : 16 + 32] = bytes(range(32))
    predicates = 16 + 32 * length
    data[predicates : predicates + 4] = b"\x01\x02\x03\x04"
    control = -(-(predicates + 17 * 4) // 16) * 16
    data[control : control + 8] = struct.pack("<II", 5, 6)
    ours: dict[str, int] = {}
    add_sve(ours, bytes(data))
    assert ours["vg"] == 4
    assert ours["z0"] == int.from_bytes(bytes(range(32)), "little")
    assert ours["v0"] == int.from_bytes(bytes(range(16)), "little")
    assert ours["p0"] == 0x04030201
    assert (ours["fpsr"], ours["fpcr"]) == (5, 6)


def test_arm_and_its_vectors() -> None:
    builder = ElfCoreBuilder(is_64=False, machine=40).thread(1, 6, *range(18))
    builder.note("LINUX", 0x400, bytes(range(256)) + struct.pack("<I", 9))
    builder.note("LINUX", 0x401, struct.pack("<I", 0x7777))
    ours = first_registers(builder)
    assert (ours["r12"], ours["sp"], ours["lr"], ours["pc"], ours["cpsr"]) == (12, 13, 14, 15, 16)
    assert ours["q1"] == int.from_bytes(bytes(range(16, 32)), "little")
    assert (ours["fpscr"], ours["tpidruro"]) == (9, 0x7777)


def test_arm64_pointer_authentication() -> None:
    builder = ElfCoreBuilder(machine=183).thread(1, 6, *range(34))
    builder.note("LINUX", 0x406, struct.pack("<QQ", 0x7F << 48, 0xFF << 48))
    builder.note("LINUX", 0x401, struct.pack("<QQ", 0x1234, 0))
    ours = first_registers(builder)
    assert (ours["fp"], ours["lr"], ours["sp"], ours["pc"], ours["cpsr"]) == (29, 30, 31, 32, 33)
    assert (ours["pac_data_mask"], ours["pac_code_mask"]) == (0x7F << 48, 0xFF << 48)
    assert ours["tpidr"] == 0x1234


def test_i386_thread_local_storage_and_selectors() -> None:
    values = [*range(10), 0x33, *range(11, 17)]
    values[10] = 0xABCD0033  # gs, with rubbish above it
    builder = ElfCoreBuilder(is_64=False, machine=3).thread(1, 6, *values)
    builder.note("LINUX", 0x200, struct.pack("<8I", 6, 0xF7000000, 1, 1, 7, 1, 1, 1))
    ours = first_registers(builder)
    assert (ours["gs"], ours["gs_base"]) == (0x33, 0xF7000000)
    assert (ours["eip"], ours["esp"]) == (12, 15)


@pytest.mark.parametrize(
    ("machine", "is_64", "is_big", "count", "expected"),
    [
        (243, True, False, 32, {"pc": 0, "ra": 1, "sp": 2, "t6": 31}),
        (258, True, False, 45, {"ra": 1, "sp": 3, "a0": 4, "pc": 33}),
        (21, True, True, 48, {"r1": 1, "sp": 1, "pc": 32, "lr": 36}),
        (20, False, True, 48, {"r31": 31, "pc": 32, "cr": 38}),
        (22, True, True, 27, {"pswa": 1, "pc": 1, "r0": 2, "r15": 17, "sp": 17}),
        (8, False, False, 45, {"zero": 6, "sp": 35, "ra": 37, "pc": 40}),
        (8, True, False, 45, {"zero": 0, "a4": 8, "sp": 29, "pc": 34}),
        (43, True, True, 36, {"g1": 1, "sp": 14, "o6": 14, "fp": 30, "pc": 33}),
        (2, False, True, 38, {"g1": 1, "sp": 14, "psr": 32, "pc": 33, "npc": 34}),
        (15, False, True, 80, {"r30": 30, "sp": 30, "pcoqh": 40, "pc": 40}),
        (4, False, True, 20, {"d1": 0, "d0": 14, "sp": 15, "pc": 18}),
        (0x9026, True, False, 33, {"v0": 0, "fp": 15, "ra": 26, "sp": 30, "pc": 31}),
    ],
)
def test_general_registers(
    machine: int, is_64: bool, is_big: bool, count: int, expected: dict[str, int]
) -> None:
    builder = ElfCoreBuilder(is_64, is_big, machine).thread(1, 6, *range(count))
    if machine == 4:  # numbers are aligned to two bytes
        owner, kind, data = builder.notes.pop()
        builder.note(owner, kind, data[:14] + data[16:])
    ours = first_registers(builder)
    assert {name: ours[name] for name in expected} == expected


def test_n32_has_wide_registers() -> None:
    builder = ElfCoreBuilder(is_64=False, machine=8)
    builder.note("CORE", 1, bytes(72) + struct.pack("<45Q", *range(45)) + bytes(8))
    assert first_registers(builder)["pc"] == 34


@pytest.mark.parametrize(
    ("is_64", "size", "ids", "name"),
    [(True, 136, 0x18, 0x28), (False, 124, 0x0C, 0x1C), (False, 128, 0x10, 0x20)],
)
def test_process_record(is_64: bool, size: int, ids: int, name: int) -> None:
    data = bytearray(size)
    data[ids : ids + 8] = struct.pack("<II", 900, 1)
    data[name : name + 4] = b"prog"
    data[name + 16 : name + 30] = b"./prog -x 123 "
    machine = 62 if is_64 else 3
    process = parsed(ElfCoreBuilder(is_64, machine=machine).note("CORE", 3, bytes(data)))[0].process
    assert process is not None
    assert (process.id, process.parent) == (900, 1)
    assert (process.name, process.arguments) == ("prog", "./prog -x 123")


def test_freebsd() -> None:
    builder = ElfCoreBuilder(os_abi=9)
    info = struct.pack("<IIQ", 1, 0, 120) + b"prog".ljust(17, b"\0") + b"./prog -x".ljust(83, b"\0")
    builder.note("FreeBSD", 3, info + struct.pack("<I", 900))
    status = struct.pack("<IIQQQIII4x", 1, 0, 224, 176, 512, 1300000, 11, 100123)
    builder.note("FreeBSD", 1, status + struct.pack("<22Q", *range(22)))
    builder.note("FreeBSD", 7, b"worker".ljust(24, b"\0"))
    lwp = struct.pack("<IiII", 160, 100123, 1, 0x20) + bytes(32) + bytes(4)
    lwp += struct.pack("<6IQ", 11, 0, 1, 0, 0, 0, 0xDEAD000).ljust(112, b"\0")
    builder.note("FreeBSD", 17, lwp)
    entry = struct.pack("<IIQQQ", 144, 2, 0x200000, 0x201000, 0x1000).ljust(56, b"\0")
    entry = (entry + struct.pack("<I", 5)).ljust(136, b"\0") + b"/bin/a\0\0"
    builder.note("FreeBSD", 10, struct.pack("<I", 1160) + entry)
    file = struct.pack("<IIiI", 376, 1, 3, 2).ljust(368, b"\0") + b"/tmp/x\0\0"
    builder.note("FreeBSD", 9, struct.pack("<I", 1392) + file)
    builder.note("FreeBSD", 15, struct.pack("<IQ", 8, 0x7FFF0000))
    builder.note("FreeBSD", 16, struct.pack("<IQQ", 16, 3, 0x200040))
    notes, header = parsed(builder)
    assert notes.system == "freebsd"
    assert notes.process is not None
    assert (notes.process.id, notes.process.arguments) == (900, "./prog -x")
    thread = notes.threads[0]
    assert (thread.id, thread.signal, thread.name) == (100123, 11, "worker")
    assert thread.signal_info is not None
    assert (thread.signal_info.code, thread.signal_info.address) == (1, 0xDEAD000)
    ours = thread_registers(thread, header, "freebsd", {})
    assert (ours["r15"], ours["rax"], ours["rip"], ours["rsp"]) == (0, 14, 17, 20)
    mapping = notes.mappings[0]
    assert (mapping.start, mapping.offset, mapping.permissions) == (0x200000, 0x1000, "r-x")
    assert mapping.path == "/bin/a"
    opened = notes.open_files[0]
    assert (opened.descriptor, opened.kind, opened.path) == (3, "vnode", "/tmp/x")
    assert notes.strings == 0x7FFF0000
    assert notes.auxiliary == struct.pack("<QQ", 3, 0x200040)


def test_netbsd_without_signal_information() -> None:
    info = bytearray(160)
    struct.pack_into("<II", info, 8, 11, 0x7FFF)  # SI_NOINFO
    struct.pack_into("<I", info, 0x50, 900)
    struct.pack_into("<I", info, 0x9C, 2)
    builder = ElfCoreBuilder().note("NetBSD-CORE", 1, bytes(info))
    for ident in (1, 2):
        builder.note(f"NetBSD-CORE@{ident}", 33, struct.pack("<26Q", *range(26)))
    notes, header = parsed(builder)
    assert [thread.id for thread in notes.threads] == [2, 1]
    assert notes.threads[0].signal_info is not None
    assert notes.threads[0].signal_info.code == 0
    ours = thread_registers(notes.threads[0], header, "netbsd", {})
    assert (ours["rdi"], ours["rip"], ours["rsp"]) == (0, 21, 24)
