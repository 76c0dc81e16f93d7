"""PdbSource on small PDBs made here: what Microsoft's linker writes and our samples lack."""

from __future__ import annotations

import struct
from pathlib import Path

import pdb_builder as b
import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, FormatError
from polydbg.base.identifiers import DebugId
from polydbg.symbols.pdb import PdbSource, open_pdb
from polydbg.symbols.source import SymbolKind


def source(parts: b.PdbParts) -> PdbSource:
    return PdbSource(parts.build(), "x.pdb")


def names(pdb: PdbSource, pattern: str) -> list[str]:
    return [symbol.name for symbol in pdb.symbols_matching(pattern, CancelToken())]


def two_functions() -> b.PdbParts:
    first = b.procedure("outer", 1, 0x10, 0x20, at=4)
    second = b.procedure("local", 1, 0x40, 0x10, at=4 + len(first))
    return b.PdbParts(
        modules=[b.Module("a.obj", first + second)],
        contributions=[(1, 0x10, 0x20, 0), (1, 0x40, 0x10, 0)],
        globals=[
            b.reference("outer", 0, 4),
            b.reference("local", 0, 4 + len(first)),
            b.data("g_count", 2, 8),
        ],
        publics=[
            b.public("outer", 1, 0x10),
            b.public("_asm_only", 1, 0x80),
            b.public("g_count", 2, 8, 0),
            b.public("?paint@Box@geometry@@QEAAXXZ", 1, 0x90),
        ],
    )


def test_identity_is_the_guid_with_the_age_of_dbi() -> None:
    pdb = source(b.PdbParts(age=7, dbi_age=3))
    assert pdb.debug_id == DebugId.from_guid_bytes(b.GUID, 3)
    assert pdb.debug_id == DebugId("030201000504070608090A0B0C0D0E0F", 3)


def test_function_then_gap_then_public() -> None:
    pdb = source(two_functions())
    assert pdb.status == "private pdb symbols"
    for rva, name in [
        (0x1010, "outer"),
        (0x102F, "outer"),
        (0x1030, "outer"),  # after its end: still the nearest
        (0x1040, "local"),
        (0x1060, "local"),
        (0x1080, "asm_only"),
        (0x1095, "geometry::Box::paint"),
        (0x2008, "g_count"),
        (0x2010, "g_count"),
    ]:
        found = pdb.symbol_at(rva)
        assert found is not None, hex(rva)
        assert found.name == name, hex(rva)
    assert pdb.symbol_at(0x100F) is None
    assert pdb.symbol_at(0x2000) is None  # a symbol of another section does not count
    assert pdb.symbol_at(0x9000) is None


def test_kinds_and_sizes() -> None:
    pdb = source(two_functions())
    outer, public, data = (pdb.symbol_at(rva) for rva in (0x1010, 0x1080, 0x2008))
    assert outer is not None
    assert (outer.kind, outer.size) == (SymbolKind.FUNCTION, 0x20)
    assert public is not None
    assert (public.kind, public.is_code) == (SymbolKind.PUBLIC, True)
    assert data is not None
    assert (data.kind, data.size) == (SymbolKind.DATA, 4)
    type_ = pdb.type_of_index(data.type_index)
    assert type_ is not None
    assert type_.name == "int"


def test_neighbours() -> None:
    pdb = source(two_functions())
    for rva, above in [(0x1010, "local"), (0x1035, "local"), (0x1040, "asm_only")]:
        found = pdb.neighbours(rva)[1]
        assert found is not None
        assert found.name == above
    below, above = pdb.neighbours(0x1000)
    assert below is None
    assert above is not None
    assert above.name == "outer"
    assert pdb.neighbours(0x2008)[1] is None


def test_matching_lists_data_functions_publics_and_no_public_of_a_private() -> None:
    pdb = source(two_functions())
    assert sorted(names(pdb, "*")[1:3]) == ["local", "outer"]
    assert names(pdb, "*")[0] == "g_count"
    assert sorted(names(pdb, "*")[3:]) == ["asm_only", "geometry::Box::paint"]
    assert names(pdb, "OUT*") == ["outer"]
    assert names(pdb, "geometry::*") == ["geometry::Box::paint"]
    assert names(pdb, "*ocal*") == ["local"]
    assert names(pdb, "nothing") == []


