"""What Linux's files and crash reporters' streams add to a minidump target."""

from __future__ import annotations

from polydbg.targets.crash_report import crash_report
from polydbg.targets.minidump import MinidumpTarget
from polydbg.targets.process_files import process_files
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, u32

MAPS = b"""\
00400000-0041a000 r-xp 00000000 00:47 861  /work/app
0041a000-0041b000 rw-p 0001a000 00:47 861  /work/app
01723000-01755000 rw-p 00000000 00:00 0    [heap]
01755000-01756000 ---p 00000000 00:00 0
01755000-01757000 rwxp 00000000 00:00 0
02000000-02001000 r--p 00000000 00:47 99   /usr/share/data (deleted)
03000000-03001000 rw-s 00000000 00:00 0
"""


def linux(*, misc: bool = False) -> MinidumpBuilder:
    builder = MinidumpBuilder()
    builder.system(platform=0x8201, major=0, build=0)
    builder.thread(7, amd64_context(rip=0x400010))
    builder.thread(8, amd64_context(rip=0x400020))
    builder.module(0x400000, 0x1B000, "/work/app")
    builder.stream(0x47670004, b"Name:\tapp\nTgid:\t77\nPid:\t78\n")
    builder.stream(0x47670009, MAPS)
    return builder


def test_regions_come_from_the_maps() -> None:
    regions = MinidumpTarget(linux().build()).regions()
    shown = [(r.base, r.size, r.protect, r.type, r.allocation_base) for r in regions]
    assert shown == [
        (0x400000, 0x1A000, 0x20, 0x1000000, 0x400000),
        (0x41A000, 0x1000, 0x04, 0x1000000, 0x400000),
        (0x1723000, 0x32000, 0x04, 0x20000, 0x1723000),
        (0x1755000, 0x1000, 0x01, 0x20000, 0x1755000),
        (0x2000000, 0x1000, 0x02, 0x40000, 0x2000000),
        (0x3000000, 0x1000, 0x04, 0x40000, 0x3000000),
    ]  # the overlapping one is left out
    assert regions[2].file is not None
    assert (regions[2].file.permissions, regions[2].file.path) == ("rw-p", "[heap]")
    assert all(region.state == 0x1000 for region in regions)


def test_a_module_reaches_as_far_as_its_file_is_mapped() -> None:
    """lldb says the size of the first segment; an archive's next library is not the same image."""
    maps = b"""\
00400000-00401000 r--p 00000000 00:47 861  /work/app
00401000-00405000 r-xp 00001000 00:47 861  /work/app
00405000-00406000 rw-p 00004000 00:47 861  /work/app
00406000-00407000 rw-p 00000000 00:00 0
00500000-00501000 r--p 00010000 00:47 862  /work/all.apk
00501000-00502000 r-xp 00040000 00:47 862  /work/all.apk
00700000-00701000 r-xp 00000000 00:47 863  /work/lib.so
00701000-00801000 ---p 00001000 00:47 863  /work/lib.so
"""
    builder = MinidumpBuilder().system(platform=0x8201).stream(0x47670009, maps)
    builder.module(0x400000, 0x5E0, "/work/app").module(0x500000, 0x800, "/work/all.apk")
    builder.module(0x600000, 0x800, "/work/gone.so").module(0x406000, 0x800, "")
    builder.module(0x700000, 0x1000, "/work/lib.so")
    ends = [module.end for module in MinidumpTarget(builder.build()).modules()]
    assert ends == [0x406000, 0x501000, 0x600800, 0x406800, 0x701000]


def test_the_process_id_is_in_status() -> None:
    target = MinidumpTarget(linux().build())
    assert target.process_id == 77
    files = process_files(target)
    assert files is not None
    assert files.status["Name"] == "app"
    assert files.command_line == ()
    assert MinidumpTarget(MinidumpBuilder().build()).process_id is None


def test_the_thread_that_asked_for_the_dump_has_the_event() -> None:
    builder = linux().stream(0x47670001, u32(3, 99, 8))
    event = MinidumpTarget(builder.build()).event()
    assert event is not None
    assert (event.thread_id, event.is_stored, event.exception.address) == (8, False, 0x400020)


def test_a_minidump_has_a_crash_report() -> None:
    target = MinidumpTarget(linux().stream(0x4D7A0004, b"[1]").build())
    report = crash_report(target)
    assert report is not None
    assert (report.soft_errors, report.crashpad_info) == ("[1]", None)


def test_names_of_modules() -> None:
    builder = linux()
    builder.module(0x10000, 0x100, "libc.so.6")
    builder.module(0x20000, 0x100, "lib/libc.so.5")
    builder.module(0x30000, 0x100, "/usr/lib/libstdc++.so.6.0.19")
    builder.module(0x40000, 0x100, "")
    builder.module(0x50000, 0x100, ".hidden")
    names = [module.name for module in MinidumpTarget(builder.build()).modules()]
    assert names == [
        "app",
        "libc_so",
        "libc_so_20000",
        "libstdc___so_6_0",
        "image00000000_00040000",
        "_hidden",
    ]
