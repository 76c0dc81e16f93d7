"""Threads' own variables by the vectors of glibc, musl and Windows, made by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.engine import thread_local
from polydbg.engine.glibc_loader import GlibcLoader
from polydbg.engine.modules import Module
from polydbg.engine.session import Session, System
from polydbg.engine.thread_local import thread_local_address
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.header import ProgramHeader
from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.targets.target import ModuleInfo
from polydbg.testing.core_builder import ElfCoreBuilder
from polydbg.testing.pe_builder import PeBuilder
from polydbg.testing.process_builder import ProcessBuilder
from polydbg.types.place import ValueUnavailableError

BLOCK, VECTOR, STACK = 0x7F0000001000, 0x7F0000005000, 0x7FFC00000000
RSP, FS_BASE = 19, 21  # in the order of Linux
UNSET = (1 << 64) - 1


def words(size: int, values: dict[int, int]) -> bytes:
    data = bytearray(size)
    for offset, value in values.items():
        struct.pack_into("<Q", data, offset, value)
    return bytes(data)


def opened(folder: Path, data: bytes) -> Iterator[System]:
    path = folder / "dump"
    path.write_bytes(data)
    session = Session()
    yield session.open_dump(str(path))
    session.close()


def module(name: str, base: int = 0x400000) -> Module:
    return Module(ModuleInfo(name, name, base, 0x10000))


def segment(size: int, vaddr: int = 0x3000, align: int = 8) -> ProgramHeader:
    return ProgramHeader(elf.PT_TLS, 4, 0, vaddr, vaddr, size, size, align)


def elf_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: dict[int, int], vector: dict[int, int]
) -> Iterator[tuple[System, Module, Module]]:
    registers = [0] * 27
    registers[RSP], registers[FS_BASE] = STACK, BLOCK
    core = ElfCoreBuilder().thread(77, 11, *registers)
    core.memory(BLOCK, words(0x400, head), 0x1000)
    core.memory(VECTOR - 0x100, words(0x200, {0x100 + at: value for at, value in vector.items()}))
    program, library = module("program"), module("libx")
    listed = [(program, segment(0x14, align=16)), (library, segment(0x20))]
    monkeypatch.setattr(thread_local, "storage_modules", lambda system: listed)
    monkeypatch.setattr(thread_local, "_is_program", lambda system, each: each is program)
    for system in opened(tmp_path, core.build()):
        yield system, program, library


MUSL = {0: BLOCK, 8: VECTOR, 0x10: BLOCK, 0x18: BLOCK, 0x30: 77}
GLIBC = {0: BLOCK, 8: VECTOR, 0x10: BLOCK, 0x2C0: BLOCK + 0x2C0, 0x2C8: BLOCK + 0x2C0, 0x2D0: 77}


def address(system: System, of: Module, offset: int) -> int:
    return thread_local_address(system, system.thread, of, offset)


def test_the_programs_own_block_lies_below_the_pointer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for system, program, _ in elf_system(tmp_path, monkeypatch, {}, {}):
        # 0x14 bytes in steps of 16; no thread structure is needed for it.
        assert address(system, program, 4) == BLOCK - 0x20 + 4
        # gcc's split units have the address in the file.
        assert address(system, program, 0x3004) == BLOCK - 0x20 + 4
        for offset in (0x14, 0x2FFF, 0x3014):
            with pytest.raises(ValueUnavailableError, match="does not lie"):
                address(system, program, offset)
        with pytest.raises(ValueUnavailableError, match="which thread"):
            thread_local_address(system, None, program, 0)
        with pytest.raises(ValueUnavailableError, match="no thread-local"):
            address(system, module("other"), 0)


def test_unknown_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for system, _, library in elf_system(tmp_path, monkeypatch, {}, {}):
        with pytest.raises(ValueUnavailableError, match="not recognised"):
            address(system, library, 0)


def test_musl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = {0: 2, 8: 0x1111, 16: 0x7F0000009000}
    for system, _, library in elf_system(tmp_path, monkeypatch, MUSL, vector):
        assert address(system, library, 8) == 0x7F0000009008


@pytest.mark.parametrize(
    ("vector", "words_"),
    [({0: 1, 8: 1}, "has no block"), ({0: 9}, "makes no sense"), ({0: 2}, "has no block")],
    ids=["shorter", "too long", "unset"],
)
def test_musl_without_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vector: dict[int, int], words_: str
) -> None:
    for system, _, library in elf_system(tmp_path, monkeypatch, MUSL, vector):
        with pytest.raises(ValueUnavailableError, match=words_):
            address(system, library, 0)


@pytest.mark.parametrize(
    ("number", "length", "value", "wanted"),
    [
        (2, 8, 0x7F0000009000, 0x7F0000009004),
        (3, 8, UNSET, "has no block"),
        (5, 4, 0x7F0000009000, "has no block"),
        (2, 8, 0, "has no block"),
    ],
    ids=["allocated", "unset", "behind the end", "none"],
)
def test_glibc(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    length: int,
    value: int,
    wanted: int | str,
) -> None:
    vector = {-16: length, 16 * number: value}
    monkeypatch.setattr(thread_local, "_loader_entry", lambda system, each: 0x1234)
    monkeypatch.setattr(GlibcLoader, "number_of", lambda self, entry: number)
    for system, _, library in elf_system(tmp_path, monkeypatch, GLIBC, vector):
        if isinstance(wanted, int):
            assert address(system, library, 4) == wanted
            continue
        with pytest.raises(ValueUnavailableError, match=wanted):
            address(system, library, 4)


class Loader:
    """glibc's constants and lists in memory: 64-bit fields; two parts of slots."""

    NAMES = (
        ("link_map_l_tls_modid", 64, 0x40),
        ("rtld_global__dl_tls_dtv_slotinfo_list", 64, 0x20),
        ("dtv_slotinfo_list_len", 64, 0),
        ("dtv_slotinfo_list_next", 64, 8),
        ("dtv_slotinfo_list_slotinfo", 128 * 3, 16),
        ("dtv_slotinfo_gen", 64, 0),
        ("dtv_slotinfo_map", 64, 8),
    )

    def __init__(self, *, following: int = 0x300, modid: int = 4) -> None:
        data = bytearray(words(0x400, {0x20: 0x200, 0x140: modid, 0x200: 3, 0x208: following}))
        struct.pack_into("<8Q", data, 0x300, 3, following, 0, 0, 7, 0x100, 9, 0x111)
        self.places = {"_rtld_global": 0}
        for rank, (name, bits, offset) in enumerate(self.NAMES):
            self.places[f"_thread_db_{name}"] = 0x380 + 12 * rank
            struct.pack_into("<3I", data, 0x380 + 12 * rank, bits, 1, offset)
        self.memory = BufferSpace(bytes(data))

    def loader(self) -> GlibcLoader:
        return GlibcLoader(self.memory, 8, "little", lambda name, modules: self.places.get(name))


