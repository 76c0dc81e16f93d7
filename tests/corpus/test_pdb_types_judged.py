"""Types of PDBs against llvm-pdbutil's dump of their records: every class and enumeration."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from polydbg.formats.pdb.reading import qualified
from polydbg.symbols.pdb import PdbSource, open_pdb
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    EnumType,
    FunctionType,
    Member,
    MemberKind,
    PointerType,
    QualifiedType,
    Type,
    UnknownType,
)

PDBUTIL = shutil.which("llvm-pdbutil-19") or shutil.which("llvm-pdbutil")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.peer,
    pytest.mark.skipif(PDBUTIL is None, reason="no llvm-pdbutil"),
]
FILES = [
    *(
        f"samples/win/bin/{name}"
        for name in (
            "addin_a",
            "fastpath",
            "faults",
            "faults32",
            "figures",
            "heapdata",
            "loader",
            "lockstep",
            "nullwrite",
            "nullwrite32",
            "overflow",
            "shelf",
            "tiny_arm64",
        )
    ),
    "symbols/breakpad-win/dump_syms_regtest",
    "symbols/breakpad-win/dump_syms_regtest64",
    "symbols/kdlib/stacktest_wow64/targetapp",
    "symbols/kdlib/stacktest_x64_release/targetapp",
    "symbols/llvm-pdb/ClassLayoutTest",
    "symbols/llvm-pdb/FilterTest",
    "symbols/llvm-pdb/SimplePaddingTest",
    "symbols/llvm-pdb/every-array",
    "symbols/llvm-pdb/every-class",
    "symbols/llvm-pdb/every-enum",
    "symbols/llvm-pdb/every-function",
    "symbols/rizin-pdb/SimplePDB",
    "symbols/rizin-pdb/vs2019_cpp_override",
    "symbols/samply-win64/softokn3",
    "symbols/symbolic-windows/crash",
]
MAX_TYPES = 600
"""How many classes of a file are compared, evenly spread."""

_RECORD = re.compile(r"^ +(0x[0-9A-F]+) \| (LF_\w+) \[size = \d+\](?: `(.*)`)?$")
_MEMBER = re.compile(r"- LF_MEMBER \[name = `(.*)`, Type = (0x[0-9A-F]+).*, offset = (\d+),")
_STATIC = re.compile(r"- LF_STMEMBER \[name = `(.*)`, type = ")
_ENUMERATOR = re.compile(r"- LF_ENUMERATE \[(.*) = (-?\d+)\]$")
_BASE = re.compile(r"type = (0x[0-9A-F]+), offset = (\d+),")
_BITS = re.compile(r"type = (0x[0-9A-F]+).*, bit offset = (\d+), # bits = (\d+)")
_LISTED = re.compile(r"field list: (0x[0-9A-F]+)")
_SIZE = re.compile(r"sizeof (\d+)")
_ARRAY = re.compile(r"size: (\d+), .*element type: (0x[0-9A-F]+)")


class Record(msgspec.Struct):
    """A record as dumped: *lines* are those below its first one."""

    leaf: str
    name: str
    lines: list[str] = msgspec.field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def is_forward(self) -> bool:
        return "forward ref" in self.text


def dumped(path: Path) -> dict[int, Record]:
    assert PDBUTIL is not None
    done = subprocess.run(
        [PDBUTIL, "dump", "-types", str(path)],
        capture_output=True,
        check=False,
        timeout=120,
    )
    found: dict[int, Record] = {}
    last: Record | None = None
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        match = _RECORD.match(line)
        if match:
            last = found[int(match[1], 16)] = Record(match[2], match[3] or "")
        elif last is not None:
            last.lines.append(line.strip())
    return found


def fields_of(records: dict[int, Record], record: Record) -> list[str]:
    """The lines of a class's list of members, those that continue one joined to it."""
    found: list[str] = []
    listed = _LISTED.search(record.text)
    index = int(listed[1], 16) if listed else 0
    for _ in range(100):
        if index not in records:
            break
        lines, index = records[index].lines, 0
        for line in lines:
            following = re.match(r"- LF_INDEX.*(0x[0-9A-F]+)", line)
            if following:
                index = int(following[1], 16)
            elif line.startswith("- "):
                found.append(line)
            elif found:
                found[-1] += " " + line
    return found


