"""COFF symbols and DWARF of PE files from GCC and clang: what LLVM's and GNU's tools say."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.engine.session import Session
from polydbg.formats.elf.debug_links import crc_of
from polydbg.images.pe import PeImage
from polydbg.symbols.coff import coff_source
from polydbg.symbols.demangle import undecorate_coff, undecorate_elf
from polydbg.symbols.dwarf_files import pe_dwarf
from polydbg.symbols.source import SymbolSource
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

FILES = (
    "samples/win/wine/kernel32.dll",
    "samples/win/wine/kernelbase.dll",
    "samples/win/wine/msvcrt.dll",
    "samples/win/wine/ntdll.dll",
    "symbols/dump_syms/basic64-dwarf.dll",
    "symbols/symbolic-windows/hello-dwarf.exe",
)
COMPILERS = (
    ("x86_64-w64-mingw32-gcc", ()),
    ("i686-w64-mingw32-gcc", ()),
    ("clang-19", ("--target=x86_64-w64-mingw32", "-fuse-ld=lld")),
    ("clang-19", ("--target=i686-w64-mingw32", "-fuse-ld=lld")),
)
SOURCE = """
#include <stdio.h>
#include <stdlib.h>
struct order { int id; double price; };
static int counter;
int total = 7;
static inline __attribute__((always_inline)) int square(int x) { return x * x + counter; }
static __attribute__((noinline)) int sum(const struct order *o, int n) {
    int t = 0;
    for (int i = 0; i < n; i++)
        t += square(o[i].id) + (int)o[i].price;
    return t;
}
int __stdcall by_callee(int a, int b) { struct order o = {a, b}; return sum(&o, 1) + total; }
int __fastcall by_registers(int a, int b) { return a * 3 + by_callee(a, b); }
int main(int argc, char **argv) {
    struct order o[3] = {{1, 2.5}, {2, 3.5}, {argc, 9.0}};
    total = sum(o, 3);
    if (argc > 90)
        abort();
    printf("%d %d\\n", total, by_registers(argc, 4));
    return 0;
}
"""
_SYMBOL = re.compile(
    r"\[ *(\d+)\]\(sec +(-?\d+)\)\(fl 0x..\)\(ty +([0-9a-f]+)\)\(scl +([0-9a-f]+)\) "
    r"\(nx (\d+)\) 0x([0-9a-f]+) (.*)"
)
_ROW = re.compile(r"^0x([0-9a-f]{8,}) +\d+ +\d+ +\d+ +\d+ +\d+ +\d+ +(.*)$", re.MULTILINE)
_MOST = 1500


def output_of(tool: str, *arguments: str, given: str = "") -> str:
    path = shutil.which(f"{tool}-19") or shutil.which(tool)
    if path is None:
        pytest.skip(f"no {tool}")
    command = [path, *arguments]
    done = subprocess.run(command, input=given.encode(), capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace")


def built(folder: Path, compiler: str, options: tuple[str, ...], version: int, level: str) -> Path:
    tool = shutil.which(compiler)
    if tool is None:
        pytest.skip(f"no {compiler}")
    (folder / "orders.c").write_text(SOURCE)
    flags = [f"-gdwarf-{version}", level, *options]
    command = [tool, *flags, "orders.c", "-o", "orders.exe"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"{compiler} {' '.join(options)} has no libraries here")
    return folder / "orders.exe"


def compare_tables(path: Path) -> None:
    image = PeImage.from_file(path)
    table = image.coff_symbols()
    assert table is not None
    theirs = [
        (int(index), name, int(value, 16), int(section), int(kind, 16), int(place, 16), int(more))
        for index, section, kind, place, more, value, name in _SYMBOL.findall(
            output_of("llvm-objdump", "-t", str(path))
        )
    ]
    mine = [
        (s.index, s.name, s.value, s.section, s.type, s.storage_class, s.auxiliaries)
        for s in table.symbols()
    ]
    assert mine == theirs
    # What nm calls code and data, by address.
    source = coff_source(image)
    assert source is not None
    named: dict[int, set[str]] = {}
    for line in output_of("x86_64-w64-mingw32-nm", str(path)).splitlines():
        value, kind, name = line.split(maxsplit=2) if line[:1] != " " else ("", "", "")
        if kind and kind in "TtDdBbRrVvWw" and not name.startswith("."):
            shown = undecorate_coff(name, is_x86=image.machine == "x86")
            named.setdefault(int(value, 16) - image.preferred_base, set()).add(shown)
    assert len(named) > 50
    for rva, names in named.items():
        assert names <= {symbol.name for symbol in source.symbols_at(rva)}, hex(rva)
    shown = {symbol.name for symbol in source.symbols_matching("*", CancelToken())}
    assert set().union(*named.values()) <= shown


@pytest.mark.parametrize("name", FILES)
def test_tables(data_dir: Path, name: str) -> None:
    compare_tables(data_dir / name)


def frames_of(source: SymbolSource, rva: int) -> list[tuple[str, str, int]]:
    frames = [(s.name, s.file if s.line else "", s.line) for s in reversed(source.inlines_at(rva))]
    symbol, line = source.symbol_at(rva), source.line_at(rva)
    name = symbol.name if symbol is not None and source.kind_at(rva) == "dwarf" else "??"
    frames.append((name, line.file, line.line) if line is not None else (name, "", 0))
    return [(name.partition("[")[0].rpartition("::")[2], file, line) for name, file, line in frames]


def compare_frames(path: Path) -> int:
    """Assert that the DWARF beside COFF symbols says what LLVM reads; return of how many places."""
    image = PeImage.from_file(path)
    source = pe_dwarf(image, table=coff_source(image))
    assert source is not None
    rows = _ROW.findall(output_of("llvm-dwarfdump", "--debug-line", str(path)))
    places = sorted({int(address, 16) for address, _ in rows} - {0})
    places = [each for each in places if each >= source.units.lowest]
    addresses = sorted({(a + b) // 2 for a, b in pairwise(places) if b - a < 64}.union(places))
    addresses = addresses[:: len(addresses) // _MOST + 1]
    options = ("--inlines", "--no-demangle", "--functions=short", "-e", str(path))
    asked = "".join(f"{address:#x}\n" for address in addresses)
    blocks = output_of("llvm-symbolizer", *options, given=asked).strip("\n").split("\n\n")
    assert len(blocks) == len(addresses)
    compared = 0
    for address, block in zip(addresses, blocks, strict=True):
        lines = block.split("\n")
        theirs = []
        for name, place in zip(lines[::2], lines[1::2], strict=True):
            file, line, _ = place.rsplit(":", 2)
            theirs.append((undecorate_elf(name), file if int(line) else "", int(line)))
        mine = frames_of(source, address - image.preferred_base)
        if theirs[-1][1:] == mine[-1][1:] == ("", 0):
            continue  # neither has anything but a name
        assert mine == theirs, hex(address)
        compared += 1
    return compared


@pytest.mark.parametrize("name", FILES[:2])
def test_frames_in_wine(data_dir: Path, name: str) -> None:
    assert compare_frames(data_dir / name) > 1000


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("compiler", COMPILERS, ids=["gcc64", "gcc32", "clang64", "clang32"])
def test_programs(
    tmp_path: Path, compiler: tuple[str, tuple[str, ...]], version: int, level: str
) -> None:
    path = built(tmp_path, *compiler, version, level)
    compare_tables(path)
    assert compare_frames(path) > 500
    image = PeImage.from_file(path)
    source = pe_dwarf(image, table=coff_source(image))
    assert source is not None
    for name in ("main", "sum", "by_callee", "by_registers"):
        symbol = source.symbol_named(name)
        assert symbol is not None, name
        line = source.line_at(symbol.rva)
        assert line is not None
        assert level != "-O0" or name in SOURCE.split("\n")[line.line - 1]
        assert [each.name for each in source.symbols_at(symbol.rva)] == [name]
        assert source.kind_at(symbol.rva) == "dwarf"


def test_separate_debug_file(tmp_path: Path) -> None:
    path = built(tmp_path, *COMPILERS[0], 5, "-O2")
    whole = pe_dwarf(PeImage.from_file(path))
    debug, bare = tmp_path / "orders.debug", tmp_path / "bare.exe"
    output_of("x86_64-w64-mingw32-objcopy", "--only-keep-debug", str(path), str(debug))
    output_of("x86_64-w64-mingw32-strip", str(path), "-o", str(bare))
    output_of("x86_64-w64-mingw32-objcopy", f"--add-gnu-debuglink={debug}", str(bare))
    image = PeImage.from_file(bare)
    assert image.coff_symbols() is None
    assert pe_dwarf(image) is None
    link = image.debug_link()
    assert link is not None
    assert (link.name, link.crc) == (debug.name, crc_of(debug.read_bytes()))
    file = PeImage.from_file(debug)
    apart = pe_dwarf(file, table=coff_source(file))
    assert whole is not None
    assert apart is not None
    for rva in range(0x1000, 0x3000, 7):
        assert apart.line_at(rva) == whole.line_at(rva)
        assert apart.inlines_at(rva) == whole.inlines_at(rva)


def test_each_frame_says_which_symbols_name_it(
    data_dir: Path, sample_dump: Callable[[str], Path]
) -> None:
    """Wine's DLLs have DWARF, the program a PDB; a function of Wine's begins at its export."""
    windows = data_dir / "samples" / "win"
    session = Session()
    path = SymbolPath.parse(f"{windows / 'bin'};{windows / 'wine'}")
    session.settings.symbol_path = session.settings.image_path = path
    system = session.open_dump(str(sample_dump("figures-throw")))
    rows = list(session.stack(system, system.scope_registers(), 20))
    shown = [(row.symbols, row.place.text, row.file.rpartition("/")[2], row.line) for row in rows]
    session.close()
    assert shown[:2] == [
        ("dwarf", "kernelbase!RaiseException+0x4e", "debug.c", 302),
        ("dwarf", "msvcrt!_CxxThrowException+0x47", "cpp.c", 1035),
    ]
    assert [each[0] for each in shown[2:7]] == ["pdb"] * 5
    assert shown[7][:2] == ("", "figures+0x13ae")
    assert shown[-1] == ("dwarf", "ntdll!RtlUserThreadStart+0x88", "thread.c", 286)
