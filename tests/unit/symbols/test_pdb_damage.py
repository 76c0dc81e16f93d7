"""Damaged PDBs: whatever the bytes say, a question ends soon, in an answer or a FormatError."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path

import pdb_builder as b
import pytest
from test_pdb import inlined_parts, two_functions

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.symbols.pdb import PdbSource

RVAS = (0, 0x1000, 0x1010, 0x1018, 0x1035, 0x1044, 0x1080, 0x2008, 0x2FFF, 0xFFFFFFFF)


def ask(data: bytes, rvas: tuple[int, ...] = RVAS) -> None:
    """Put every kind of question; only FormatError may come out."""
    try:
        pdb = PdbSource(data, "x.pdb")
    except FormatError:
        return
    questions = [
        lambda: describe(pdb),
        lambda: list(pdb.symbols_matching("*paint*", CancelToken())),
        lambda: pdb.symbol_named("outer"),
        lambda: pdb.rvas_of_line("a.c", 10, CancelToken()),
        lambda: pdb.status,
    ]
    for rva in rvas:
        for method in (pdb.symbol_at, pdb.symbols_at, pdb.neighbours, pdb.line_at, pdb.inlines_at):
            questions.append(lambda method=method, rva=rva: method(rva))  # type: ignore[misc]
    for question in questions:
        try:
            question()
        except FormatError:
            continue


def describe(pdb: PdbSource) -> None:
    for symbol in itertools.islice(pdb.symbols_matching("*", CancelToken()), 500):
        pdb.signature_of(symbol)
        pdb.type_of_index(symbol.type_index)


@pytest.mark.parametrize("parts", [two_functions, inlined_parts])
def test_cut_anywhere(parts: object) -> None:
    assert callable(parts)
    data = parts().build()
    for length in range(0, len(data), 61):
        ask(data[:length], RVAS[:4])


@pytest.mark.parametrize("parts", [two_functions, inlined_parts])
def test_flipped_bytes(parts: object) -> None:
    assert callable(parts)
    data = parts().build()
    dice = random.Random(20241124)
    start = time.monotonic()
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(dice.randrange(1, 6)):
            damaged[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        ask(bytes(damaged))
    assert time.monotonic() - start < 30


def test_types_that_refer_to_themselves() -> None:
    pointer = b.record(0x1002, b"\x00\x10\x00\x00\x0c\x00\x01\x00")
    array = b.record(0x1503, b"\x01\x10\x00\x00\x77\x00\x00\x00\x08\x00a\0")
    modifier = b.record(0x1001, b"\x02\x10\x00\x00\x01\x00")
    for number, name in enumerate(("p", "a", "m")):
        pdb = PdbSource(
            b.PdbParts(
                globals=[b.data(name, 2, 8, 0x1000 + number)],
                modules=[b.Module("a", b.procedure("f", 1, 0, 4, at=4))],
                tpi=b.types([pointer, array, modifier]),
            ).build(),
            "x.pdb",
        )
        symbol = pdb.symbol_named(name)
        assert symbol is not None
        with pytest.raises(FormatError):
            pdb.file.types.name(symbol.type_index)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["samples/win/bin/fastpath.pdb", "symbols/llvm-pdb/test.pdb"])
def test_damaged_samples(data_dir: Path, name: str) -> None:
    data = (data_dir / name).read_bytes()
    dice = random.Random(1)
    rvas = (0x1005, 0x1540, 0x15C4, 0x2010)
    start = time.monotonic()
    for _ in range(25):
        ask(data[: dice.randrange(len(data))], rvas)
        damaged = bytearray(data)
        for _ in range(200):
            damaged[dice.randrange(len(data))] = dice.randrange(256)
        ask(bytes(damaged), rvas)
    assert time.monotonic() - start < 60
