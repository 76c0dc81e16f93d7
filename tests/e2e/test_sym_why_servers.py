"""``!sym why``: how servers do not give a file, each with its reason and step; checks of paths."""

from __future__ import annotations

import contextlib
import errno
import re
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trustme
from tests.e2e.scene import BUILD_ID, EXE, EXE_PATH, PDB, PDB_PATH, Scene, elf
from tests.servers import unruly
from tests.servers.proxy import Proxy
from tests.servers.unruly import Behaviour, Unruly

from polydbg.formats.archives import cabinet as cabinets
from polydbg.symbols.download import http, landing
from polydbg.symbols.download.limits import Limits
from polydbg.testing.cabinet_builder import cabinet


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with contextlib.ExitStack() as keep:
        yield Scene(tmp_path, monkeypatch, keep)


# -- situations ----------------------------------------------------------------------------------


def ask(scene: Scene, behaviour: Behaviour | None = None, *, debuginfod: bool = False) -> Unruly:
    """Let a server give the PDB and the image of the practice program, or behave badly."""
    server = scene.keep.enter_context(Unruly({PDB_PATH: PDB, EXE_PATH: EXE}))
    if behaviour is not None:
        server.behaviours["/"] = behaviour
    scene.symbols, scene.images = f"srv*{scene.root / 'store'}*{server.url}", ""
    if debuginfod:
        scene.core()
        scene.symbols = ""
        scene.monkeypatch.setenv("DEBUGINFOD_URLS", server.url)
    return server


def behaves(behaviour: Behaviour) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        ask(scene, behaviour)

    return prepare


def wrong_id(scene: Scene) -> None:
    at = PDB.index(bytes.fromhex("28E88F4CE92976584C4C44205044422E"))
    ask(scene).files[PDB_PATH] = PDB[:at] + bytes(range(16)) + PDB[at + 16 :]


def unknown_packing(scene: Scene) -> None:
    packed = cabinet({"practice.pdb": PDB}, method=5)
    ask(scene).files = {f"{PDB_PATH[:-1]}_": packed}


def lzx(scene: Scene) -> None:
    scene.monkeypatch.setattr(cabinets, "find_spec", lambda name: None)
    packed = cabinet({"practice.pdb": PDB}, method=0x1503)
    ask(scene).files = {f"{PDB_PATH[:-1]}_": packed}


def pointer(scene: Scene) -> None:
    folder = PDB_PATH.rpartition("/")[0]
    ask(scene).files = {f"{folder}/file.ptr": b"PATH:\\\\build\\share\\practice.pdb"}


def is_dead(scene: Scene) -> None:
    port = scene.keep.enter_context(unruly.full_port())
    scene.symbols = f"srv*http://127.0.0.1:{port}"


def is_deaf(scene: Scene) -> None:
    scene.monkeypatch.setattr(http, "Limits", partial(Limits, stall=0.5))
    port = scene.keep.enter_context(unruly.deaf_port())
    scene.symbols = f"srv*http://127.0.0.1:{port}"


def refuses(scene: Scene) -> None:
    scene.symbols = f"srv*http://127.0.0.1:{unruly.closed_port()}"


def is_unknown(scene: Scene) -> None:
    scene.symbols = "srv*https://symbols.invalid/files"


def no_address(scene: Scene) -> None:
    scene.symbols = "srv*http://127.0.0.1:99999/files"


def is_offline(scene: Scene) -> None:
    ask(scene)
    scene.offline = True


def proxy_wants_password(scene: Scene) -> None:
    proxied(scene, "http", "me:secret")


def proxy_wants_password_for_tls(scene: Scene) -> None:
    proxied(scene, "https", "me:secret")


def proxied(scene: Scene, scheme: str, password: str) -> None:
    proxy = scene.keep.enter_context(Proxy(password))
    for name in ("no_proxy", "NO_PROXY"):
        scene.monkeypatch.delenv(name, raising=False)
    scene.monkeypatch.setenv(f"{scheme}_proxy", f"http://{proxy.address}")
    scene.symbols = f"srv*{scheme}://symbols.example/files"


def proxy_is_gone(scene: Scene) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        scene.monkeypatch.delenv(name, raising=False)
    scene.monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unruly.closed_port()}")
    scene.symbols = "srv*http://symbols.example/files"


