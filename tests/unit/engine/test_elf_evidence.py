"""What speaks against a file where no build id tells; what is said of missing files."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import cast

import pytest

from polydbg.engine.elf_advice import Lack
from polydbg.engine.elf_evidence import ElfEvidence
from polydbg.engine.modules import Module
from polydbg.images.elf import ElfImage
from polydbg.images.elf_spaces import loaded
from polydbg.memory.space import read_exactly
from polydbg.targets.process_files import ProcessFiles
from polydbg.targets.target import MemoryRegion, ModuleInfo, RegionFile, Target
from polydbg.testing.elf_builder import ALLOC, DYNAMIC, EXEC, ElfBuilder

BASE = 0x7F0000000000
PATH = "/usr/lib/libx.so"
INFO = ModuleInfo("libx_so", PATH, BASE, 0x4000, image_format="elf")
CODE = bytes(range(256)) * 4


def program(
    code: bytes = CODE, init: int = 0x1000, machine: int = 62, entry: int = 0x1000
) -> bytes:
    builder = ElfBuilder(machine=machine, entry=entry)
    builder.section(".text", code, address=0x1000, flags=ALLOC | EXEC)
    table = struct.pack("<6Q", 12, init, 21, 0, 0, 0)
    builder.section(".dynamic", table, address=0x3000, flags=ALLOC, type=DYNAMIC)
    builder.segment(2, ".dynamic")
    return builder.build()


def image(data: bytes) -> ElfImage:
    return ElfImage.from_buffer(data, "libx.so")


class Memory:
    """Bytes at a few addresses."""

    def __init__(self, parts: dict[int, bytes]) -> None:
        self._parts = parts

    def read(self, address: int, size: int) -> bytes:
        return read_exactly(self, address, size)

    def read_some(self, address: int, size: int) -> bytes:
        for start, data in self._parts.items():
            if start <= address < start + len(data):
                return data[address - start : address - start + size]
        return b""

    def next_readable(self, address: int) -> int | None:
        ends = [(start, start + len(data)) for start, data in self._parts.items()]
        return min((max(start, address) for start, end in ends if end > address), default=None)


class Process:
    """As much of a target as evidence asks for: the file *data* mapped at the base, with *parts* of
    it in the dump."""

    arch = "amd64"

    def __init__(self, data: bytes, parts: Sequence[str] = (), entry: int = 0) -> None:
        segments = loaded(image(data).segments)
        names = dict(zip(("code", "dynamic"), segments, strict=True))
        start = BASE - image(data).image_base
        kept = {each.vaddr + start: each for name, each in names.items() if name in parts}
        self.memory = Memory(
            {at: data[each.offset : each.offset + each.file_size] for at, each in kept.items()}
        )
        self._segments = [(start + each.vaddr, each) for each in segments]
        vector = struct.pack("<4Q", 9, entry, 0, 0)
        self.process_files = ProcessFiles(lambda name: vector if name == "auxv" else None, 8)

    def regions(self) -> Sequence[MemoryRegion]:
        return [
            MemoryRegion(
                at, BASE, 0, each.file_size, 0, 0, 0, RegionFile("r-xp", PATH, each.offset)
            )
            for at, each in self._segments
        ]


def difference(process: Process, data: bytes) -> str:
    evidence = ElfEvidence(INFO, cast(Target, process), lambda: None)
    return evidence.difference(image(data))


EVERYTHING = ("code", "dynamic")


def test_the_file_itself_fits() -> None:
    assert difference(Process(program(), EVERYTHING), program()) == ""
    assert difference(Process(program()), program()) == ""


def test_what_only_memory_tells() -> None:
    """Files that are laid out alike are told apart by what the dump has of their contents."""
    other = program(CODE[::-1], init=0x1010)
    assert difference(Process(program()), other) == ""
    assert "its code differs" in difference(Process(program(), ["code"]), program(CODE[::-1]))
    assert "dynamic table differs at tag 0xc" in difference(
        Process(program(), ["dynamic"]), program(init=0x1010)
    )


def test_the_linker_writes_into_the_dynamic_table() -> None:
    """Addresses are made real, and DT_DEBUG leads to the linker's list."""
    written = bytearray(program())
    at = written.index(struct.pack("<6Q", 12, 0x1000, 21, 0, 0, 0))
    bias = BASE - image(program()).image_base
    written[at : at + 48] = struct.pack("<6Q", 12, 0x1000 + bias, 21, 0x1234, 0, 0)
    assert difference(Process(bytes(written), ["dynamic"]), program()) == ""


def test_other_layouts_processors_and_starts() -> None:
    process = Process(program())
    assert "segment" in difference(process, program(bytes(0x1800)))
    assert difference(process, program(machine=183)) == "it is for arm64"
    entry = BASE + 0x1000 - image(program()).image_base
    assert difference(Process(program(), (), entry), program()) == ""
    assert "entered" in difference(Process(program(), (), entry), program(entry=0x1020))


@pytest.mark.parametrize(
    ("package", "words", "step"),
    [
        ({"type": "deb", "name": "curl", "version": "7.88.1-10", "os": "debian"},
         "curl 7.88.1-10 (debian)", "apt install curl-dbgsym=7.88.1-10 (find-dbgsym-packages ab12"),
        ({"type": "rpm", "name": "curl", "version": "8.2-1.fc39", "os": "fedora"},
         "curl 8.2-1.fc39 (fedora)", "dnf debuginfo-install curl-8.2-1.fc39, or dnf --enablerepo="),
        ({"type": "alpm", "debugInfoUrl": "https://debug.example"},
         "", "DEBUGINFOD_URLS=https://debug.example polydbg"),
        ({"type": "deb", "name": "x\x1b[31m", "version": "1"}, "x\\x1b[31m 1", "x\\x1b[31m-dbgsym"),
        ({}, "", ".build-id/ab/12.debug"),
    ],
)  # fmt: skip
def test_how_to_get_debug_information(package: dict[str, str], words: str, step: str) -> None:
    lack = Lack(Module(INFO), "ab12", package, lacks_image=False, lacks_debug=True)
    assert lack.package_words == words
    assert lack.missing == "debug information"
    assert any(step in each for each in lack.steps())
    assert not any("docker" in each for each in lack.steps())
