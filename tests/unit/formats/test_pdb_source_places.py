"""Source links and source-server streams of PDBs."""

from __future__ import annotations

import json

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.source_link import SourceLinks
from polydbg.formats.pdb.source_server import SourceServer

LINKS = {
    "C:\\src\\*": "https://host.example/all/*?raw=1",
    "C:\\src\\lib\\*": "https://host.example/lib/*",
    "C:\\src\\lib\\one.c": "https://host.example/one",
    "/tmp/*/x.c": "https://host.example/middle/*",
    "/home/a/*": "https://host.example/nostar",
    "/home/b/*": "https://host.example/*/*",
    "/home/c.c": "file:///etc/passwd",
    "/home/d.c": "https://host.example/a b",
}


@pytest.mark.parametrize(
    ("path", "url"),
    [
        (r"c:\SRC\main.c", "https://host.example/all/main.c?raw=1"),
        ("C:/src/Sub Folder/a#b.c", "https://host.example/all/Sub%20Folder/a%23b.c?raw=1"),
        (r"C:\src\lib\two.c", "https://host.example/lib/two.c"),
        (r"C:\src\lib\ONE.c", "https://host.example/one"),
        (r"D:\src\main.c", None),
        ("/tmp/*/x.c", None),
        ("/tmp/y/x.c", None),
        ("/home/a/x.c", None),
        ("/home/b/x.c", None),
        ("/home/c.c", None),
        ("/home/d.c", None),
        ("C:\\src\\" + "x" * 5000, None),
    ],
)
def test_links(path: str, url: str | None) -> None:
    assert SourceLinks.parse(json.dumps({"documents": LINKS}).encode()).url(path) == url


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"documents": {"a": 1}}',
        b'{"documents": []}',
        b'{"documents": {"\xff": "b"}}',
        b'{"x": ' + b"[" * 100_000,
        b" " * (5 << 20),
    ],
    ids=lambda data: f"{len(data)}-{data[:20].decode('latin-1')}",
)
def test_damaged_links(data: bytes) -> None:
    with pytest.raises(FormatError):
        SourceLinks.parse(data)


def server(variables: str, *files: str) -> SourceServer:
    text = f"SRCSRV: ini ---\nVERSION=2\nSRCSRV: variables ---\n{variables}\n"
    text += "SRCSRV: source files ---\n" + "\n".join(files) + "\nSRCSRV: end ---\n"
    return SourceServer.parse(text.replace("\n", "\r\n").encode())


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ("SRCSRVTRG=http://h/%var3%/%var2%", "http://h/7/lib/a.c"),
        ("R=https://h\nT=%r%/%VAR2%\nSRCSRVTRG=%t%", "https://h/lib/a.c"),
        ("P4_X=http://h\nSRCSRVTRG=%fnvar%(%var4%)/%fnfile%(%var1%)", "http://h/a.c"),
        ("SRCSRVTRG=http://h/%fnbksl%(%var2%)", "http://h/lib\\a.c"),
        ("SRCSRVTRG=http://h/%unknown%/100%", "http://h/%unknown%/100%"),
        ("SRCSRVTRG=file:///%var2%", ""),
        ("SRCSRVTRG=%targ%\\%var2%", ""),
        ("", ""),
    ],
)
def test_addresses(variables: str, url: str) -> None:
    stream = server(variables, r"C:\b\lib\a.c*lib/a.c*7*P4_X", "C:\\other.c*x")
    found = stream.find("c:/B/lib/a.c")
    assert found is not None
    assert found.url == url
    assert stream.find("a.c") is None


def test_a_command_is_shown_only() -> None:
    stream = server("SRCSRVTRG=%targ%\\a\nSRCSRVCMD=git show %var2%:%var3% > %srcsrvtrg%", "a*b*c")
    found = stream.find("a")
    assert found is not None
    assert found.command == "git show b:c > %targ%\\a"
    assert found.url == ""


@pytest.mark.parametrize(
    "variables",
    [
        "SRCSRVTRG=%srcsrvtrg%",
        "A=%b%%b%\nB=%a%%a%\nSRCSRVTRG=%a%",
        "\n".join(f"V{n}=%v{n + 1}%%v{n + 1}%" for n in range(30)) + "\nSRCSRVTRG=%v0%",
        "A=" + "x" * 5000 + "\nSRCSRVTRG=%a%%a%",
        "SRCSRVTRG=" + "%fnfile%(" * 50 + ")" * 50,
    ],
    ids=["itself", "each-other", "doubling", "long", "nested"],
)
def test_variables_that_do_not_end(variables: str) -> None:
    with pytest.raises(FormatError):
        server(variables, "a*b").find("a")


@pytest.mark.parametrize("data", [b"", b"hello", b"x" * (17 << 20)], ids=["empty", "text", "large"])
def test_no_source_server(data: bytes) -> None:
    with pytest.raises(FormatError):
        SourceServer.parse(data)
