"""``dx`` against the recorded engine, and against what the samples' sources say they hold."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_masm_transcripts import commands

from polydbg.base.cancel import CancelToken
from polydbg.commands.dx_rows import ModelRow
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Item
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

DUMPS = (
    "nullwrite",
    "nullwrite-data",
    "figures-snap",
    "heapdata-snap",
    "lockstep",
    "fastpath",
    "faults-divzero",
)
_CONTEXT = re.compile(r"\.frame|\.cxr|\.ecxr|~\d+s")
_OTHERS = re.compile(
    r"Unable to (?:find type '.*' for cast|bind name 'ToUpper')|Use of undefined variable"
    r"|\*\*\*|WinMainCRTStartup|Frames|Memory access error"
)
"""Lines that differ for a reason: casts to ``mod!T *`` work here, names that came later exist, and
stacks are those of the unwinder here."""


class Shell:
    """A session, and what lines of commands print in it."""

    def __init__(self, dump: Path, folders: list[Path]) -> None:
        self.session = Session()
        path = SymbolPath.parse(";".join(map(str, folders)))
        self.session.settings.symbol_path = self.session.settings.image_path = path
        self.session.settings.offline = True
        self.session.open_dump(str(dump))
        self._interpreter = Interpreter(self.session, CancelToken(), lambda text, done, all_: None)

    def items(self, line: str) -> list[Item]:
        found = self._interpreter.run(line)
        return [item for item in found if not isinstance(item, CommandEnd)]

    def lines(self, line: str) -> list[str]:
        return "\n".join(item.text() for item in self.items(line)).split("\n")

    def rows(self, line: str) -> list[ModelRow]:
        return [item for item in self.items(line) if isinstance(item, ModelRow)]


@pytest.mark.parametrize("name", DUMPS)
def test_the_recorded_engine_says_the_same(
    name: str, data_dir: Path, sample_dump: Callable[[str], Path]
) -> None:
    folder = data_dir / "windbg-transcripts" / "samples"
    folders = [data_dir / "samples" / "win" / each for each in ("bin", "wine")]
    same = total = 0
    for transcript in sorted(folder.glob(f"{name}.*.txt")):
        shell = Shell(sample_dump(name), folders)
        for line, expected in commands(transcript):
            if _CONTEXT.match(line):
                shell.lines(line)
            elif line.startswith("dx "):
                wanted = [each.rstrip() for each in expected if not _OTHERS.search(each)]
                got = [each.rstrip() for each in shell.lines(line)]
                matcher = difflib.SequenceMatcher(None, wanted, got, autojunk=False)
                same += sum(block.size for block in matcher.get_matching_blocks())
                total += len(wanted)
        shell.session.close()
    assert total > 5
    assert same / total >= 0.9


@pytest.fixture
def core(data_dir: Path) -> Iterator[Callable[[str], Shell]]:
    """``core(name)``: a shell on a Linux core of the samples."""
    folder = data_dir / "samples" / "linux"
    opened: list[Shell] = []

    def find(name: str) -> Shell:
        opened.append(Shell(folder / "cores" / f"{name}.core.zst", [folder / "bin"]))
        return opened[-1]

    yield find
    for shell in opened:
        shell.session.close()


def _value(shell: Shell, expression: str) -> str | None:
    rows = shell.rows(f"dx -r0 {expression}")
    assert rows, (expression, shell.lines(f"dx {expression}"))
    return rows[0].value


@pytest.mark.parametrize("name", ["zoo-gxx", "zoo-clang"])
def test_objects_of_cpp(core: Callable[[str], Shell], name: str) -> None:
    shell = core(name)
    stack = shell.rows("dx @$curstack.Frames")
    main = next(row for row in stack if "!main + " in (row.value or ""))
    shell.items(f"dx -s {main.path}.SwitchTo()")
    assert _value(shell, "otter.age") == "9"
    assert _value(shell, "otter.depth + otter.legs") == "44"
    assert _value(shell, "otter.diet_") == "Fish (-2)"
    assert _value(shell, "otter.shells_.Sum()") == "14"
    assert _value(shell, "otter.shells_[2]") == "4"
    assert _value(shell, "otter.shells_.OrderByDescending(s => s).First()") == "5"
    assert _value(shell, "otter.toys_.Select(t => t.second).Max()") == "3"
    assert _value(shell, 'otter.toys_.First(t => t.first == "ring").second') == "3"
    assert _value(shell, 'otter.name_ == "Oleander the Very Long Named Otter"') == "true"
    # clang's optimiser kept only parts of it.
    slots = shell.rows("dx pen.slots")[1:]
    known = [row.value for row in slots if not row.problem]
    assert known in ([], ["7", "-8", "0"])
    # The reference is to the base; the object behind it is an otter.
    row = shell.rows("dx -r0 animal")[0]
    assert row.type_name == "zoo::Otter"
    assert shell.rows("dx -r0 *&animal,nd")[0].type_name == "zoo::Animal"
    assert _value(shell, "animal.shells_.Count()") == "0x5"


def test_paths_of_views_lead_back(core: Callable[[str], Shell]) -> None:
    shell = core("zoo-gxx")
    shell.lines(".frame 9")
    checked = 0
    for row in shell.rows("dx -r3 otter"):
        if row.path and row.kind == "native":
            found = shell.rows(f"dx -r0 {row.path}")
            assert found, (row.path, shell.lines(f"dx -r0 {row.path}"))
            assert (found[0].value, found[0].type_name) == (row.value, row.type_name), row.path
            checked += 1
    assert checked > 40
