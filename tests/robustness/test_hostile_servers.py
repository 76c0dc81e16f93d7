"""Servers, caches and packs of people who mean no good."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.servers import unruly
from tests.servers.unruly import Unruly

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.service.api import OpenRequest
from polydbg.service.local import LocalClient
from polydbg.symbols.download import connections, http
from polydbg.symbols.download.addresses import redacted
from polydbg.symbols.download.fetcher import Fetcher
from polydbg.symbols.download.http import HttpClient
from polydbg.symbols.download.jobs import Job
from polydbg.symbols.download.landing import Landing
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.download.receiver import Receiver
from polydbg.symbols.serving.store_files import StoreFiles
from polydbg.symbols.store import FetchRequest, FileKind, IdCheck, Server, ServerKind, Wanted
from polydbg.symbols.store.hostpath import DirectoryCache
from polydbg.symbols.store.layout import LocalStore, name_problem
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

QUICK = Limits(connect=0.5, stall=0.6, slow=0.6)
NAME = "/a.pdb"
DATA = b"A" * 5000
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 5000\r\n"
TAG = b'ETag: "x"\r\n'
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BEGINNING = OK + TAG + LENGTH + b"\r\n" + DATA[:1000]
WHOLE = OK + LENGTH + b"\r\n" + DATA


def part(span: str, body: bytes, *headers: str) -> bytes:
    """Return an answer with a part of a file."""
    lines = ("HTTP/1.1 206 Part", f"Content-Range: bytes {span}", *headers)
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server() -> Iterator[Unruly]:
    with Unruly({NAME: DATA}) as running:
        yield running


class Fetch:
    """Fetches into a folder with short patience."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.target = self.root / "a.pdb" / "KEY" / "a.pdb"
        self.client = HttpClient(QUICK)
        self.cancel = CancelToken()

    def __call__(self, url: str, **options: str) -> bytes:
        landing = Landing.begin(self.target, self.root)
        try:
            self.client.download(
                url, landing, cancel=self.cancel, observe=lambda *_: None, **options
            )
            landing.close()
            return landing.commit().read_bytes()
        finally:
            landing.keep()

    def problem(self, url: str, **options: str) -> TransferError:
        with pytest.raises(TransferError) as caught:
            self(url, **options)
        return caught.value


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([CHUNKED + b"-5\r\nabcde\r\n0\r\n\r\n"], Problem.CUT_SHORT),
        ([CHUNKED + b"ffffffffffffffffff\r\nabcde"], Problem.CUT_SHORT),
        ([CHUNKED + b"zz\r\nabcde"], Problem.CUT_SHORT),
        ([CHUNKED + b"5\r\nabcde\r\n"], Problem.CUT_SHORT),
        ([OK + b"Content-Length: 5000, 5001\r\n\r\n" + DATA], Problem.UNEXPECTED_STATUS),
        ([OK + b"Content-Length: 99999999999999999999\r\n\r\n" + DATA], Problem.CUT_SHORT),
        ([OK + b"Content-Length: 9999999999999999999\r\n\r\n" + DATA], Problem.TOO_LARGE),
        ([OK + b"X: y\r\n" * 1000 + LENGTH + b"\r\n" + DATA], Problem.UNEXPECTED_STATUS),
        ([OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n"], Problem.UNEXPECTED_STATUS),
        ([b"SSH-2.0-OpenSSH_9\r\n"], Problem.UNEXPECTED_STATUS),
        ([b"<html>HTTP 0.9</html>"], Problem.UNEXPECTED_STATUS),
        ([b"HTTP/1.1 103 Early\r\n\r\n" + WHOLE], Problem.UNEXPECTED_STATUS),
        ([b""], Problem.CUT_SHORT),
        ([part("0-99/*", DATA[:100])], Problem.CUT_SHORT),
        ([part("0-99/50", DATA[:100])], Problem.CUT_SHORT),
        ([BEGINNING, part("1000-1999/2000", b"B" * 1000, 'ETag: "x"')], Problem.CUT_SHORT),
        ([BEGINNING, part("1000-4999/5000", b"B" * 4000, 'ETag: "y"')], Problem.CUT_SHORT),
        ([BEGINNING, part("500-4999/5000", b"B" * 4500, 'ETag: "x"')], Problem.CUT_SHORT),
    ],
    ids=[
        "chunk-negative", "chunk-huge", "chunk-no-number", "chunks-without-end", "two-lengths",
        "length-absurd", "length-too-large", "thousand-headers", "header-huge", "ssh", "http-0.9",
        "early-hints", "nothing", "part-of-unknown", "part-beyond", "other-size", "other-tag",
        "overlapping",
    ],
)  # fmt: skip
def test_answers_that_lie(
    server: Unruly, fetch: Fetch, answers: list[bytes], problem: Problem
) -> None:
    server.behaviours[NAME] = unruly.raw(*answers)
    assert fetch.problem(server.url + NAME).problem is problem
    assert names(fetch.root) == ["pingme.txt"]
    del server.behaviours[NAME]
    assert fetch(server.url + NAME) == DATA, "nothing poisons the next time"


