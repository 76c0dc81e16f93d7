"""Transfers against servers that behave, misbehave, or are not there."""

from __future__ import annotations

import gzip
import logging
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers import unruly
from tests.servers.proxy import Proxy
from tests.servers.tinyproxy import tinyproxy
from tests.servers.unruly import Behaviour, Unruly

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.symbols.download import connections
from polydbg.symbols.download.http import HttpClient
from polydbg.symbols.download.landing import Landing
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.problems import Problem, TransferError

DATA = bytes(range(256)) * 4096  # 1 MB
QUICK = Limits(connect=0.5, stall=0.6, slow=0.6)
NAME = "/a.pdb"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def server() -> Iterator[Unruly]:
    with Unruly({NAME: DATA}) as running:
        yield running


class Fetch:
    """Fetches into a folder with short patience."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "store" / "a.pdb"
        self.root = folder / "store"
        self.client = HttpClient(QUICK)
        self.cancel = CancelToken()
        self.seen: list[tuple[int, int]] = []
        self.place = ""

    def __call__(self, url: str) -> bytes:
        landing = Landing.begin(self.target, self.root)
        try:
            self.place = self.client.download(
                url, landing, cancel=self.cancel, observe=lambda *seen: self.seen.append(seen)
            )
            landing.close()
            return landing.commit().read_bytes()
        finally:
            landing.keep()

    def problem(self, url: str) -> TransferError:
        with pytest.raises(TransferError) as caught:
            self(url)
        return caught.value


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path)


def test_a_file_comes_whole(server: Unruly, fetch: Fetch) -> None:
    assert fetch(server.url + NAME) == DATA
    assert fetch.seen[-1] == (len(DATA), len(DATA))
    assert fetch.place == server.url + NAME
    assert sorted(each.name for each in fetch.root.iterdir()) == ["a.pdb", "pingme.txt"]


def test_connections_are_kept(server: Unruly, fetch: Fetch) -> None:
    server.behaviours["/none"] = unruly.status(404, b"x" * 100)
    for _ in range(3):
        assert fetch.problem(f"{server.url}/none").problem is Problem.NOT_FOUND
    assert fetch(server.url + NAME) == DATA
    manager = fetch.client._managers[""]
    pool = manager.connection_from_url(server.url)
    assert pool.num_connections == 1


@pytest.mark.parametrize(
    ("behaviour", "problem", "words"),
    [
        (unruly.status(404), Problem.NOT_FOUND, "HTTP 404"),
        (unruly.status(410), Problem.NOT_FOUND, "HTTP 410"),
        (unruly.status(401), Problem.NEEDS_LOGIN, "name and password"),
        (unruly.status(403), Problem.FORBIDDEN, "forbids"),
        (unruly.status(407), Problem.PROXY, "proxy"),
        (unruly.status(418), Problem.UNEXPECTED_STATUS, "HTTP 418"),
        (unruly.status(204), Problem.UNEXPECTED_STATUS, "HTTP 204"),
        (unruly.status(429), Problem.RATE_LIMITED, "too often"),
        (unruly.status(500), Problem.SERVER_ERROR, "HTTP 500"),
        (unruly.status(503), Problem.SERVER_ERROR, "HTTP 503"),
        (unruly.page("Log in, please"), Problem.WEB_PAGE, "Log in, please"),
        (unruly.silent(), Problem.STALLED, "did not answer within 0.6 s"),
        (unruly.dripping(0.1), Problem.STALLED, "bytes came in"),
        (unruly.dripping_headers(0.1), Problem.STALLED, "did not answer within 0.6 s"),
        (unruly.truncated(1000), Problem.CUT_SHORT, "broke off"),
        (unruly.redirect("file:///etc/passwd"), Problem.BAD_REDIRECT, "no address of HTTP"),
        (unruly.redirect("ftp://h/x"), Problem.BAD_REDIRECT, "no address of HTTP"),
        (unruly.redirect(NAME), Problem.BAD_REDIRECT, "circle"),
        (unruly.encoded("gzip", b"no gzip"), Problem.CUT_SHORT, "lost"),
    ],
    ids=lambda value: value.value if isinstance(value, Problem) else None,
)
def test_why_a_file_did_not_come(
    server: Unruly, fetch: Fetch, behaviour: Behaviour, problem: Problem, words: str
) -> None:
    server.behaviours[NAME] = behaviour
    error = fetch.problem(server.url + NAME)
    assert error.problem is problem
    assert words in error.message
    assert "\n" not in error.message
    assert not fetch.target.exists()


def test_nothing_is_left_of_a_file_that_is_not_there(server: Unruly, fetch: Fetch) -> None:
    fetch.target = fetch.root / "b.pdb" / "KEY" / "b.pdb"
    fetch.problem(f"{server.url}/b.pdb")
    assert [each.name for each in fetch.root.iterdir()] == ["pingme.txt"]


def test_long_redirections_end(server: Unruly, fetch: Fetch) -> None:
    for number in range(9):
        server.behaviours[f"/r{number}"] = unruly.redirect(f"/r{number + 1}")
    assert "on and on" in fetch.problem(f"{server.url}/r0").message
    assert len(server.paths) == QUICK.redirects + 1


def test_redirections_are_followed(server: Unruly, fetch: Fetch) -> None:
    with Unruly({"/there": DATA}) as other:
        server.behaviours[NAME] = unruly.redirect(f"{other.url}/there?sig=SECRET")
        assert fetch(server.url + NAME) == DATA
        assert fetch.place == f"{other.url}/there?sig=***"


def test_a_password_is_for_its_own_host(
    server: Unruly, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Unruly({"/there": DATA}) as other:
        server.behaviours[NAME] = unruly.redirect(f"{other.url}/there")
        assert fetch(server.url.replace("//", "//me:word@") + NAME) == DATA
        assert server.requests[0][1]["authorization"].startswith("Basic ")
        assert "authorization" not in other.requests[0][1]
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.files["/b"] = b"b"
    assert fetch(f"{server.url}/b") == b"b"
    assert server.requests[-1][1]["authorization"] == "Basic bWU6d29yZA=="


def test_no_secret_is_ever_said(
    server: Unruly, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "polydbg")
    secret = server.url.replace("//", "//me:hunter2@") + NAME + "?token=hunter2&b=1"
    for behaviour in (
        unruly.status(500), unruly.page(), unruly.silent(), unruly.truncated(10),
        unruly.redirect("file:///x?password=hunter2"), unruly.redirect(NAME + "?token=hunter2&b=1"),
    ):  # fmt: skip
        server.behaviours[NAME] = behaviour
        server.files[NAME + "?token=hunter2&b=1"] = DATA
        error = fetch.problem(secret)
        assert "hunter2" not in error.message + error.hint
    assert "hunter2" not in caplog.text
    for bad in ("http://me:hunter2@/x", "ftp://me:hunter2@h/x", "http://me:hunter2@h:99999/x"):
        assert "hunter2" not in fetch.problem(bad).message


def test_a_public_server_leads_to_no_private_address(
    server: Unruly, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.1 counts as public here, 127.0.0.2 stays private."""
    monkeypatch.setattr(connections, "is_private", lambda address: address != "127.0.0.1")
    server.behaviours[NAME] = unruly.redirect(f"http://127.0.0.2:{server.port}/x")
    error = fetch.problem(server.url + NAME)
    assert error.problem is Problem.BAD_REDIRECT
    assert "private address" in error.message
    # Known from before, the connection kept open: refused all the same.
    server.files["/y"] = b"y"
    server.behaviours[NAME] = unruly.redirect(f"http://127.0.0.1:{server.port}/y")
    assert fetch(server.url + NAME) == b"y"


