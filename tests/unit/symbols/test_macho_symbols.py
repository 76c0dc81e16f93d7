"""Symbols of Mach-O images made by hand."""

from __future__ import annotations

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.images.macho import MachoImage
from polydbg.symbols.dwarf_files import macho_dwarf
from polydbg.symbols.macho import MachoSource, shown_name
from polydbg.symbols.source import Symbol, SymbolKind
from polydbg.testing import macho_builder as built
from polydbg.testing.dwarf_sample import sample
from polydbg.testing.macho_builder import CODE, EXTERN, LOCAL, PRIVATE, STUBS, MachoBuilder

ALT_ENTRY = 0x200


def usual(**options: bool) -> MachoBuilder:
    builder = MachoBuilder(starts=[0x400, 0x420, 0x440, 0x460], **options)  # type: ignore[arg-type]
    builder.section("__text", b"\x90" * 0x80, flags=CODE)
    builder.section("__stubs", b"\xcc" * 12, flags=STUBS, first=0, stub_size=6)
    builder.section("__data", bytes(64), segment="__DATA")
    builder.symbol("__mh_execute_header", 0).symbol("_main", 0x400)
    builder.symbol("__ZN4deep3BoxIiE3getEi", 0x420, PRIVATE)
    builder.symbol("_inner", 0x430, EXTERN, 1, ALT_ENTRY)
    # 0x440 is a function without a name.
    builder.symbol("_local_alias", 0x460, LOCAL).symbol("_alias", 0x460, EXTERN)
    builder.symbol("_g_count", 0x1000, EXTERN, 3).symbol("_table", 0x1010, LOCAL, 3)
    builder.symbol("/tmp/a.c", 0x400, 0x64).symbol("_main", 0x400, 0x24)  # N_SO, N_FUN
    builder.symbol("_puts", 0, 1, 0).symbol("_absolute", 0, 3, 0)
    return builder.indirect(10, 0x80000000)


def source(builder: MachoBuilder) -> MachoSource:
    return MachoSource(MachoImage.from_buffer(builder.build(), "app", "/x/app"))


def named(symbol: Symbol | None) -> tuple[str, int, int] | None:
    return None if symbol is None else (symbol.name, symbol.rva, symbol.size)


def test_functions_reach_to_the_next_one() -> None:
    found = source(usual())
    assert (found.status, found.path) == ("macho symbols", "/x/app")
    assert named(found.symbol_at(0x400)) == ("main", 0x400, 0x20)
    assert named(found.symbol_at(0x41F)) == ("main", 0x400, 0x20)
    assert named(found.symbol_at(0x425)) == ("deep::Box<int>::get", 0x420, 0x20)
    # An entry inside a function belongs to the function.
    assert named(found.symbol_at(0x435)) == ("deep::Box<int>::get", 0x420, 0x20)
    assert [each.name for each in found.symbols_at(0x430)] == ["inner"]


def test_a_function_without_a_name_has_none() -> None:
    found = source(usual())
    assert found.symbol_at(0x450) is None
    below, above = found.neighbours(0x450)
    assert named(below) == ("inner", 0x430, 0)
    assert named(above) == ("alias", 0x460, 0x20)


def test_without_function_starts_the_next_symbol_ends_one() -> None:
    builder = usual()
    builder.starts = []
    found = source(builder)
    assert named(found.symbol_at(0x450)) == ("inner", 0x430, 0)
    assert named(found.symbol_at(0x47F)) == ("alias", 0x460, 0)


def test_aliases_data_and_the_header() -> None:
    found = source(usual())
    assert [each.name for each in found.symbols_at(0x460)] == ["alias", "local_alias"]
    data = found.symbol_at(0x1004)
    assert data is not None
    assert (data.name, data.kind, data.is_code) == ("g_count", SymbolKind.DATA, False)
    table = found.symbol_at(0x1010)
    assert table is not None
    assert (table.name, table.is_global) == ("table", False)
    assert named(found.symbol_at(0)) == ("_mh_execute_header", 0, 0)
    assert found.symbol_at(0x100) is None
    assert found.symbol_at(0x5000) is None


