"""Real files with debug information, cut at many lengths and with bytes overwritten: answers or
errors of ours, in reasonable time.

In a normal run each is cut at 5 of its 200 lengths; POLYDBG_ALL_CUTS=1 takes all of them.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.images.elf import ElfImage
from polydbg.images.pe import PeImage
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_files import elf_dwarf, pe_dwarf

pytestmark = pytest.mark.corpus

CUTS = 200
TAKEN = CUTS if os.environ.get("POLYDBG_ALL_CUTS") else 5
FILES = (
    "samples/linux/bin/cargo-gcc-O2-dwarf5",
    "samples/linux/bin/cargo-clang-O2-dwarf4",
    "samples/linux/bin/cargo-compressed-debug",
    "samples/linux/bin/zoo-gxx",
    "symbols/dump_syms/basic.full",
    "symbols/dump_syms/basic.dwz",
    "symbols/dump_syms/basic64-dwarf.dll",
    "symbols/pyelftools/test_debugsup1.debug",
    "symbols/samply-dwarf/with-dwp/main",
)


def _opened(data: bytes) -> DwarfSource | None:
    try:
        if data[:2] == b"MZ":
            return pe_dwarf(PeImage.from_buffer(data, "x"))
        return elf_dwarf(ElfImage.from_buffer(data, "x"))
    except DebuggerError:
        return None


def _ask(data: bytes, rvas: list[int]) -> None:
    source = _opened(data)
    if source is None:
        return
    for rva in rvas:
        for ask in (source.symbols_at, source.neighbours, source.line_at, source.inlines_at):
            try:
                ask(rva)
            except DebuggerError:
                continue
    try:
        for symbol in source.symbols_matching("*", CancelToken()):
            source.signature_of(symbol)
        source.rvas_of_line("cargo.c", 20, CancelToken())
    except DebuggerError:
        pass


def _functions(data: bytes) -> list[int]:
    source = _opened(data)
    assert source is not None
    found = [each.rva for each in source.symbols_matching("*", CancelToken())]
    return found[:: len(found) // 4 + 1]


@pytest.mark.parametrize("name", FILES)
def test_cuts(data_dir: Path, name: str) -> None:
    data = (data_dir / name).read_bytes()
    rvas = _functions(data)
    sizes = [len(data) * step // CUTS for step in range(CUTS)]
    for size in sizes[:: CUTS // TAKEN]:
        _ask(data[:size], rvas)


@pytest.mark.parametrize("name", FILES)
def test_overwritten_bytes(data_dir: Path, name: str) -> None:
    data = (data_dir / name).read_bytes()
    rvas = _functions(data)
    chance = random.Random(name)
    for _ in range(4 * TAKEN):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 20, 400))):
            changed[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        _ask(bytes(changed), rvas)
