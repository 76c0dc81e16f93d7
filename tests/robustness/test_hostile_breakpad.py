"""Damaged Breakpad symbol files: every question has an answer, or FormatError is raised."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.symbols.breakpad import BreakpadSource

pytestmark = pytest.mark.corpus

SEEDS = (
    "breakpad/linux_inline/BBA6FA10B8AAB33D00000000000000000/linux_inline.new.sym",
    "breakpad/linux_inline/BBA6FA10B8AAB33D00000000000000000/linux_inline.old.sym",
    "dump_syms/basic.full.sym",
    "breakpad-win/pe_only_symbol_test.sym",
    "symbolic-windows/crash.sym",
)
TOKENS = (
    *(b"\n", b"\r\n", b" ", b"\0", b"\xff", b"\x1b[2J", b"(", b")", b"<", b"operator", b"-1"),
    *(b"ffffffffffffffff", b"99999999999", b"FUNC ", b"INLINE ", b"FILE 0 ", b"INLINE_ORIGIN 0 "),
    *(b"STACK CFI INIT ", b"STACK CFI ", b"STACK WIN 4 ", b"PUBLIC m ", b"MODULE "),
)


def _damage(data: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(dice.randint(1, 30)):
        at = dice.randrange(len(damaged) + 1)
        kind = dice.randrange(4)
        if kind == 0:
            damaged[at:at] = dice.choice(TOKENS) * dice.choice((1, 1, 1, 50))
        elif kind == 1:
            del damaged[at : at + dice.choice((1, 5, 100))]
        elif kind == 2:
            damaged[at : at + 1] = bytes([dice.randrange(256)])
        else:
            start = dice.randrange(len(damaged) + 1)
            damaged[at:at] = damaged[start : start + dice.randint(1, 200)]
    return bytes(damaged)


def _ask(source: BreakpadSource, dice: random.Random) -> None:
    for rva in [0, (1 << 64) - 1, 1 << 70, *(dice.randrange(1 << 16) for _ in range(20))]:
        for symbol in [*source.symbols_at(rva), source.symbol_at(rva)]:
            if symbol is not None:
                source.signature_of(symbol)
                source.inlines_at(symbol.rva)
        source.neighbours(rva)
        source.line_at(rva)
        source.cfi_at(rva)
        source.win_frame_at(rva)
    assert source.status
    source.warnings()
    list(source.symbols_matching("*a*", CancelToken()))
    source.symbol_named("main")
    source.rvas_of_line("linux_inline.cpp", 30, CancelToken())


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_files_answer_or_are_refused(data_dir: Path, seed: str) -> None:
    data = (data_dir / "symbols" / seed).read_bytes()[:60_000]
    dice = random.Random(seed)
    for _ in range(40):
        started = time.process_time()
        with contextlib.suppress(FormatError):
            _ask(BreakpadSource(_damage(data, dice), "damaged.sym"), dice)
        assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "line",
    [
        "FUNC " + " " * 2_000_000,
        "FUNC 0 10 0 " + "(" * 2_000_000,
        "FUNC 0 10 0 " + "a<" * 1_000_000 + "(int)",
        "STACK CFI INIT 0 10 " + ".cfa: 1 " * 300_000,
        "INLINE 0 1 2 3 " + "1 1 " * 300_000,
        "FUNC 0 10 0 f\n" + "0 1 1 0\n" * 500_000,
        "FUNC 0 10 0 f\n" * 100_000,
        "STACK CFI INIT 0 10 a: 1\n" + "STACK CFI 1 a: 2\n" * 200_000,
    ],
)
def test_endless_lines_and_records(line: str) -> None:
    data = f"MODULE Linux x86 {'1' * 33} app\n{line}\n".encode()
    started = time.process_time()
    source = BreakpadSource(data, "endless.sym")
    source.symbol_at(1)
    source.line_at(1)
    source.cfi_at(1)
    source.warnings()
    source.symbol_named("f")
    assert time.process_time() - started < 5