@pytest.mark.parametrize(
    "answers",
    [
        [b"HTTP/1.0 200 OK\r\n\r\n" + DATA],
        [OK + b"Content-Length: -5\r\n\r\n" + DATA],
        [WHOLE + b"trailing" * 1000],
        [BEGINNING, b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n", WHOLE],
        [BEGINNING, WHOLE],
        [part("0-4999/5000", DATA)],
    ],
    ids=["http-1.0", "negative-length", "trailing", "refused-range", "ignored-range", "unasked"],
)
def test_answers_that_can_be_taken(server: Unruly, fetch: Fetch, answers: list[bytes]) -> None:
    server.behaviours[NAME] = unruly.raw(*answers)
    assert fetch(server.url + NAME) == DATA


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
        (CHUNKED + b"5\r\nabcde\r\n0\r\n", b"X: y\r\n" * 100),
        (CHUNKED + b"5", b";extension" * 6000 + b"\r\nabcde\r\n5"),
    ],
    ids=["continue", "trailers", "extensions"],
)
def test_what_does_not_end_is_cut(server: Unruly, fetch: Fetch, start: bytes, piece: bytes) -> None:
    server.behaviours[NAME] = unruly.pouring(start, piece)
    begin = time.monotonic()
    assert fetch.problem(server.url + NAME).problem is Problem.STALLED
    assert time.monotonic() - begin < 10


def test_an_error_page_that_does_not_come_holds_nobody_up(server: Unruly, fetch: Fetch) -> None:
    fetch.client = HttpClient(Limits())

    def behave(handler: unruly.Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\n")
        time.sleep(20)

    server.behaviours[NAME] = behave
    begin = time.monotonic()
    assert fetch.problem(server.url + NAME).problem is Problem.NOT_FOUND
    assert time.monotonic() - begin < 10


def test_a_file_that_was_stopped_is_none_though_its_end_is_not_known(
    server: Unruly, fetch: Fetch
) -> None:
    def behave(handler: unruly.Handler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + DATA)
        fetch.cancel.cancel()
        time.sleep(3)

    server.behaviours[NAME] = behave
    with pytest.raises(Cancelled):
        fetch(server.url + NAME)
    assert names(fetch.root) == ["pingme.txt"]


def test_pages_and_addresses_are_read_once() -> None:
    """What a server sends is matched in one pass, not in each combination of its pieces."""
    begin = time.monotonic()
    http._refuse_page(b"<!---->" * 140 + b"x", "http://h/")
    http._refuse_page(b"<?xml>" * 160 + b"<", "http://h/")
    for text in ("a" * 60_000, "http://h/?" + "key" * 20_000, "?" * 60_000, "//" * 30_000):
        redacted(text)
        redacted(f"http://h/{text}")
    assert time.monotonic() - begin < 5  # for each of them it was minutes
    with pytest.raises(TransferError):
        http._refuse_page(b"<!--a--> <?xml?>\n<!--b--><!DOCTYPE html>", "http://h/")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me@corp.example:hunter2@h/a", "http://***@h/a"),
        ("http://me:it's<hunter2>@h/a", "http://***@h/a"),
        ("http://me:hunter2;x*y@h/a", "http://***@h/a"),
        ("http://h/a?x=1?password=hunter2", "http://h/a?x=1?password=***"),
        ("http://h/a#access_token=hunter2", "http://h/a#access_token=***"),
        ("srv*http://h/a;C:\\me@home", "srv*http://h/a;C:\\me@home"),
    ],
)
def test_secrets_of_every_form_are_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


