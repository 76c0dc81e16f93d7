"""Texts of /proc: what they say, and that damaged ones give what makes sense."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from polydbg.formats import procfs

MAPS = b"""\
00400000-0041a000 r-xp 00000000 00:47 8612374361                         /work/a b
0061a000-0061b000 rw-p 0001a000 00:47 8612374361                         /work/a b (deleted)
01723000-01755000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000001000 rw-s 00000000 00:00 0 \n\
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def test_maps() -> None:
    maps = procfs.parse_maps(MAPS)
    assert [m.path for m in maps] == [
        "/work/a b",
        "/work/a b (deleted)",
        "[heap]",
        "",
        "[vsyscall]",
    ]
    assert maps[0] == procfs.Mapping(
        0x400000, 0x41A000, "r-xp", 0, "00:47", 8612374361, "/work/a b"
    )
    assert maps[-1].end == 0xFFFFFFFFFF601000


def test_lines_of_maps_that_make_no_sense_are_left_out() -> None:
    text = b"2000-1000 r-xp 0 0:0 0\nnonsense\n5000-6000 r--p 0 0:0 0\n1000-2000 rw-p 0 0:0 0 x"
    assert [(m.start, m.path) for m in procfs.parse_maps(text)] == [(0x1000, "x"), (0x5000, "")]


def test_status_and_cpuinfo() -> None:
    status = procfs.parse_status(b"Name:\tcr:ash\nTgid:\t12\nVmRSS:\t   1520 kB\ncut")
    assert status == {"Name": "cr:ash", "Tgid": "12", "VmRSS": "1520 kB"}
    blocks = procfs.parse_cpuinfo(b"processor\t: 0\nmodel name\t: A: B\n\nprocessor\t: 1\n\n")
    assert blocks == ({"processor": "0", "model name": "A: B"}, {"processor": "1"})


def test_distribution() -> None:
    fields = procfs.parse_distribution(
        b'# c = d\nDISTRIB_ID=Ubuntu\nDISTRIB_DESCRIPTION="Ubuntu 20.04 LTS"\n'
    )
    assert procfs.distribution_name(fields) == "Ubuntu 20.04 LTS"
    assert procfs.distribution_name({"NAME": "Alpine", "VERSION_ID": "3.19"}) == "Alpine 3.19"
    assert procfs.distribution_name({}) == ""


def test_strings_and_auxiliary_vector() -> None:
    assert procfs.parse_strings(b"./a\0\0-x\0") == ("./a", "", "-x")
    assert procfs.parse_strings(b"") == ()
    data = struct.pack("<6Q", 6, 4096, 9, 0x401DC0, 0, 0) + b"rest of the page"
    entries = procfs.parse_auxiliary(data, 8)
    assert [(e.name, e.value) for e in entries] == [("AT_PAGESZ", 4096), ("AT_ENTRY", 0x401DC0)]
    assert len(procfs.parse_auxiliary(struct.pack("<3I", 6, 4096, 9), 4)) == 1


def test_limits() -> None:
    text = (
        b"Limit                     Soft Limit           Hard Limit           Units     \n"
        b"Max cpu time              unlimited            unlimited            seconds   \n"
        b"Max open files            1024                 4096                 files     \n"
        b"Max nice priority         0                    0                    \n"
    )
    limits = procfs.parse_limits(text)
    assert limits[0] == procfs.ResourceLimit("Max cpu time", None, None, "seconds")
    assert limits[1] == procfs.ResourceLimit("Max open files", 1024, 4096, "files")
    assert limits[2].unit == ""


def test_counts_are_bounded() -> None:
    assert len(procfs.parse_maps(b"1-2 r--p 0 0:0 0\n" * (procfs.MAX_MAPPINGS + 9))) == (
        procfs.MAX_MAPPINGS
    )
    assert len(procfs.parse_strings(b"\0" * 200_000)) == procfs.MAX_STRINGS
    assert len(procfs.parse_cpuinfo(b"a: b\n\n" * 200_000)) == procfs.MAX_LINES
    assert len(procfs.parse_status(b"".join(b"%d:\n" % i for i in range(200_000)))) == (
        procfs.MAX_LINES
    )


@given(st.binary(max_size=400))
def test_no_bytes_raise(data: bytes) -> None:
    procfs.parse_maps(data)
    procfs.parse_status(data)
    procfs.parse_cpuinfo(data)
    procfs.parse_distribution(data)
    procfs.parse_strings(data)
    procfs.parse_auxiliary(data, 8)
    procfs.parse_limits(data)
