"""Symbols from ELF symbol tables."""

from __future__ import annotations

import lzma
import tracemalloc
from collections.abc import Iterable

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.images.elf import ElfImage
from polydbg.symbols.demangle import undecorate_elf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.source import Symbol, SymbolKind, SymbolSource
from polydbg.symbols.table_names import offsets_with, words_of
from polydbg.testing import elf_builder
from polydbg.testing.elf_builder import ElfBuilder

TEXT, DATA = 0x2000, 0x4000
LOCAL, GLOBAL, WEAK = 0, 1, 2
NOTYPE, OBJECT, FUNC, SECTION, FILE, TLS, IFUNC = 0, 1, 2, 3, 4, 6, 10
SHIFT = 0x2000  # of RVA 0: the first page that is loaded


def builder(machine: int = 62, is_64: bool = True, is_big: bool = False) -> ElfBuilder:
    made = ElfBuilder(is_64, is_big, machine=machine)
    made.section(".text", bytes(0x400), flags=elf_builder.EXEC, address=TEXT)
    made.section(".data", bytes(0x100), address=DATA)
    made.section(".comment", bytes(16))
    return made


def source(made: ElfBuilder) -> ElfSource:
    return ElfSource(ElfImage.from_buffer(made.build(), "x", "/x/x"))


@pytest.fixture(params=[(True, False), (True, True), (False, False), (False, True)])
def plain(request: pytest.FixtureRequest) -> SymbolSource:
    is_64, is_big = request.param
    made = builder(62 if is_64 else 3, is_64, is_big)
    made.symbol("x.c", 0, type=FILE, binding=LOCAL, section=0xFFF1)
    made.symbol("", TEXT, type=SECTION, binding=LOCAL)
    made.symbol("helper", TEXT + 0x40, 0x20, binding=LOCAL)
    made.symbol("start", TEXT, type=NOTYPE)
    made.symbol("_IO_puts", TEXT + 0x80, 0x30)
    made.symbol("puts", TEXT + 0x80, 0x30, binding=WEAK)
    made.symbol("__puts", TEXT + 0x80, 0x30)
    made.symbol("__GI_puts", TEXT + 0x80, 0x30, binding=LOCAL)
    made.symbol("label", TEXT + 0x90, type=NOTYPE, binding=LOCAL)
    made.symbol("inner", TEXT + 0xA0, 4, binding=LOCAL)
    made.symbol("chosen", TEXT + 0x100, 0x10, type=IFUNC)
    made.symbol("cold_path.cold", TEXT + 0x120, 0x10, binding=LOCAL)
    made.symbol("_ZN2ns3fooEi", TEXT + 0x140, 0x10)
    made.symbol("_ZN2ns3fooEi.cold", TEXT + 0x160, 0x10, binding=LOCAL)
    made.symbol("undefined", 0, section=0)
    made.symbol("absolute", TEXT, type=NOTYPE, section=0xFFF1)
    made.symbol("errno", 0x10, 4, type=TLS, section=2)
    made.symbol("counter", DATA + 8, 8, type=OBJECT, section=2)
    made.symbol("_edata", DATA + 0x100, type=NOTYPE, section=2)
    made.symbol("note", 4, 4, type=OBJECT, section=3)
    return source(made)


def name_at(symbols: SymbolSource, rva: int) -> tuple[str, int] | None:
    found = symbols.symbol_at(rva)
    return None if found is None else (found.name, rva - found.rva)


def names(symbols: SymbolSource, pattern: str) -> list[str]:
    return [each.name for each in symbols.symbols_matching(pattern, CancelToken())]


