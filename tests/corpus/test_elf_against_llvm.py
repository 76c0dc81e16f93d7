"""ELF files of the corpus against LLVM's readers: headers, sections, segments, symbols, PLTs."""

from __future__ import annotations

import bz2
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, FormatError, MemoryReadError
from polydbg.formats.elf.debug_links import crc_of
from polydbg.images.elf import ElfImage
from polydbg.memory.ranges import Layer, RangeMap
from polydbg.symbols.elf import ElfSource

pytestmark = pytest.mark.corpus

FOLDERS = ("symbols", "core", "samples/linux/bin")
SECTION_SYMBOL = 3
#: llvm-readelf 19 writes broken JSON for a machine it has no name for.
UNREADABLE = {"core-linux-alpha", "crash-linux-alpha"}
#: GNU objdump and gdb have names for ARM's PLT, LLVM 19 for none, and none for indirect functions.
NO_PLT_NAMES = ("arm",)


def _tool(name: str) -> str:
    path = shutil.which(f"{name}-19") or shutil.which(name)
    if path is None:
        pytest.skip(f"no {name}")
    return path


@cache
def _files(data_dir: Path) -> tuple[Path, ...]:
    found = []
    for folder in FOLDERS:
        for path in sorted((data_dir / folder).rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        found.append(path)
    assert len(found) > 90
    return tuple(found)


def _llvm(path: Path) -> Any:
    flags = ("-h", "-S", "-l", "--symbols", "--dyn-syms", "-n")
    command = [_tool("llvm-readelf"), "--elf-output-style=JSON", *flags, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=False).stdout)[0]


def _symbols(rows: list[Any]) -> list[tuple[str, int, int, int, int]]:
    found = []
    for row in rows[1:]:
        each = row["Symbol"]
        kind = each["Type"]["Value"]
        # LLVM gives section symbols the name of the section; the table has none.
        name = "" if kind == SECTION_SYMBOL else each["Name"]["Name"]
        found.append((name, each["Value"], each["Size"], kind, each["Binding"]["Value"]))
    return found


def _compare(path: Path) -> int:
    """Compare all tables of one file; return how many symbols it has."""
    theirs, image = _llvm(path), ElfImage.from_file(path)
    head = theirs["ElfHeader"]
    header = image.header
    assert head["Entry"] == header.entry
    assert head["ProgramHeaderOffset"] == header.phoff
    assert head["SectionHeaderOffset"] == header.shoff
    rows = [row["Section"] for row in theirs["Sections"]]
    assert [
        (r["Name"]["Name"], r["Type"]["Value"], r["Address"], r["Offset"], r["Size"], r["Link"])
        for r in rows
    ] == [(s.name, s.type, s.address, s.offset, s.size, s.link) for s in image.section_headers]
    rows = [row["ProgramHeader"] for row in theirs["ProgramHeaders"]]
    assert [
        (r["Type"]["Value"], r["Offset"], r["VirtualAddress"], r["FileSize"], r["MemSize"])
        for r in rows
    ] == [(s.type, s.offset, s.vaddr, s.file_size, s.memory_size) for s in image.segments]
    count = 0
    for key, table in (("Symbols", image.symbols), ("DynamicSymbols", image.dynamic_symbols)):
        ours = [] if table is None else list(table.symbols())
        count += len(ours)
        assert _symbols(theirs.get(key, [])) == [
            (s.versioned_name, s.value, s.size, s.type, s.binding) for s in ours
        ], path.name
    assert image.build_id == _build_id(theirs), path.name
    image.close()
    return count


def test_tables_equal_llvms(data_dir: Path) -> None:
    files = [path for path in _files(data_dir) if path.name not in UNREADABLE]
    assert sum(map(_compare, files)) > 11_000


def test_static_programs_of_many_processors(data_dir: Path, tmp_path: Path) -> None:
    """elfutils' programs: big-endian and 32-bit ones, x32, no dynamic table."""
    machines = {}
    for packed in sorted((data_dir / "core" / "elfutils").glob("backtrace.*.exec.bz2")):
        path = tmp_path / packed.stem
        path.write_bytes(bz2.decompress(packed.read_bytes()))
        assert _compare(path) > 500
        image = ElfImage.from_file(path)
        machines[packed.name.split(".")[1]] = image.machine
        assert image.is_static
        main = ElfSource(image).symbol_named("main")
        assert main is not None
        # The function descriptors of the first ABI for 64-bit PowerPC are data.
        assert image.is_code(main.rva) or image.machine == "ppc64"
        image.close()
    assert machines.items() >= {
        "aarch64": "arm64", "i386": "x86", "ppc": "ppc", "s390": "s390", "s390x": "s390x",
        "x32": "x32", "x86_64": "amd64",
    }.items()  # fmt: skip


def _build_id(theirs: Any) -> str | None:
    found = re.search(r"'Build ID': '([0-9a-f]+)'", str(theirs.get("NoteSections", "")))
    return found and found[1]


def test_build_ids_of_the_manifest(data_dir: Path) -> None:
    rows = (data_dir / "MANIFEST.md").read_text("utf-8").splitlines()
    checked = 0
    for row in rows:
        match = re.match(
            r"\| ((?:core|symbols)/\S+) \| ELF .*measured: build id ([0-9a-f]{16,})", row
        )
        if match is None or not (data_dir / match[1]).exists() or match[1].endswith("bz2"):
            continue
        image = ElfImage.from_file(data_dir / match[1])
        assert image.build_id == match[2], match[1]
        image.close()
        checked += 1
    assert checked > 40