# -- redirects -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("http://me:word@127.0.0.1:{port}/x", "/x"),
        ("//127.0.0.1:{port}/x#piece", "/x"),
        ("/a b", "/a%20b"),
        ("/\xe4", "/%C3%A4"),
        ("/x%0d%0aHost:%20y", "/x%0D%0AHost:%20y"),
        ("/\\evil/x", "/%5Cevil/x"),
    ],
    ids=["user", "protocol-relative", "space", "umlaut", "line-ends", "backslash"],
)
def test_odd_redirects(server: Unruly, fetch: Fetch, target: str, asked: str) -> None:
    server.files[asked] = DATA
    server.behaviours[NAME] = unruly.redirect(target.format(port=server.port))
    assert fetch(server.url + NAME) == DATA
    assert server.paths == [NAME, asked]


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "data:text/plain,x", "file:///etc/passwd", "http://a]b/", "http://[::1",
     "http://h:99999/", "http://h:-1/", "http://127.0.0.%31/x", "http://\x01/", "http://a..b/"],
)  # fmt: skip
def test_redirects_that_are_not_followed(server: Unruly, fetch: Fetch, target: str) -> None:
    server.behaviours[NAME] = unruly.redirect(target)
    expected = (Problem.BAD_REDIRECT, Problem.BAD_ADDRESS, Problem.NO_SUCH_HOST)
    assert fetch.problem(server.url + NAME).problem in expected
    assert server.paths == [NAME]


@pytest.fixture
def _public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 counts as public, everything else as it is."""
    real = connections.is_private
    monkeypatch.setattr(
        connections, "is_private", lambda address: address != "127.0.0.1" and real(address)
    )


@pytest.mark.usefixtures("_public")
@pytest.mark.parametrize("before", [False, True], ids=["new", "open"])
def test_no_connection_that_is_open_leads_inside(
    server: Unruly, fetch: Fetch, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was asked before, by the user's own wish, is as closed as any other."""
    server.files["/x"] = b"inside"
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **options: object) -> object:
        known = {"inside.example": "127.0.0.2", "both.example": "127.0.0.2"}
        found = real(known.get(host, host), *rest, **options)  # type: ignore[arg-type]
        return [*real("127.0.0.1", *rest, **options), *found] if "both" in host else found  # type: ignore[arg-type]

    monkeypatch.setattr(connections.socket, "getaddrinfo", resolve)
    with Unruly({"/x": b"inside"}) as inside:
        inside._server.socket.close()
        inside._server.socket = socket.create_server(("127.0.0.2", inside.port))
        url = f"http://inside.example:{inside.port}/x"
        if before:
            assert fetch(url) == b"inside"
            fetch.target.unlink()
        for target in (url, url.replace("inside", "INSIDE"), url.replace("inside", "both")):
            server.behaviours[NAME] = unruly.redirect(target)
            error = fetch.problem(server.url + NAME)
            assert error.problem is Problem.BAD_REDIRECT
            assert "private address" in error.message
        assert len(inside.requests) == before


@pytest.mark.usefixtures("_public")
def test_a_pointer_of_a_public_server_leads_to_no_private_address(
    server: Unruly, fetch: Fetch
) -> None:
    url = f"http://127.0.0.2:{server.port}/x"
    server.files["/file.ptr"] = url.encode()
    origin = f"{server.url}/file.ptr"
    assert fetch.client.text(origin, cancel=fetch.cancel) == url.encode()
    error = fetch.problem(url, origin=origin)
    assert error.problem is Problem.BAD_REDIRECT
    assert "private address" in error.message