def test_by_address(plain: SymbolSource) -> None:
    assert plain.status == "elf symbols"
    assert plain.path == "/x/x"
    assert name_at(plain, 0) == ("start", 0)
    assert name_at(plain, 0x3F) == ("start", 0x3F)  # a label reaches up to the next symbol
    assert name_at(plain, 0x5F) == ("helper", 0x1F)
    assert name_at(plain, 0x60) is None  # behind the end of a function of known size
    assert name_at(plain, 0x95) == ("_IO_puts", 0x15)  # not the label inside
    assert name_at(plain, 0xA3) == ("inner", 3)
    assert name_at(plain, 0xA4) == ("_IO_puts", 0x24)
    assert name_at(plain, DATA + 0xF - SHIFT) == ("counter", 7)
    assert name_at(plain, DATA + 0x10 - SHIFT) is None
    assert name_at(plain, DATA + 0x100 - SHIFT) == ("_edata", 0)
    assert name_at(plain, DATA + 0x101 - SHIFT) is None
    assert name_at(plain, 1 << 40) is None


def test_kinds(plain: SymbolSource) -> None:
    def of(name: str) -> tuple[SymbolKind, bool, bool]:
        found = plain.symbol_named(name)
        assert found is not None
        return found.kind, found.is_code, found.is_global

    assert of("helper") == (SymbolKind.FUNCTION, True, False)
    assert of("chosen") == (SymbolKind.FUNCTION, True, True)
    assert of("counter") == (SymbolKind.DATA, False, True)
    assert of("start") == (SymbolKind.PUBLIC, True, True)
    assert of("_edata") == (SymbolKind.PUBLIC, False, True)
    for name in ("errno", "undefined", "absolute", "x.c", "note", ""):
        assert plain.symbol_named(name) is None


def test_aliases(plain: SymbolSource) -> None:
    found = plain.symbols_at(0x80)
    assert [each.name for each in found] == ["_IO_puts", "__puts", "puts", "__GI_puts"]
    assert {each.size for each in found} == {0x30}
    assert plain.symbols_at(0x81) == []


def test_parts_keep_the_name(plain: SymbolSource) -> None:
    assert name_at(plain, 0x148) == ("ns::foo", 8)
    assert name_at(plain, 0x168) == ("ns::foo", 8)
    assert name_at(plain, 0x128) == ("cold_path", 8)
    first = plain.symbol_named("ns::foo")
    part = plain.symbol_named("_ZN2ns3fooEi.cold")
    assert first is not None
    assert part is not None
    assert (first.rva, part.rva) == (0x140, 0x160)


def test_neighbours(plain: SymbolSource) -> None:
    def around(rva: int) -> tuple[str | None, str | None]:
        below, above = plain.neighbours(rva)
        return below and below.name, above and above.name  # type: ignore[return-value]

    assert around(0x48) == ("helper", "_IO_puts")
    assert around(0x60) == ("helper", "_IO_puts")
    assert around(DATA + 0x50 - SHIFT) == ("counter", "_edata")
    assert around(DATA + 0x100 - SHIFT) == ("_edata", None)


def test_wildcards(plain: SymbolSource) -> None:
    assert names(plain, "*puts") == ["_IO_puts", "puts", "__puts", "__GI_puts"]
    assert names(plain, "_puts") == ["puts", "__puts"]
    assert names(plain, "NS::F*") == ["ns::foo", "ns::foo"]
    assert names(plain, "?ounter") == ["counter"]
    assert names(plain, "nothing*") == []
    assert len(names(plain, "*")) == 14
    found = plain.symbol_named("COUNTER")
    assert found is not None
    assert found.name == "counter"


def test_search_can_be_cancelled(plain: SymbolSource) -> None:
    token = CancelToken()
    token.cancel()
    for pattern in ("*", "*puts"):
        with pytest.raises(Cancelled):
            list(plain.symbols_matching(pattern, token))
    with pytest.raises(Cancelled):
        plain.symbol_named("COUNTER", token)


def test_only_names_with_all_words_are_undecorated(monkeypatch: pytest.MonkeyPatch) -> None:
    made = builder()
    for name in ("_ZN5Outer6vectorEv", "_ZN5Other6vectorEv", "_Z6vectorv"):
        made.symbol(name, TEXT, 8)
    symbols = source(made)
    read: list[str] = []

    def noted(name: str) -> str:
        read.append(name)
        return undecorate_elf(name)

    monkeypatch.setattr("polydbg.symbols.elf.undecorate_elf", noted)
    assert (found := symbols.symbol_named("outer::vector")) is not None
    assert (found.name, read) == ("Outer::vector", ["_ZN5Outer6vectorEv"])
    read.clear()
    assert (found := symbols.symbol_named("vector")) is not None
    assert (found.name, read) == ("vector", ["_Z6vectorv"])
    read.clear()
    assert symbols.symbol_named("Outer::nothing::vector") is None
    assert not read