def spread(items: list[int]) -> list[int]:
    step = max(len(items) // MAX_TYPES, 1)
    return items[::step]


@pytest.fixture(scope="module", params=FILES)
def judged(
    request: pytest.FixtureRequest, data_dir: Path
) -> Iterator[tuple[PdbSource, dict[int, Record]]]:
    path = data_dir / f"{request.param}.pdb"
    pdb = open_pdb(path)
    yield pdb, dumped(path)
    pdb.close()


def test_classes_and_enumerations(judged: tuple[PdbSource, dict[int, Record]]) -> None:
    pdb, records = judged
    compared = 0
    wanted = ("LF_STRUCTURE", "LF_CLASS", "LF_UNION", "LF_ENUM", "LF_INTERFACE")
    for index in spread([n for n, each in records.items() if each.leaf.startswith(wanted)]):
        record = records[index]
        if record.is_forward:
            continue
        found = pdb.type_of_index(index)
        lines = fields_of(records, record)
        where = f"{index:#x} {record.name}"
        if record.leaf == "LF_ENUM":
            assert isinstance(found, EnumType), where
            theirs = [(m[1], int(m[2])) for m in map(_ENUMERATOR.match, lines) if m]
            assert len(theirs) == len(found.enumerators), where
            bits = 8 * (found.size or 0)
            for (name, value), ours in zip(theirs, found.enumerators, strict=True):
                assert (ours.name, ours.value % (1 << bits)) == (name, value % (1 << bits)), where
        else:
            assert isinstance(found, CompoundType), where
            size = _SIZE.search(record.text)
            assert size is not None, where
            assert found.size == int(size[1]), where
            compare_members(found, lines, records, where)
        assert found.name == qualified(record.name), where
        compared += 1
    assert compared


def compare_members(
    found: CompoundType, lines: list[str], records: dict[int, Record], where: str
) -> None:
    members = [each for each in found.members if each.kind is MemberKind.FIELD]
    theirs = [m for m in map(_MEMBER.match, lines) if m]
    assert len(theirs) == len(members), where
    for match, ours in zip(theirs, members, strict=True):
        assert ours.name in (match[1], ""), where
        compare_field(ours, int(match[2], 16), int(match[3]), records, where)
    bases = [line for line in lines if line.startswith("- LF_BCLASS")]
    offsets = [int(m[2]) for line in bases if (m := _BASE.search(line))]
    ours_ = [each.offset for each in found.members if each.kind is MemberKind.BASE]
    assert offsets == ours_, where
    for leaf, kind in (("VBCLASS", MemberKind.VIRTUAL_BASE), ("VFUNCTAB", MemberKind.VTABLE)):
        count = sum(re.match(rf"- LF_I?{leaf}", line) is not None for line in lines)
        assert count == sum(each.kind is kind for each in found.members), where
    statics = [m[1] for m in map(_STATIC.match, lines) if m]
    assert statics == [m.name for m in found.members if m.kind is MemberKind.STATIC], where
    methods = {
        m.group(1) for line in lines if (m := re.match(r"- LF_\w*METHOD \[name = `(.*?)`", line))
    }
    assert methods == {each.name for each in found.parts.methods}, where


def compare_field(
    ours: Member, index: int, offset: int, records: dict[int, Record], where: str
) -> None:
    where = f"{where}.{ours.name}"
    assert ours.offset == offset, where
    record = records.get(index)
    assert not isinstance(ours.type, UnknownType), where
    if record is None:
        return
    bits = _BITS.search(record.text) if record.leaf == "LF_BITFIELD" else None
    assert (ours.bit_field is not None) == (bits is not None), where
    if bits is not None and ours.bit_field is not None:
        assert (ours.bit_field.position, ours.bit_field.size) == (int(bits[2]), int(bits[3])), where
    array = _ARRAY.search(record.text) if record.leaf == "LF_ARRAY" else None
    if array is not None:
        assert isinstance(ours.type, ArrayType), where
        assert ours.type.size == int(array[1]), where
    kinds: dict[str, type[Type]] = {
        "LF_STRUCTURE": CompoundType,
        "LF_CLASS": CompoundType,
        "LF_UNION": CompoundType,
        "LF_ENUM": EnumType,
        "LF_MODIFIER": QualifiedType,
        "LF_PROCEDURE": FunctionType,
    }
    if record.leaf in kinds:
        assert isinstance(ours.type, kinds[record.leaf]), where
    if record.leaf == "LF_POINTER" and "mode = pointer" in record.text:
        assert isinstance(ours.type, PointerType), where


def test_declarations_find_their_definitions(
    judged: tuple[PdbSource, dict[int, Record]],
) -> None:
    pdb, records = judged
    for index in spread([n for n, each in records.items() if each.is_forward]):
        record = records[index]
        match = re.search(r"forward ref \(-> (0x[0-9A-F]+)\)", record.text)
        found = pdb.type_of_index(index)
        assert isinstance(found, (CompoundType, EnumType))
        if match is None:
            continue
        definition = pdb.type_of_index(int(match[1], 16))
        assert isinstance(definition, (CompoundType, EnumType))
        assert not found.is_declaration, record.name
        assert found.size == definition.size, record.name
        if isinstance(found, CompoundType) and isinstance(definition, CompoundType):
            assert len(found.members) == len(definition.members), record.name


def test_every_named_type_is_found_by_its_name(
    judged: tuple[PdbSource, dict[int, Record]],
) -> None:
    pdb, records = judged
    wanted = ("LF_STRUCTURE", "LF_CLASS", "LF_UNION", "LF_ENUM")
    definitions = [
        n
        for n, each in records.items()
        if each.leaf.startswith(wanted) and not each.is_forward and "<" not in each.name[:1]
    ]
    missing = []
    for index in spread(definitions)[:200]:
        record = records[index]
        if "unnamed" in record.name or "anonymous" in record.name:
            continue
        found = pdb.type_named(record.name)
        if found is None or found.bare.name != qualified(record.name):
            missing.append(record.name)
    assert not missing, missing[:10]
