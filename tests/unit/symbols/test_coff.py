"""Names by address and addresses by name from COFF symbols."""

from __future__ import annotations

from polydbg.base.cancel import CancelToken
from polydbg.formats.pe import coff_symbols as coff
from polydbg.images.pe import PeImage
from polydbg.symbols.coff import CoffSource, coff_source
from polydbg.symbols.demangle import undecorate_coff
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_files import pe_dwarf
from polydbg.symbols.source import Symbol, SymbolKind
from polydbg.testing.dwarf_sample import sample
from polydbg.testing.pe_builder import DATA_RVA, TEXT_RVA, PeBuilder

STATIC, LABEL, WEAK = coff.CLASS_STATIC, coff.CLASS_LABEL, coff.CLASS_WEAK_EXTERNAL


def source_of(made: PeBuilder) -> CoffSource:
    found = coff_source(PeImage.from_buffer(made.build(), "app.exe"))
    assert found is not None
    return found


def source() -> CoffSource:
    made = PeBuilder()
    made.add(bytes(0x100))
    made.symbol(".text", 0, kind=0, storage_class=STATIC, auxiliaries=bytes(18))
    made.symbol("helper", 0x100, storage_class=STATIC)
    made.symbol("__alias", 0x40)
    made.symbol("_ZN4shop5totalEi", 0x40)
    made.symbol("weak_alias", 0x40, storage_class=WEAK)
    made.symbol("inner", 0x48, kind=0, storage_class=LABEL)
    made.symbol("_ZN4shop5totalEi.cold", 0x180, storage_class=STATIC)
    made.symbol("by_assembler", 0x200, kind=0)
    made.symbol("shared_total", 0x10, 2, kind=0)
    made.symbol("count.0", 0x20, 2, kind=0, storage_class=STATIC)
    made.symbol("nowhere", 0, 9)
    made.symbol("past_the_end", 0xFFFFFFFF)
    return source_of(made)


def named(symbol: Symbol | None) -> str:
    return symbol.name if symbol is not None else ""


def test_by_address() -> None:
    made = source()
    assert made.status == "coff symbols"
    assert made.path == "app.exe"
    assert made.symbol_at(TEXT_RVA + 0x3F) is None
    assert made.symbol_at(TEXT_RVA + 0x47) == Symbol(
        "shop::total", TEXT_RVA + 0x40, 0, SymbolKind.FUNCTION, True
    )
    assert named(made.symbol_at(TEXT_RVA + 0x50)) == "inner"
    helper = made.symbol_at(TEXT_RVA + 0x101)
    assert helper is not None
    assert not helper.is_global
    assert named(made.symbol_at(TEXT_RVA + 0x185)) == "shop::total"
    assert made.symbol_at(TEXT_RVA + 0x280) == Symbol(
        "by_assembler", TEXT_RVA + 0x200, 0, SymbolKind.PUBLIC, True
    )
    names = [each.name for each in made.symbols_at(TEXT_RVA + 0x40)]
    assert names == ["shop::total", "__alias", "weak_alias"]
    assert made.symbols_at(TEXT_RVA) == []
    assert made.kind_at(TEXT_RVA + 0x47) == "coff"
    assert made.kind_at(TEXT_RVA) == ""


def test_data_and_sections() -> None:
    made = source()
    assert named(made.symbol_at(TEXT_RVA + 0x1FFF)) == "by_assembler"
    assert made.symbol_at(DATA_RVA) is None  # a symbol of another section is no name for it
    shared = made.symbol_at(DATA_RVA + 0x10)
    assert shared == Symbol("shared_total", DATA_RVA + 0x10, 0, SymbolKind.DATA, False)
    assert named(made.symbol_at(DATA_RVA + 0x24)) == "count"
    below, above = made.neighbours(DATA_RVA)
    assert (named(below), named(above)) == ("", "shared_total")
    below, above = made.neighbours(TEXT_RVA + 0x200)
    assert (named(below), named(above)) == ("by_assembler", "shared_total")


def test_by_name() -> None:
    made = source()
    cancel = CancelToken()
    assert [s.name for s in made.symbols_matching("*Total*", cancel)] == [
        "shop::total", "shop::total", "shared_total",
    ]  # fmt: skip
    assert [s.name for s in made.symbols_matching("inner", cancel)] == ["inner"]  # 8 bytes at most
    assert [s.name for s in made.symbols_matching("b?_a*", cancel)] == ["by_assembler"]
    assert len(list(made.symbols_matching("*", cancel))) == 9
    assert named(made.symbol_named("shop::total")) == "shop::total"
    assert made.symbol_named("_ZN4shop5totalEi") == made.symbol_at(TEXT_RVA + 0x40)
    assert named(made.symbol_named("HELPER")) == "helper"
    assert made.symbol_named("nowhere") is None
    assert made.symbol_named("none") is None


