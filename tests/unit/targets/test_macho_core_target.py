"""Mach-O cores made by hand."""

from __future__ import annotations

import json
import struct

import pytest

from polydbg.base.errors import TargetError
from polydbg.targets.dump_file import DumpFile
from polydbg.targets.macho_core import MachoCoreTarget, open_macho_core
from polydbg.testing.core_builder import MachCoreBuilder, mach_image

UUID = bytes(range(16))
STACK = 0x7FFE00000000


def state(rip: int, rsp: int) -> bytes:
    values = list(range(21))
    values[7], values[16] = rsp, rip
    return struct.pack("<21Q", *values)


def trap(number: int, fault: int) -> bytes:
    return struct.pack("<HHIQ", number, 0, 4, fault)


def usual() -> MachCoreBuilder:
    builder = MachCoreBuilder()
    builder.threads.append([(4, state(0x100000F00, STACK)), (6, trap(133, 0))])
    builder.threads.append([(4, state(0x100000F10, STACK + 16)), (6, trap(14, 0x1234))])
    builder.segments.append((STACK, bytes(256)))
    return builder


def opened(builder: MachCoreBuilder, size: int | None = None) -> MachoCoreTarget:
    return open_macho_core(DumpFile("core", builder.build()[:size]))


def test_threads_and_trap() -> None:
    builder = usual()
    ids = {"threads": [{"thread_id": 775}, {"thread_id": 776}]}
    builder.notes.append(("process metadata", json.dumps(ids).encode()))
    target = opened(builder)
    assert [thread.id for thread in target.threads()] == [775, 776]
    ours = target.registers(target.threads()[1])
    assert (ours["rax"], ours["rsp"], ours["rip"], ours["gs"]) == (0, STACK + 16, 0x100000F10, 20)
    event = target.event()
    assert event is not None
    assert (event.thread_id, event.exception.code, event.exception.address) == (776, 1, 0x1234)
    assert target.threads()[0].stack_base == STACK
    assert (target.arch, target.system().platform) == ("amd64", "macos")


def test_no_trap_gives_a_made_up_breakpoint() -> None:
    builder = MachCoreBuilder(threads=[[(4, state(0x1000, STACK))]])
    event = opened(builder).event()
    assert event is not None
    assert not event.is_stored
    assert event.thread_id == 0


@pytest.mark.parametrize(
    ("number", "rip", "found"),
    [
        (0, 0x1000, (3, 1, 0x1000)),
        (1, 0x1000, (6, 1, 0x1000)),
        (3, 0x1000, (6, 2, 0x1000)),
        (6, 0x1000, (2, 1, 0x1000)),
        (13, 0x1000, (1, 13, None)),  # the processor tells no address
        (14, 0, (1, 0, 0x1234)),  # a call through null
    ],
)
def test_traps_have_the_kernels_codes(
    number: int, rip: int, found: tuple[int, int, int | None]
) -> None:
    builder = MachCoreBuilder(threads=[[(4, state(rip, STACK)), (6, trap(number, 0x1234))]])
    event = opened(builder).event()
    assert event is not None
    assert event.is_stored
    record = event.exception
    assert (record.code, record.flags, record.address) == found


def test_a_state_of_zeros_is_no_division() -> None:
    builder = MachCoreBuilder(threads=[[(4, state(0, 0)), (6, trap(0, 0))]])
    event = opened(builder).event()
    assert event is not None
    assert not event.is_stored


def test_arm64() -> None:
    words = list(range(33))
    data = struct.pack("<33Q", *words) + struct.pack("<II", 0x60000000, 0)
    exception = struct.pack("<QII", 0x42, 0x24 << 26, 0)
    builder = MachCoreBuilder(0x0100000C, threads=[[(6, data), (7, exception)]])
    builder.notes.append(("addrable bits", struct.pack("<IIQ", 3, 47, 0)))
    target = opened(builder)
    ours = target.registers(target.threads()[0])
    assert (ours["x28"], ours["fp"], ours["lr"], ours["sp"], ours["pc"]) == (28, 29, 30, 31, 32)
    assert ours["cpsr"] == 0x60000000
    assert ours["pac_code_mask"] == (1 << 64) - (1 << 47)
    event = target.event()
    assert event is not None
    assert (event.exception.code, event.exception.address) == (1, 0x42)


def test_images_of_notes() -> None:
    builder = usual()
    builder.notes.append(
        ("main bin spec", struct.pack("<IIQ16sII", 1, 2, 0x100000000, UUID, 12, 1))
    )
    binary = struct.pack("<I16sQQ", 1, UUID[::-1], 0x200000000, 0) + b"/usr/lib/liba.dylib\0"
    builder.notes.append(("load binary", binary))
    first, second = opened(builder).modules()
    assert (first.base, first.image_path, second.image_path) == (
        0x100000000,
        "",
        "/usr/lib/liba.dylib",
    )
    assert first.debug_id is not None
    assert first.debug_id.guid == UUID.hex().upper()
    assert first.image_format == "macho"


def test_images_in_memory() -> None:
    builder = usual()
    builder.segments.append((0x200000000, mach_image("/usr/lib/libb.dylib", UUID)))
    builder.segments.append((0x100000000, mach_image("/prog", UUID[::-1], kind=2)))
    program, library = opened(builder).modules()
    assert (program.base, program.size) == (0x100000000, 0x1000)
    assert (library.base, library.image_path) == (0x200000000, "/usr/lib/libb.dylib")
    assert library.debug_id is not None
    assert library.debug_id.guid == UUID.hex().upper()


def test_kernels_are_refused() -> None:
    builder = usual()
    builder.notes.append(("kern ver str", struct.pack("<I", 1) + b"Darwin Kernel Version 22\0"))
    with pytest.raises(TargetError) as caught:
        opened(builder)
    assert caught.value.identifier == "dump.unsupported-format"
    assert "Darwin Kernel" in caught.value.message


def test_every_cut_opens_or_is_refused() -> None:
    builder = usual()
    builder.notes.append(("process metadata", b'{"threads":[{"thread_id":1}]}'))
    builder.segments.append((0x200000000, mach_image("/usr/lib/libb.dylib", UUID)))
    for size in range(0, len(builder.build()), 37):
        try:
            target = opened(builder, size)
        except TargetError:
            assert size < 32
            continue
        target.event()
        target.modules()
        target.regions()
        assert target.warnings()
