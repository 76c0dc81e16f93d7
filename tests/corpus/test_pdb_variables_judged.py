"""Variables in scope in functions of PDBs, and where they are, as lldb sees the same files.

lldb's reader names blocks and inlined calls around an address, and the variables in them that have
a place there, the innermost block first. It writes its own numbers of registers as if they were
DWARF's, and no good ones for parts of registers. Of Microsoft's compilers it lists the old records
beside those with ranges, also where no frame is made yet, and misses variables whose ranges have
gaps: there, places of ours have to be among those that it has for the name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.memory.space import BufferSpace
from polydbg.symbols.pdb import PdbSource, open_pdb
from polydbg.types.place import PlaceKind, ValueUnavailableError
from polydbg.types.source import FrameView, Variable, VariableKind

LLDB = shutil.which("lldb-19") or shutil.which("lldb")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.peer,
    pytest.mark.skipif(LLDB is None, reason="no lldb"),
]
BIN = "samples/win/bin"
FILES = {
    f"{BIN}/nullwrite": 0,
    f"{BIN}/figures": 0,
    f"{BIN}/fastpath": 0,
    f"{BIN}/lockstep": 0,
    f"{BIN}/addin_a": 0,
    f"{BIN}/shelf": 40,
    "symbols/breakpad-win/dump_syms_regtest64": 60,
    "symbols/samply-win64/softokn3": 80,
}
"""Programs, and how many of their functions are looked at (0: all)."""
MICROSOFT = ("symbols/breakpad-win/dump_syms_regtest64", "symbols/samply-win64/softokn3")
_LOCATION = re.compile(
    r'Variable: .*name = "([^"]+)".*?location = '
    r"(?:\[[^)]*\) -> )?(DW_OP_(?:breg\d+ (\w+)([+-]\d+)|reg\d+ (\w+)|\S+))"
)
_SWAPPED = {"rbx": "rdx", "rdx": "rbx", "rsi": "rdi", "rdi": "rsi"}
_WIDE = frozenset(("rax", "rcx", "rbp", "rsp", *_SWAPPED)) | {f"r{n}" for n in range(8, 16)}


class _Frame:
    """A frame that keeps every register."""

    machine = "amd64"
    module_base = 0

    def __init__(self, rva: int) -> None:
        self.rva = rva
        self.memory = BufferSpace(b"", 0)

    def register(self, name: str) -> int:
        return 0x10000

    def register_by_number(self, number: int) -> tuple[str, int]:
        raise ValueUnavailableError("no number of DWARF stands in a PDB")

    def cfa(self) -> int:
        raise ValueUnavailableError("no PDB counts from it")

    def virtual_frame(self) -> int:
        raise ValueUnavailableError("x86 alone has one")

    def caller(self) -> FrameView:
        raise ValueUnavailableError("there is none")

    def thread_local(self, module_base: int, offset: int) -> int:
        raise ValueUnavailableError("there is no thread")


def _places(pdb: PdbSource, limit: int) -> list[int]:
    """RVAs within the functions of the PDB's modules: some of each."""
    found: list[int] = []
    for rva, size in _functions(pdb):
        found += sorted({rva, rva + size // 3, rva + size // 2, rva + size - 1})
    step = max(len(found) // (4 * limit), 1) if limit else 1
    return found[::step]


def _functions(pdb: PdbSource) -> Iterator[tuple[int, int]]:
    file = pdb.file
    for number in range(len(file.dbi.modules)):
        module = file.module(number)
        data = module.symbols.data if module is not None else b""
        position = 4
        while module is not None and position + 4 <= len(data):
            symbol = module.symbols.symbol(position)
            rva = file.rva_of_key(symbol.key) if symbol is not None else None
            if symbol is not None and symbol.is_procedure and rva is not None and symbol.size:
                yield rva, symbol.size
            position += int.from_bytes(data[position : position + 2], "little") + 2


def _asked(path: Path, addresses: list[int]) -> list[str]:
    """What lldb prints for each address of the image at its preferred base."""
    assert LLDB is not None
    image = next(
        each for each in (path.with_suffix(".exe"), path.with_suffix(".dll")) if each.exists()
    )
    # Addresses of the file, as sections of the image lie.
    lines = [f"target create {image}", f"target symbols add {path.with_suffix('.pdb')}"]
    lines += [f"image lookup -v -a {address:#x}" for address in addresses]
    options = [option for line in lines for option in ("-o", line)]
    done = subprocess.run(
        [LLDB, "-b", "--no-lldbinit", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"LLDB_USE_NATIVE_PDB_READER": "1", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    return done.stdout.split("(lldb) image lookup -v -a ")[1:]


def _base_of(path: Path) -> int:
    image = next(
        each for each in (path.with_suffix(".exe"), path.with_suffix(".dll")) if each.exists()
    )
    data = image.read_bytes()
    header = int.from_bytes(data[0x3C:0x40], "little")
    return int.from_bytes(data[header + 48 : header + 56], "little")


def _theirs(answer: str) -> list[tuple[str, str]]:
    found = []
    for name, word, base, offset, register in _LOCATION.findall(answer):
        if word in ("<empty>", ""):
            continue
        if base:
            place = f"@{base.lower()}{offset[0]}{abs(int(offset)):#06x}"
        else:
            wide = register.lower()
            place = f"@{_SWAPPED.get(wide, wide)}" if wide in _WIDE else ""
        found.append((name, place))
    return found


def _ours(pdb: PdbSource, rva: int) -> list[tuple[str, str]]:
    """What has a place, the innermost call first."""
    frame = _Frame(rva)
    found = []
    for scope in reversed(pdb.scopes_at(rva)):
        for variable in scope.variables:
            if _has_place(variable, frame):
                found.append((variable.name, variable.place_words(frame)))
    return found


def _has_place(variable: Variable, frame: FrameView) -> bool:
    if variable.kind not in (VariableKind.PARAMETER, VariableKind.LOCAL):
        return False
    return variable.locate(frame).kind is not PlaceKind.NOWHERE


@pytest.mark.parametrize("name", FILES)
def test_variables_and_places(data_dir: Path, name: str) -> None:
    path = data_dir / name
    pdb = open_pdb(path.with_suffix(".pdb"))
    base = _base_of(path)
    rvas = _places(pdb, FILES[name])
    answers = _asked(path, [base + rva for rva in rvas])
    assert len(answers) == len(rvas)
    compared = 0
    problems = []
    for rva, answer in zip(rvas, answers, strict=True):
        theirs, ours = _theirs(answer), _ours(pdb, rva)
        compared += len(theirs)
        if not (_is_among if name in MICROSOFT else _agree)(theirs, ours):
            problems.append((f"{rva:#x}", theirs, ours))
    # Of two places at once lldb may take the other one.
    assert len(problems) <= (len(rvas) // 30 if name in MICROSOFT else 0), problems[:5]
    assert compared
    pdb.close()


def _agree(theirs: list[tuple[str, str]], ours: list[tuple[str, str]]) -> bool:
    if [name for name, _ in theirs] != [name for name, _ in ours]:
        return False
    return all(a in ("", b) for (_, a), (_, b) in zip(theirs, ours, strict=True))


def _is_among(theirs: list[tuple[str, str]], ours: list[tuple[str, str]]) -> bool:
    names = {name for name, _ in theirs}
    return all(
        name not in names or (name, place) in theirs or (name, "") in theirs for name, place in ours
    )