def test_plt_names_equal_objdumps(data_dir: Path) -> None:
    checked = 0
    for path in _files(data_dir):
        image = ElfImage.from_file(path)
        entries = [each for each in image.plt_names if not each.name.startswith("*ABS*")]
        if entries and image.machine not in NO_PLT_NAMES:
            command = [_tool("llvm-objdump"), "-d", str(path)]
            text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            theirs = re.findall(r"^([0-9a-f]+) <(\S+@plt)>:", text, re.MULTILINE)
            ours = {(each.rva + image.image_base, each.name) for each in entries}
            # LLVM takes .plt.got and .plt.sec for what they are in some files only.
            assert {(int(address, 16), name) for address, name in theirs} <= ours, path.name
            checked += len(ours)
        image.close()
    assert checked > 250


def test_every_symbol_is_found_by_name_and_by_address(data_dir: Path) -> None:
    for path in _files(data_dir):
        image = ElfImage.from_file(path)
        symbols = ElfSource(image)
        every = list(symbols.symbols_matching("*", CancelToken()))
        for symbol in every[:: max(1, len(every) // 40)]:
            named = symbols.symbol_named(symbol.name)
            assert named is not None, (path.name, symbol)
            assert named.name == symbol.name
            assert symbol.name in [each.name for each in symbols.symbols_at(symbol.rva)]
            if symbol.size:
                found = symbols.symbol_at(symbol.rva + symbol.size - 1)
                assert found is not None, (path.name, symbol)
                assert found.rva + found.size > symbol.rva
        image.close()


def test_a_debug_file_and_its_program(data_dir: Path) -> None:
    folder = data_dir / "samples" / "linux" / "bin"
    program = ElfImage.from_file(folder / "cargo-stripped")
    debug = ElfImage.from_file(folder / "debug" / "cargo-stripped.debug")
    link = program.debug_link()
    assert link is not None
    assert link.name == "cargo-stripped.debug"
    assert debug.buffer is not None
    assert link.crc == crc_of(debug.buffer)
    assert program.build_id == debug.build_id
    assert debug.eh_frame is None
    assert program.eh_frame is not None
    alone, both = ElfSource(program), ElfSource(program, debug)
    assert alone.symbol_named("main") is None
    main = both.symbol_named("main")
    assert main is not None
    assert main.is_code
    (thunk,) = both.symbols_at(program.plt_names[0].rva)
    assert thunk.name.endswith("@plt")
    assert both.symbol_at(thunk.rva + thunk.size - 1) == thunk
    program.close()
    debug.close()


def _memory(path: Path) -> RangeMap:
    core = ElfImage.from_file(path)
    assert core.buffer is not None
    loads = [(s.vaddr, s.file_size, s.offset) for s in core.segments if s.type == 1]
    return RangeMap(core.buffer, [Layer.of(loads)])


def test_images_in_a_core(data_dir: Path) -> None:
    """The modules of drgn's core, whose build ids and addresses the manifest states."""
    memory = _memory(data_dir / "core" / "drgn" / "crashme.core")
    library = ElfImage.from_memory(memory, 0x7F6112CA9000)
    assert library.build_id == "7bd58f10e741c3c8fbcf2031aa65f830f933d616"
    assert library.size_of_image == 0x5000
    on_disk = ElfImage.from_file(data_dir / "core" / "drgn" / "crashme.so")
    assert library.size_of_image == on_disk.size_of_image
    in_core, in_file = ElfSource(library), ElfSource(on_disk)
    assert in_core.status == "dynamic symbols only"
    for symbol in in_core.symbols_matching("*", CancelToken()):
        assert symbol.rva in {each.rva for each in in_file.symbols_at(symbol.rva)}
    with pytest.raises(MemoryReadError):
        library.read(0x1000, 1)
    vdso = ElfImage.from_memory(memory, 0x7F6112CB4000)
    assert vdso.soname == "linux-vdso.so.1"
    assert vdso.section_named(".text") is not None
    assert vdso.eh_frame is not None
    gettime = ElfSource(vdso).symbol_named("__vdso_clock_gettime")
    assert gettime is not None
    assert vdso.is_code(gettime.rva)


@pytest.mark.parametrize("name", ["elf_compressed_gnu", "elf_compressed_shf"])
def test_compressed_sections_that_lie(data_dir: Path, name: str) -> None:
    image = ElfImage.from_file(data_dir / "malformed" / name)
    packed = [s for s in image.section_headers if "debug" in s.name]
    assert packed
    for section in packed:
        with pytest.raises(FormatError):
            image.section_data(section)
    image.close()


@pytest.mark.parametrize(
    "name", ["samples/linux/bin/cargo-stripped", "core/rizin/crash-linux-arm32"]
)
def test_cut_at_many_lengths(data_dir: Path, name: str) -> None:
    data = (data_dir / name).read_bytes()
    for number in range(200):
        size = len(data) * number // 200
        try:
            image = ElfImage.from_buffer(data[:size], "x")
            symbols = ElfSource(image)
            list(symbols.symbols_matching("*main*", CancelToken()))
            symbols.symbol_at(0x1000)
        except DebuggerError:
            continue
