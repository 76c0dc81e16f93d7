"""Symbols from Breakpad files: names without parameters, places, lines, inlined calls, frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.symbols.breakpad import BreakpadSource, open_breakpad
from polydbg.symbols.breakpad_names import split_name
from polydbg.symbols.source import InlineSite, LineEntry, Symbol, SymbolKind

HEADER = "MODULE Linux x86_64 C0BCC3F19827FE653058404B2831D9E60 app"


def source(*lines: str) -> BreakpadSource:
    return BreakpadSource("\n".join((HEADER, *lines, "")).encode(), "app.sym")


@pytest.mark.parametrize(
    ("stored", "name", "parameters"),
    [
        ("main", "main", None),
        ("main(int, char**)", "main", "(int, char**)"),
        ("A::f(int) const", "A::f", "(int)"),
        ("A::f(int) const & [clone .cold]", "A::f", "(int)"),
        ("(anonymous namespace)::f(void*)", "(anonymous namespace)::f", "(void*)"),
        ("`anonymous namespace'::f(int)", "`anonymous namespace'::f", "(int)"),
        ("A::operator()(int) const", "A::operator()", "(int)"),
        ("A::operator()() const", "A::operator()", "()"),
        ("<lambda_1>::operator()", "<lambda_1>::operator()", None),
        (
            "f()::{lambda(int)#1}::operator()(int) const",
            "f()::{lambda(int)#1}::operator()",
            "(int)",
        ),
        ("operator new(unsigned long)", "operator new", "(unsigned long)"),
        ("operator delete[](void*)", "operator delete[]", "(void*)"),
        ("A::operator unsigned int() const", "A::operator unsigned int", "()"),
        ("bool operator< <int>(A<int> const&)", "operator< <int>", "(A<int> const&)"),
        ("void f<int, b>(int (*)(char), b)", "f<int, b>", "(int (*)(char), b)"),
        ("std::enable_if<(a)>(b), c>::type g<d>(d)", "g<d>", "(d)"),
        ("static int ns::f(A *)", "ns::f", "(A *)"),
        ("A::`vector dtor'(unsigned int)", "A::`vector dtor'", "(unsigned int)"),
        ("non-virtual thunk to A::f(int)", "non-virtual thunk to A::f", "(int)"),
        ("<A as B<fn(u8)>>::call", "<A as B<fn(u8)>>::call", None),
        ("core::f::<(), dyn for<'a> Fn(&'a u8)>", "core::f::<(), dyn for<'a> Fn(&'a u8)>", None),
        ("-[Controller(Ext) do:with:]", "-[Controller(Ext) do:with:]", None),
        ("app.f(Swift.Int) -> ()", "app.f(Swift.Int) -> ()", None),
        ("A::operator->() const", "A::operator->", "()"),
        ("B::operator void (__cdecl*)(int)", "B::operator void (__cdecl*)(int)", None),
        ("_ZN1A1fEi", "A::f", None),
        (")(", ")(", None),
        ("()", "()", None),
    ],
)
def test_names_and_parameters(stored: str, name: str, parameters: str | None) -> None:
    found, list_ = split_name(stored)
    assert found == name
    assert list_ == parameters


def test_long_names_stay_whole() -> None:
    name = "f<" * 5000 + "(int)"
    assert split_name(name) == (name, None)


@pytest.fixture
def app() -> BreakpadSource:
    return source(
        "FILE 1 /src/main.cc",
        "FILE 2 C:\\src\\inl.h",
        "INLINE_ORIGIN 7 outer(int)",
        "INLINE_ORIGIN 8 inner()",
        "FUNC 2000 100 0 main(int, char**)",
        "INLINE 0 20 1 7 2010 20 2050 10",
        "INLINE 1 30 2 8 2018 8",
        "2000 10 10 1",
        "2010 8 5 2",
        "2018 8 6 2",
        "2020 10 7 2",
        "2030 20 21 1",
        "2050 10 8 2",
        "2060 a0 0 1",
        "FUNC 1000 40 0 first()",
        "1000 40 3 1",
        "PUBLIC 2000 0 main",
        "PUBLIC 3000 0 tail",
        "FUNC 4000 0 0 endless",
    )


def test_what_contains_an_address(app: BreakpadSource) -> None:
    main = Symbol("main", 0x2000, 0x100, SymbolKind.FUNCTION, True)
    assert app.symbol_at(0x2000) == app.symbol_at(0x20FF) == main
    assert app.symbol_at(0x2100) is None  # behind its end, and nothing says more
    assert app.symbol_at(0xFFF) is None
    tail = app.symbol_at(0x3FFF)
    assert tail is not None
    assert (tail.name, tail.kind, tail.rva) == ("tail", SymbolKind.PUBLIC, 0x3000)
    endless = app.symbol_at(0x5000)
    assert endless is not None
    assert endless.name == "endless"
    assert app.neighbours(0x2100) == (None, app.symbol_at(0x3000))
    assert app.neighbours(0x1000)[1] == main
    assert app.neighbours(0x4000)[1] is None
    assert [s.name for s in app.symbols_at(0x2000)] == ["main"]  # one name: one symbol
    assert app.symbols_at(0x2001) == ()


def test_names(app: BreakpadSource) -> None:
    cancel = CancelToken()
    assert [s.name for s in app.symbols_matching("*", cancel)] == [
        "first",
        "main",
        "endless",
        "tail",
    ]
    assert [s.name for s in app.symbols_matching("MAI?", cancel)] == ["main"]
    assert [s.name for s in app.symbols_matching("*int*", cancel)] == []
    named = app.symbol_named("Main")
    assert named is not None
    assert named.rva == 0x2000
    assert app.symbol_named("main") == named
    assert app.symbol_named("none") is None
    assert app.signature_of(named) == "(int, char**)"
    first = app.symbol_named("first")
    assert first is not None
    assert app.signature_of(first) == "(void)"
    tail = app.symbol_named("tail")
    assert tail is not None
    assert app.signature_of(tail) is None


def test_decorated_names_are_found_by_what_they_stand_for() -> None:
    app = source("PUBLIC 10 0 _ZN3foo3barEv", "PUBLIC 20 0 plain")
    assert [s.rva for s in app.symbols_matching("foo::bar", CancelToken())] == [0x10]
    assert app.status == "breakpad symbols"


def test_lines_and_inlined_calls(app: BreakpadSource) -> None:
    assert app.line_at(0x2005) == LineEntry("/src/main.cc", 10, 0, 0x2000, 0x10)
    # Inside an inlined call the function's own line is that of the call.
    assert app.line_at(0x2019) == LineEntry("/src/main.cc", 20, 0, 0x2010, 0x20)
    assert app.line_at(0x2055) == LineEntry("/src/main.cc", 20, 0, 0x2050, 0x10)
    assert app.line_at(0x2070) is None  # line 0: compiler-made
    assert app.line_at(0x3000) is None
    assert app.inlines_at(0x2005) == ()
    assert app.inlines_at(0x2019) == [
        InlineSite("outer", 0x2010, "C:\\src\\inl.h", 30, "/src/main.cc", 20),
        InlineSite("inner", 0x2018, "C:\\src\\inl.h", 6, "C:\\src\\inl.h", 30),
    ]
    (outer,) = app.inlines_at(0x2055)
    assert (outer.start_rva, outer.line, outer.call_line) == (0x2010, 8, 20)


def test_files_of_calls_in_the_old_dialect() -> None:
    app = source(
        "FILE 0 main.cc",
        "FILE 1 a.h",
        "INLINE_ORIGIN 0 1 outer()",
        "INLINE_ORIGIN 1 1 inner()",
        "FUNC 10 20 0 main",
        "INLINE 0 20 0 18 10",
        "INLINE 1 30 1 18 8",
        "10 8 3 0",
        "18 8 9 1",
        "20 8 21 1",
    )
    assert app.line_at(0x18) == LineEntry("main.cc", 20, 0, 0x18, 0x10)
    assert list(app.inlines_at(0x19)) == [
        InlineSite("outer", 0x18, "a.h", 30, "main.cc", 20),
        InlineSite("inner", 0x18, "a.h", 9, "a.h", 30),
    ]


def test_addresses_of_lines(app: BreakpadSource) -> None:
    assert app.rvas_of_line("main.cc", 3, CancelToken()) == [0x1000]
    assert app.rvas_of_line("/src/main.cc", 11, CancelToken()) == [0x2010]  # the call in line 20
    assert app.rvas_of_line("main.cc", 21, CancelToken()) == [0x2030]
    assert app.rvas_of_line("INL.H", 6, CancelToken()) == [0x2018]
    assert app.rvas_of_line("main.cc", 20, CancelToken()) == [0x2010]  # inlined there
    assert app.rvas_of_line("main.cc", 500, CancelToken()) == []
    assert app.rvas_of_line("n.cc", 3, CancelToken()) == []


def test_frames() -> None:
    app = source(
        "STACK CFI INIT 10 10 .cfa: $rsp 8 +",
        "STACK WIN 4 40 10 1 2 3 4 5 6 1 $T0 .raSearch =",
    )
    rules = app.cfi_at(0x10)
    assert rules is not None
    assert rules.rules == {".cfa": "$rsp 8 +"}
    assert app.cfi_at(0x40) is None
    frame = app.win_frame_at(0x44)
    assert frame is not None
    assert (frame.rva, frame.code_size, frame.parameters_size) == (0x40, 0x10, 3)
    assert frame.program == "$T0 .raSearch ="
    assert app.win_frame_at(0x10) is None


def test_hostile_names_and_overlaps() -> None:
    app = source(
        "FUNC 10 100 0 wide(int)",
        "FUNC 20 10 0 \x1b]0;evil\x07",
        "FUNC 20 10 0 \xff",
        "FUNC 10 100 0 again",
    )
    inner = app.symbol_at(0x2F)
    assert inner is not None
    assert inner.name == "\x1b]0;evil\x07"  # whoever shows it makes it harmless
    outer = app.symbol_at(0x30)
    assert outer is not None
    assert outer.name == "wide"
    assert [s.name for s in app.symbols_at(0x10)] == ["wide", "again"]


def test_files_that_are_none(tmp_path: Path) -> None:
    for data in (b"", b"MZ\0\0"):
        (tmp_path / "app.sym").write_bytes(data)
        with pytest.raises(FormatError):
            open_breakpad(tmp_path / "app.sym")
    with pytest.raises(OSError, match="No such file"):
        open_breakpad(tmp_path / "none.sym")