def test_one_name() -> None:
    pdb = source(two_functions())
    for name, rva in [
        ("outer", 0x1010),
        ("OUTER", 0x1010),
        ("asm_only", 0x1080),
        ("geometry::Box::paint", 0x1090),
        ("g_count", 0x2008),
    ]:
        found = pdb.symbol_named(name)
        assert found is not None, name
        assert found.rva == rva, name
    assert pdb.symbol_named("out*") is None
    assert pdb.symbol_named("") is None


def test_search_can_be_cancelled() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(source(two_functions()).symbols_matching("*x*", token))


def test_folded_functions_have_one_stable_name_and_all_of_them() -> None:
    first = b.procedure("one", 1, 0, 0x10, at=4)
    second = b.procedure("two", 1, 0, 0x10, at=4)
    pdb = source(
        b.PdbParts(
            modules=[b.Module("a.obj", first), b.Module("b.obj", second)],
            contributions=[(1, 0, 0x10, 1)],
            globals=[b.reference("one", 0, 4), b.reference("two", 1, 4)],
            publics=[b.public("one", 1, 0), b.public("two", 1, 0), b.public("?three@@YAXXZ", 1, 0)],
        )
    )
    found = pdb.symbol_at(0x1008)
    assert found is not None
    assert found.name == "two"
    assert next(symbol.name for symbol in pdb.symbols_at(0x1000)) == "two"
    assert {symbol.name for symbol in pdb.symbols_at(0x1000)} == {"one", "two", "three"}
    assert pdb.symbols_at(0x1004) == ()


def test_incremental_thunks() -> None:
    body = b.procedure("main", 1, 0x100, 0x10, at=4)
    trampoline = b.record(0x112C, struct.pack("<HHIIHH", 0, 5, 10, 0x100, 1, 1))
    pdb = source(
        b.PdbParts(
            modules=[b.Module("a.obj", body), b.Module("* Linker *", trampoline)],
            contributions=[(1, 0, 0x20, 1), (1, 0x100, 0x10, 0)],
            globals=[b.reference("main", 0, 4)],
            publics=[b.public("_main", 1, 0x100)],
            thunks=(3, 5, 1, 5),
        )
    )
    thunk = pdb.symbol_at(0x100C)
    assert thunk is not None
    assert (thunk.name, thunk.rva, thunk.kind) == ("ILT+5(_main)", 0x100A, SymbolKind.THUNK)
    assert names(pdb, "*main*") == ["main"]
    main = pdb.symbol_named("main")
    assert main is not None
    assert main.rva == 0x1100
    assert [symbol.name for symbol in pdb.symbols_at(0x100A)] == ["ILT+5(_main)"]
    following = pdb.neighbours(0x1005)[1]
    assert following is not None
    assert following.rva == 0x100A


def test_branch_island_has_the_name_of_where_it_goes() -> None:
    body = b.procedure("far_away", 1, 0x100, 0x10, at=4)
    island = b.record(0x112C, struct.pack("<HHIIHH", 1, 8, 0x40, 0x100, 1, 1))
    pdb = source(
        b.PdbParts(
            modules=[b.Module("a.obj", body), b.Module("* Linker *", island)],
            contributions=[(1, 0x40, 8, 1), (1, 0x100, 0x10, 0)],
        )
    )
    found = pdb.symbol_at(0x1044)
    assert found is not None
    assert (found.name, found.rva, found.kind) == ("far_away", 0x1040, SymbolKind.THUNK)


def test_thunk_record() -> None:
    thunk = b.record(0x1102, struct.pack("<IIIIHHB", 0, 0, 0, 0x20, 1, 6, 0) + b"Sleep\0")
    pdb = source(b.PdbParts([b.Module("i", thunk)], [(1, 0x20, 6, 0)]))
    found = pdb.symbol_at(0x1022)
    assert found is not None
    assert (found.name, found.kind) == ("Sleep", SymbolKind.THUNK)


@pytest.mark.parametrize(("part", "start"), [(0x200, 0x1100), (0x10, 0x1010)])
def test_separated_part_keeps_the_name(part: int, start: int) -> None:
    """Above its function the distance counts from the function, below it from the part."""
    body = b.procedure("hot", 1, 0x100, 0x10, at=4)
    cold = b.record(0x1132, struct.pack("<IIIIIIHH", 0, 0, 8, 0, part, 0x100, 1, 1))
    pdb = source(
        b.PdbParts(
            [b.Module("a.obj", body + cold + b.record(6, b""))],
            sorted([(1, 0x100, 0x10, 0), (1, part, 8, 0)]),
        )
    )
    found = pdb.symbol_at(0x1000 + part + 4)
    assert found is not None
    assert (found.name, found.rva) == ("hot", start)


