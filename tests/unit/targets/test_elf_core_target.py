"""ELF cores made by hand: what is in them comes out, and what is damaged harms nothing else."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from polydbg.base.errors import MemoryReadError, TargetError
from polydbg.targets.dump_file import DumpFile
from polydbg.targets.elf_core import ElfCoreTarget, open_elf_core
from polydbg.targets.open import open_target
from polydbg.testing.core_builder import ElfCoreBuilder

STACK = 0x7FFC00000000
RIP, RSP = 16, 19  # in the order of Linux


def registers(rip: int = 0x401000, rsp: int = STACK) -> list[int]:
    values = list(range(27))
    values[RIP] = rip
    values[RSP] = rsp
    return values


def opened(builder: ElfCoreBuilder, size: int | None = None) -> ElfCoreTarget:
    return open_elf_core(DumpFile("core", builder.build()[:size]))


def usual() -> ElfCoreBuilder:
    builder = ElfCoreBuilder().thread(7, 11, *registers())
    builder.signal_info(11, 1, 0x1234, 0)
    builder.thread(8, 0, *registers(rsp=STACK + 0x10))
    return builder.memory(STACK, bytes(range(256)), 0x2000)


def test_threads_registers_and_signal() -> None:
    target = opened(usual())
    first, second = target.threads()
    assert (first.id, second.id) == (7, 8)
    assert (first.stack_base, first.stack_size) == (STACK, 256)
    ours = target.registers(first)
    assert (ours["rip"], ours["rsp"], ours["r15"], ours["rdi"]) == (0x401000, STACK, 0, 14)
    event = target.event()
    assert event is not None
    assert event.is_stored
    assert (event.thread_id, event.exception.code, event.exception.flags) == (7, 11, 1)
    assert event.exception.address == 0x1234
    assert target.exception_registers() == ours
    assert target.system().platform == "linux"
    assert target.warnings() == ()


def test_memory_that_is_not_in_the_core_is_absent() -> None:
    memory = opened(usual()).memory
    assert memory.read(STACK + 4, 4) == bytes((4, 5, 6, 7))
    with pytest.raises(MemoryReadError) as caught:
        memory.read(STACK + 250, 10)
    assert caught.value.address == STACK + 256


def test_kinds_of_memory() -> None:
    assert "portions of memory" in opened(usual()).kind_line
    assert "Only registers" in opened(ElfCoreBuilder().thread(1, 6, *registers())).kind_line
    full = ElfCoreBuilder().thread(1, 6, *registers()).memory(STACK, bytes(64))
    assert opened(full).kind_short == "Full memory ELF user core"
    # gcore leaves out what files hold.
    full.files((0x400000, 0x401000, 0, "/bin/a"))
    assert opened(full).kind_short == "ELF user core"


def test_a_signal_that_was_sent_has_a_sender_and_no_address() -> None:
    builder = ElfCoreBuilder().thread(7, 6, *registers()).signal_info(6, -6, 77, 1000)
    event = opened(builder).event()
    assert event is not None
    assert (event.exception.flags, event.exception.address) == (0xFFFFFFFA, None)
    assert event.exception.parameters == (77, 1000)


def test_a_core_of_a_process_that_ran_on_has_a_made_up_breakpoint() -> None:
    event = opened(ElfCoreBuilder().thread(7, 0, *registers())).event()
    assert event is not None
    assert not event.is_stored
    assert event.exception.address == 0x401000


def test_no_threads() -> None:
    target = opened(ElfCoreBuilder().memory(0x1000, bytes(16)))
    assert target.event() is None
    assert target.exception_registers() is None
    assert target.modules() == ()


def test_a_truncated_core_says_whose_stack_is_lost() -> None:
    builder = usual()
    size = len(builder.build())
    target = opened(builder, size - 250)
    warning = target.warnings()[-1]
    assert warning.identifier == "dump.truncated"
    assert f"truncated at {size - 250:#x} of {size:#x}" in warning.message
    assert "no stack of 1 threads: 8" in warning.message
    assert target.threads()[0].stack_size == 6


def test_cut_within_the_header() -> None:
    for size in (0, 4, 15, 63):
        with pytest.raises(TargetError) as caught:
            opened(usual(), size)
        assert caught.value.identifier in ("dump.truncated", "dump.unknown-format")


@pytest.mark.parametrize(("owner", "words"), [("VMCOREINFO", "Linux"), ("QEMU", "QEMU")])
def test_kernels_are_refused(owner: str, words: str) -> None:
    with pytest.raises(TargetError) as caught:
        opened(usual().note(owner, 0, b"OSRELEASE=6.1\n"))
    assert caught.value.identifier == "dump.unsupported-format"
    assert words in caught.value.message


def test_open_target_knows_cores(tmp_path: Path) -> None:
    path = tmp_path / "core.1"
    path.write_bytes(usual().build())
    target = open_target(str(path))
    assert isinstance(target, ElfCoreTarget)
    target.close()
    with pytest.raises(TargetError) as caught:
        open_target(str(path), arch="x86")
    assert caught.value.identifier == "target.unsupported"


def image(build_id: bytes, dynamic: int, pointer: int) -> bytes:
    """An ELF header, three program headers, a build id, and a dynamic table with DT_DEBUG."""
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHI", 3, 62, 1)
    head += struct.pack("<QQQIHHHHHH", 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0x2000, 0x2000, 0x1000)
    note = struct.pack("<IIQQQQQQ", 4, 4, 0x200, 0x200, 0, 0x24, 0x24, 4)
    table = struct.pack("<IIQQQQQQ", 2, 6, dynamic, dynamic, 0, 0x20, 0x20, 8)
    data = bytearray((head + load + note + table).ljust(0x2000, b"\0"))
    data[0x200:0x224] = struct.pack("<III", 4, 20, 3) + b"GNU\0" + build_id
    data[dynamic : dynamic + 32] = struct.pack("<QQQQ", 21, pointer, 0, 0)
    return bytes(data)


def linked() -> ElfCoreBuilder:
    program, library, heap = 0x555500000000, 0x7F0000000000, 0x600000
    maps = struct.pack("<IIQQQQ", 1, 0, heap + 0x100, 0, 0, 0).ljust(0x100, b"\0")
    maps += struct.pack("<5Q", program, heap + 0x180, program + 0x1000, heap + 0x140, 0)
    maps = maps.ljust(0x140, b"\0")
    maps += struct.pack("<5Q", library, heap + 0x190, library + 0x1000, heap + 0x100, heap + 0x100)
    maps = maps.ljust(0x190, b"\0") + b"/lib/libx.so.1\0"
    builder = ElfCoreBuilder().thread(7, 11, *registers())
    builder.auxiliary(at3=program + 64, at4=56, at5=3, at6=0x1000)
    builder.memory(program, image(b"P" * 20, 0x1000, heap))
    builder.memory(library, image(b"L" * 20, 0x1000, 0))
    return builder.memory(heap, maps)


def test_modules_of_the_linkers_list() -> None:
    builder = linked()
    builder.files(
        (0x555500000000, 0x555500002000, 0, "/bin/prog"),
        (0x7F0000000000, 0x7F0000002000, 0, "/usr/lib/libx.so.1.2"),
    )
    program, library = opened(builder).modules()
    assert (program.base, program.image_path) == (0x555500000000, "/bin/prog")
    assert (library.base, library.image_path) == (0x7F0000000000, "/lib/libx.so.1")
    assert (program.build_id, library.build_id) == (b"P" * 20, b"L" * 20)
    assert program.size == library.size == 0x2000
    assert program.codeview_signature == "BpEL"


def test_modules_without_mapped_files() -> None:
    # The chain is a ring: it is walked once.
    names = [module.image_path for module in opened(linked()).modules()]
    assert names == ["", "/lib/libx.so.1"]


def test_modules_by_their_files_alone() -> None:
    builder = ElfCoreBuilder().thread(7, 11, *registers())
    builder.auxiliary(at3=0x400040, at4=56, at5=3)
    builder.files(
        (0x400000, 0x401000, 0, "/bin/prog"),
        (0x600000, 0x601000, 0, "/bin/prog"),
        (0x7000000, 0x7001000, 0, "/lib/liby.so"),
        (0x7001000, 0x7003000, 1, "/lib/liby.so"),
        (0x8000000, 0x8010000, 0, "/usr/share/locale-archive"),
    )
    found = [(m.base, m.size, m.image_path) for m in opened(builder).modules()]
    assert found == [(0x400000, 0x1000, "/bin/prog"), (0x7000000, 0x3000, "/lib/liby.so")]


def test_regions_have_permissions_and_files() -> None:
    builder = ElfCoreBuilder().thread(7, 11, *registers())
    builder.memory(0x400000, b"", 0x2000, 5).memory(0x500000, bytes(16), 0x1000, 6)
    builder.files((0x400000, 0x401000, 0, "/bin/a"), (0x600000, 0x601000, 2, "/bin/b"))
    rows = []
    for region in opened(builder).regions():
        assert region.file is not None
        rows.append((region.base, region.size, region.file.permissions, region.file.path))
    assert rows == [
        (0x400000, 0x1000, "r-x", "/bin/a"),
        (0x401000, 0x1000, "r-x", ""),
        (0x500000, 0x1000, "rw-", ""),
        (0x600000, 0x1000, "", "/bin/b"),
    ]


def test_arguments_and_environment_on_the_stack() -> None:
    auxiliary = struct.pack("<8Q", 25, STACK + 0x200, 31, STACK + 0x2F0, 6, 0x1000, 0, 0)
    data = bytearray(0x300)
    data[0x200:0x210] = b"random random ra"
    texts = b"prog\0two words\0A=1\0B=\0"
    data[0x2D8 : 0x2D8 + len(texts)] = texts
    data[0x2F0:0x2F9] = b"/bin/prog"[:9]
    first = STACK + 0x2D8
    words = struct.pack("<8Q", 0x99, 2, first, first + 5, 0, first + 15, first + 19, 0)
    data[0x100 : 0x100 + len(words)] = words
    data[0x140 : 0x140 + len(auxiliary)] = auxiliary
    builder = ElfCoreBuilder().thread(7, 11, *registers()).memory(STACK, bytes(data))
    builder.note("CORE", 6, auxiliary)
    files = opened(builder).process_files
    assert files.command_line == ("prog", "two words")
    assert files.environment[:2] == ("A=1", "B=")
    assert [entry.name for entry in files.auxiliary_vector][:2] == ["AT_RANDOM", "AT_EXECFN"]


def test_arguments_of_freebsd() -> None:
    data = struct.pack("<QIIQII", STACK + 0x40, 2, 0, STACK + 0x60, 1, 0).ljust(0x40, b"\0")
    data += struct.pack("<QQQQ", STACK + 0x80, STACK + 0x85, 0, 0)
    data += struct.pack("<QQQQ", STACK + 0x88, 0, 0, 0) + b"prog\0-x\0A=1\0"
    builder = ElfCoreBuilder(os_abi=9).memory(STACK, data)
    builder.note("FreeBSD", 15, struct.pack("<IQ", 8, STACK))
    files = opened(builder).process_files
    assert files.command_line == ("prog", "-x")
    assert files.environment == ("A=1",)


def test_openbsd() -> None:
    builder = ElfCoreBuilder(machine=62)
    info = builder.numbers(1, 0x68, 11, 1, 0, 0, 0, 0, 900, 1, 900, 900, 1000, 1000, 1000)
    info += builder.numbers(10, 10, 10) + b"prog".ljust(32, b"\0")
    builder.note("OpenBSD", 10, info)
    builder.note("OpenBSD@5", 20, builder.words(*range(24)))
    target = opened(builder)
    assert target.system().platform == "openbsd"
    assert target.process_id == 900
    ours = target.registers(target.threads()[0])
    assert (ours["rdi"], ours["rsp"], ours["rip"], ours["gs"]) == (0, 15, 16, 23)
    event = target.event()
    assert event is not None
    assert (event.exception.code, event.exception.flags) == (11, 1)


@pytest.mark.parametrize("align", [4, 8])
def test_notes_with_either_alignment_and_zeros_between(align: int) -> None:
    builder = ElfCoreBuilder(note_align=align)
    builder.thread(1, 6, *registers()).thread(2, 0, *registers())
    assert [thread.id for thread in opened(builder).threads()] == [1, 2]


def with_times(ident: int, user: int, kernel: int) -> tuple[str, int, bytes]:
    """Return ``NT_PRSTATUS`` of a 64-bit thread that ran for so many microseconds."""
    numbers = struct.pack("<3IHH2Q4I", 11, 0, 0, 11, 0, 0, 0, ident, 0, 0, 0)
    times = struct.pack("<4Q", *divmod(user, 1_000_000), *divmod(kernel, 1_000_000))
    return "CORE", 1, numbers + times + bytes(32) + struct.pack("<27Q", *[0] * 21, 0x7000, *[0] * 5)


def test_times_of_threads_and_of_the_process() -> None:
    builder = ElfCoreBuilder()
    builder.note("CORE", 3, bytes(0x18) + struct.pack("<I", 7) + bytes(0x80))
    # Linux gives the first thread the time of all of them.
    builder.note(*with_times(7, 5_000_000, 300)).note(*with_times(8, 1_500_000, 100))
    target = opened(builder)
    times = [thread.times for thread in target.threads()]
    assert [each and (each.user_time, each.kernel_time) for each in times] == [
        (35_000_000, 2000),
        (15_000_000, 1000),
    ]
    assert target.system().process_user_time == 50_000_000
    assert target.system().process_kernel_time == 3000


def test_no_times_where_none_was_written() -> None:
    builder = ElfCoreBuilder().note(*with_times(7, 0, 0)).note(*with_times(8, 0, 0))
    target = opened(builder)
    assert [thread.times for thread in target.threads()] == [None, None]
    assert target.system().process_user_time is None


def test_thread_pointers() -> None:
    target = opened(ElfCoreBuilder().note(*with_times(7, 0, 0)))
    assert [thread.teb for thread in target.threads()] == [0x7000]
    builder = ElfCoreBuilder(machine=183).thread(7, 11, *[0] * 34)
    builder.note("LINUX", 0x401, struct.pack("<2Q", 0x7F1240, 0))
    assert [thread.teb for thread in opened(builder).threads()] == [0x7F1240]


def test_the_kernels_version_by_its_own_image() -> None:
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHI3QI6H", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    head += struct.pack("<2I6Q", 1, 5, 0, 0, 0, 0x1000, 0x1000, 0x1000)
    head += struct.pack("<2I6Q", 4, 4, 0x100, 0x100, 0x100, 24, 24, 4)
    note = struct.pack("<3I", 6, 4, 0) + b"Linux\0\0\0" + struct.pack("<I", 0x060C08)
    builder = usual().auxiliary(at33=0x7FFF0000)
    builder.memory(0x7FFF0000, (head.ljust(0x100, b"\0") + note).ljust(0x1000, b"\0"), flags=5)
    system = opened(builder).system()
    assert (system.major, system.minor, system.build) == (6, 12, 8)
    assert opened(usual().auxiliary(at33=0x123)).system().major == 0


def test_freebsds_version_and_processors() -> None:
    auxiliary = struct.pack("<I6Q", 16, 18, 1_401_000, 19, 12, 0, 0)
    system = opened(ElfCoreBuilder(os_abi=9).note("FreeBSD", 16, auxiliary)).system()
    assert (system.major, system.minor, system.processor_count) == (14, 1, 12)
