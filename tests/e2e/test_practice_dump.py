"""The practice dump by the command line: the crash as its README and lldb tell it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "src" / "polydbg" / "demo"
DUMP, IMAGE, PDB = (DEMO / f"practice.{suffix}" for suffix in ("dmp", "exe", "pdb"))
CHAIN = [
    ("record_sale", 60),
    ("price_line", 68),
    ("price_order", 78),
    ("run_morning", 88),
    ("main", 139),
]


def polydbg(commands: str) -> str:
    """What ``polydbg -c COMMANDS`` prints of the practice dump."""
    options = ["-z", str(DUMP), "-y", str(DEMO), "-i", str(DEMO), "-lines"]
    done = subprocess.run(
        [sys.executable, "-m", "polydbg", *options, "-c", f"{commands};q"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def frames(text: str) -> list[tuple[str, int]]:
    """Function and line of each frame of ``k`` that has a line."""
    row = r"^[0-9a-f]{2} .* practice!(\w+)(?:\+0x[0-9a-f]+)? \[\S*orders\.c @ (\d+)\]"
    found = re.findall(row, text, re.MULTILINE)
    return [(name, int(line)) for name, line in found]


def lldb_frames(*commands: str) -> list[tuple[str, int]]:
    """The same of lldb's ``bt``."""
    program = shutil.which("lldb-19")
    if program is None:
        pytest.skip("no lldb-19")
    argv = [program, "-b", "--no-lldbinit", "-c", str(DUMP), str(IMAGE)]
    for command in (f"target symbols add {PDB}", *commands):
        argv += ["-o", command]
    text = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout
    pattern = r"frame #\d+: \S+ practice\.exe`(?:\w+ \[inlined\] )?(\w+)\(.*\) at orders\.c:(\d+)"
    return [(name, int(line)) for name, line in re.findall(pattern, text)]


def test_the_crash_is_as_the_readme_says() -> None:
    text = polydbg(".ecxr;k")
    assert "code c0000005" in text
    assert frames(text) == CHAIN


def test_registers_at_the_crash() -> None:
    text = polydbg(".ecxr;r")
    assert "rip=0000000140001567" in text
    assert "rsi=00000000000001f7" in text


@pytest.mark.peer
def test_lldb_sees_the_same_stack() -> None:
    assert frames(polydbg(".ecxr;k")) == lldb_frames("bt")


@pytest.mark.peer
def test_lldb_sees_the_other_thread_alike() -> None:
    ours = frames(polydbg("~1k"))
    assert [name for name, _ in ours] == ["count_stock", "stock_keeper"]
    assert ours == lldb_frames("thread backtrace 2")