def test_omap_translates_both_ways() -> None:
    parts = two_functions()
    # The function at 0x1010 of the link is at 0x5000 of the image; 0x1040.. was removed.
    parts.original_sections = parts.sections
    parts.sections = b.sections((0x5000, 0x1000, 0x60000020))
    parts.omap_to = b.omap((0x5000, 0x1010), (0x5020, 0), (0x5030, 0x1080))
    parts.omap_from = b.omap((0x1010, 0x5000), (0x1030, 0), (0x1080, 0x5030), (0x1090, 0))
    pdb = source(parts)
    outer = pdb.symbol_at(0x5008)
    assert outer is not None
    assert (outer.name, outer.rva) == ("outer", 0x5000)
    inserted = pdb.symbol_at(0x5024)
    assert inserted is not None
    assert inserted.name == "outer"
    assert pdb.symbol_at(0x4FFF) is None
    assert pdb.symbol_named("local") is None  # not in the image any more
    assert names(pdb, "*") == ["outer", "asm_only"]


def test_publics_only() -> None:
    pdb = source(b.PdbParts(publics=[b.public("_main", 1, 0)], flags=2))
    assert pdb.status == "pdb symbols"
    found = pdb.symbol_at(0x1005)
    assert found is not None
    assert found.name == "main"
    assert pdb.signature_of(found) is None
    assert pdb.line_at(0x1000) is None
    assert pdb.inlines_at(0x1000) == ()


# -- lines and inlined calls ---------------------------------------------------------------------

FUNC_ID = b.record(0x1601, struct.pack("<II", 0x1001, 0x1000) + b"leaf\0")
SCOPE = b.record(0x1605, struct.pack("<I", 0) + b"space\0")
PLAIN_ID = b.record(0x1601, struct.pack("<II", 0, 0x1000) + b"walk\0")
MEMBER_ID = b.record(0x1602, struct.pack("<II", 0x1001, 0x1000) + b"run\0")
PROCEDURE = b.record(0x1008, struct.pack("<IBBHI", 3, 0, 0, 0, 0))
STRUCTURE = b.record(0x1505, struct.pack("<HHIIIH", 0, 0, 0, 0, 0, 4) + b"space::Tree\0")


def inlined_parts() -> b.PdbParts:
    # walk covers 4..0x14 of outer, leaf within it 8..0xC; walk goes on after a gap at 0x18..0x1C.
    leaf = b.inline_site(0x1000, bytes([6, 4, 3, 8, 4, 4]))
    walk = b.inline_site(0x1002, bytes([11, 0x24, 3, 4, 4, 0x0C, 12, 4, 4, 5, 8]))
    body = walk + leaf + b.INLINE_END + b.INLINE_END
    parts = b.PdbParts(names=["c:\\src\\a.c", "c:\\src\\Tree.h"])
    files = [parts.name_offset(0), parts.name_offset(1)]
    parts.modules = [
        b.Module(
            "a.obj",
            b.procedure("outer", 1, 0x10, 0x20, body, at=4),
            b.lines(1, 0x10, 0x20, [(0, 10), (4, 11), (0x14, 12), (0x1C, 0xF00F00)])
            + b.checksums(*files)
            + b.inlinees((0x1000, 8, 70), (0x1002, 8, 50)),
        )
    ]
    parts.contributions = [(1, 0x10, 0x20, 0)]
    parts.tpi = b.types([PROCEDURE, STRUCTURE])
    parts.ipi = b.types([FUNC_ID, SCOPE, PLAIN_ID, MEMBER_ID])
    return parts


def inlined() -> PdbSource:
    return source(inlined_parts())


def test_lines() -> None:
    pdb = inlined()
    for rva, line, start, size in [(0x1010, 10, 0x1010, 4), (0x1013, 10, 0x1010, 4)]:
        row = pdb.line_at(rva)
        assert row is not None
        assert (row.file, row.line, row.rva, row.size) == ("c:\\src\\a.c", line, start, size)
    hidden = pdb.line_at(0x102D)
    assert hidden is not None
    assert hidden.line == 12
    assert pdb.line_at(0x1030) is None


