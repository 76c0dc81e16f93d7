"""``dt`` against the transcripts of the real engine, line by line, and against gdb on cores."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, joined
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

_PROMPT = re.compile(r"^\S*\d:\d{3}(?::\w+)?> ?(.*)$")
_RUN = re.compile(r"dt |\.frame|\.ecxr|\.cxr|~\d+s$")
_NOTES = re.compile(r"\*\*\* |    !sym why |\(\w+ is a local variable ")
_FLAGS = re.compile(r"Local var \[.*\] @")
"""The engine's own flags of addresses, which ours leaves out."""
_EXPLAINED = {
    "dt -l": "the engine takes the name for the link; ours says so, or follows the list",
    "dt _RTL_CRITICAL_SECTION": "ours looks in the module of the frame first",
}
TRANSCRIPTS = (
    *("fastpath.fastpath", "figures-snap.figures", "figures-throw.figures"),
    *("heapdata-snap.heapdata", "loader-inside.loader", "loader-stale-unloaded.loader"),
    *("lockstep-full.lockstep", "lockstep.lockstep", "nullwrite.nullwrite", "overflow.overflow"),
)


@contextmanager
def opened(dump: Path, folder: Path) -> Iterator[Interpreter]:
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(str(folder))
    session.settings.image_path = SymbolPath.parse(str(folder))
    session.open_dump(str(dump))
    try:
        yield Interpreter(session, CancelToken(), lambda text, done, total: None)
    finally:
        session.close()


def output(interpreter: Interpreter, command: str) -> list[str]:
    """Return the lines that *command* prints, without the hints of errors."""
    items = [each for each in interpreter.run(command) if not isinstance(each, CommandEnd)]
    text = joined(items, lambda item: item.message if isinstance(item, Failure) else item.text())
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def commands(path: Path) -> list[tuple[str, list[str]]]:
    """Return each command of a transcript with the lines printed below it."""
    found: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        prompt = _PROMPT.match(line)
        if prompt:
            found.append((prompt[1], []))
        elif found and line.strip() and not line.startswith(("***", "[oracle: ")):
            found[-1][1].append(line.rstrip())
    return found


def different(interpreter: Interpreter, path: Path) -> tuple[int, list[str]]:
    """Return how many ``dt`` of a transcript were compared, and those that differ."""
    wrong: list[str] = []
    compared = 0
    for command, expected in commands(path):
        if not _RUN.match(command):
            continue
        lines = output(interpreter, command)
        if not command.startswith("dt ") or command.startswith(tuple(_EXPLAINED)):
            continue
        compared += 1
        lines = [line for line in lines if not _NOTES.match(line)]
        expected = [_FLAGS.sub("Local var @", line) for line in expected]
        if "*" in command.rpartition("!")[2] and "<" not in command:
            # The engine repeats types, one for each record.
            lines, expected = sorted(set(lines)), sorted(set(expected))
        if lines != expected:
            wrong += [command, *difflib.unified_diff(expected, lines, n=0, lineterm="")]
    return compared, wrong


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_dt_prints_what_windbg_prints(
    name: str,
    data_dir: Path,
    sample_dump: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path))
    samples = data_dir / "samples" / "win"
    dump = sample_dump(name.partition(".")[0])
    with opened(dump, samples / "bin") as interpreter:
        path = data_dir / "windbg-transcripts" / "samples" / f"{name}.txt"
        compared, wrong = different(interpreter, path)
    assert compared
    assert not wrong


@contextmanager
def core(data_dir: Path, name: str) -> Iterator[Interpreter]:
    linux = data_dir / "samples" / "linux"
    with opened(linux / "cores" / f"{name}.core.zst", linux / "bin") as interpreter:
        yield interpreter


CARGO = [
    '   +0x000 name             : 0x{:08x}`{:08x}  "Albatross"',
    "   +0x008 tonnage          : 0xa410",  # gdb: 42000
    "   +0x010 berth            : b ( BERTH_SOUTH )",
    "   +0x018 crates           : [2] crate",
    "      +0x000 id               : 0n501",
    '      +0x004 label            : [12]  "tea"',
    "      +0x010 reading          : reading",
    "      +0x018 hatch            : hatch",
    "      +0x020 next             : 0x{:08x}`{:08x} crate",
    "   +0x068 top              : (null)",
    "   +0x070 inspect          : 0x{:08x}`{:08x}     int  {}!inspect_ship+0",
    "   +0x078 draught          : 8.5",
    "   +0x07c foreign          : 1",
]
HATCH = [
    "      +0x000 open   : 0y1",
    "      +0x000 number : 0y10101 (0x15)",  # gdb: 21
    "      +0x000 tilt   : 0y111001 (0x39)",  # gdb: -7
    "      +0x000 serial : 0y0001001000110100010101100111100010011010 (0x123456789a)",
]
CARGOES = (("cargo-gcc-O0-dwarf4", 0x5590FAE43046, 0x7FFCCB83C2A0, 0x5590FAE42189),)


@pytest.mark.parametrize(
    ("name", "text", "following", "inspect"), CARGOES, ids=[each[0] for each in CARGOES]
)
def test_structures_of_a_core_are_as_gdb_shows_them(
    name: str, text: int, following: int, inspect: int, data_dir: Path
) -> None:
    def halves(address: int) -> tuple[int, int]:
        return address >> 32, address & 0xFFFFFFFF

    with core(data_dir, name) as interpreter:
        lines = output(interpreter, ".frame 1; dt -r1 ship")
        fields = output(interpreter, "dt ship crates[0].hatch.")
    rows = [line for line in lines if line.startswith(("   +0x", "      +0x"))]
    expected = list(CARGO)
    expected[0] = expected[0].format(*halves(text))
    expected[8] = expected[8].format(*halves(following))
    expected[10] = expected[10].format(*halves(inspect), name.replace("-", "_"))
    assert rows == expected
    assert [line.split(":")[1] for line in fields[-4:]] == [line.split(":")[1] for line in HATCH]


def test_rust_shows_the_form_in_force(data_dir: Path) -> None:
    with core(data_dir, "crab") as interpreter:
        lines = output(interpreter, ".frame 0n19; dt -r2 shell tide")
        calm = output(interpreter, "dt calm")
    assert lines[-3].split(":", 1)[1] == " crab::Tide::Storm"
    assert lines[-2].endswith("+0x018 height : 7.5")
    assert calm[-1] == "   +0x000 Calm             : crab::Tide::Calm"


def test_classes_of_cplusplus(data_dir: Path) -> None:
    with core(data_dir, "zoo-gxx") as interpreter:
        lines = output(interpreter, ".frame 9; dt otter")
        pen = output(interpreter, "dt pen")
    rows = {line[10:26].strip(): line[29:] for line in lines if line.startswith("   +0x")}
    assert rows["age"] == "0n9"
    assert rows["depth"] == "0n40"
    assert rows["legs"] == "0n4"
    assert rows["diet_"] == "fffe ( Fish )"
    assert rows["name_"].endswith('"Oleander the Very Long Named Otter"')
    assert any(line.endswith(" s_count          : 0n1001") for line in lines)
    assert pen[-2:] == ["   +0x000 slots            : [3] 0n7", "   +0x008 used             : 0n2"]