def test_stubs() -> None:
    found = source(usual())
    stub = found.symbol_at(0x483)
    assert stub is not None
    assert (stub.name, stub.rva, stub.size) == ("DYLD-STUB$$puts", 0x480, 6)
    assert stub.kind is SymbolKind.THUNK
    assert found.symbol_at(0x487) is None  # its entry is INDIRECT_SYMBOL_LOCAL
    assert named(found.neighbours(0x47F)[1]) == ("DYLD-STUB$$puts", 0x480, 6)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ma*", ["main"]),
        ("*", ["_mh_execute_header", "main", "deep::Box<int>::get", "inner", "local_alias", "alias",
               "g_count", "table", "DYLD-STUB$$puts"]),
        ("*alias", ["local_alias", "alias"]),
        ("DEEP::*", ["deep::Box<int>::get"]),
        ("*puts", ["DYLD-STUB$$puts"]),
        ("DYLD*", ["DYLD-STUB$$puts"]),
        ("absolute", []),
    ],
)  # fmt: skip
def test_patterns(pattern: str, names: list[str]) -> None:
    found = source(usual()).symbols_matching(pattern, CancelToken())
    assert [each.name for each in found] == names


def test_names() -> None:
    found = source(usual())
    assert named(found.symbol_named("main")) == ("main", 0x400, 0x20)
    assert named(found.symbol_named("MAIN")) == ("main", 0x400, 0x20)
    assert named(found.symbol_named("_ZN4deep3BoxIiE3getEi")) == (
        "deep::Box<int>::get",
        0x420,
        0x20,
    )
    assert named(found.symbol_named("deep::Box<int>::get")) == ("deep::Box<int>::get", 0x420, 0x20)
    assert found.symbol_named("nothing") is None


def test_shown_names() -> None:
    assert shown_name("_main") == "main"
    assert shown_name("__Z1fi") == "f"
    assert shown_name("_$s4main1fyyF") == "$s4main1fyyF"
    assert shown_name("-[NSObject init.part.0:]") == "-[NSObject init.part.0:]"
    assert shown_name("dyld_stub_binder") == "dyld_stub_binder"


def test_data_of_libraries_in_shared_caches_lies_elsewhere() -> None:
    found = source(usual(split_info=True))
    assert named(found.symbol_at(0x400)) == ("main", 0x400, 0x20)
    assert found.symbol_named("g_count") is None


def test_the_table_of_the_debug_file_and_the_starts_of_the_image() -> None:
    stripped = MachoBuilder(starts=[0x400, 0x420]).section("__text", bytes(0x40), flags=CODE)
    debug = MachoBuilder(type=built.DSYM).section("__text", bytes(0x40), flags=CODE)
    debug.symbol("_main", 0x400)
    image = MachoImage.from_buffer(stripped.build(), "app")
    assert MachoSource(image).status == "no symbols"
    assert MachoSource(image).symbol_at(0x400) is None
    found = MachoSource(image, MachoImage.from_buffer(debug.build(), "app", "/x/app.dSYM"))
    assert found.path == "/x/app.dSYM"
    assert named(found.symbol_at(0x410)) == ("main", 0x400, 0x20)
    assert found.symbol_at(0x430) is None


@pytest.mark.parametrize("version", [4, 5])
def test_dwarf_of_a_debug_file(version: int) -> None:
    debug = MachoBuilder(type=built.DSYM, base=0)
    debug.section("__text", bytes(0x4C00), flags=CODE).symbol("_tail", 0x3100)
    for name, data in sample(version).sections.items():
        debug.section("__" + name[1:], bytes(data), segment="__DWARF")
    image = MachoImage.from_buffer(debug.build(), "app", "/x/app.dSYM")
    found = macho_dwarf(image, table=MachoSource(image))
    assert found is not None
    assert found.status == "private dwarf symbols"
    assert named(found.symbol_at(0x1008)) == ("ns::run", 0x1000, 0x40)
    line = found.line_at(0x1000)
    assert line is not None
    assert line.line == 10
    assert [each.name for each in found.inlines_at(0x1014)] == ["twice", "once"]
    assert named(found.symbol_at(0x3105)) == ("tail", 0x3100, 0)
    plain = MachoImage.from_buffer(usual().build(), "app")
    assert macho_dwarf(plain) is None


def test_cut_files_raise_only_our_errors() -> None:
    whole = usual().build()
    for step in range(200):
        try:
            found = source_of(whole[: len(whole) * step // 200])
            for rva in (0, 0x400, 0x450, 0x480, 0x1000):
                found.symbol_at(rva)
                found.neighbours(rva)
            list(found.symbols_matching("*", CancelToken()))
            found.symbol_named("main")
        except DebuggerError:
            continue


def source_of(data: bytes) -> MachoSource:
    return MachoSource(MachoImage.from_buffer(data, "app"))
