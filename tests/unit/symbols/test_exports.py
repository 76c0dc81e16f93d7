"""Symbols from exports."""

from __future__ import annotations

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.images.pe import PeImage
from polydbg.symbols.exports import ExportSource
from polydbg.symbols.source import SymbolKind, SymbolSource
from polydbg.testing.pe_builder import DATA_RVA, TEXT_RVA, PeBuilder


@pytest.fixture
def source() -> SymbolSource:
    builder = PeBuilder(text=b"\xc3" * 0x100)
    builder.add(b"some data")
    builder.exports(
        "x.dll",
        [
            ("NtOpen", TEXT_RVA + 0x10),
            ("ZwOpen", TEXT_RVA + 0x10),
            ("_start", TEXT_RVA + 0x40),
            ("counter", DATA_RVA),
            (None, TEXT_RVA + 0x20),
            ("forwarded", "OTHER.Thing"),
            ("a+b", TEXT_RVA + 0x50),
        ],
    )
    return ExportSource(PeImage.from_buffer(builder.build(), "x.dll", "/x/x.dll"))


def names(source: SymbolSource, pattern: str) -> list[str]:
    return [symbol.name for symbol in source.symbols_matching(pattern, CancelToken())]


def test_nearest_below_in_the_same_section(source: SymbolSource) -> None:
    assert source.symbol_at(TEXT_RVA) is None
    found = source.symbol_at(TEXT_RVA + 0x3F)
    assert found is not None
    assert (found.name, found.kind, found.is_code) == ("NtOpen", SymbolKind.EXPORT, True)
    below, above = source.neighbours(TEXT_RVA + 0x10)
    assert below is not None
    assert above is not None
    assert (below.name, above.name) == ("NtOpen", "_start")
    assert source.neighbours(DATA_RVA + 5)[0] == source.symbol_named("counter")
    assert source.symbol_at(0x100) is None


def test_all_names_of_an_address(source: SymbolSource) -> None:
    assert [s.name for s in source.symbols_at(TEXT_RVA + 0x10)] == ["NtOpen", "ZwOpen"]
    assert source.symbols_at(TEXT_RVA + 0x11) == []


def test_by_name(source: SymbolSource) -> None:
    assert source.symbol_named("forwarded") is None
    found = source.symbol_named("ntopen")
    assert found is not None
    assert found.name == "NtOpen"


def test_wildcards(source: SymbolSource) -> None:
    assert names(source, "*open") == ["NtOpen", "ZwOpen"]
    assert names(source, "[nz]?Open") == ["NtOpen", "ZwOpen"]
    assert names(source, "start") == []
    assert names(source, "_start") == ["_start"]
    assert names(source, "a\\+b") == ["a+b"]
    assert names(source, "cou#nter") == ["counter"]
    assert names(source, "[") == []


def test_search_can_be_cancelled(source: SymbolSource) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(source.symbols_matching("*", token))


def test_what_exports_do_not_know(source: SymbolSource) -> None:
    symbol = source.symbol_named("NtOpen")
    assert symbol is not None
    assert source.status == "export symbols"
    assert source.path == "/x/x.dll"
    assert source.line_at(TEXT_RVA) is None
    assert list(source.rvas_of_line("x.c", 1, CancelToken())) == []
    assert list(source.inlines_at(TEXT_RVA)) == []
    assert source.signature_of(symbol) is None
    source.close()