def test_what_symbol_tables_do_not_know(plain: SymbolSource) -> None:
    symbol = plain.symbol_named("helper")
    assert symbol is not None
    assert plain.line_at(0) is None
    assert list(plain.rvas_of_line("x.c", 1, CancelToken())) == []
    assert list(plain.inlines_at(0)) == []
    assert plain.signature_of(symbol) is None
    assert plain.cfi_at(0) is None
    assert plain.win_frame_at(0) is None
    plain.close()


def marks(machine: int, entries: Iterable[tuple[str, int]]) -> ElfSource:
    made = builder(machine, is_64=machine != 40)
    made.symbol("function", TEXT | (machine == 40), 0x40)
    for name, value in entries:
        made.symbol(name, value, type=NOTYPE, binding=LOCAL)
    made.symbol("tail", TEXT + 0x80, type=NOTYPE)
    return source(made)


@pytest.mark.parametrize(
    ("machine", "entries"),
    [
        (40, [("$t", TEXT), ("$d", TEXT + 0x20), ("$a.12", TEXT + 0x90)]),
        (183, [("$x", TEXT), ("$d", TEXT + 0x20), ("$x.4", TEXT + 0x90)]),
        (243, [(".L123", TEXT + 0x10), ("$d", TEXT + 0x20), ("$xrv64i2p1", TEXT + 0x90)]),
    ],
)
def test_mapping_symbols_are_not_shown(machine: int, entries: list[tuple[str, int]]) -> None:
    symbols = marks(machine, entries)
    assert names(symbols, "*") == ["function", "tail"]
    assert name_at(symbols, 0x30) == ("function", 0x30)
    assert name_at(symbols, 0) == ("function", 0)
    assert symbols.neighbours(0x50)[1] == symbols.symbol_named("tail")
    below, _ = symbols.neighbours(0x95)
    assert below is not None
    assert below.name == "tail"


def test_versions_in_names() -> None:
    made = builder()
    made.symbol("f@V1", TEXT, 0x10).symbol("f@@V2", TEXT + 0x20, 0x10)
    symbols = source(made)
    assert [each.name for each in symbols.symbols_at(0)] == ["f"]
    assert names(symbols, "f") == ["f", "f"]

    def rva(name: str) -> int | None:
        found = symbols.symbol_named(name)
        return found and found.rva

    assert (rva("f@V1"), rva("f@@V2"), rva("f@V3"), rva("f")) == (0, 0x20, None, 0)


def test_separate_debug_file() -> None:
    image = ElfImage.from_buffer(builder().build(), "x", "/bin/x")
    debug = ElfImage.from_buffer(builder().symbol("inside", TEXT + 4, 4).build(), "x", "/dbg/x")
    symbols = ElfSource(image, debug)
    assert name_at(symbols, 5) == ("inside", 1)
    assert (symbols.status, symbols.path) == ("elf symbols", "/dbg/x")


def test_without_symbols() -> None:
    symbols = source(builder())
    assert symbols.status == "no symbols"
    assert symbols.symbol_at(0) is None
    assert symbols.neighbours(0) == (None, None)
    assert names(symbols, "*") == []


def test_mini_debug() -> None:
    made = builder()
    made.section(".gnu_debugdata", lzma.compress(builder().symbol("inside", TEXT, 8).build()))
    symbols = source(made)
    assert symbols.status == "elf symbols"
    assert name_at(symbols, 2) == ("inside", 2)


