"""Whole sessions on damaged cores, and on whole cores with damaged executables: what a user asks is
answered or refused with an error of ours, in reasonable time.

In a normal run each core is cut at 2 of its 200 lengths and each executable damaged 3 times;
POLYDBG_ALL_CUTS=1 takes all of them.
"""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from survival import survive
from test_corpus_cut import _unpack
from test_hostile_cores import CUTS, _data, _names

from polydbg.images.elf import ElfImage
from polydbg.testing.core_builder import ElfCoreBuilder

ALL = os.environ.get("POLYDBG_ALL_CUTS")
COMMANDS = """
lm; lmv; ~*k 30; kv; !analyze -v; !address; !address -summary; !peb; !teb; !dlls; !locks
!dh @$exentry; !lmi @$exentry; .dumpdebug; .dumpchk; u; uf @$ip; r; r xmm0; x *!*main*; !sym why *
.exr -1; .ecxr; ln @$ip; dps @$sp; .frame 1; bp main; .fnent @$ip; .reload /f; .reload /i; ~*k 5
"""
SAMPLES = ("cargo-gcc-O2-dwarf5", "cargo-clang-O2-dwarf4", "cargo-compressed-debug", "zoo-gxx")
REGISTERS = tuple({16: 0x10000100, 19: 0x7FFD0000}.get(index, 0) for index in range(27))
"""Of amd64 in the order of Linux: ``rip`` and ``rsp``."""


@pytest.mark.corpus
@pytest.mark.parametrize("name", _names())
def test_core_cut_short(name: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.core"
    _unpack(_data() / name, path) if name.endswith((".xz", ".zst")) else _copy(name, path)
    size = path.stat().st_size
    rng = random.Random(name)
    lengths = sorted((rng.randrange(size) for _ in range(CUTS if ALL else 2)), reverse=True)
    folders = [(_data() / name).parent, _data() / "samples" / "linux" / "bin"]
    for index, length in enumerate(lengths):
        os.truncate(path, length)
        survive(path, COMMANDS, () if index % 2 else folders)


def _copy(name: str, path: Path) -> None:
    from test_hostile_cores import _unpacked

    path.write_bytes(_unpacked(_data() / name))


@pytest.mark.corpus
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_executable(name: str, tmp_path: Path) -> None:
    """Its build id stays: the damaged file is the one that is used."""
    samples = _data() / "samples" / "linux"
    core, file = tmp_path / "whole.core", tmp_path / name
    _unpack(samples / "cores" / f"{name}.core.zst", core)
    data = (samples / "bin" / name).read_bytes()
    for seed in range(CUTS if ALL else 3):
        file.write_bytes(_damaged(data, random.Random(f"{name} {seed}"), seed))
        survive(core, COMMANDS, [file])


def _damaged(data: bytes, rng: random.Random, kind: int) -> bytes:
    """Cut the file, or change its section headers, or one section that debuggers read."""
    image = ElfImage.from_buffer(data, "x")
    changed = bytearray(data)
    sections = [each for each in image.section_headers if each.has_bytes and each.size]
    if kind % 4 == 0:
        return data[: rng.randrange(len(data))]
    if kind % 4 == 1:
        for _ in range(6):
            at = rng.randrange(image.header.shoff, len(data) - 4) & ~3
            changed[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), rng.randbytes(4)))
        return bytes(changed)
    names = (".debug", ".eh_frame", ".dyn", ".symtab", ".gnu.", ".str")
    section = rng.choice([each for each in sections if each.name.startswith(names)])
    for _ in range(rng.choice((1, 4, 64))):
        at = section.offset + rng.randrange(section.size)
        changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x16, 0x31))
    return bytes(changed)


@pytest.mark.corpus
def test_debug_information_past_the_end_of_an_executable(tmp_path: Path) -> None:
    samples = _data() / "samples" / "linux"
    name = SAMPLES[0]
    core, file = tmp_path / "whole.core", tmp_path / name
    _unpack(samples / "cores" / f"{name}.core.zst", core)
    data = bytearray((samples / "bin" / name).read_bytes())
    image = ElfImage.from_buffer(bytes(data), "x")
    section = image.section_named(".debug_info")
    assert section is not None
    at = image.header.shoff + 64 * section.index + 0x20  # its size
    data[at : at + 8] = struct.pack("<Q", 1 << 40)
    file.write_bytes(data)
    assert survive(core, COMMANDS, [file]) == ""


