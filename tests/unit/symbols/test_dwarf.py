"""DwarfSource on the DWARF of one program in every version, byte order and size."""

from __future__ import annotations

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, DebuggerError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.sections import DebugSections
from polydbg.formats.section import Section
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_units import SplitFile
from polydbg.symbols.source import InlineSite, SymbolKind
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry
from polydbg.testing.dwarf_sample import sample, split_sample

BASE = 0x400
SHAPES = [
    (version, big, address_size, offset_size)
    for version in (2, 3, 4, 5)
    for big in (False, True)
    for address_size, offset_size in ((8, 4), (4, 4), (8, 8))
    if (version, offset_size) != (2, 8)
]


def source_of(made: DwarfBuilder) -> DwarfSource:
    return DwarfSource(DwarfFile(made.debug_sections()), "x", base=BASE, lowest=0x800)


@pytest.fixture(params=SHAPES, ids=str)
def source(request: pytest.FixtureRequest) -> DwarfSource:
    version, big, address_size, offset_size = request.param
    return source_of(sample(version, big=big, address_size=address_size, offset_size=offset_size))


def test_functions(source: DwarfSource) -> None:
    symbol = source.symbol_at(0x1010 - BASE)
    assert symbol is not None
    assert (symbol.name, symbol.rva, symbol.size) == ("ns::run", 0x1000 - BASE, 0x40)
    assert symbol.kind is SymbolKind.FUNCTION
    assert symbol.is_global
    assert source.signature_of(symbol) == "(const char *, int)"
    cold = source.symbol_at(0x3004 - BASE)
    assert cold is not None
    assert (cold.name, cold.rva) == ("ns::run", 0x3000 - BASE)
    main = source.symbol_at(0x105F - BASE)
    assert main is not None
    assert main.name == "main"
    assert source.signature_of(main) == "(void)"
    assert source.symbol_at(0x1060 - BASE) is None
    below, above = source.neighbours(0x1000 - BASE)
    assert below is not None
    assert above is not None
    assert (below.name, above.name) == ("ns::run", "main")


def test_functions_of_classes_without_names() -> None:
    def function(name: str, start: int) -> Entry:
        code = (c.AT_LOW_PC, c.FORM_ADDR, start), (c.AT_HIGH_PC, c.FORM_DATA4, 16)
        return Entry(c.TAG_SUBPROGRAM, (c.AT_NAME, c.FORM_STRING, name), *code)

    made = DwarfBuilder(4)
    body, plain = function("operator()", 0x1000), function("_FUN", 0x1010)
    closure = Entry(c.TAG_STRUCTURE_TYPE, children=[body, plain])
    other = Entry(c.TAG_CLASS_TYPE, children=[function("method", 0x1020)])
    scope = Entry(c.TAG_NAMESPACE, children=[closure, other])
    code = (c.AT_LOW_PC, c.FORM_ADDR, 0x1000), (c.AT_HIGH_PC, c.FORM_DATA4, 0x30)
    language = c.AT_LANGUAGE, c.FORM_DATA1, 4
    made.unit(Entry(c.TAG_COMPILE_UNIT, language, *code, children=[scope]))
    source = source_of(made)
    found = [source.symbol_at(address - BASE) for address in (0x1000, 0x1010, 0x1020)]
    assert [symbol.name for symbol in found if symbol is not None] == [
        "(anonymous namespace)::<lambda>::operator()",
        "(anonymous namespace)::<lambda>::_FUN",
        "(anonymous namespace)::<unnamed>::method",
    ]


def test_lines(source: DwarfSource) -> None:
    def place(address: int) -> tuple[str, int] | None:
        line = source.line_at(address - BASE)
        return (line.file, line.line) if line is not None else None

    assert place(0x1000) == ("/src/a.cc", 10)
    assert place(0x1012) == ("/src/a.cc", 10)  # where the inlined call is made
    assert place(0x1018) == ("/src/a.cc", 11)
    assert place(0x1030) is None  # line 0
    assert place(0x105F) == ("/src/a.cc", 20)
    assert place(0x1060) is place(0x2000) is place(0x800) is None
    assert place(0x3001) == ("/src/a.cc", 12)
    assert list(source.rvas_of_line("a.cc", 13, CancelToken())) == [0x1040 - BASE]
    assert list(source.rvas_of_line("b.h", 2, CancelToken())) == [0x1014 - BASE]
    assert (
        list(source.rvas_of_line("a.cc", 21, CancelToken()))
        == list(source.rvas_of_line("c.cc", 1, CancelToken()))
        == []
    )