@pytest.mark.parametrize(
    "host", ["0x7f.1", "0X7F000001", "2130706433", "017700000001", "127.1", "localhost.", "0x7f.1."]
)
def test_addresses_in_disguise_are_refused_behind_a_proxy(
    server: Unruly, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    server.behaviours["http://symbols.example"] = unruly.redirect(f"http://{host}/x")
    monkeypatch.setenv("http_proxy", server.url)
    assert "private address" in fetch.problem("http://symbols.example/a.pdb").message
    assert server.paths == ["http://symbols.example/a.pdb"]


# -- parts ---------------------------------------------------------------------------------------


def request(server: Unruly, *caches: Path) -> FetchRequest:
    """Return a request for a file whose only right content is DATA."""

    def verify(path: Path) -> IdCheck:
        return IdCheck(path.read_bytes() == DATA, found_id="OTHER")

    servers = (Server(server.url, ServerKind.STORE, caches),)
    wanted = Wanted(FileKind.PDB, "a.pdb", "KEY")
    return FetchRequest(wanted, "a.pdb", "KEY", "a.pdb", servers, verify)


def test_a_beginning_of_another_file_is_dropped_and_the_file_fetched_anew(
    server: Unruly, tmp_path: Path
) -> None:
    """The mark of the content is the same, the bytes are not: only the id tells."""
    store = tmp_path / "store"
    server.behaviours["/a.pdb/KEY/a.pdb"] = unruly.raw(
        OK + TAG + LENGTH + b"\r\n" + b"B" * 1000,
        part("1000-4999/5000", DATA[1000:], 'ETag: "x"'),
        WHOLE,
    )
    wanted = request(server, store)
    found = Receiver(HttpClient(QUICK), QUICK).ask(wanted.servers[0], Job(wanted))
    assert found is not None
    assert found.read_bytes() == DATA
    assert names(store) == ["a.pdb/KEY/a.pdb", "pingme.txt"]


@pytest.mark.parametrize("tiers", ["", "/a_"], ids=["two-servers", "two-tiers"])
def test_a_server_without_the_file_costs_no_beginning(
    server: Unruly, tmp_path: Path, tiers: str
) -> None:
    """What came from one address is gone on with, though others are asked before it."""
    store = tmp_path / "store"
    place = f"{tiers}/a_b/KEY/a_b"
    if tiers:
        server.files["/index2.txt"] = b"2"
    server.behaviours[place] = unruly.raw(BEGINNING, b"")
    wanted = msgspec.structs.replace(request(server, store), name="a_b", file_name="a_b")
    with Unruly() as other:
        asked = (Server(other.url, ServerKind.STORE, (store,)), *wanted.servers)
        job = Job(msgspec.structs.replace(wanted, servers=asked))
        with pytest.raises(TransferError):
            Receiver(HttpClient(QUICK), QUICK).ask(wanted.servers[0], job)
        server.behaviours[place] = unruly.raw(part("1000-4999/5000", DATA[1000:], 'ETag: "x"'))
        again = Receiver(HttpClient(QUICK), QUICK)
        assert again.ask(asked[0], job) is None
        found = again.ask(asked[1], job)
    assert found is not None
    assert found.read_bytes() == DATA
    assert server.requests[-1][1]["range"] == "bytes=1000-"


def _folder(path: Path, outside: Path) -> None:
    path.mkdir()


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "victim")


