"""Sizes, members and values of all named types in programs: what gdb says of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.images.elf import ElfImage
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_files import elf_dwarf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.source import SymbolKind
from polydbg.types.model import CompoundType, EnumType, MemberKind, PointerType, Type, VoidType

pytestmark = pytest.mark.corpus

PROGRAMS = Path(__file__).parent / "programs"
LINUX = "samples/linux/bin/"
FILES = (
    *(LINUX + each for each in ("cargo-clang-O0-dwarf5", "cargo-clang-O2-dwarf4")),
    *(LINUX + each for each in ("cargo-gcc-O0-dwarf4", "cargo-gcc-O2-dwarf5")),
    *(LINUX + each for each in ("cargo-compressed-debug", "cargo-static-pie", "crowd", "plunge")),
    *(LINUX + each for each in ("zoo-gxx", "zoo-clang", "crab", "debug/cargo-stripped.debug")),
    "symbols/samply-dwarf/regular-debuglink/main.dbg",
    "symbols/samply-dwarf/with-dwp/main",
    "symbols/symbolic-linux/crash.debug",
    "symbols/symbolic-linux/cross_language_lto.debug",
)
BUILDS = {
    **{f"gcc{version}": ("g++", f"-gdwarf-{version}") for version in (2, 3, 4, 5)},
    **{f"clang{version}": ("clang++-19", f"-gdwarf-{version}") for version in (2, 3, 4, 5)},
    "gcc4 type units": ("g++", "-gdwarf-4", "-fdebug-types-section"),
    "gcc5 type units": ("g++", "-gdwarf-5", "-fdebug-types-section"),
    "clang5 type units": ("clang++-19", "-gdwarf-5", "-fdebug-types-section"),
    "gcc split": ("g++", "-g", "-gsplit-dwarf"),
    "clang split type units": ("clang++-19", "-g", "-gsplit-dwarf", "-fdebug-types-section"),
    "gcc 64-bit": ("g++", "-g", "-gdwarf64"),
    "clang names": ("clang++-19", "-g", "-gpubnames"),
    "gcc compressed": ("g++", "-g", "-gz"),
    "gcc optimised": ("g++", "-g", "-O2"),
}
Member = tuple[str, int | None, int, int]


def _source(path: Path) -> DwarfSource:
    image = ElfImage.from_file(path)
    found = elf_dwarf(image, table=ElfSource(image))
    assert found is not None
    return found


def _theirs(path: Path, types: list[Type], folder: Path) -> list[dict[str, list[list[object]]]]:
    gdb = shutil.which("gdb")
    if gdb is None:
        pytest.skip("no gdb")
    (folder / "names").write_text("".join(f"{_keyword(each)}\t{each.name}\n" for each in types))
    where = {"TYPES_NAMES": str(folder / "names"), "TYPES_ANSWERS": str(folder / "answers")}
    command = [gdb, "-nx", "-batch", "-iex", "set auto-load off", "-x"]
    subprocess.run(
        [*command, str(PROGRAMS / "gdb_types.py"), str(path)],
        env={**os.environ, **where},
        capture_output=True,
        check=False,
        timeout=120,
    )
    found: list[dict[str, list[list[object]]]] = json.loads((folder / "answers").read_text())
    return found


def _keyword(type_: Type) -> str:
    if isinstance(type_, CompoundType):
        return type_.keyword
    return "enum" if isinstance(type_, EnumType) else ""


def _members(type_: CompoundType) -> list[Member]:
    found = []
    for each in type_.members:
        bits = each.bit_field
        is_base = each.kind in (MemberKind.BASE, MemberKind.VIRTUAL_BASE)
        place: int | None = 8 * each.offset + (bits.position if bits is not None else 0)
        if each.kind is MemberKind.STATIC or each.locate is not None:
            place = None
        name = "<base>" if is_base else each.name
        found.append((name, place, bits.size if bits is not None else 0, each.type.size or 0))
    return sorted(found, key=str)


def _is_null(type_: Type) -> bool:
    return (
        isinstance(type_, PointerType) and isinstance(type_.target, VoidType) and type_.name != ""
    )


def _compare(found: Type, theirs: dict[str, list[list[object]]]) -> bool:
    """Compare a type with gdb's; return whether there was something to compare."""
    bare = found.bare
    if isinstance(bare, CompoundType) and bare.is_declaration:
        return False
    if _is_null(bare) or bare.size is None:
        return False  # gdb has no size for nullptr_t, and 1 for what has none
    assert bare.size == theirs["size"], found.name
    if isinstance(bare, EnumType) and "values" in theirs:
        # gdb 13 takes all values for signed ones.
        mine = [(each.name, each.value % (1 << 64)) for each in bare.enumerators]
        assert mine == [
            (str(name).rpartition("::")[2], int(str(value)) % (1 << 64))
            for name, value in theirs["values"]
        ], found.name
    if isinstance(bare, CompoundType) and bare.parts.variant_part is None:
        nulls = [each.name for each in bare.members if _is_null(each.type.bare)]
        expected = []
        for name, place, bits, size in theirs["members"]:
            size = 8 if name in nulls else size
            flexible = next((x for x in bare.members if x.name == name and not x.type.size), None)
            expected.append((name, place, bits, 0 if flexible is not None else size))
        assert [_placed(each, expected) for each in _members(bare)] == sorted(expected, key=str), (
            found.name
        )
    return True


