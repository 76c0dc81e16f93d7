"""The grammar of search paths, against the words of real transcripts."""

from pathlib import Path

import pytest

from polydbg.symbols.store import SymbolPath
from polydbg.symbols.store.path import MICROSOFT, ElementKind


def kinds(text: str, **options: bool) -> list[tuple[ElementKind, tuple[str, ...]]]:
    return [(e.kind, e.stores) for e in SymbolPath.parse(text, **options).elements]


@pytest.mark.parametrize(
    ("text", "kind", "stores"),
    [
        ("/sym", ElementKind.DIRECTORY, ("/sym",)),
        (r"C:\samples", ElementKind.DIRECTORY, (r"C:\samples",)),
        ("srv*", ElementKind.CHAIN, ("", MICROSOFT)),
        ("SRV*/a*/b", ElementKind.CHAIN, ("/a", "/b")),
        ("srv**https://s.example/x", ElementKind.CHAIN, ("", "https://s.example/x")),
        ("srv*https://s.example/x", ElementKind.CHAIN, ("", "https://s.example/x")),
        ("srv*/a*", ElementKind.CHAIN, ("/a", "")),
        ("https://s.example/x", ElementKind.CHAIN, ("", "https://s.example/x")),
        (r"symsrv*C:\dbg\SymSrv.dll*/a", ElementKind.CHAIN, ("/a",)),
        ("symsrv*other.dll*/a", ElementKind.FOREIGN, ("/a",)),
        ("cache*", ElementKind.CACHE, ("",)),
        ("Cache*/c", ElementKind.CACHE, ("/c",)),
        ("cache", ElementKind.DIRECTORY, ("cache",)),
        ("DebugInfoD*https://d.example", ElementKind.DEBUGINFOD, ("https://d.example",)),
    ],
)
def test_element(text: str, kind: ElementKind, stores: tuple[str, ...]) -> None:
    assert kinds(text) == [(kind, stores)]


def test_separators() -> None:
    assert len(kinds("/a;/b; ;/c ", posix=True)) == 3
    assert kinds("/a:/b", posix=True) == kinds("/a;/b")
    assert len(kinds("/a:/b", posix=False)) == 1
    assert len(kinds(r"C:\a", posix=True)) == 1
    assert len(kinds("srv*C:/a", posix=True)) == 1
    assert len(kinds("srv*https://s.example", posix=True)) == 1
    assert kinds('"/a b";/c')[0] == (ElementKind.DIRECTORY, ("/a b",))


def test_expanded_and_check_of_srv_are_those_of_the_real_engine() -> None:
    path = SymbolPath.for_symfix()
    assert path.text == "srv*"
    assert path.expanded == "cache*;SRV*https://msdl.microsoft.com/download/symbols"
    assert [check.row for check in path.check()] == [
        "Deferred                                       srv*"
    ]
    assert SymbolPath.parse(r"C:\samples").expanded == r"c:\samples"


def test_symfix_with_a_cache() -> None:
    path = SymbolPath.for_symfix("/c")
    assert path.elements[0].stores == ("/c", MICROSOFT)


def test_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = SymbolPath.parse(f"{tmp_path};{tmp_path}/none;{tmp_path}/file;cache*")
    rows = path.check()
    assert [row.status for row in rows] == ["OK", "Error", "OK", "Deferred"]
    assert rows[1].reason == "0x2 - File not found."
    assert rows[0].row == f"OK{'':45}{tmp_path}" or rows[0].milliseconds
    assert not rows[2].reason  # a file may be given itself


def test_environment() -> None:
    environ = {
        "_NT_SYMBOL_PATH": "/b",
        "_NT_ALT_SYMBOL_PATH": "/a",
        "_NT_EXECUTABLE_IMAGE_PATH": "/i",
    }
    assert SymbolPath.from_environment(environ=environ).text == "/a;/b"
    assert SymbolPath.from_environment(images=True, environ=environ).text == "/i"
    assert SymbolPath.from_environment(environ={}).elements == ()


def test_appended_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLY_X", "/x")
    path = SymbolPath.parse("/a:/b", posix=True).appended("%POLY_X%/y;%POLY_NONE%")
    assert path.text == "/a;/b;%POLY_X%/y;%POLY_NONE%"
    assert path.expanded == "/a;/b;/x/y;%POLY_NONE%"
