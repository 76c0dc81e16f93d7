"""Mach-O symbol tables, function starts, stubs and sections: what LLVM's tools say of them."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from macho_programs import build, dsym_of, tool

from polydbg.base.cancel import CancelToken
from polydbg.images.macho import MachoImage
from polydbg.symbols.macho import MachoSource, shown_name
from polydbg.symbols.source import SymbolKind

pytestmark = pytest.mark.corpus

CRASH = "symbols/symbolic-minidump/crash_macos"
SAMPLY = "symbols/samply-dwarf/mac-dsym/main"
INSIDE = "Contents/Resources/DWARF"
#: Facts of MANIFEST.md, and UUIDs of LC_UUID as llvm-objdump prints them.
FILES = {
    CRASH: ("amd64", "3F58BC3DEABE3361B5FB52A676298598"),
    f"{CRASH}.dSYM/{INSIDE}/crash_macos": ("amd64", "3F58BC3DEABE3361B5FB52A676298598"),
    SAMPLY: ("arm64", "CF441AF5BB7E35678D44451D69214D92"),
    f"{SAMPLY}.dSYM/{INSIDE}/main": ("arm64", "CF441AF5BB7E35678D44451D69214D92"),
    "symbols/symbolic-macos/overlapping_funcs": ("amd64", "546D01320E063B7A8640BE4046513445"),
}


def output(name: str, *arguments: str) -> str:
    command = [tool(name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def compare_symbols(path: Path, *more: str) -> int:
    """Assert that each defined symbol of llvm-nm is found by address and by name; return how
    many."""
    arch = {"--arch=arm64": "arm64", "--arch=x86_64": "amd64"}.get("".join(more))
    image = MachoImage.from_file(path, arch=arch)
    source = MachoSource(image)
    theirs = re.findall(
        r"^([0-9a-f]{16}) ([A-Za-z]) (\S.*)$",
        output("llvm-nm", "--no-demangle", *more, str(path)),
        re.MULTILINE,
    )
    listed = {(s.name, s.rva) for s in source.symbols_matching("*", CancelToken())}
    for address, letter, name in theirs:
        rva = int(address, 16) - image.image_base
        shown = shown_name(name)
        found = next(each for each in source.symbols_at(rva) if each.name == shown)
        assert found.is_global == letter.isupper(), name
        is_text = letter in "tT" and name != "__mh_execute_header"
        assert found.is_code == (is_text and image.is_code(rva)), name
        assert (shown, rva) in listed
        assert source.symbol_named(name.removeprefix("_")) is not None
    stubs = {each.rva for each in image.stubs}
    assert {rva for _, rva in listed} - stubs == {
        int(each[0], 16) - image.image_base for each in theirs
    }
    image.close()
    return len(theirs)


@pytest.mark.parametrize("name", FILES)
def test_identity_and_symbols(data_dir: Path, name: str) -> None:
    image = MachoImage.from_file(data_dir / name)
    assert image.debug_id is not None
    assert (image.machine, image.debug_id.guid) == FILES[name]
    headers = output("llvm-objdump", "--macho", "--private-headers", str(data_dir / name))
    assert re.sub("-", "", re.findall(r"uuid (\S+)", headers)[0]) == image.debug_id.guid
    image.close()
    assert compare_symbols(data_dir / name) > 4


@pytest.mark.parametrize("name", [CRASH, SAMPLY])
def test_function_starts_and_sizes(data_dir: Path, name: str) -> None:
    image = MachoImage.from_file(data_dir / name)
    text = output("llvm-objdump", "--macho", "--function-starts", str(data_dir / name))
    theirs = [
        int(each, 16) - image.image_base for each in re.findall(r"^([0-9a-f]{16})", text, re.M)
    ]
    assert list(image.function_starts) == theirs
    source = MachoSource(image)
    for start, end in pairwise(theirs):
        symbol = source.symbol_at(start)
        if symbol is None:
            continue  # stripped
        section = image.section_at(start)
        assert section is not None
        limit = min(end, section.end - image.image_base)
        assert (symbol.rva, symbol.size, symbol.kind) == (start, limit - start, SymbolKind.FUNCTION)
        assert source.symbol_at(limit - 1) == symbol


@pytest.mark.parametrize("name", [CRASH, SAMPLY])
def test_stubs(data_dir: Path, name: str) -> None:
    image = MachoImage.from_file(data_dir / name)
    text = output("llvm-objdump", "--macho", "--indirect-symbols", str(data_dir / name))
    part = re.search(r"\(__TEXT,__(?:stubs|symbol_stub)\).*\n((?:0x.*\n|address.*\n)+)", text)
    assert part is not None
    theirs = re.findall(r"^0x([0-9a-f]+) +\d+ (\S+)$", part[1], re.MULTILINE)
    ours = [(each.rva + image.image_base, each.name) for each in image.stubs]
    assert ours == [(int(address, 16), each) for address, each in theirs]
    assert len(ours) > 15


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_a_program_made_here(tmp_path: Path, arch: str) -> None:
    program = build(tmp_path, arch, "-g", "-O1")
    assert compare_symbols(program) >= 8
    assert compare_symbols(dsym_of(program)) >= 7
    source = MachoSource(MachoImage.from_file(program))
    private = source.symbol_named("inside")
    assert private is not None
    assert (private.kind, private.is_global) == (SymbolKind.FUNCTION, False)
    assert source.symbol_named("deep::(anonymous namespace)::Box<int>::get") is not None
    assert [s.name for s in source.symbols_matching("*$puts", CancelToken())] == ["DYLD-STUB$$puts"]


def test_a_universal_file_made_here(tmp_path: Path) -> None:
    parts = [build(tmp_path, arch, "-g", "-O1") for arch in ("x86_64", "arm64")]
    whole = tmp_path / "whole"
    output("llvm-lipo", "-create", *map(str, parts), "-output", str(whole))
    assert compare_symbols(whole, "--arch=arm64") == compare_symbols(parts[1])
    assert compare_symbols(whole, "--arch=x86_64") == compare_symbols(parts[0])
    for part in parts:
        wanted = MachoImage.from_file(part)
        found = MachoImage.from_file(whole, uuid=wanted.uuid)
        assert (found.uuid, found.machine) == (wanted.uuid, wanted.machine)


def test_a_stripped_program(tmp_path: Path) -> None:
    program = build(tmp_path, "arm64", "-g", "-O1")
    named = MachoSource(MachoImage.from_file(program)).symbol_named("hidden")
    assert named is not None
    stripped = tmp_path / "stripped"
    output("llvm-strip", "-x", "-o", str(stripped), str(program))
    source = MachoSource(MachoImage.from_file(stripped))
    # Neither the function before it nor one that comes after has its name.
    assert source.symbol_at(named.rva + 4) is None
    assert source.symbol_at(named.rva) is None
