"""Addresses without secrets, parts of files on disk, misses, the size of the cache."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.servers.unruly import Unruly

from polydbg.symbols.download import cache_size
from polydbg.symbols.download.addresses import host_of, is_private, joined, redacted
from polydbg.symbols.download.cache_size import trim
from polydbg.symbols.download.landing import Landing, remove_stale
from polydbg.symbols.download.misses import Misses
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.store.hostpath import default_cache

URL = "https://s.example/a.pdb"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/a?b=1", "https://h/a?b=1"),
        ("https://me:word@h/a", "https://***@h/a"),
        ("https://me@h:8080/a", "https://***@h:8080/a"),
        ("https://h/a?sv=2&sig=x%2Fy&b=1", "https://h/a?sv=2&sig=***&b=1"),
        ("https://h/a?X-Amz-Signature=x&X-Amz-Credential=y", "https://h/a?X-Amz-Signature=***"
         "&X-Amz-Credential=***"),
        ("https://h/?api_key=1&PASSWORD=2#token", "https://h/?api_key=***&PASSWORD=***#token"),
        ("srv*C:\\c*https://u:p@h/s;cache*D:\\x", "srv*C:\\c*https://***@h/s;cache*D:\\x"),
        ("ftp://u:p@h/s", "ftp://***@h/s"),
        ("no address at all", "no address at all"),
    ],
)  # fmt: skip
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_long_addresses_are_cut() -> None:
    assert len(redacted("https://h/" + "x" * 5000)) < 600


def test_parts_are_joined_as_components() -> None:
    assert joined("https://h/s/?sig=1#x", "a b", "..%2f", "c/d") == (
        "https://h/s/a%20b/..%252f/c%2Fd?sig=1"
    )
    assert joined("https://h", "a") == "https://h/a"


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://u:p@H.example:443/x", "h.example"), ("http://h:80", "h"), ("http://h:81", "h:81"),
     ("https://[::1]:8443/x", "[::1]:8443")],
)  # fmt: skip
def test_hosts(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1",
     "0.0.0.0", "224.0.0.1", "::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1",
     "64:ff9b::10.0.0.1", "2002:a00:1::", "no address"],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses(address: str) -> None:
    assert not is_private(address)


# -- landings ------------------------------------------------------------------------------------


def begun(tmp_path: Path) -> Landing:
    return Landing.begin(tmp_path / "store" / "a.pdb" / "KEY" / "a.pdb", tmp_path / "store")


def names(folder: Path) -> list[str]:
    found = [Path(at) / name for at, _, each in os.walk(folder) for name in each]
    return sorted(str(path.relative_to(folder)) for path in found)


def test_a_landing_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    landing = begun(tmp_path)
    assert landing.resume(URL) == ""
    landing.expect(URL, '"tag"', 3)
    landing.write(b"abc")
    landing.close()
    assert landing.path.read_bytes() == b"abc"
    assert landing.commit().read_bytes() == b"abc"
    landing.keep()
    assert names(tmp_path / "store") == ["a.pdb/KEY/a.pdb", "pingme.txt"]


def test_a_part_is_gone_on_with_where_its_beginning_is_known(tmp_path: Path) -> None:
    landing = begun(tmp_path)
    landing.expect(URL, '"tag"', 3)
    landing.write(b"abc")
    landing.keep()
    again = begun(tmp_path)
    assert again.resume(URL) == '"tag"'
    assert again.offset == 3
    again.keep()
    other = begun(tmp_path)
    assert other.resume(URL + "?other") == ""
    assert other.offset == 3, "whoever is asked there may not have it"
    other.restart()
    assert other.offset == 0
    other.discard()
    assert names(tmp_path / "store") == ["pingme.txt"]


def test_parts_that_nobody_could_go_on_with_are_not_kept(tmp_path: Path) -> None:
    landing = begun(tmp_path)
    landing.write(b"abc")
    landing.keep()
    assert names(tmp_path / "store") == ["pingme.txt"]


def test_damaged_notes_mean_a_new_beginning(tmp_path: Path) -> None:
    landing = begun(tmp_path)
    landing.expect(URL, '"tag"', 3)
    landing.write(b"abc")
    landing.keep()
    note = landing.path.with_name(f"{landing.path.name}.json")
    for content in (b"{}", b"\xff", b"[" * 5000, b'{"address": 1, "validator": 2}'):
        note.write_bytes(content)
        again = begun(tmp_path)
        assert again.resume(URL) == ""
        again.write(b"abc")
        again.expect(URL, '"tag"', 0)
        again.keep()


def test_two_at_a_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, two = begun(tmp_path), begun(tmp_path)
    assert one.path != two.path
    one.write(b"one")
    two.write(b"two")
    for each in (one, two):
        each.close()
    assert two.commit().read_bytes() == b"two"
    assert one.commit().read_bytes() == b"one"
    assert names(tmp_path / "store") == ["a.pdb/KEY/a.pdb", "pingme.txt"]


def test_what_came_beside_another_process_is_not_kept(tmp_path: Path) -> None:
    one, two = begun(tmp_path), begun(tmp_path)
    for each in (one, two):
        each.expect(URL, '"tag"', 3)
        each.write(b"ab")
    two.keep()
    assert names(tmp_path / "store/a.pdb/KEY") == ["~a.pdb.part", "~a.pdb.part.json"]
    one.discard()


def test_a_disk_without_room_is_seen_before_a_byte_comes(tmp_path: Path) -> None:
    landing = begun(tmp_path)
    with pytest.raises(TransferError) as caught:
        landing.expect(URL, "", 1 << 60)
    assert caught.value.problem is Problem.DISK_FULL
    assert "left" in caught.value.message
    landing.discard()


def test_a_disk_that_gets_full_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        closed = False

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def tell(self) -> int:
            return 0

        def close(self) -> None:
            self.closed = True

    landing = begun(tmp_path)
    monkeypatch.setattr(landing, "_file", Full())
    with pytest.raises(TransferError) as caught:
        landing.write(b"x")
    assert caught.value.problem is Problem.DISK_FULL
    landing.keep()
    assert names(tmp_path / "store") == ["pingme.txt"]


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="folders of POSIX")
def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    with pytest.raises(TransferError) as caught:
        begun(tmp_path)
    assert caught.value.problem is Problem.CACHE_UNWRITABLE


def test_old_parts_are_removed(tmp_path: Path) -> None:
    for name in ("~a.part", "~a.part.json", "~b.tmp", "~new.part", "a.pdb"):
        (tmp_path / name).write_bytes(b"x")
        if name != "~new.part":
            os.utime(tmp_path / name, (0, 0))
    remove_stale(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.pdb", "~new.part"]


KILLED = """
import sys
from pathlib import Path
from polydbg.base.cancel import CancelToken
from polydbg.symbols.download.http import HttpClient
from polydbg.symbols.download.landing import Landing
url, target = sys.argv[1:]
landing = Landing.begin(Path(target), Path(target).parents[2])
tell = lambda *seen: print(*seen, flush=True)
HttpClient().download(url, landing, cancel=CancelToken(), observe=tell)
"""


def test_pulling_the_plug_loses_nothing(tmp_path: Path) -> None:
    """The process is killed in mid-transfer; the next one goes on, and the file is whole."""
    import re

    from polydbg.base.cancel import CancelToken
    from polydbg.symbols.download.http import HttpClient

    data = os.urandom(3_000_000)

    def stutter(handler: object) -> None:
        from tests.servers.unruly import Handler

        assert isinstance(handler, Handler)
        handler.send_response(200)
        handler.send_header("ETag", '"one"')
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for start in range(0, len(data), 300_000):
            handler.wfile.write(data[start : start + 300_000])
            time.sleep(0.1)

    target = tmp_path / "store" / "a.pdb" / "KEY" / "a.pdb"
    with Unruly({"/a": data}) as server:
        server.behaviours["/a"] = stutter
        argv = [sys.executable, "-c", KILLED, f"{server.url}/a", str(target)]
        env = {**os.environ, "no_proxy": "*"}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line.split()[0]) > 1_000_000:
                    break
            process.kill()
        assert not target.exists()
        ranges: list[str] = []

        def rest(handler: object) -> None:
            from tests.servers.unruly import Handler

            assert isinstance(handler, Handler)
            ranges.append(handler.headers.get("Range", ""))
            start = int(re.sub(r"\D", "", ranges[-1]) or 0)
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.answer(206 if start else 200, data[start:], ETag='"one"', Content_Range=span)

        server.behaviours["/a"] = rest
        landing = Landing.begin(target, tmp_path / "store")
        HttpClient().download(
            f"{server.url}/a", landing, cancel=CancelToken(), observe=lambda *seen: None
        )
        landing.close()
        assert landing.commit().read_bytes() == data
        assert int(re.sub(r"\D", "", ranges[0])) > 500_000


def _land(number: int, folder: str) -> None:
    for _ in range(30):
        landing = Landing.begin(Path(folder) / "n" / "k" / "a", Path(folder))
        landing.resume(URL)
        landing.write(bytes([number]) * 100_000)
        landing.close()
        landing.commit()


def test_processes_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_land, args=(n, str(tmp_path / "s"))) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    data = (tmp_path / "s" / "n" / "k" / "a").read_bytes()
    assert len(data) == 100_000
    assert len(set(data)) == 1, "one writer's whole file"


# -- misses and the size of the cache ------------------------------------------------------------


def test_misses_are_remembered_for_a_while() -> None:
    misses = Misses(3600)
    assert not misses.has("https://h", "a.pdb", "KEY")
    misses.add("https://h", "a.pdb", "KEY")
    assert Misses(3600).has("https://h", "a.pdb", "KEY")
    assert not Misses(3600).has("https://h", "a.pdb", "KEY2")
    assert not Misses(0).has("https://h", "a.pdb", "KEY")
    misses.remove("https://h", "a.pdb", "KEY")
    assert not misses.has("https://h", "a.pdb", "KEY")
    misses.add("x")
    os.utime(next(path for path in (default_cache().parent / "misses").iterdir()), (0, 0))
    misses.add("y")
    assert len(list((default_cache().parent / "misses").iterdir())) == 2
    Misses(3600).add("z")
    assert len(list((default_cache().parent / "misses").iterdir())) == 2, "old ones go"


def put(root: Path, name: str, size: int, used: float) -> Path:
    path = root / name / "KEY" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def test_the_cache_keeps_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_size, "_last", {})
    old = put(tmp_path, "old", 400, 1000)
    older = put(tmp_path, "older", 400, 500)
    recent = put(tmp_path, "recent", 400, time.time())
    kept = put(tmp_path, "kept", 400, 100)
    (tmp_path / "pingme.txt").write_text("")
    assert trim(tmp_path, 10_000, keep=kept) == 0
    assert trim(tmp_path, 900, keep=kept) == 0, "not every time"
    monkeypatch.setattr(cache_size, "_last", {})
    assert trim(tmp_path, 1300, keep=kept) == 2
    assert [p.exists() for p in (old, older, recent, kept)] == [False, False, True, True]
    assert (tmp_path / "pingme.txt").exists()
