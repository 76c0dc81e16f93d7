"""Global variables, the threads' own, and constants of PDBs by name."""

from __future__ import annotations

import struct

import pytest
from pdb_builder import Module, PdbParts, data, procedure, record

from polydbg.symbols.pdb import PdbSource
from polydbg.types.place import PlaceKind
from polydbg.types.source import VariableKind

INT, FLOAT = 0x74, 0x40


def constant(name: str, type_: int, leaf: int, value: bytes) -> bytes:
    return record(0x1107, struct.pack("<IH", type_, leaf) + value + name.encode() + b"\0")


def own(name: str, offset: int) -> bytes:
    return record(0x1113, struct.pack("<IIH", INT, offset, 2) + name.encode() + b"\0")


@pytest.fixture
def source() -> PdbSource:
    static = record(0x110C, struct.pack("<IIH", INT, 0x20, 2) + b"s_hidden\0")
    parts = PdbParts(
        modules=[Module("a.obj", procedure("f", 1, 0x10, 0x20, at=4) + static)],
        contributions=[(1, 0x10, 0x20, 0)],
        globals=[
            data("g_count", 2, 8),
            own("t_depth", 0x30),
            constant("kLimit", INT, 0x8003, struct.pack("<i", -5)),
            constant("kHalf", FLOAT, 0x8005, struct.pack("<f", 0.5)),
            data("g_lost", 99, 0),
        ],
    )
    return PdbSource(parts.build(), "x.pdb")


def test_a_variable_with_an_address(source: PdbSource) -> None:
    for name in ("g_count", "G_COUNT"):
        found = source.global_named(name)
        assert found is not None
        assert (found.name, found.kind, found.rva) == ("g_count", VariableKind.GLOBAL, 0x2008)
        assert found.type().name == "int"


def test_one_of_each_thread(source: PdbSource) -> None:
    found = source.global_named("t_depth")
    assert found is not None
    assert (found.kind, found.rva) == (VariableKind.THREAD, None)
    assert found.locate(None).kind is PlaceKind.NOWHERE


@pytest.mark.parametrize(
    ("name", "stored"),
    [("kLimit", struct.pack("<i", -5)), ("kHalf", struct.pack("<f", 0.5))],
    ids=["integer", "float"],
)
def test_constants(source: PdbSource, name: str, stored: bytes) -> None:
    found = source.global_named(name)
    assert found is not None
    assert found.kind is VariableKind.CONSTANT
    place = found.locate(None)
    assert (place.kind, place.data) == (PlaceKind.CONSTANT, stored)


def test_what_is_not_there(source: PdbSource) -> None:
    assert source.global_named("nosuch") is None
    assert source.global_named("g_lost") is None
    assert source.global_near(0x1018, "nosuch") is None


def test_the_static_of_the_file_that_code_is_of(source: PdbSource) -> None:
    found = source.global_near(0x1018, "s_hidden")
    assert found is not None
    assert (found.kind, found.rva) == (VariableKind.STATIC, 0x2020)
    assert source.global_near(0x2000, "s_hidden") is None