def test_inlined_calls_from_the_outermost() -> None:
    pdb = inlined()
    assert pdb.inlines_at(0x1013) == ()
    walk, leaf = pdb.inlines_at(0x1018)
    assert (walk.name, walk.start_rva, walk.file, walk.line) == (
        "walk",
        0x1014,
        "c:\\src\\Tree.h",
        51,
    )
    assert (walk.call_file, walk.call_line) == ("c:\\src\\a.c", 11)
    assert (leaf.name, leaf.start_rva, leaf.line) == ("space::leaf", 0x1018, 72)
    assert (leaf.call_file, leaf.call_line) == ("c:\\src\\Tree.h", 51)
    assert [site.name for site in pdb.inlines_at(0x101C)] == ["walk"]


@pytest.mark.parametrize(
    ("path", "line", "rvas"),
    [
        ("a.c", 10, [0x1010]),
        ("A.C", 12, [0x1024]),
        ("c:\\src\\a.c", 11, [0x1014]),
        ("src/a.c", 11, [0x1014]),
        ("a.c", 1, [0x1010]),  # the next line that has code
        ("a.c", 13, []),
        ("tree.h", 51, [0x1014, 0x1028]),  # inlined code alone; nearer functions begin after it
        ("tree.h", 72, [0x1018]),
        ("tree.h", 73, []),
        ("b.c", 10, []),
        (".c", 10, []),
        ("other\\a.c", 10, []),
    ],
)
def test_rvas_of_a_line(path: str, line: int, rvas: list[int]) -> None:
    assert inlined().rvas_of_line(path, line, CancelToken()) == rvas


def test_anonymous_namespaces_have_one_spelling() -> None:
    """The PDB may have a hash where undecorating a public says so in words."""
    words = "`anonymous namespace'::crash"
    stored = "?A0x1234abcd::crash"
    pdb = source(
        b.PdbParts(
            modules=[b.Module("a.obj", b.procedure(stored, 1, 0x10, 0x20, at=4))],
            contributions=[(1, 0x10, 0x20, 0)],
            globals=[b.reference(stored, 0, 4)],
            publics=[b.public("?crash@?A0x1234abcd@@YAXXZ", 1, 0x10)],
        )
    )
    found = pdb.symbol_at(0x1014)
    assert found is not None
    assert found.name == words
    assert [symbol.name for symbol in pdb.symbols_at(0x1010)] == [words]
    assert names(pdb, "*crash*") == [words]
    assert pdb.symbol_named(words) == found


def test_inlined_functions_of_anonymous_namespaces() -> None:
    parts = inlined_parts()
    scope = b.record(0x1605, struct.pack("<I", 0) + b"?A0x97f35ffc\0")
    parts.ipi = b.types([FUNC_ID, scope, PLAIN_ID, MEMBER_ID])
    pdb = source(parts)
    assert pdb.inlines_at(0x1018)[1].name == "`anonymous namespace'::leaf"
    found = list(pdb.inlined_matching("`anonymous namespace'::le*", CancelToken()))
    assert [call.name for call in found] == ["`anonymous namespace'::leaf"]


def test_method_ids_have_the_class_name() -> None:
    assert inlined().file.types.function_name_of_id(0x1003) == "space::Tree::run"


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "identifier"),
    [
        (b"", "format.damaged"),
        (b"BSJB\1\0\1\0" + b"\0" * 64, "pdb.portable"),
        (b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0" + b"\0" * 64, "pdb.old"),
        (b"MSCF" + b"\0" * 64, "pdb.compressed"),
        (b"MZ" + b"\0" * 64, "format.damaged"),
    ],
)
def test_other_files_are_refused_by_name(content: bytes, identifier: str) -> None:
    with pytest.raises(FormatError) as caught:
        PdbSource(content, "x.pdb")
    assert caught.value.identifier == identifier


def test_partial_pdb_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        source(b.PdbParts(features=(20140508, 0x494E494D)))
    assert caught.value.identifier == "pdb.fastlink"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.pdb"
    path.write_bytes(b"")
    with pytest.raises(FormatError):
        open_pdb(path)


def test_mapped_file_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.pdb"
    path.write_bytes(two_functions().build())
    pdb = open_pdb(path)
    assert pdb.path == str(path)
    assert pdb.symbol_at(0x1010) is not None
    pdb.close()
