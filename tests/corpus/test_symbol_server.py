"""A store of one's own, served by ``polydbg sym serve``: what gdb, debuginfod's client, lldb and we
get from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.serving import serving
from tests.servers.stores import practice_store

from polydbg.symbols.store.contents import elf_key

pytestmark = pytest.mark.peer

PROGRAM = """
struct order { int number; };
__attribute__((noinline)) static int price(struct order *o) { return o->number; }
int main(void) { return price((struct order *)0); }
"""


class Shop:
    """A program, its separate debug file and its source in a store, none where they were built."""

    def __init__(self, folder: Path) -> None:
        built, self.root, self.sources = folder / "build", folder / "store", folder / "moved"
        self.core = folder / "run" / "core"
        for each in (built, self.sources, self.core.parent):
            each.mkdir()
        (built / "shop.c").write_text(PROGRAM)
        program = built / "shop"
        subprocess.run(["gcc", "-g", "-O1", "-o", program, built / "shop.c"], check=True)
        environment = {k: v for k, v in os.environ.items() if k != "DEBUGINFOD_URLS"}
        gdb = ["gdb", "-nx", "-q", "-batch", "-ex", "run", "-ex", f"gcore {self.core}", program]
        subprocess.run(gdb, check=True, capture_output=True, env=environment)
        notes = subprocess.run(
            ["readelf", "-n", program], check=True, capture_output=True, text=True
        )
        found = re.search(r"Build ID: ([0-9a-f]+)", notes.stdout)
        assert found is not None
        self.build_id = found[1]
        debug = self.root / "_.debug" / elf_key(self.build_id, debug=True) / "_.debug"
        image = self.root / "shop" / elf_key(self.build_id, debug=False) / "shop"
        for each in (debug, image):
            each.parent.mkdir(parents=True)
        subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
        subprocess.run(["strip", "-o", image, program], check=True)
        shutil.move(built / "shop.c", self.sources / "shop.c")
        program.unlink()
        self.built, self.debug, self.image = built, debug, image
        for path, data in practice_store().items():
            place = self.root / path[1:]
            place.parent.mkdir(parents=True)
            place.write_bytes(data)
        (self.root / "pingme.txt").touch()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    with serving(shop.root, "--sources", f"{shop.built}={shop.sources}") as address:
        yield address


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "client"))
    monkeypatch.setenv("DEBUGINFOD_URLS", url)
    monkeypatch.setenv("no_proxy", "*")


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(
        url, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {}


def test_debuginfods_own_client(shop: Shop) -> None:
    for what, file in (("debuginfo", shop.debug), ("executable", shop.image)):
        done = subprocess.run(["debuginfod-find", what, shop.build_id], check=True,
                              capture_output=True, text=True)  # fmt: skip
        assert Path(done.stdout.strip()).read_bytes() == file.read_bytes()
    source = str(shop.built / "shop.c")
    done = subprocess.run(["debuginfod-find", "source", shop.build_id, source], check=True,
                          capture_output=True, text=True)  # fmt: skip
    assert Path(done.stdout.strip()).read_text() == PROGRAM
    done = subprocess.run(["debuginfod-find", "section", shop.build_id, ".debug_line"], check=True,
                          capture_output=True, text=True)  # fmt: skip
    section = Path(done.stdout.strip()).read_bytes()
    assert section
    assert section in shop.debug.read_bytes()


def test_gdb(shop: Shop) -> None:
    find = subprocess.run(["debuginfod-find", "executable", shop.build_id], check=True,
                          capture_output=True, text=True)  # fmt: skip
    shown = subprocess.run(
        ["gdb", "-nx", "-q", "-batch", "-ex", "set debuginfod enabled on",
         "-ex", f"file {find.stdout.strip()}", "-ex", f"core {shop.core}",
         "-ex", "bt", "-ex", "list"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert re.search(r"#0 .*price \(o=.*\) at .*shop\.c:3", shown)
    assert "return o->number;" in shown, "the source, too"


def test_lldb(shop: Shop, url: str) -> None:
    """Debian's lldb can ask debuginfod servers; it has the program from the client's cache."""
    find = subprocess.run(["debuginfod-find", "executable", shop.build_id], check=True,
                          capture_output=True, text=True)  # fmt: skip
    done = subprocess.run(
        ["lldb-19", "-b", "--no-lldbinit",
         "-o", f"settings set plugin.symbol-locator.debuginfod.server-urls {url}",
         "-o", "settings set symbols.enable-external-lookup true",
         "-o", f"target create {find.stdout.strip()} -c {shop.core}", "-o", "bt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.search(r"frame #0.*`price.* at shop\.c:3", done.stdout), done.stdout + done.stderr


def test_we(shop: Shop, url: str) -> None:
    from polydbg.engine.session import Session

    session = Session()
    session.settings.debuginfod_urls = (url,)
    session.files.downloads.wait_at_most(20)
    system = session.open_dump(str(shop.core))
    rows = list(session.stack(system, system.scope_registers(), 4))
    assert [(row.place.symbol, row.line) for row in rows[:2]] == [("price", 3), ("main", 4)]
    session.close()


def test_windows_files_in_either_case(shop: Shop, url: str) -> None:
    for path, data in practice_store().items():
        for spelling in (path, path.lower()):
            status, body, headers = get(url + spelling)
            assert status == 200
            assert body == data
            assert headers["content-length"] == str(len(data))


def test_ranges(shop: Shop, url: str) -> None:
    path, data = next(iter(practice_store().items()))
    status, body, headers = get(url + path, Range="bytes=1000-")
    assert (status, body) == (206, data[1000:])
    assert headers["content-range"] == f"bytes 1000-{len(data) - 1}/{len(data)}"
    etag = headers["etag"]
    assert get(url + path, Range="bytes=1000-", If_Range=etag)[0] == 206
    assert get(url + path, Range="bytes=1000-", If_Range='"other"')[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../secret", "/..%2f..%2fsecret/k/secret", "/practice.pdb/../practice.pdb", "/%00/K/%00",
     "/a/b", "/a/b/c/d/e", "/" + "x" * 5000, "/link/K/link", "/buildid/../x/executable",
     "/buildid/zz/executable", "/buildid/00/debuginfo", "/buildid", "/nul/K/nul",
     "/000Admin/history.txt", "/buildid/{id}/source/etc/passwd", "/buildid/{id}/section/.nothing",
     "/buildid/{id}/source{built}/../../../etc/passwd", "/buildid/{id}/source{built}"],
    ids=lambda path: path[:24].replace("/", "_"),
)  # fmt: skip
def test_nothing_else_is_served(shop: Shop, url: str, path: str) -> None:
    secret = shop.root.parent / "secret"
    secret.write_text("secret")
    link = shop.root / "link" / "K" / "link"
    if not link.parent.exists():
        link.parent.mkdir(parents=True)
        link.symlink_to(secret)
    status, body, _ = get(url + path.format(id=shop.build_id, built=shop.built))
    assert status in (400, 404, 414)
    assert b"secret" not in body


def test_the_start_page_says_how_to_use_it(url: str) -> None:
    status, body, headers = get(url)
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert f"srv*{url}" in body.decode()
    assert f"DEBUGINFOD_URLS={url}" in body.decode()


def test_file_ptr_leads_inside_only(shop: Shop, url: str) -> None:
    for name, target in (("in.pdb", shop.debug), ("out.pdb", shop.core)):
        folder = shop.root / name / "ABC1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file.ptr").write_text(f"PATH:{target}")
    assert get(f"{url}/in.pdb/ABC1/in.pdb")[1] == shop.debug.read_bytes()
    assert get(f"{url}/out.pdb/ABC1/out.pdb")[0] == 404