# Names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("main", "main"),
        ("_start", "_start"),
        ("foo.cold", "foo"),
        ("foo.constprop.0.isra.0.cold", "foo"),
        ("foo.part.12", "foo"),
        ("count.3", "count"),
        ("foo.llvm.123456", "foo"),
        (".hidden", ".hidden"),
        ("_Zjunk", "_Zjunk"),
        ("_ZN3foo3barEi", "foo::bar"),
        ("_ZN3foo3barEi.cold", "foo::bar"),
        ("_Z3fooIiEvT_", "foo<int>"),
        ("_ZNK3FoocvbEv", "Foo::operator bool"),
        ("_ZN3FoolsEi", "Foo::operator<<"),
        ("_ZTV3Foo", "vtable for Foo"),
        ("_ZThn8_N3Foo3barEv", "non-virtual thunk to Foo::bar"),
        ("_ZN12_GLOBAL__N_13fooEv", "(anonymous namespace)::foo"),
        ("_ZZNK1S1fEvENKUliE_clEi", "S::f() const::'lambda'(int)::operator()"),
        (
            "_ZZZNK1S1fEvENKUliE_clEiENKUlvE_clEv",
            "S::f() const::'lambda'(int)::operator()(int) const::'lambda'()::operator()",
        ),
        ("_ZN1PIZNK1S1fEvEUliE_mE2goES1_", "P<S::f() const::'lambda'(int), unsigned long>::go"),
        ("_ZZNO1S1gEvEN1L1hEv", "S::g() &&::L::h"),
        ("_Z3retIiEPFiiET_", "ret<int>"),
        (
            "_ZN3FooISt6vectorIiSaIiEEE3barEv",
            "Foo<std::vector<int, std::allocator<int> > >::bar",
        ),
        ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
        (
            "_ZN50_$LT$T$u20$as$u20$core..convert..Into$LT$U$GT$$GT$4into17h0123456789abcdefE",
            "<T as core::convert::Into<U>>::into",
        ),
        ("_RNvC6_123foo3bar", "123foo::bar"),
        ("_RNvC3foo3bar.llvm.99", "foo::bar"),
    ],
)
def test_shown_names(name: str, shown: str) -> None:
    assert undecorate_elf(name) == shown


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("*foo_bar*", [b"foo_bar"]),
        ("std::vector<int>::push_back", [b"push_back", b"vector"]),
        ("Outer::name\\[abi:cxx11\\]", [b"Outer", b"cxx11"]),
        ("*unsigned*", []),
        ("f()::'lambda0'()::operator()", []),
        ("typeinfo for __float128*", []),
        ("*oper*", []),
        ("*", []),
        ("a?b", []),
        ("??long_enough", [b"long_enough"]),
        ("_leading", [b"leading"]),
        ("*3ul>*", []),
        ("*\u00fcber*", []),
    ],
)
def test_words_of_patterns(pattern: str, words: list[bytes]) -> None:
    assert words_of(pattern) == words


def test_words_in_names_that_share_their_ends() -> None:
    image = ElfImage.from_buffer(builder().symbol("prefix_Word_x", TEXT, 8).build(), "x")
    table = image.symbols
    assert table is not None
    found = offsets_with(table.strings, b"WORD", CancelToken())
    assert found is not None
    assert sorted(found) == list(range(1, 1 + len("prefix_") + 1))


def test_records() -> None:
    symbols = source(builder().symbol("f", TEXT + 4, 8))
    assert symbols.symbol_at(4) == Symbol("f", 4, 8, SymbolKind.FUNCTION, True)


def test_the_index_holds_no_object_for_each_symbol() -> None:
    made = builder()
    count = 60_000
    rows = [(f"f{n}", TEXT + n // 64, 1, FUNC, GLOBAL, 1) for n in range(count)]
    table, strings = made.symbols(rows)
    made.section(".symtab", table, type=elf_builder.SYMTAB, link=5, entry_size=24)
    made.section(".strtab", strings, type=elf_builder.STRTAB)
    symbols = source(made)
    symbols.symbol_at(5)  # what a first question loads
    tracemalloc.start()
    try:
        fresh = source(made)
        before = tracemalloc.get_traced_memory()[0]
        assert name_at(fresh, 5) == ("f320", 0)
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 16 * count
    assert len(fresh.symbols_at(7)) == 64