def _pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
@pytest.mark.parametrize("what", [_folder, _link, _pipe], ids=["folder", "link", "pipe"])
@pytest.mark.parametrize("name", ["~a.pdb.part", "~a.pdb.part.json", "a.pdb"])
def test_what_lies_in_the_way_in_a_cache(
    server: Unruly, tmp_path: Path, name: str, what: Callable[[Path, Path], None]
) -> None:
    """Nothing is read from or written to where it leads."""
    outside, store = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    (outside / "victim").write_bytes(b"precious")
    (store / "a.pdb" / "KEY").mkdir(parents=True)
    what(store / "a.pdb" / "KEY" / name, outside)
    server.behaviours["/a.pdb/KEY/a.pdb"] = unruly.raw(BEGINNING, WHOLE)
    wanted = request(server, store)
    found = Receiver(HttpClient(QUICK), QUICK).ask(wanted.servers[0], Job(wanted))
    assert found is not None
    assert found.read_bytes() == DATA
    assert [(each.name, each.read_bytes()) for each in outside.iterdir()] == [
        ("victim", b"precious")
    ]


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize("name", ["a.pdb", "a.pdb/KEY"])
def test_folders_of_a_cache_that_lead_out_of_it(server: Unruly, tmp_path: Path, name: str) -> None:
    outside, store = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    (store / name).parent.mkdir(parents=True)
    (store / name).symlink_to(outside)
    server.files["/a.pdb/KEY/a.pdb"] = DATA
    wanted = request(server, store)
    found = Receiver(HttpClient(QUICK), QUICK).ask(wanted.servers[0], Job(wanted))
    assert found == tmp_path / "cache" / "sym" / "a.pdb" / "KEY" / "a.pdb"
    assert list(outside.iterdir()) == []


