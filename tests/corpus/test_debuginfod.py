"""A core whose program only debuginfod has: Debian's server, asked by gdb and by us."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import unruly
from tests.servers.debuginfod import debuginfod

from polydbg.engine.arrivals import take_arrivals
from polydbg.engine.session import Session
from polydbg.engine.source_servers import FoundSource, find_source
from polydbg.engine.stack import StackFrame
from polydbg.symbols.store.hostpath import default_cache

pytestmark = pytest.mark.peer

PROGRAM = """
#include <stdlib.h>
struct order { int number; };
__attribute__((noinline)) static int price(struct order *o) { return o->number / 0x10; }
__attribute__((noinline)) int take(struct order *o, int n)
{
    return n ? take(o, n - 1) + 1 : price(o);
}
int main(void) { return take(getenv("NO_SUCH_VARIABLE"), 2); }
"""
FRAMES = ["price", "take", "take", "take", "main"]


class Crash:
    """A core, and the folder of what debuginfod serves; *program* is gone."""

    def __init__(self, folder: Path) -> None:
        source, program = folder / "src" / "shop.c", folder / "bin" / "shop"
        self.core = folder / "run" / "core"
        self.served = folder / "served"
        for each in (source.parent, program.parent, self.core.parent, self.served):
            each.mkdir()
        source.write_text(PROGRAM)
        subprocess.run(["gcc", "-g", "-O1", "-fno-optimize-sibling-calls", "-o", program, source],
                       check=True)  # fmt: skip
        gdb = ["gdb", "-nx", "-q", "-batch", "-ex", "run", "-ex", f"gcore {self.core}"]
        environment = {k: v for k, v in os.environ.items() if k != "DEBUGINFOD_URLS"}
        subprocess.run([*gdb, program], check=True, capture_output=True, env=environment)
        debug = self.served / "shop.debug"
        subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
        subprocess.run(["strip", program], check=True)
        program.rename(self.served / "shop")
        notes = subprocess.run(["readelf", "-n", self.served / "shop"], check=True,
                               capture_output=True, text=True).stdout  # fmt: skip
        found = re.search(r"Build ID: ([0-9a-f]+)", notes)
        assert found is not None
        self.build_id = found[1]


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Crash:
    return Crash(tmp_path_factory.mktemp("crash"))


@pytest.fixture(scope="module")
def server(crash: Crash, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with debuginfod(crash.served, tmp_path_factory.mktemp("debuginfod")) as url:
        yield url


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "client"))
    monkeypatch.setenv("no_proxy", "*")


def opened(crash: Crash, *urls: str, wait: float = 20.0) -> Session:
    session = Session()
    session.settings.debuginfod_urls = urls
    session.files.downloads.wait_at_most(wait)
    session.open_dump(str(crash.core))
    return session


def stack(session: Session) -> list[StackFrame]:
    system = session.current
    return list(session.stack(system, system.scope_registers(), 16))


def names(session: Session) -> list[str]:
    return [row.place.symbol for row in stack(session) if row.place.module == "shop"]


def test_the_stack_is_gdbs(crash: Crash, server: str, tmp_path: Path) -> None:
    session = opened(crash, server)
    rows = [row for row in stack(session) if row.place.module == "shop"]
    ours = [(row.place.symbol, Path(row.file).name, row.line) for row in rows[:5]]
    environment = {**os.environ, "DEBUGINFOD_URLS": server}
    gdb = ["gdb", "-nx", "-q", "-batch", "-ex", "set debuginfod enabled on",
           "-ex", f"core {crash.core}"]  # fmt: skip
    # gdb 13 takes a missing program from the server only by the build id of the core's own map.
    client = subprocess.run(["debuginfod-find", "executable", crash.build_id], env=environment,
                            check=True, capture_output=True, text=True).stdout.strip()  # fmt: skip
    shown = subprocess.run([*gdb, "-ex", f"file {client}", "-ex", "bt"], env=environment,
                           check=True, capture_output=True, text=True).stdout  # fmt: skip
    bt = shown[shown.rindex("#0") :]  # the core's own first frame stands before it
    theirs = re.findall(r"#\d+ .*?(\w+) \(.*\) at (\S+):(\d+)", bt)
    expected = [(name, Path(file).name, int(line)) for name, file, line in theirs]
    assert [name for name, _, _ in ours] == FRAMES
    assert ours == expected[:5]
    session.close()


def test_files_are_whole_and_where_the_next_session_finds_them(crash: Crash, server: str) -> None:
    opened_ = opened(crash, server)
    assert names(opened_)[:5] == FRAMES
    opened_.close()
    key = crash.build_id.ljust(40, "0")
    debug = default_cache() / "_.debug" / f"elf-buildid-sym-{key}" / "_.debug"
    image = default_cache() / "shop" / f"elf-buildid-{key}" / "shop"
    assert debug.read_bytes() == (crash.served / "shop.debug").read_bytes()
    assert image.read_bytes() == (crash.served / "shop").read_bytes()
    again = opened(crash)
    assert names(again)[:5] == FRAMES, "without any server"
    again.close()


def test_at_a_prompt_nothing_waits(crash: Crash, server: str) -> None:
    session = opened(crash, server, wait=0.0)
    assert names(session)[:1] == [""]
    for _ in range(200):
        take_arrivals(session)
        if names(session)[:5] == FRAMES:
            break
        time.sleep(0.05)
    assert names(session)[:5] == FRAMES
    session.close()


def test_servers_that_fail_come_before_one_that_does_not(crash: Crash, server: str) -> None:
    with unruly.Unruly() as bad:
        bad.behaviours["/"] = unruly.status(500)
        gone = f"http://127.0.0.1:{unruly.closed_port()}"
        session = opened(crash, gone, bad.url, server)
        assert names(session)[:5] == FRAMES
        assert len(bad.paths) == 1, "a host with a fault is left alone"
        session.close()


def source_of_top(session: Session) -> FoundSource:
    top = stack(session)[0]
    assert top.file.endswith("/shop.c")
    return find_source(session, session.current, top.file, top.frame.lookup_pc)


def test_sources_come_from_debuginfod(crash: Crash, server: str) -> None:
    session = opened(crash, server)
    try:
        found = source_of_top(session)
        assert found.path is not None
        assert found.path.read_text() == PROGRAM
        assert not found.differs
    finally:
        session.close()
    later = opened(crash, server)
    try:
        later.settings.offline = True  # what came once needs no server
        assert source_of_top(later) == found
    finally:
        later.close()


def test_nobody_waits_for_sources(crash: Crash, server: str) -> None:
    session = opened(crash, server)
    try:
        top = stack(session)[0]
        downloads = session.files.downloads
        downloads.wait_at_most(0)
        found = find_source(session, session.current, top.file, top.frame.lookup_pc)
        assert (found.path, found.host) == (None, server.partition("//")[2])
        downloads.wait(downloads.running(), unlimited=True)
        assert any("shop.c" in each.message for each in take_arrivals(session))
        assert source_of_top(session).path is not None
    finally:
        session.close()