def _placed(mine: Member, theirs: list[tuple[object, ...]]) -> tuple[object, ...]:
    """Return a virtual base with the place that gdb gives it: that of the table's entry."""
    if mine[0] == "<base>" and mine[1] is None:
        same = [each for each in theirs if (each[0], *each[2:]) == (mine[0], *mine[2:])]
        return same[0] if same else mine
    return mine


def _judge(path: Path, folder: Path) -> int:
    source = _source(path)
    types = list(source.types_matching("*", CancelToken()))
    answers = _theirs(path, types, folder)
    assert len(answers) == len(types)
    compared = 0
    for rank, (found, theirs) in enumerate(zip(types, answers, strict=True)):
        # Typedefs with the name of another type in another place are ambiguous to gdb.
        if theirs is not None and "type_identity_t" not in found.name:
            compared += _compare(found, theirs)
        if rank % 5 == 0:
            again = source.type_named(found.name)
            assert again is not None, found.name
            assert again.name == found.name
    assert compared >= 0.8 * len(types)
    return compared


@pytest.mark.parametrize("name", FILES)
def test_types_of_samples(data_dir: Path, tmp_path: Path, name: str) -> None:
    assert _judge(data_dir / name, tmp_path)


def _built(name: str, folder: Path) -> Path:
    compiler, *options = BUILDS[name]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    program = folder / "types"
    command = [compiler, "-w", *options, str(PROGRAMS / "types.cpp"), "-o", str(program)]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip(f"{compiler} cannot build it here")
    return program


@pytest.mark.parametrize("name", BUILDS)
def test_types_of_builds(tmp_path: Path, name: str) -> None:
    program = _built(name, tmp_path)
    assert _judge(program, tmp_path) >= 25
    source = _source(program)
    root = source.type_named("Root")
    assert isinstance(root, CompoundType)
    statics = {each.name: each for each in root.members if each.kind is MemberKind.STATIC}
    count = source.symbol_named("Root::s_count")
    assert count is not None
    assert statics["s_count"].address == count.rva
    assert (statics["limit"].constant, statics["big"].constant) == (-7, 1 << 30)


@pytest.mark.parametrize("name", ["gcc4", "gcc5", "clang4", "clang5", "gcc split"])
def test_types_of_symbols_have_their_sizes(tmp_path: Path, name: str) -> None:
    source = _source(_built(name, tmp_path))
    compared = 0
    for symbol in source.symbols_matching("*", CancelToken()):
        found = source.type_at(symbol.rva)
        if symbol.kind is SymbolKind.DATA and symbol.size and found is not None:
            assert found.size == symbol.size, symbol.name
            compared += 1
    assert compared >= 6