def test_a_store_that_is_a_link_itself_is_its_owners_wish(server: Unruly, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    server.files["/a.pdb/KEY/a.pdb"] = DATA
    wanted = request(server, tmp_path / "store")
    Receiver(HttpClient(QUICK), QUICK).ask(wanted.servers[0], Job(wanted))
    assert (tmp_path / "disk" / "a.pdb" / "KEY" / "a.pdb").read_bytes() == DATA


def test_folders_that_somebody_else_removes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that got no file removes the empty folder, just before the part is opened."""
    from polydbg.symbols.download import landing

    real, left = landing.make_folder, [3]

    def make_and_lose(root: Path, folder: Path) -> None:
        real(root, folder)
        if left[0]:
            left[0] -= 1
            folder.rmdir()

    monkeypatch.setattr(landing, "make_folder", make_and_lose)
    begun = Landing.begin(tmp_path / "s" / "a" / "K" / "a", tmp_path / "s")
    begun.discard()
    assert left == [0]


def test_what_killed_processes_left_goes_in_time(tmp_path: Path) -> None:
    folder = tmp_path / "s" / "a.pdb" / "KEY"
    (folder / "~folder.part").mkdir(parents=True)
    for name in ("~1-2.tmp", "~1-2.tmp.json", "a.pdb"):
        (folder / name).write_bytes(b"x")
    for each in folder.iterdir():
        os.utime(each, (0, 0))
    Landing.begin(folder / "a.pdb", tmp_path / "s").discard()
    assert sorted(each.name for each in folder.iterdir()) == ["a.pdb", "~folder.part"]


# -- names ---------------------------------------------------------------------------------------

GUID = "0123456789ABCDEF0123456789ABCDEF"
NAMES = [
    "..", "../../evil.pdb", "..\\..\\evil.pdb", "C:\\..\\evil.pdb", "con.pdb", "nul", "a.pdb.",
    "a:b.pdb", "a?x=y#z.pdb", "%2e%2e%2fevil.pdb", "\u00e4 \U0001f600.pdb", "\u202egpj.pdb",
    "a\r\nHost: evil.pdb", "index2.txt", "000Admin", "pingme.txt", "~a.pdb.part", "x" * 254,
    "x" * 5000, "-y", "$(touch evil).pdb", "\\\\127.0.0.1\\share\\evil.pdb", "http://127.0.0.1/x",
]  # fmt: skip


def test_names_of_a_dump_stay_in_the_cache_and_in_one_component(
    server: Unruly, tmp_path: Path
) -> None:
    """Whatever modules are called: nothing is written elsewhere, no path is asked for as it is."""
    builder = MinidumpBuilder().system().thread(1, amd64_context(rip=0x140000000, rsp=0x1000))
    for number, name in enumerate(NAMES):
        base, record = 0x140000000 + number * 0x10000, rsds(GUID, number + 1, name)
        builder.module(base, 0x10000, f"C:\\{name}", timestamp=0x60000000, codeview=record)
    dump = tmp_path / "hostile.dmp"
    dump.write_bytes(builder.build())
    before = names(tmp_path)
    client = LocalClient()
    request = OpenRequest([str(dump)], f"srv*{tmp_path / 'store'}*{server.url}", "", "", False)
    assert list(client.open(request))
    assert list(client.execute(".reload /f"))
    client.close()
    left = {each.split("/")[0] for each in names(tmp_path) if each not in before}
    assert left <= {"store", "cache"}
    assert names(tmp_path / "store") in ([], ["pingme.txt"])
    assert len(server.paths) > len(NAMES)
    for path in server.paths:
        assert re.fullmatch(r"(/[A-Za-z0-9._~%-]+)+", path), path
        assert len(path.split("/")) <= 5
        assert not re.search(r"/\.+(/|$)|%2f|%5c|%00|%0d|%0a", path, re.IGNORECASE), path


@pytest.mark.parametrize("name", ["index2.txt", "PINGME.TXT", "000Admin"])
def test_a_store_keeps_its_own_names(tmp_path: Path, name: str) -> None:
    assert name_problem(name)
    (tmp_path / "index2.txt").mkdir()
    assert LocalStore(tmp_path, DirectoryCache()).tiers("a.pdb") == [()]


@pytest.mark.parametrize("kind", [ServerKind.STORE, ServerKind.ADDRESS, ServerKind.DEBUGINFOD])
@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://a]b/",
        "http://h:x/",
        "http://",
        "http://\u2100.example/",
        "http://%31/",
    ],
)
def test_an_address_that_cannot_be_read_costs_no_worker(url: str, kind: ServerKind) -> None:
    """Source links of a PDB and paths typed by hand may be anything."""
    wanted = Wanted(FileKind.SOURCE, "a.c", "KEY", build_id=b"12345678")
    asked = FetchRequest(
        wanted, "a.c", "KEY", "a.c", (Server(url, kind),), lambda path: IdCheck(True)
    )
    fetcher = Fetcher(Receiver(HttpClient(QUICK), QUICK), QUICK)
    for _ in range(QUICK.parallel + 1):
        job = fetcher.submit(asked)
        assert job.finished.wait(20)
        problems = [attempt.problem for attempt in job.attempts]
        assert problems in ([Problem.BAD_ADDRESS], [Problem.NO_SUCH_HOST], [Problem.RESTING])
        fetcher.forget_failures()
    fetcher.close()


# -- our own server ------------------------------------------------------------------------------


def test_a_pointer_is_followed_and_never_shown(tmp_path: Path) -> None:
    folder = tmp_path / "a.pdb" / "KEY"
    folder.mkdir(parents=True)
    (tmp_path / "real").write_bytes(DATA)
    (folder / "file.ptr").write_text(str(tmp_path / "real"))
    files = StoreFiles(tmp_path)
    assert files.of_store(["a.pdb", "KEY", "a.pdb"]) == tmp_path / "real"
    assert files.of_store(["a.pdb", "KEY", "File.ptr"]) is None


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / H"])
def test_connections_on_which_nobody_asks_are_closed(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    pytest.importorskip("starlette")
    uvicorn = pytest.importorskip("uvicorn")
    from polydbg.symbols.serving import connection

    monkeypatch.setattr(connection, "REQUEST_TIME", 0.3)

    async def hello(scope: object, receive: object, send: Callable[..., Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async def talk() -> bytes:
        config = uvicorn.Config(hello, lifespan="off", http=connection.PatientConnection)
        running = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            task = asyncio.create_task(running.serve(sockets=[listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(sent)
            received = await asyncio.wait_for(reader.read(), 15)
            writer.close()
            running.should_exit = True
            await task
        return bytes(received)

    assert (b"hello" in asyncio.run(talk())) == (b"Host" in sent)