def test_broken_transfers_go_on_where_they_stopped(server: Unruly, fetch: Fetch) -> None:
    server.behaviours[NAME] = unruly.truncated(400_000, times=2)
    assert fetch(server.url + NAME) == DATA
    ranges = [headers.get("range") for _, headers in server.requests]
    assert ranges[0] is None
    assert all(ranges[1:])
    assert len(ranges) == 3


def test_another_process_goes_on_with_a_part(server: Unruly, fetch: Fetch, tmp_path: Path) -> None:
    server.behaviours[NAME] = unruly.truncated(200_000, times=QUICK.resumptions + 1)
    assert fetch.problem(server.url + NAME).problem is Problem.CUT_SHORT
    second = Fetch(tmp_path)
    assert second(server.url + NAME) == DATA
    assert int(server.requests[-1][1]["range"].strip("bytes=-")) > 100_000


def test_a_file_that_changed_meanwhile_comes_anew(
    server: Unruly, fetch: Fetch, tmp_path: Path
) -> None:
    server.behaviours[NAME] = unruly.truncated(200_000)
    fetch.problem(server.url + NAME)
    del server.behaviours[NAME]
    server.files[NAME] = DATA[::-1]
    assert Fetch(tmp_path)(server.url + NAME) == DATA[::-1]


def test_servers_without_ranges_send_all_of_it_again(
    server: Unruly, fetch: Fetch, tmp_path: Path
) -> None:
    server.behaviours[NAME] = unruly.truncated(200_000)
    fetch.problem(server.url + NAME)
    server.behaviours[NAME] = lambda handler: handler.serve(supports_ranges=False)
    assert Fetch(tmp_path)(server.url + NAME) == DATA