def tls(scene: Scene, name: str, *, trusted: bool, until: datetime | None = None) -> None:
    """Let a server with a certificate for *name* give the files."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    leaf = authority.issue_cert(name, not_before=long_ago, not_after=until)
    leaf.configure_cert(context)
    if trusted:
        file = scene.root / "authority.pem"
        authority.cert_pem.write_to_path(str(file))
        scene.monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server = scene.keep.enter_context(Unruly({PDB_PATH: PDB}, context))
    scene.symbols = f"srv*{server.url}"


def tls_other_name(scene: Scene) -> None:
    tls(scene, "files.example", trusted=True)


def tls_expired(scene: Scene) -> None:
    tls(scene, "127.0.0.1", trusted=True, until=datetime.now(UTC) - timedelta(days=1))


def tls_unknown_authority(scene: Scene) -> None:
    tls(scene, "127.0.0.1", trusted=False)


def tls_self_signed(scene: Scene) -> None:
    """The certificate of an authority is its own."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = scene.root / "own.pem"
    file.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    context.load_cert_chain(file)
    scene.symbols = f"srv*{scene.keep.enter_context(Unruly({}, context)).url}"


def tls_file_is_gone(scene: Scene) -> None:
    tls(scene, "127.0.0.1", trusted=False)
    scene.monkeypatch.setenv("SSL_CERT_FILE", str(scene.root / "gone.pem"))


def no_tls(scene: Scene) -> None:
    """TLS is spoken to a server that has none."""
    server = ask(scene)
    scene.symbols = f"srv*{server.url.replace('http:', 'https:')}"


def drops_tls(scene: Scene) -> None:
    port = scene.keep.enter_context(unruly.hanging_up_port())
    scene.symbols = f"srv*https://127.0.0.1:{port}"


def disk_full(scene: Scene) -> None:
    ask(scene)

    def refuse(self: landing.Landing, data: bytes) -> None:
        raise self.problem_of(OSError(errno.ENOSPC, "No space left on device"), self._root)

    scene.monkeypatch.setattr(landing.Landing, "write", refuse)


def cache_is_file(scene: Scene) -> None:
    ask(scene)
    (scene.root / "store").write_bytes(b"")
    scene.monkeypatch.setenv("POLYDBG_CACHE", str(scene.root / "store"))


def debuginfod_404(scene: Scene) -> None:
    ask(scene, debuginfod=True)


def debuginfod_500(scene: Scene) -> None:
    ask(scene, unruly.status(500), debuginfod=True)


def debuginfod_wrong_id(scene: Scene) -> None:
    server = ask(scene, debuginfod=True)
    for kind in ("debuginfo", "executable"):
        server.files[f"/buildid/{BUILD_ID.hex()}/{kind}"] = elf(bytes(20))


def debuginfod_page(scene: Scene) -> None:
    ask(scene, unruly.page("Sign in"), debuginfod=True)


Situation = Callable[[Scene], None]
_KEEPER, _PROXY, _CACHE = "server's keeper", "HTTPS_PROXY=http://HOST:PORT", r"srv\*DIR\*URL"

# The name, what the server does, the reason and the step as patterns.
SYMBOLS: list[tuple[str, Situation, str, str]] = [
    ("401", behaves(unruly.status(401)), "wants name and password", "machine HOST login NAME"),
    ("403", behaves(unruly.status(403)), "forbids it", _KEEPER),
    ("404", behaves(unruly.status(404)), "not on the server", r"\.reload /f asks again"),
    ("407", behaves(unruly.status(407)), "behind a proxy that wants name", _PROXY),
    ("418", behaves(unruly.status(418)), r"gave no file \(HTTP 418\)", r"\.sympath.*root"),
    ("429", behaves(unruly.status(429)), "was asked too often", r"wait, then \.reload /f"),
    ("500", behaves(unruly.status(500)), "has a fault", r"later with \.reload /f"),
    ("page", behaves(unruly.page("Sign in")), r"is a web page \(Sign in\)", "in a browser"),
    ("to-file", behaves(unruly.redirect("file:///etc/passwd")), "no address of HTTP", _KEEPER),
    ("circle", behaves(unruly.redirect("/x")), "leads in a circle", _KEEPER),
    ("damaged", behaves(unruly.status(200, b"Dear")), "not a PDB", "no whole file"),
    ("cut", behaves(unruly.truncated(100)), "broke off", r"\.reload /f: it goes on"),
    ("wrong-id", wrong_id, "is another file: .*03020100", "tell its keeper"),
    ("unknown-packing", unknown_packing, "compressed with method 5", "polydbg sym add FILE"),
    ("lzx", lzx, "compressed with LZX", r"pip install 'polydbg\[lzx\]'"),
    ("pointer", pointer, "leads to a path, which is not followed", _KEEPER),
    ("dead", is_dead, "no answer within 3 s", "polydbg sym fetch"),
    ("deaf", is_deaf, "did not answer within 0.5 s", r"\.reload /f"),
    ("refuses", refuses, "connection refused", "polydbg sym fetch"),
    ("unknown-host", is_unknown, "the name symbols.invalid is not known", r"name in \.sympath"),
    ("no-address", no_address, "is no address of HTTP", r"Correct it in \.sympath"),
    ("offline", is_offline, "not asked: offline", "!sym online"),
    ("proxy-password", proxy_wants_password, "HTTP 407", _PROXY),
    ("proxy-password-tls", proxy_wants_password_for_tls, "407 Proxy Auth", _PROXY),
    ("proxy-gone", proxy_is_gone, "the proxy 127.0.0.1:[0-9]+: connection refused", _PROXY),
    ("tls-name", tls_other_name, "not valid for '127.0.0.1'", r"as the host.*\.sympath"),
    ("tls-expired", tls_expired, "certificate has expired", "Check the clock"),
    ("tls-authority", tls_unknown_authority, "issuer certificate", "SSL_CERT_FILE=FILE"),
    ("tls-self-signed", tls_self_signed, "self-signed certificate", "SSL_CERT_FILE=FILE"),
    ("tls-file-gone", tls_file_is_gone, "SSL_CERT_FILE names cannot be read", "SSL_CERT_FILE=FILE"),
    ("no-tls", no_tls, "TLS failed: ", "begins with http://"),
    ("drops-tls", drops_tls, "while TLS began", "host and port"),
    ("disk-full", disk_full, "store is full", _CACHE),
    ("cache-is-file", cache_is_file, "store cannot be written", _CACHE),
    ("debuginfod-404", debuginfod_404, "not on the server", r"\.reload /f asks again"),
    ("debuginfod-500", debuginfod_500, "has a fault", r"\.reload /f"),
    ("debuginfod-wrong-id", debuginfod_wrong_id, "is another file: .*0{40}", "tell its keeper"),
    ("debuginfod-page", debuginfod_page, r"is a web page \(Sign in\)", "in a browser"),
]