def test_inlined_calls(source: DwarfSource) -> None:
    assert list(source.inlines_at(0x1015 - BASE)) == [
        InlineSite("twice", 0x1010 - BASE, "/usr/include/b.h", 3, "/src/a.cc", 10),
        InlineSite("once", 0x1014 - BASE, "/usr/include/b.h", 2, "/usr/include/b.h", 3),
    ]
    assert [each.name for each in source.inlines_at(0x1010 - BASE)] == ["twice"]
    assert not source.inlines_at(0x1018 - BASE)


def test_names(source: DwarfSource) -> None:
    found = [(each.name, each.rva + BASE) for each in source.symbols_matching("*", CancelToken())]
    assert sorted(found) == [("main", 0x1040), ("ns::counter", 0x5000), ("ns::run", 0x1000)]
    counter = source.symbol_named("ns::counter")
    assert counter is not None
    assert (counter.kind, counter.size) == (SymbolKind.DATA, 4)
    assert source.symbol_named("MAIN") == source.symbol_named("main") is not None
    assert source.symbol_named("gone") is None
    assert [each.name for each in source.symbols_at(0x1040 - BASE)] == ["main"]


def test_units_without_aranges() -> None:
    source = source_of(sample(aranges=False))
    symbol = source.symbol_at(0x1050 - BASE)
    assert symbol is not None
    assert symbol.name == "main"


def test_split_and_type_units() -> None:
    made = split_sample()
    split = DwarfFile(made.debug_sections(), suffix=".dwo")
    asked = []

    def opener(wanted: SplitFile) -> DwarfFile:
        asked.append(wanted)
        return split

    source = DwarfSource(DwarfFile(made.debug_sections()), "x", base=BASE, opener=opener)
    symbol = source.symbol_at(0x1008 - BASE)
    assert symbol is not None
    assert (symbol.name, symbol.rva, symbol.size) == ("work", 0x1000 - BASE, 0x20)
    assert source.signature_of(symbol) == "(ns::Kind)"
    assert asked == [SplitFile("a.dwo", "/src", 0x1122334455667788)]
    alone = DwarfSource(DwarfFile(made.debug_sections()), "x", base=BASE)
    assert alone.symbol_at(0x1008 - BASE) is None


def test_a_scan_can_be_cancelled() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        next(source_of(sample()).symbols_matching("*", token))


def ask_everything(source: DwarfSource) -> None:
    """Call every method; errors of ours are answers, too."""
    for rva in (0, 0xC00, 0xC15, 0xC40, 0x2C00, 0xFFFFFFFFFFFFFFFF):
        for ask in (
            source.symbol_at,
            source.symbols_at,
            source.neighbours,
            source.line_at,
            source.inlines_at,
        ):
            try:
                ask(rva)
            except DebuggerError:
                continue
    try:
        for symbol in source.symbols_matching("*", CancelToken()):
            source.signature_of(symbol)
        source.rvas_of_line("a.cc", 10, CancelToken())
        source.symbol_named("nothing")
    except DebuggerError:
        pass


def _damaged(sections: dict[str, bytearray]) -> DwarfSource:
    def load(name: str) -> Section | None:
        return Section(bytes(sections[name])) if name in sections else None

    return DwarfSource(DwarfFile(DebugSections(load)), "x", base=BASE, lowest=0x800)


@pytest.mark.parametrize("version", [4, 5])
def test_cut_sections(version: int) -> None:
    whole = sample(version).sections
    for name, data in whole.items():
        for size in range(len(data)):
            ask_everything(_damaged({**whole, name: data[:size]}))


@pytest.mark.parametrize("version", [3, 5])
@pytest.mark.parametrize("value", [0, 0x7F, 0x80, 0xFF])
def test_overwritten_bytes(version: int, value: int) -> None:
    whole = sample(version).sections
    for name, data in whole.items():
        for index in range(len(data)):
            changed = bytearray(data)
            changed[index] = value
            ask_everything(_damaged({**whole, name: changed}))