def test_a_file_without_an_end_is_cut_off(server: Unruly, fetch: Fetch) -> None:
    fetch.client = HttpClient(Limits(largest=1 << 20))
    server.behaviours[NAME] = unruly.endless(1 << 24)
    assert fetch.problem(server.url + NAME).problem is Problem.TOO_LARGE


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_encoded_answers(server: Unruly, fetch: Fetch, encoding: str) -> None:
    packed = gzip.compress(DATA) if encoding == "gzip" else zlib.compress(DATA)
    server.behaviours[NAME] = unruly.encoded(encoding, packed)
    assert fetch(server.url + NAME) == DATA


def test_bombs_do_not_go_off(server: Unruly, fetch: Fetch) -> None:
    fetch.client = HttpClient(Limits(largest=1 << 20))
    server.behaviours[NAME] = unruly.encoded("gzip", gzip.compress(bytes(1 << 26)))
    assert fetch.problem(server.url + NAME).problem is Problem.TOO_LARGE


def test_small_texts(server: Unruly, fetch: Fetch) -> None:
    server.files["/index2.txt"] = b"2"
    assert fetch.client.text(f"{server.url}/index2.txt", cancel=fetch.cancel) == b"2"
    with pytest.raises(TransferError) as caught:
        fetch.client.text(server.url + NAME, cancel=fetch.cancel)
    assert caught.value.problem is Problem.TOO_LARGE


def test_retry_after(server: Unruly, fetch: Fetch) -> None:
    server.behaviours[NAME] = unruly.status(429, Retry_After="120")
    assert fetch.problem(server.url + NAME).retry_after == 120
    server.behaviours[NAME] = unruly.status(503, Retry_After="Wed, 21 Oct 2099 07:28:00 GMT")
    assert fetch.problem(server.url + NAME).retry_after > 1e6
    server.behaviours[NAME] = unruly.status(503, Retry_After="soon")
    assert fetch.problem(server.url + NAME).retry_after == 0


def test_hosts_that_are_not_there(fetch: Fetch) -> None:
    error = fetch.problem(f"http://127.0.0.1:{unruly.closed_port()}/a")
    assert error.problem is Problem.UNREACHABLE
    assert "connection refused" in error.message
    error = fetch.problem("http://no-such-host.invalid/a")
    assert error.problem is Problem.NO_SUCH_HOST
    assert fetch.problem("http://[::zz/a").problem is Problem.BAD_ADDRESS
    assert fetch.problem("file:///etc/passwd").problem is Problem.BAD_ADDRESS


@pytest.mark.parametrize("where", ["answer", "body", "tls"])
def test_stopping_takes_effect_at_once(server: Unruly, fetch: Fetch, where: str) -> None:
    fetch.client = HttpClient(Limits())
    with unruly.deaf_port() as deaf:
        url = f"https://127.0.0.1:{deaf}/a" if where == "tls" else server.url + NAME
        server.behaviours[NAME] = unruly.dripping(0.2) if where == "body" else unruly.silent(5)
        threading.Timer(0.3, fetch.cancel.cancel).start()
        begin = time.monotonic()
        with pytest.raises(Cancelled):
            fetch(url)
        assert time.monotonic() - begin < 2.5  # 0.3 s and the watch's 0.1 s, on a busy machine


