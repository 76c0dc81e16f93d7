"""A source link of a PDB, followed over HTTP to a server of the test."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.engine.session import Session
from polydbg.engine.source_servers import FoundSource, find_source
from polydbg.symbols.pdb import open_pdb
from polydbg.symbols.store import SymbolPath
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

CLANG, LINKER = shutil.which("clang-19"), shutil.which("lld-link-19")
SOURCE = b"int start(int a)\r\n{\r\n    return a * 3;\r\n}\r\n"
BASE = 0x140000000

pytestmark = pytest.mark.skipif(not (CLANG and LINKER), reason="needs clang-19 and lld-link-19")


class Handler(BaseHTTPRequestHandler):
    """Has one file, with other ends of lines than were compiled; counts what it is asked."""

    asked: list[str]
    content: bytes

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Own", (Handler,), {"asked": [], "content": SOURCE.replace(b"\r\n", b"\n")})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}", handler
        http.shutdown()


@pytest.fixture
def dump(tmp_path: Path, server: tuple[str, type[Handler]]) -> tuple[Path, int]:
    """A dump that stopped at line 3 of a program whose PDB links to the server."""
    source, links = tmp_path / "gone" / "a b.c", tmp_path / "links.json"
    source.parent.mkdir()
    source.write_bytes(SOURCE)
    links.write_text(json.dumps({"documents": {f"{source.parent}/*": f"{server[0]}/raw/*"}}))
    obj, pdb = tmp_path / "a.obj", tmp_path / "a.pdb"
    target = "--target=x86_64-pc-windows-msvc"
    compile_ = [str(CLANG), target, "-c", "-g", "-gcodeview", str(source), "-o", str(obj)]
    subprocess.run(compile_, check=True, timeout=60)
    link = [str(LINKER), "/nologo", "/debug", "/entry:start", "/nodefaultlib"]
    link += ["/subsystem:console", f"/pdbstream:sourcelink={links}", f"/pdb:{pdb}"]
    subprocess.run([*link, f"/out:{tmp_path}/a.exe", str(obj)], check=True, timeout=60)
    source.unlink()
    opened = open_pdb(pdb)
    address = BASE + opened.rvas_of_line("a b.c", 3, CancelToken())[0]
    debug_id = opened.debug_id
    opened.close()
    builder = MinidumpBuilder().system()
    builder.thread(1, amd64_context(rip=address, rsp=0x2000), stack=(0x2000, bytes(64)))
    builder.module(BASE, 0x3000, "a.exe", codeview=rsds(debug_id.guid, debug_id.age, "a.pdb"))
    path = tmp_path / "a.dmp"
    path.write_bytes(builder.build())
    return path, address


def find(path: Path, address: int, *, source_path: str) -> FoundSource:
    session = Session()
    try:
        session.settings.symbol_path = SymbolPath.parse(str(path.parent))
        session.settings.source_path = source_path
        session.open_dump(str(path))
        session.files.downloads.wait_at_most(20.0)
        row = session.current.modules.line_at(address)
        assert row is not None
        return find_source(session, session.current, row.file, address)
    finally:
        session.close()


def test_a_link_is_followed_only_if_the_path_says_so(
    dump: tuple[Path, int],
    server: tuple[str, type[Handler]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    handler = server[1]
    assert find(*dump, source_path="/nowhere").path is None
    assert not handler.asked
    found = find(*dump, source_path="SRV*")
    assert handler.asked == ["/raw/a%20b.c"]
    assert found.path is not None, found.reasons
    assert found.path.is_relative_to(tmp_path / "cache" / "src")
    assert not found.differs


def test_another_file_is_refused(
    dump: tuple[Path, int],
    server: tuple[str, type[Handler]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    server[1].content = b"int another;\n"
    found = find(*dump, source_path="SRV*")
    assert found.path is None
    assert "md5" in found.reasons[-1]
    assert not list((tmp_path / "cache").rglob("a b.c"))