# -- cores that nobody's kernel wrote ----------------------------------------------------------


def _written(path: Path, core: ElfCoreBuilder | bytes) -> Path:
    path.write_bytes(core if isinstance(core, bytes) else core.build())
    return path


def _module(core: ElfCoreBuilder, base: int, note: bytes = b"") -> tuple[int, int]:
    """Put the headers of a library of three pages at *base*; return where its code lies."""
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0x100, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0x3000, 0x3000, 0x1000)
    head += struct.pack("<IIQQQQQQ", 4, 4, 0x200, 0x200, 0, len(note), len(note), 4)
    page = (head.ljust(0x200, b"\x90") + note).ljust(0x1000, b"\x90")
    core.memory(base, page, 0x3000, 5)
    return base, base + 0x1000


def test_names_that_are_paths_of_other_things(tmp_path: Path) -> None:
    pipe, loop = tmp_path / "pipe.so", tmp_path / "loop"
    loop.symlink_to(loop)
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
    names = (
        "../../etc/passwd", "/dev/zero", "/dev/stdin", "/dev/tty", "/proc/self/mem", str(pipe),
        f"{loop}/a.so", "//server/share/x.so", "\\\\server\\share\\x.so", "/net/server/x.so",
        "/a\x1b[2J\n\r\u202eb.so", f"/{'a' * 5000}.so", ".", "..", "/", "/x.so (deleted)",
        " (deleted)", "%s%n.so", "/con.so", "/a;b`c`.so",
    )  # fmt: skip
    core = ElfCoreBuilder().thread(1, 11, *REGISTERS)
    rows = []
    for index, name in enumerate(names):
        start, end = _module(core, 0x10000000 + index * 0x10000)
        rows += [(start, end, 0, name), (end, end + 0x2000, 1, name)]
    core.files(*rows).auxiliary(at31=0x10000000, at3=0x10000040, at4=56, at5=2)
    core.memory(0x7FFD0000, struct.pack("<Q", 0x10010100) * 0x400)
    assert survive(_written(tmp_path / "a.core", core), COMMANDS, [tmp_path]) == ""


def test_build_ids_of_odd_lengths(tmp_path: Path) -> None:
    core = ElfCoreBuilder().thread(1, 11, *REGISTERS)
    rows = []
    for index, size in enumerate((0, 1, 2, 3, 19, 20, 21, 64, 65, 1000)):
        note = struct.pack("<III", 4, size, 3) + b"GNU\0" + b"\xab" * size
        start, end = _module(core, 0x10000000 + index * 0x10000, note)
        rows += [(start, end, 0, f"/m{index}.so"), (end, end + 0x2000, 1, f"/m{index}.so")]
    core.files(*rows)
    assert survive(_written(tmp_path / "a.core", core), COMMANDS, [tmp_path]) == ""


def test_note_segments_that_repeat_the_same_notes(tmp_path: Path) -> None:
    core = ElfCoreBuilder().thread(1, 11, *REGISTERS)
    core.notes += [("", 0x99, b"")] * 50_000
    data = core.build()
    entry, notes, count = bytearray(data[64:120]), data[120:], 400
    entry[8:16] = struct.pack("<Q", 64 + 56 * count)
    head = bytearray(data[:64])
    head[56:58] = struct.pack("<H", count)
    path = _written(tmp_path / "a.core", bytes(head) + bytes(entry) * count + notes)
    assert survive(path, COMMANDS) == ""


def test_a_sparse_core_opens_like_a_small_one(tmp_path: Path) -> None:
    core = ElfCoreBuilder().thread(1, 11, *REGISTERS).memory(0x10000000, b"\x90" * 0x1000)
    data = bytearray(core.build())
    size = 10 << 30
    data[64 + 56 + 0x20 : 64 + 56 + 0x30] = struct.pack("<QQ", size, size)
    path = _written(tmp_path / "a.core", bytes(data))
    os.truncate(path, len(data) + size)
    assert path.stat().st_blocks * 512 < 1 << 20
    assert survive(path, "lm; k; !address; !analyze -v; .dumpdebug; r") == ""