@pytest.mark.parametrize(
    ("situation", "reason", "step"), [row[1:] for row in SYMBOLS], ids=[row[0] for row in SYMBOLS]
)
def test_reason_and_step(scene: Scene, situation: Situation, reason: str, step: str) -> None:
    situation(scene)
    with scene.session() as said:
        text, advice = said.why("Symbols")
    assert re.search(reason, text), text
    assert any(re.search(step, line) for line in advice), advice
    assert not [line for line in advice if "unsafe" in line]
    kept = [path for path in scene.root.rglob("practice.pdb") if path.is_file()]
    assert not kept, "nothing that is no good stays"


def test_a_password_in_netrc_helps(scene: Scene) -> None:
    def guarded(handler: unruly.Handler) -> None:
        if handler.headers.get("Authorization", "").startswith("Basic "):
            handler.serve()
        else:
            handler.answer(401, b"")

    ask(scene, guarded)
    with scene.session() as said:
        _, advice = said.why("Symbols")
        (line,) = [each for each in advice if "netrc" in each]
        entry = re.search("machine HOST login NAME password PASSWORD", line)
        assert entry is not None
        (scene.root / "netrc").write_text(entry[0].replace("HOST", "127.0.0.1"))
        said(".reload /f")
        assert said.why("Symbols")[0].startswith("Symbols of practice: private pdb symbols")


def test_paths_tell_of_servers(scene: Scene) -> None:
    refuses(scene)
    (scene.root / "src").mkdir()
    scene.monkeypatch.setenv("DEBUGINFOD_URLS", "http://me:hunter2@127.0.0.1:9/")
    with scene.session() as said:
        path = said(".sympath")
        assert re.search(r"^Deferred +srv\*http\S+\n    127\S+ connection refused$", path, re.M)
        assert re.search(r"^Deferred +DEBUGINFOD_URLS: http://\S*127\.0\.0\.1:9/$", path, re.M)
        assert "hunter2" not in path
        said(f".exepath {scene.root}/gone;{scene.root}")
        path = said(".exepath")
        assert re.search(r"^Error +\S+/gone\nOK +\S+$", path, re.M)
        assert "DEBUGINFOD_URLS" in path
        path = said(f".srcpath {scene.root}/src;DebugInfoD*http://127.0.0.1:9/")
        assert re.search(r"^OK +\S+src\nDeferred +DebugInfoD\*\S+$", path, re.M)
        said("!sym offline")
        for command in (".sympath", ".exepath", ".srcpath"):
            assert "    offline: no server is asked (!sym online)" in said(command)


def test_a_server_that_answers_again_is_no_failure(scene: Scene) -> None:
    server = ask(scene, unruly.status(500))
    with scene.session() as said:
        assert "HTTP 500" in said(".sympath")
        server.behaviours.clear()
        said(".reload /f")
        assert "HTTP 500" not in said(".sympath")