def test_the_loaders_numbers_and_generations() -> None:
    loader = Loader().loader()
    assert loader.number_of(0x100) == 4
    assert loader.generation_of(4, 0x100) == 7
    assert loader.generation_of(4, 0x111) is None  # the slot is another module's
    assert loader.generation_of(5, 0x111) == 9
    assert Loader(modid=0).loader().number_of(0x100) is None
    assert Loader(following=0x200).loader().generation_of(1 << 15, 0x100) is None
    assert Loader(following=0).loader().generation_of(4, 0x100) is None
    bare = Loader()
    bare.places.clear()
    assert bare.loader().number_of(0x100) is None
    assert bare.loader().generation_of(4, 0x100) is None


def test_a_number_that_a_closed_module_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_local, "_loader_entry", lambda system, each: 0x1234)
    monkeypatch.setattr(GlibcLoader, "number_of", lambda self, entry: 2)
    monkeypatch.setattr(GlibcLoader, "generation_of", lambda self, number, entry: 6)
    for age in (5, 6):
        vector = {-16: 8, 0: age, 32: 0x7F0000009000}
        for system, _, library in elf_system(tmp_path, monkeypatch, GLIBC, vector):
            if age == 6:
                assert address(system, library, 4) == 0x7F0000009004
                continue
            with pytest.raises(ValueUnavailableError, match="has no block"):
                address(system, library, 4)


def test_glibc_without_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for system, _, library in elf_system(tmp_path, monkeypatch, GLIBC, {}):
        with pytest.raises(ValueUnavailableError, match="is unknown"):
            address(system, library, 4)


# -- Windows -----------------------------------------------------------------------------------


def windows(tmp_path: Path, arch: str, vector: bool = True) -> Iterator[tuple[System, Module]]:
    """A process whose image stores its number, 2, at RVA 0x5000."""
    base, size = 0x500000, 8 if arch == "amd64" else 4
    builder = PeBuilder(machine=arch, image_base=0x400000)
    place = [0, 0, 0x400000 + 0x5000, 0]
    table = builder.add(b"".join(each.to_bytes(size, "little") for each in place))
    builder.directories[9] = (table, 6 * size)
    builder.sections.append((".more", bytes(0x4000)))
    image = PeImage.from_buffer(builder.build(), "x.dll")
    process = ProcessBuilder(arch=arch)
    blocks = process.place(b"".join(process.pointer(each) for each in (0x1000, 0, 0xA000)))
    process.thread(7, tls_pointer=blocks if vector else 0)
    process.dump.memory(base + 0x5000, (2).to_bytes(4, "little"))
    process.dump.module(base, max(image.size_of_image, 0x8000), "C:\\x.dll")
    for system in opened(tmp_path, process.dump.build()):
        (found,) = system.modules.modules
        found._image, found._image_tried = image, True
        yield system, found


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_windows(tmp_path: Path, arch: str) -> None:
    for system, found in windows(tmp_path, arch):
        assert address(system, found, 0x18) == 0xA018


def test_windows_without_blocks(tmp_path: Path) -> None:
    for system, found in windows(tmp_path, "amd64", vector=False):
        with pytest.raises(ValueUnavailableError, match="has no block"):
            address(system, found, 0)