@pytest.mark.parametrize("where", ["name", "connection"])
def test_stopping_takes_effect_before_there_is_a_connection(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    fetch.client = HttpClient(Limits(connect=20.0))
    release = threading.Event()
    with unruly.full_port() as port:
        if where == "name":
            monkeypatch.setattr(
                connections.socket, "getaddrinfo", lambda *_, **__: [release.wait(9)][:0]
            )
        threading.Timer(0.3, fetch.cancel.cancel).start()
        begin = time.monotonic()
        with pytest.raises(Cancelled):
            fetch(f"http://127.0.0.1:{port}/a")
        assert time.monotonic() - begin < 2.5
    release.set()


def test_connections_that_are_used_again_can_be_cut_too(server: Unruly, fetch: Fetch) -> None:
    fetch.client = HttpClient(Limits())
    assert fetch(server.url + NAME) == DATA
    server.behaviours[NAME] = unruly.silent(5)
    threading.Timer(0.3, fetch.cancel.cancel).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(server.url + NAME)
    assert time.monotonic() - begin < 2.5


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority() -> object:
    trustme = pytest.importorskip("trustme")
    return trustme.CA()


Certified = Callable[..., ssl.SSLContext]


@pytest.fixture
def certified(authority: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certified:
    """Trust the authority; return what makes the context of a server for some names."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))  # type: ignore[attr-defined]
    monkeypatch.setenv("SSL_CERT_FILE", str(file))

    def make(*names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)  # type: ignore[attr-defined]
        return context

    return make


def test_tls(fetch: Fetch, certified: Certified) -> None:
    with Unruly({NAME: DATA}, certified("127.0.0.1")) as server:
        assert fetch(server.url + NAME) == DATA
        server.behaviours[NAME] = unruly.redirect("http://127.0.0.1/x")
        assert "TLS would be given up" in fetch.problem(server.url + NAME).message


def test_certificates_are_checked(
    fetch: Fetch, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Unruly({NAME: DATA}, certified("other.example")) as server:
        error = fetch.problem(server.url + NAME)
        assert error.problem is Problem.CERTIFICATE_NAME
        assert "certificate not accepted" in error.message
        monkeypatch.delenv("SSL_CERT_FILE")
        fetch.client = HttpClient(QUICK)
        assert fetch.problem(server.url + NAME).problem is Problem.TLS


def test_tls_that_fails(fetch: Fetch, server: Unruly) -> None:
    with unruly.hanging_up_port() as port:
        error = fetch.problem(f"https://127.0.0.1:{port}/a")
        assert error.problem is Problem.NO_TLS
    plain = server.url.replace("http:", "https:")
    assert fetch.problem(f"{plain}/a").problem is Problem.NO_TLS
    with unruly.deaf_port() as port:
        error = fetch.problem(f"https://127.0.0.1:{port}/a")
        assert error.problem is Problem.NO_TLS
        assert "no answer" in error.message


# -- proxies -------------------------------------------------------------------------------------


def test_through_a_proxy(
    server: Unruly, fetch: Fetch, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy("me:word") as proxy, Unruly({NAME: DATA}, certified("127.0.0.1")) as secure:
        monkeypatch.setenv("http_proxy", f"http://me:word@{proxy.address}")
        monkeypatch.setenv("https_proxy", f"http://me:word@{proxy.address}")
        assert fetch(server.url + NAME) == DATA
        assert fetch(secure.url + NAME) == DATA
        assert proxy.requests == [
            f"GET {server.url}{NAME}", f"CONNECT 127.0.0.1:{secure.port}",
        ]  # fmt: skip
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert fetch(server.url + NAME) == DATA
        assert len(proxy.requests) == 2


def test_a_proxy_is_not_blamed_for_the_server(
    fetch: Fetch, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy() as proxy, Unruly({NAME: DATA}, certified("127.0.0.1")) as secure:
        monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
        secure.behaviours[NAME] = lambda handler: handler.reset()
        assert fetch.problem(secure.url + NAME).problem is Problem.CUT_SHORT
        secure.behaviours[NAME] = unruly.silent()
        assert fetch.problem(secure.url + NAME).problem is Problem.STALLED


def test_proxies_that_refuse(
    server: Unruly, fetch: Fetch, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy("me:word") as proxy, Unruly({NAME: DATA}, certified("127.0.0.1")) as secure:
        monkeypatch.setenv("http_proxy", f"http://me:hunter2@{proxy.address}")
        monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
        for url in (server.url, secure.url):
            error = fetch.problem(url + NAME)
            assert error.problem is Problem.PROXY
            assert "hunter2" not in error.message
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{unruly.closed_port()}")
        error = fetch.problem(server.url + NAME)
        assert error.problem is Problem.PROXY
        assert "connection refused" in error.message
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
        assert "SOCKS" in fetch.problem(server.url + NAME).message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "10.1.2.3"])
def test_a_public_server_behind_a_proxy_leads_to_no_private_address(
    server: Unruly, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    server.behaviours["http://symbols.example"] = unruly.redirect(f"http://{host}/x")
    monkeypatch.setenv("http_proxy", server.url)
    error = fetch.problem("http://symbols.example/a.pdb")
    assert error.problem is Problem.BAD_REDIRECT
    assert "private address" in error.message
    assert server.paths == ["http://symbols.example/a.pdb"]


@pytest.mark.peer
def test_through_a_proxy_of_others(
    server: Unruly,
    fetch: Fetch,
    certified: Certified,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with (
        tinyproxy(tmp_path, "me", "word") as proxy,
        Unruly({NAME: DATA}, certified("127.0.0.1")) as secure,
    ):
        for url in (server.url, secure.url):
            for name in ("http_proxy", "https_proxy"):
                monkeypatch.setenv(name, f"http://me:word@{proxy}")
            assert fetch(url + NAME) == DATA
            for name in ("http_proxy", "https_proxy"):
                monkeypatch.setenv(name, f"http://me:hunter2@{proxy}")
            error = fetch.problem(url + NAME)
            assert error.problem in (Problem.PROXY, Problem.NEEDS_LOGIN)
            assert "hunter2" not in error.message


def test_the_watch_ends_and_begins_again(
    server: Unruly, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_watched() -> bool:
        return any(each.name == "fetch-watch" for each in threading.enumerate())

    monkeypatch.setattr(connections, "_LINGER", 0.05)
    for _ in range(2):
        assert fetch(server.url + NAME) == DATA
        for _ in range(200):
            if not is_watched():
                break
            time.sleep(0.05)
        assert not is_watched()
