"""Commands on damaged cores: an answer or an error of ours, whatever the notes and blocks say."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.commands.language import Interpreter
from polydbg.engine.session import Session

SEEDS = 200 if os.environ.get("POLYDBG_ALL_CUTS") else 6
LINES = (
    "~*e !teb", "!peb", "!gle -all", "!tls -1", "!dlls", "!locks", "!address", "!address -summary",
    "!vprot", "!linux maps", ".dumpdebug", ".dumpchk", "lmv", ".imgscan", ".fnent", "!runaway 7",
    "vertarget", "!handle 0 f", "!analyze -hang", "!for_each_module !dh @#Base",
)  # fmt: skip


def _damaged(data: bytes, seed: int) -> bytes:
    """Cut the core, or change its head, some bits, or whole words (pointers)."""
    chance = random.Random(seed)
    changed = bytearray(data)
    kind = seed % 4
    if kind == 0:
        return bytes(changed[: chance.randrange(64, len(changed))])
    if kind == 1:
        for _ in range(8):
            changed[chance.randrange(0x3000)] = chance.randrange(256)
    elif kind == 2:
        for _ in range(100):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    else:
        for _ in range(200):
            at = chance.randrange(len(changed) - 8) & ~7
            other = chance.randrange(len(changed) - 8) & ~7
            values = (b"\xff" * 8, bytes(8), chance.randbytes(8), changed[other : other + 8])
            changed[at : at + 8] = chance.choice(values)
    return bytes(changed)


def _ask(path: Path) -> None:
    session = Session()
    try:
        session.open_dump(str(path))
        interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
        for line in LINES:
            started = time.process_time()
            for item in interpreter.run(line):
                item.text()
            assert time.process_time() - started < 5, line
    except DebuggerError:
        return
    finally:
        session.close()


@pytest.mark.corpus
@pytest.mark.parametrize("seed", range(SEEDS))
def test_damaged_cores(data_dir: Path, tmp_path: Path, seed: int) -> None:
    core = data_dir / "core" / "elfutils" / "testcore-rtlib"
    path = tmp_path / "damaged.core"
    path.write_bytes(_damaged(core.read_bytes(), seed))
    _ask(path)