def test_what_it_does_not_know() -> None:
    made = source()
    symbol = made.symbol_named("helper")
    assert symbol is not None
    assert made.signature_of(symbol) is None
    assert made.line_at(symbol.rva) is None
    assert made.inlines_at(symbol.rva) == ()
    assert made.rvas_of_line("a.c", 1, CancelToken()) == ()


def test_nothing_to_name() -> None:
    made = PeBuilder()
    assert coff_source(PeImage.from_buffer(made.build(), "x")) is None
    made.symbol(".text", 0, kind=0, storage_class=STATIC)
    made.symbol("nowhere", 0, 9)
    assert coff_source(PeImage.from_buffer(made.build(), "x")) is None


def test_decorations_of_x86() -> None:
    for name, shown in (
        ("_main", "main"),
        ("__tmainCRTStartup", "_tmainCRTStartup"),
        ("_run@8", "run"),
        ("@run@8", "run"),
        ("__imp__Sleep@4", "_imp__Sleep"),
        ("__ZN4shop5totalEi", "shop::total"),
        ("__ZN4shop5totalEi@4", "shop::total"),
        ("_main.cold", "main"),
        (".refptr._main", ".refptr._main"),
        ("?total@shop@@YAHH@Z", "shop::total"),
        ("_", "_"),
    ):
        assert undecorate_coff(name, is_x86=True) == shown, name
    for name, shown in (
        ("__tmainCRTStartup", "__tmainCRTStartup"),
        ("__imp_Sleep", "__imp_Sleep"),
        ("_ZN4shop5totalEi", "shop::total"),
        ("?total@shop@@YAHH@Z", "shop::total"),
    ):
        assert undecorate_coff(name, is_x86=False) == shown, name


def test_x86_image() -> None:
    made = PeBuilder("x86", image_base=0x400000)
    made.symbol("_run@8", 0x10)
    found = source_of(made)
    assert named(found.symbol_at(TEXT_RVA + 0x10)) == "run"
    assert named(found.symbol_named("run")) == "run"
    assert named(found.symbol_named("_run@8")) == "run"


def with_dwarf() -> DwarfSource:
    made = PeBuilder(image_base=0, text_virtual_size=0x3000)
    made.sections += [(name, bytes(data)) for name, data in sample(5).sections.items()]
    made.symbol("_ZN2ns3runEv", 0x1FF8)
    made.symbol("main", 0x40)
    made.symbol("by_assembler", 0x100)
    image = PeImage.from_buffer(made.build(), "app.exe")
    found = pe_dwarf(image, table=coff_source(image))
    assert found is not None
    return found


def test_dwarf_beside_coff_symbols() -> None:
    made = with_dwarf()
    assert made.status == "private dwarf symbols"
    assert [made.kind_at(rva) for rva in (0x1004, 0x1100, 0x1044)] == ["dwarf", "coff", "dwarf"]
    assert made.kind_at(DATA_RVA) == ""
    assert named(made.symbol_at(0x1004)) == "ns::run"
    assert named(made.symbol_at(0x1104)) == "by_assembler"
    assert [each.name for each in made.inlines_at(0x1014)] == ["twice", "once"]
    line = made.line_at(0x1044)
    assert line is not None
    assert line.line == 20
    names = [each.name for each in made.symbols_matching("*", CancelToken())]
    assert names == ["ns::run", "main", "by_assembler"]


def test_room_for_a_hook_belongs_to_the_function() -> None:
    made = with_dwarf()
    whole = Symbol("ns::run", 0x2FF8, 0x18, SymbolKind.FUNCTION, True)
    assert made.symbol_at(0x3004) == made.symbol_at(0x2FF8) == made.symbol_at(0x2FFF) == whole
    assert made.symbols_at(0x2FF8) == (whole,)
    assert made.symbols_at(0x3000) == ()
    assert made.neighbours(0x2FFA) == (whole, None)
    listed = made.symbol_named("ns::run")
    assert listed is not None
    assert listed.rva == 0x2FF8
    assert made.signature_of(listed) == made.signature_of(Symbol(
        "ns::run", 0x3000, 0x10, SymbolKind.FUNCTION, True
    ))  # fmt: skip
