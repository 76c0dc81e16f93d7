"""Sources from servers: asked only where the user said so, beside the session, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import pytest

from polydbg.engine.session import Session
from polydbg.engine.source_servers import FoundSource, find_source, matches, verify
from polydbg.symbols.source import SourceDigest, SourceRecord
from polydbg.symbols.store import Outcome, SymbolPath, Trail, Verify

CODE = b"int main(void)\n{\n}\n"
DIGEST = SourceDigest("sha256", hashlib.sha256(CODE).digest())
PATH = r"C:\build\main.c"
URL = "https://user:secret@host.example/main.c"


class Servers:
    """Answers in the place of the session's fetcher."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.names: list[tuple[str, str, str]] = []
        self.folder = folder
        self.content: bytes | None = None
        self.outcome = Outcome.PENDING

    def source(
        self,
        urls: Sequence[str],
        cache_name: tuple[str, str, str],
        verify: Verify,
        words: str,
        trail: Trail,
        cache: Path | None = None,
    ) -> Path | None:
        self.asked += urls
        self.cache = cache
        self.names.append(cache_name)
        if self.content is None:
            trail.add("https://host.example/main.c", self.outcome, "words")
            return None
        path = self.folder / "came"
        path.write_bytes(self.content)
        return path if verify(path).matches else None


class Opened:
    """One session, what its module's debug file says, and the servers."""

    def __init__(self, session: Session, servers: Servers) -> None:
        self.session = session
        self.servers = servers
        self.record = SourceRecord(DIGEST, (URL,))
        registers = session.current.exception_registers()
        assert registers is not None
        self.address = registers["rip"]

    def find(self, path: str = PATH) -> FoundSource:
        return find_source(self.session, self.session.current, path, self.address)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    session, servers = Session(), Servers(tmp_path)
    folder = str(resources.files("polydbg") / "demo")
    session.settings.symbol_path = session.settings.image_path = SymbolPath.parse(folder)
    session.open_dump(f"{folder}/practice.dmp")
    state = Opened(session, servers)
    module = session.current.modules.at(state.address)
    assert module is not None
    source = session.current.modules.symbols(module)
    monkeypatch.setattr(type(source), "source_record", lambda *_: state.record)
    monkeypatch.setattr(session.files.downloads, "source", servers.source)
    yield state
    session.close()


@pytest.mark.parametrize("path", ["", "/nowhere", "srv*https://host.example", "cache*"])
def test_addresses_of_strangers_are_not_asked(opened: Opened, path: str) -> None:
    opened.session.settings.source_path = path
    opened.session.settings.debuginfod_urls = ("http://127.0.0.1:1",)
    found = opened.find()
    assert found.path is None
    assert not opened.servers.asked
    assert any("not asked" in reason for reason in found.reasons)
    assert "secret" not in str(found.reasons)


def test_links_are_followed_where_the_path_says_so(opened: Opened) -> None:
    opened.session.settings.source_path = "SRV*"
    found = opened.find()
    assert (found.path, found.host) == (None, "host.example")
    assert opened.servers.asked == [URL]
    folder, key, name = opened.servers.names[0]
    assert (folder, name) == ("files", "main.c")
    assert key.isalnum()
    opened.servers.content = CODE.replace(b"\n", b"\r\n")
    assert opened.find().path == opened.servers.folder / "came"
    opened.servers.content = b"int main(int argc)\n"
    assert opened.find().path is None


def test_a_failure_has_its_reason(opened: Opened) -> None:
    opened.session.settings.source_path = "SRV*"
    opened.servers.outcome = Outcome.FAILED
    found = opened.find()
    assert found.host == ""
    assert found.reasons[-1] == "https://host.example/main.c - failed: words"


def test_what_lies_in_the_cache_needs_no_server(opened: Opened, tmp_path: Path) -> None:
    opened.session.settings.source_path = "SRV*"
    opened.find()
    kept = tmp_path.joinpath("cache", "src", *opened.servers.names[0])
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CODE)
    opened.session.settings.offline = True
    assert opened.find().path == kept
    assert len(opened.servers.asked) == 1


def test_commands_are_shown(opened: Opened) -> None:
    opened.record = SourceRecord(command="tf get $/main.c")
    opened.session.settings.source_path = "SRV*"
    assert "never run: tf get $/main.c" in opened.find().reasons[-1]
    assert not opened.servers.asked


def test_names_that_leave_the_cache(opened: Opened) -> None:
    opened.session.settings.source_path = "SRV*"
    assert opened.find("/a/..").path is None
    assert not opened.servers.asked


@pytest.mark.parametrize(
    ("content", "digest", "name", "is_source"),
    [
        (CODE, DIGEST, "a.c", True),
        (CODE.replace(b"\n", b"\r\n"), DIGEST, "a.c", True),
        (CODE + b"\n", DIGEST, "a.c", False),
        (b"\n <!DOCTYPE html><p>", None, "a.c", False),
        (b"<html>", None, "a.HTML", True),
        (CODE, None, "a.c", True),
    ],
    ids=["same", "crlf", "other", "page", "meant-page", "unknown"],
)
def test_verify(
    tmp_path: Path, content: bytes, digest: SourceDigest | None, name: str, is_source: bool
) -> None:
    path = tmp_path / "~x.part"
    path.write_bytes(content)
    assert verify(path, name, digest).matches == is_source


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_algorithms(algorithm: str) -> None:
    value = hashlib.new(algorithm, CODE, usedforsecurity=False).digest()
    assert matches(CODE, SourceDigest(algorithm, value))
    assert not matches(CODE + b" ", SourceDigest(algorithm, value))


def test_local_files_come_first_and_are_compared(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_bytes(CODE)
    opened.session.settings.source_path = f"SRV*;{tmp_path}"
    assert not opened.find().differs
    (tmp_path / "main.c").write_bytes(CODE + b"more\n")
    assert opened.find().differs
    assert not opened.servers.asked


def test_a_store_of_the_path_keeps_what_was_fetched(opened: Opened, tmp_path: Path) -> None:
    opened.session.settings.source_path = f"SRV*{tmp_path / 'kept'}"
    opened.find()
    assert opened.servers.cache == tmp_path / "kept"
