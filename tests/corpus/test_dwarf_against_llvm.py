"""Functions, lines, inlined calls and line tables from DWARF: what LLVM's tools say of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from macho_programs import build, dsym_of

from polydbg.formats.dwarf.line import LineTable
from polydbg.images.elf import ElfImage
from polydbg.images.macho import MachoImage
from polydbg.images.pe import PeImage
from polydbg.symbols.demangle import undecorate_elf
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_files import elf_dwarf, macho_dwarf, pe_dwarf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.macho import MachoSource

pytestmark = pytest.mark.corpus

LINUX = "samples/linux/bin/"
FILES = (
    LINUX + "cargo-clang-O0-dwarf5",
    LINUX + "cargo-clang-O2-dwarf4",
    LINUX + "cargo-compressed-debug",
    LINUX + "cargo-gcc-O0-dwarf4",
    LINUX + "cargo-gcc-O2-dwarf5",
    LINUX + "cargo-nopie",
    LINUX + "cargo-static-pie",
    LINUX + "debug/cargo-stripped.debug",
    LINUX + "crab",
    LINUX + "crowd",
    LINUX + "plunge",
    LINUX + "zoo-clang",
    LINUX + "zoo-gxx",
    "symbols/dump_syms/basic.dbg",
    "symbols/dump_syms/basic.full",
    "symbols/dump_syms/basic64-dwarf.dll",
    "symbols/pyelftools/debuglink.debug",
    "symbols/pyelftools/dwarf_v5_forms.debug",
    "symbols/pyelftools/test_debugsup1.debug",
    "symbols/samply-dwarf/mac-dsym/main.dSYM/Contents/Resources/DWARF/main",
    "symbols/samply-dwarf/regular-debuglink/main.dbg",
    "symbols/samply-dwarf/with-dwp/main",
    "symbols/symbolic-linux/crash.debug",
    "symbols/symbolic-linux/crash.debug-zlib",
    "symbols/symbolic-linux/cross_language_lto.debug",
    "symbols/symbolic-macos/overlapping_funcs",
    "symbols/symbolic-minidump/crash_macos.dSYM/Contents/Resources/DWARF/crash_macos",
    "symbols/symbolic-windows/hello-dwarf.exe",
)
_MOST = 3000
Frames = list[tuple[str, str, int]]
Row = tuple[int, int, int, int, str]
#: GCC 5 mangles packs of arguments in two ways; the symbol table, which LLVM asks, has one, the
#: debug information the other.
_TWO_NAMES = "_M_emplace_back_aux"


def is_pe(path: Path) -> bool:
    return path.suffix in (".exe", ".dll")


def is_macho(path: Path) -> bool:
    return path.read_bytes()[:4] == b"\xcf\xfa\xed\xfe"


def opened(path: Path) -> DwarfSource:
    if is_pe(path):
        found = pe_dwarf(PeImage.from_file(path))
    elif is_macho(path):
        debug = MachoImage.from_file(path)
        found = macho_dwarf(debug, table=MachoSource(debug))
    else:
        image = ElfImage.from_file(path)
        found = elf_dwarf(image, table=ElfSource(image))
    assert found is not None
    return found


def base_of(path: Path) -> int:
    if is_pe(path):
        return PeImage.from_file(path).preferred_base
    if is_macho(path):
        return MachoImage.from_file(path).image_base
    return ElfImage.from_file(path).image_base


def _tool(name: str) -> str:
    tool = shutil.which(f"{name}-19") or shutil.which(name)
    if tool is None:
        pytest.skip(f"no {name}")
    return tool


def rows_of(path: Path) -> list[Row]:
    """Return (address, line, column, file, flags) of each row that LLVM reads."""
    command = [_tool("llvm-dwarfdump"), "--debug-line", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    pattern = re.compile(
        r"^0x([0-9a-f]{8,}) +(\d+) +(\d+) +(\d+) +\d+ +\d+ +\d+ +(.*)$", re.MULTILINE
    )
    rows = []
    for address, line, column, file, flags in pattern.findall(text):
        rows.append((int(address, 16), int(line), int(column), int(file), flags.strip()))
    return rows


def symbolized(path: Path, addresses: Sequence[int]) -> list[Frames]:
    """Return for each address the frames, innermost first, as (name, file, line)."""
    command = [_tool("llvm-symbolizer"), "--inlines", "--no-demangle", "-e", str(path)]
    if is_pe(path):
        command.append("--functions=short")  # not what COFF symbols, down to labels, name
    asked = "".join(f"{address:#x}\n" for address in addresses)
    text = subprocess.run(command, input=asked, capture_output=True, text=True, check=False).stdout
    found = []
    for block in text.strip("\n").split("\n\n"):
        lines = block.split("\n")
        frames = []
        for name, place in zip(lines[::2], lines[1::2], strict=True):
            file, line, _ = place.rsplit(":", 2)
            frames.append((undecorate_elf(name), file if int(line) else "", int(line)))
        found.append(frames)
    assert len(found) == len(addresses)
    return found


def ours(source: DwarfSource, rva: int) -> Frames:
    inlined = reversed(source.inlines_at(rva))
    frames = [(each.name, each.file if each.line else "", each.line) for each in inlined]
    symbol, line = source.symbol_at(rva), source.line_at(rva)
    name = symbol.name if symbol is not None else "??"
    frames.append((name, line.file, line.line) if line is not None else (name, "", 0))
    return frames


def simple(frames: Frames) -> Frames:
    """Return *frames* with names without scopes and template arguments: LLVM gives linker names,
    and plain names where there are none."""
    return [
        (name.partition("<")[0].rpartition("::")[2].split("[")[0] or name, file, line)
        for name, file, line in frames
    ]


def compare(path: Path) -> int:
    """Assert that we say of addresses from the line table what LLVM says; return of how many."""
    source, base = opened(path), base_of(path)
    # LLVM also answers for functions that the linker dropped, which "lie" below all code.
    places = sorted({row[0] for row in rows_of(path) if row[0] >= source.units.lowest})
    between = {(a + b) // 2 for a, b in pairwise(places) if b - a < 64}
    addresses = sorted(between.union(places))
    addresses = addresses[:: len(addresses) // _MOST + 1]
    compared = 0
    for address, theirs in zip(addresses, symbolized(path, addresses), strict=True):
        mine = ours(source, address - base)
        if theirs[-1][1:] == ("", 0) and mine[-1][1:] == ("", 0):
            continue  # between functions, or dropped: only a name can be known
        symbol = source.symbol_at(address - base)
        if symbol is not None:
            # LLVM takes one of the names that the symbol table has for the function's address.
            aliases = {each.name for each in source.symbols_at(symbol.rva)}
            if theirs[-1][0] in aliases or _TWO_NAMES in symbol.name:
                mine[-1] = (theirs[-1][0], *mine[-1][1:])
        assert simple(mine) == simple(theirs), hex(address)
        compared += 1
    return compared


@pytest.mark.parametrize("name", FILES)
def test_frames(data_dir: Path, name: str) -> None:
    assert compare(data_dir / name) > 5


@pytest.mark.parametrize("name", FILES)
def test_line_tables(data_dir: Path, name: str) -> None:
    path = data_dir / name
    theirs = rows_of(path)
    words = ((1, "is_stmt"), (2, "basic_block"), (8, "prologue_end"), (16, "epilogue_begin"))
    mine = []
    seen = set()
    source = opened(path)
    for unit in source.units.all():
        lines = unit.lines
        offset = unit.line_offset
        if lines is None or offset in seen:
            continue
        seen.add(offset)
        table = lines.table
        _agree_by_address(lines)
        assert not table.is_damaged
        for index in range(len(table.lines)):
            flags = [word for bit, word in words if table.flags[index] & bit]
            if table.flags[index] & 4:
                flags.append("end_sequence")
            row = table.addresses[index], table.lines[index], table.columns[index]
            mine.append((*row, table.files[index], " ".join(flags)))
    assert len(mine) == len(theirs)
    differing = (pair for pair in zip(mine, theirs, strict=True) if _differ(*pair))
    assert next(differing, None) is None


def _agree_by_address(lines: LineTable) -> None:
    """Check that single sequences say the same as the whole program."""
    quick = LineTable(lines.header, 1)
    whole = LineTable(lines.header, 1)
    assert whole.table
    for address in lines.table.addresses:
        assert quick.row_at(address) == whole.row_at(address)


def _differ(mine: Row, theirs: Row) -> bool:
    return mine[:4] != theirs[:4] or sorted(mine[4].split()) != sorted(theirs[4].split())


SOURCE = """
#include <string>
#include <vector>
namespace ns {
struct S { int f(int x); template <class T> T g(T t) { volatile T u = t; return u; } };
static int counter;
}
static inline int square(int x) { volatile int y = x; return y * y; }
int ns::S::f(int x) { counter += x; return square(x) + g(x) + counter; }
int main(int argc, char **argv) {
    ns::S s;
    std::vector<std::string> names;
    names.push_back(argv[0]);
    return s.f(argc) + (int)names.size();
}
"""


# llvm-dwp does not read what GCC writes.
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(
    ("compiler", "is_packed"), [("clang++-19", False), ("clang++-19", True), ("g++", False)]
)
def test_split_units(tmp_path: Path, compiler: str, version: int, is_packed: bool) -> None:
    tool = shutil.which(compiler)
    packer = shutil.which("llvm-dwp-19")
    if tool is None or packer is None:
        pytest.skip(f"no {compiler} or llvm-dwp")
    source = tmp_path / "source.cpp"
    source.write_text(SOURCE)
    program = tmp_path / "program"
    options = ["-g", "-gsplit-dwarf", f"-gdwarf-{version}", "-O2", "-fdebug-types-section"]
    command = [tool, *options, "source.cpp", "-o", "program"]
    if subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip(f"{compiler} has no C++ library here")
    if is_packed:
        pack = [packer, "-e", "program", "-o", "program.dwp"]
        subprocess.run(pack, cwd=tmp_path, check=True, timeout=60)
        for each in tmp_path.glob("*.dwo"):
            each.unlink()
    assert compare(program) > 100


@pytest.mark.parametrize(
    "options", [("-O0", "-gdwarf-4"), ("-O2", "-gdwarf-4"), ("-O2", "-gdwarf-5")]
)
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_dsyms(tmp_path: Path, arch: str, options: tuple[str, ...]) -> None:
    assert compare(dsym_of(build(tmp_path, arch, *options))) > 20


@pytest.mark.parametrize(
    "options",
    [("-gdwarf-5", "-gpubnames"), ("-gdwarf-4", "-ggnu-pubnames", "-Wl,--gdb-index")],
    ids=["debug_names", "gdb_index"],
)
def test_indexes_of_names(tmp_path: Path, options: tuple[str, ...]) -> None:
    tool = shutil.which("clang++-19")
    if tool is None:
        pytest.skip("no clang++")
    (tmp_path / "source.cpp").write_text(SOURCE)
    command = [tool, "-g", "-O1", "-fuse-ld=lld", *options, "source.cpp", "-o", "program"]
    if subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("clang++ has no C++ library or linker here")
    source = elf_dwarf(ElfImage.from_file(tmp_path / "program"))
    assert source is not None
    for name in ("main", "ns::S::f", "ns::counter"):
        found = [each for each in source.names.indexed(name) if each.name == name]
        assert found[:1] == [source.symbol_named(name)]
    assert not [each for each in source.names.indexed("nothing") if each.name == "nothing"]
    function = source.symbol_named("ns::S::f")
    assert function is not None
    assert source.signature_of(function) == "(ns::S *, int)"
