"""A session with symbol servers: what is shown at once, what arrives, what is said of failures."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.servers import unruly
from tests.servers.stores import DEMO, practice_store
from tests.servers.unruly import Behaviour, Unruly

from polydbg.base.errors import Cancelled
from polydbg.commands.output import Notice
from polydbg.service.api import FinishedEvent, Item, ItemsEvent, OpenRequest
from polydbg.service.local import LocalClient
from polydbg.service.render import text_of
from polydbg.symbols.pdb import open_pdb

STORE = practice_store()
PDB, EXE = sorted(STORE, reverse=True, key=lambda path: path.endswith(".pdb"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """The practice dump, away from its symbols."""
    copy = tmp_path / "dump" / "practice.dmp"
    copy.parent.mkdir()
    copy.write_bytes((DEMO / "practice.dmp").read_bytes())
    return copy


@pytest.fixture
def server() -> Iterator[Unruly]:
    with Unruly(STORE) as running:
        yield running


class Run:
    """A session; ``run(line)`` returns the text of a command."""

    def __init__(self) -> None:
        self.client = LocalClient()
        self.heard: list[str] = []
        self.has_news = threading.Event()
        self.was_interrupted = False
        self.client.listen(self._listen)

    def open(self, dump: Path, path: str, **options: object) -> str:
        request = OpenRequest([str(dump)], path, "", "", False, **options)  # type: ignore[arg-type]
        return self._text(self.client.open(request))

    def __call__(self, line: str) -> str:
        return self._text(self.client.execute(line))

    def _text(self, events: Iterator[object]) -> str:
        lines: list[str] = []
        for event in events:
            if isinstance(event, ItemsEvent):
                lines += [text_of(item) for item in event.items]
            elif isinstance(event, FinishedEvent):
                self.was_interrupted = event.interrupted
        return "\n".join(lines)

    def _listen(self, items: Sequence[Item]) -> None:
        self.heard += [text_of(item) for item in items]
        self.has_news.set()

    def wait_until_heard(self, pattern: str) -> str:
        """Return the first line that is said between commands and fits."""
        for _ in range(200):
            for line in self.heard:
                if re.search(pattern, line):
                    return line
            time.sleep(0.05)
        raise AssertionError(f"not said: {pattern}; said: {self.heard}")


@pytest.fixture
def run() -> Iterator[Run]:
    running = Run()
    yield running
    running.client.close()


def files_below(folder: Path) -> list[str]:
    found = [Path(at) / name for at, _, names in os.walk(folder) for name in names]
    return sorted(str(path.relative_to(folder)) for path in found)


def test_what_arrives_is_used_without_a_command(
    run: Run, dump: Path, server: Unruly, tmp_path: Path
) -> None:
    gate = threading.Event()

    def wait(handler: unruly.Handler) -> None:
        assert gate.wait(20)
        handler.serve()

    server.behaviours["/practice"] = wait
    first = run.open(dump, f"srv*{tmp_path / 'store'}*{server.url}") + run(".ecxr") + run("k 4")
    assert "practice+0x" in first
    assert "record_sale" not in first
    assert re.search(r"fetching .*practice\.exe.* from 127\.0\.0\.1", first)
    assert "Symbol file could not be found" not in first
    assert "fetching practice" in run.client.activity()
    assert "being fetched" in run("!sym why practice")
    gate.set()
    assert "practice.pdb" in run.wait_until_heard("Symbols of practice arrived")
    run.wait_until_heard("Image of practice arrived")
    second = run("k 4")
    assert "practice!record_sale" in second
    assert "orders.c @ 60" in second
    assert "arrived" not in second, "it was announced once"
    kept = [name for name in files_below(tmp_path / "store") if "practice" in name]
    assert kept == [EXE[1:], PDB[1:]]
    asked = len(server.paths)
    run(".reload")
    assert "practice!record_sale" in run(".ecxr;k 4")
    assert len([p for p in server.paths[asked:] if "practice" in p]) == 0


def test_a_batch_run_waits(run: Run, dump: Path, server: Unruly) -> None:
    server.behaviours["/practice"] = unruly.slow(0.3)
    shown = run.open(dump, f"srv*{server.url}", symbol_wait=20.0)
    assert "practice!record_sale" in shown, "the first screen has names"
    assert "practice!price_line" in run(".ecxr; k 4")
    assert not [line for line in run.heard if "arrived" in line]


def test_a_batch_run_waits_no_longer_than_its_budget(run: Run, dump: Path, server: Unruly) -> None:
    server.behaviours["/practice"] = unruly.slow(20)
    begin = time.monotonic()
    shown = run.open(dump, f"srv*{server.url}", symbol_wait=1.0) + run(".ecxr; k 4")
    assert time.monotonic() - begin < 8
    assert re.search("not waited any longer for .*practice.*--symbol-wait", shown)
    begin = time.monotonic()
    run(".reload /f")
    assert time.monotonic() - begin < 4


def test_ctrl_c_ends_the_waiting(run: Run, dump: Path, server: Unruly) -> None:
    server.behaviours["/practice"] = unruly.silent(20)
    run.open(dump, f"srv*{server.url}")
    threading.Timer(0.5, run.client.interrupt).start()
    begin = time.monotonic()
    run(".reload /f")
    assert run.was_interrupted
    assert time.monotonic() - begin < 4
    shown = ""
    for _ in range(100):
        shown += (status := run("!sym status"))
        if "stopped" in status and "running" not in status:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the transfers were not stopped")
    assert "practice+0x" in run("k 2"), "the session goes on"
    said = "\n".join([shown, *run.heard])
    assert "transfers were stopped; .reload /f goes on" in said
    assert ".reload /f begins again" in run("!sym why practice")
    time.sleep(0.3)
    assert not run.client.activity(), "nothing else is asked instead"


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (unruly.status(404), "not on the server"),
        (unruly.status(403), "forbids it"),
        (unruly.status(429), "wants fewer requests"),
        (unruly.status(500), "The fault is the server's"),
        (unruly.page("Sign in"), r"is a web page \(Sign in\).*login page"),
        (unruly.redirect("file:///etc/passwd"), "no address of HTTP"),
        (unruly.redirect("/practice.pdb/x"), "in a circle"),
        (unruly.status(200, b"not a PDB at all"), "no whole file"),
        (unruly.truncated(100), r"broke off.*\.reload /f"),
    ],
    ids=["404", "403", "429", "500", "page", "file", "circle", "damaged", "cut"],
)
def test_the_reason_is_said(
    run: Run, dump: Path, server: Unruly, tmp_path: Path, behaviour: Behaviour, words: str
) -> None:
    server.behaviours["/practice.pdb"] = behaviour
    store = tmp_path / "store"
    run.open(dump, f"srv*{store}*{server.url}", symbol_wait=20.0)
    why = run("!sym why practice").split("Image of")[0]
    assert re.search(words, why, re.DOTALL), why
    assert "practice+0x" in run("k 1") or "practice!" in run("k 1")
    assert not [name for name in files_below(store) if name.endswith("practice.pdb")]


def test_a_lie_about_the_id_is_found_out(
    run: Run, dump: Path, server: Unruly, tmp_path: Path
) -> None:
    other = bytearray(server.files[PDB])
    guid = open_pdb(DEMO / "practice.pdb").debug_id
    assert guid is not None
    raw = bytes.fromhex(guid.guid)
    raw = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
    place = other.find(raw)
    other[place : place + 16] = bytes(range(16))
    server.files[PDB] = bytes(other)
    run.open(dump, f"srv*{tmp_path / 'store'}*{server.url}", symbol_wait=20.0)
    why = run("!sym why practice")
    assert "another file" in why
    assert "tell its keeper" in why
    assert not [n for n in files_below(tmp_path / "store") if n.endswith("practice.pdb")]
    # .reload /f asks again, and takes what is right by now.
    server.files[PDB] = (DEMO / "practice.pdb").read_bytes()
    run(".reload /f")
    assert "practice!record_sale" in run(".ecxr; k 3")


def test_a_host_that_is_not_there_is_asked_once(run: Run, dump: Path) -> None:
    url = f"http://127.0.0.1:{unruly.closed_port()}"
    run.open(dump, f"srv*{url}", symbol_wait=20.0)
    run("~*k; !analyze")
    status = run("!sym status")
    assert status.count("connection refused") >= 1
    assert "left alone for another 5 min" in status
    assert "Error" in run("!sym path")


def test_the_fault_of_a_host_is_said_once(run: Run, dump: Path, server: Unruly) -> None:
    unavailable = unruly.status(500)

    def fail_late(handler: unruly.Handler) -> None:
        time.sleep(0.3)  # until all are asked
        unavailable(handler)

    server.behaviours["/"] = fail_late
    run.open(dump, f"srv*{server.url}")
    said = run(".reload /f")
    assert said.count("has a fault (HTTP 500)") == 1, said
    assert run(".reload /f").count("has a fault (HTTP 500)") == 1, "asked again, said again"
    assert run("!sym status").count(server.url.removeprefix("http://")) == len(
        [line for line in run("!sym status").split("\n") if line.startswith("failed")]
    )


def test_what_a_module_lacks_is_said_once(run: Run, dump: Path) -> None:
    path = f"srv*http://127.0.0.1:{unruly.closed_port()}"
    opened = run.open(dump, path, symbol_wait=20.0)
    said = "\n".join([opened, run("k"), run("k"), *run.heard])
    lines = re.findall(r"\*\*\* ERROR: Module load completed but .* for (\S+)", said)
    assert "ntdll.dll" in lines
    assert len(lines) == len(set(lines))


def test_the_first_screen_says_that_the_image_is_on_its_way(
    run: Run, dump: Path, server: Unruly
) -> None:
    server.behaviours["/"] = unruly.slow(0.3)
    opened = run.open(dump, f"srv*{server.url}")
    assert "Missing: symbols of practice. It is being fetched: practice.pdb. Its id is" in opened
    assert "Give the image" not in opened


def test_a_debug_file_has_a_name_for_people(
    run: Run, tmp_path: Path, server: Unruly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "debuginfod"))
    core = tmp_path / "core.7"
    core.write_bytes((DEMO / "container" / "core.7").read_bytes())
    server.behaviours["/"] = unruly.silent(10)
    opened = run.open(core, f"DebugInfoD*{server.url}")
    missing = next(line for line in opened.split("\n") if line.startswith("Missing:"))
    assert "A server is being asked" in missing
    status = run("!sym status")
    assert "debug file of build id 670a60d5384f7a96f1f274cc36b34ec045c9f655" in status
    assert "_.debug" not in status


def test_misses_are_remembered(dump: Path, server: Unruly) -> None:
    server.files.clear()
    for round_ in range(2):
        run = Run()
        run.open(dump, f"srv*{server.url}", symbol_wait=20.0)
        assert "not on the server" in run("!sym why practice")
        if round_ == 0:
            asked = len(server.paths)
            assert asked
        else:
            assert len(server.paths) == asked, "the second session asks nothing again"
            run(".reload /f practice.exe")
            assert len(server.paths) > asked, "but for .reload /f"
        run.client.close()


def test_offline(run: Run, dump: Path, server: Unruly) -> None:
    shown = run.open(dump, f"srv*{server.url}", symbol_wait=20.0, offline=True)
    assert "practice!" not in shown
    assert "--offline" in run("!sym why practice")
    assert server.paths == []
    run("!sym online")
    assert "practice!record_sale" in run(".ecxr; k 2")


def test_nothing_is_asked_without_being_told_to(run: Run, dump: Path, server: Unruly) -> None:
    run.open(dump, "", symbol_wait=20.0)
    run("~*k; !analyze; .reload /f")
    assert "nothing" not in run("!sym status")
    assert "no server is set" in run("!sym status")


def _tiered(files: dict[str, bytes]) -> dict[str, bytes]:
    return {"/index2.txt": b"", **{f"/pr{path}": data for path, data in files.items()}}


def _packed(files: dict[str, bytes]) -> dict[str, bytes]:
    from polydbg.testing.cabinet_builder import cabinet

    return {
        f"{path[:-1]}_": cabinet({path.rsplit("/", 1)[1]: data}) for path, data in files.items()
    }


def _lower(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path.lower(): data for path, data in files.items()}


@pytest.mark.parametrize("layout", [_tiered, _packed, _lower], ids=["tiered", "packed", "ssqp"])
def test_layouts_of_stores(
    run: Run,
    dump: Path,
    server: Unruly,
    tmp_path: Path,
    layout: Callable[[dict[str, bytes]], dict[str, bytes]],
) -> None:
    server.files = layout(server.files)
    run.open(dump, f"srv*{tmp_path / 'a'}*{tmp_path / 'b'}*{server.url}", symbol_wait=20.0)
    assert "practice!record_sale" in run(".ecxr; k 2")
    near = files_below(tmp_path / "a")
    assert [n for n in near if n.endswith("practice.pdb")], near
    far = [n for n in files_below(tmp_path / "b") if n.endswith((".pdb", ".pd_"))]
    assert len(far) == 1
    assert far[0].endswith("_") == (layout is _packed)


def test_file_ptr(run: Run, dump: Path, server: Unruly) -> None:
    for path in (PDB, EXE):
        data = server.files.pop(path)
        server.files[f"/elsewhere{path}"] = data
        folder = path.rsplit("/", 1)[0]
        server.files[f"{folder}/file.ptr"] = f"PATH:{server.url}/elsewhere{path}".encode()
    run.open(dump, f"srv*{server.url}", symbol_wait=20.0)
    assert "practice!record_sale" in run(".ecxr; k 2")


def test_secrets_are_not_shown(run: Run, dump: Path, server: Unruly) -> None:
    server.files.clear()
    url = server.url.replace("//", "//me:hunter2@") + "?sig=hunter2"
    said = run.open(dump, f"srv*{url}", symbol_wait=20.0)
    for command in (".sympath", "!sym why practice", "!sym status", "!sym path", "!sym noisy",
                    ".reload /f", "k", ".sympath+ srv*" + url):  # fmt: skip
        said += run(command)
    assert "hunter2" not in said


def test_the_library_waits_too(dump: Path, server: Unruly) -> None:
    import polydbg

    server.behaviours["/practice"] = unruly.slow(0.2)
    path = f"srv*{server.url}"
    with polydbg.open(dump, symbols=path, images="", offline=True) as session:
        assert {frame.symbol for frame in session.threads[0].frames(4)} == {""}
    with polydbg.open(dump, symbols=path, images="") as session:
        names = [frame.symbol for frame in session.crash_frames(4)]
        assert names[:2] == ["record_sale", "price_line"]


def test_sym_path_on_the_command_line(server: Unruly, capsys: pytest.CaptureFixture[str]) -> None:
    from polydbg.cli.main import main

    gone = f"http://127.0.0.1:{unruly.closed_port()}"
    assert main(["sym", "path", "-y", f"srv*{server.url};srv*{gone}"]) == 1
    shown = capsys.readouterr().out
    assert re.search(rf"^OK .*{server.url}$", shown, re.MULTILINE)
    assert re.search(rf"^Error .*{gone}\n    .*connection refused\n    Check", shown, re.MULTILINE)


def held_back(server: Unruly) -> threading.Event:
    """Have the files of practice wait until the event is set."""
    gate = threading.Event()

    def wait(handler: unruly.Handler) -> None:
        assert gate.wait(20)
        handler.serve()

    server.behaviours["/practice"] = wait
    return gate


def test_modules_of_the_library_know_what_came(dump: Path, server: Unruly) -> None:
    import polydbg

    gate = held_back(server)
    path = f"srv*{server.url}"
    with polydbg.open(dump, symbols=path, images="", symbol_wait=0) as session:
        module = session.module("practice")
        assert "pdb" not in module.symbols
        gate.set()
        for _ in range(200):
            if "pdb" in module.symbols:
                break
            time.sleep(0.05)
        assert "pdb" in module.symbols
        assert module.address_of("price_line") in module


def test_a_listener_that_fails_does_not_end_the_session(
    run: Run, dump: Path, server: Unruly, caplog: pytest.LogCaptureFixture
) -> None:
    heard = threading.Event()

    def fail(items: Sequence[Item]) -> None:
        heard.set()
        raise BrokenPipeError

    gate = held_back(server)
    run.client.listen(fail)
    run.open(dump, f"srv*{server.url}")
    run("k 2")
    gate.set()
    assert heard.wait(20)
    assert "internal fault (BrokenPipeError" in run("k 2"), "the session goes on"


def test_what_came_is_kept_where_the_looking_is_stopped(
    run: Run, dump: Path, server: Unruly
) -> None:
    gate = held_back(server)
    run.client.listen(None)
    run.open(dump, f"srv*{server.url}")
    run(".ecxr; k 4")
    session = run.client._host._session
    files = session.files
    load, calls = files.load_symbols, [0]

    def stopped(*arguments: object) -> None:
        calls[0] += 1
        files.load_symbols = load  # type: ignore[method-assign]
        raise Cancelled

    files.load_symbols = stopped  # type: ignore[method-assign]
    gate.set()
    for _ in range(200):
        if calls[0]:
            break
        time.sleep(0.05)
    said = run(".ecxr; k 4")
    assert calls[0] == 1
    assert "arrived" in said
    for _ in range(200):  # the PDB's id is in the image
        if "practice!record_sale" in said:
            break
        time.sleep(0.05)
        said = run("k 4")
    assert "practice!record_sale" in said


def test_a_command_of_a_command_changes_no_modules(run: Run, dump: Path, server: Unruly) -> None:
    run.open(dump, f"srv*{server.url}", symbol_wait=20.0)
    interpreter, taken = run.client._host._interpreter, [0]
    take = interpreter.take_arrivals

    def count() -> list[Notice]:
        taken[0] += 1
        return take()

    interpreter.take_arrivals = count  # type: ignore[method-assign]
    run("!for_each_module .echo @#ModuleName")
    assert taken[0] == 2, "once before the request, once before the command"


def test_ld_looks_at_all_modules_though_some_arrive_meanwhile(
    run: Run, dump: Path, server: Unruly
) -> None:
    server.behaviours["/"] = unruly.slow(0.1)
    run.open(dump, f"srv*{server.url}")
    run("k")
    shown = run("ld * /f")
    assert "internal fault" not in shown
    assert "Symbols loaded for practice" in shown


def shows_names(run: Run) -> bool:
    """Tell whether the stack has names after a while."""
    for _ in range(200):
        if "practice!record_sale" in run(".ecxr; k 4"):
            return True
        time.sleep(0.05)
    return False


def test_a_list_of_ids_keeps_nobody_from_asking(run: Run, dump: Path, server: Unruly) -> None:
    run.open(dump, f"srv*{server.url}")
    assert "pdb        practice.pdb" in run("!sym list")
    assert not server.paths
    assert shows_names(run)


def test_online_again_what_was_stopped_is_asked_for(run: Run, dump: Path, server: Unruly) -> None:
    server.behaviours["/practice"] = unruly.silent(20)
    run.open(dump, f"srv*{server.url}")
    run(".ecxr; k 4")
    run("!sym offline")
    server.behaviours.clear()
    run("!sym online")
    assert shows_names(run)


def test_a_batch_run_that_may_not_wait_does_not(run: Run, dump: Path, server: Unruly) -> None:
    gate = held_back(server)
    run.open(dump, f"srv*{server.url}", symbol_wait=0.0)
    assert re.search("not waited any longer for .*practice", run(".reload /f; k 2"))
    gate.set()


def test_why_the_id_is_not_known(run: Run, dump: Path, server: Unruly) -> None:
    """The id of the PDB is in the image, which the server does not give."""
    server.behaviours["/practice.exe"] = unruly.status(500)
    shown = run.open(dump, f"srv*{server.url}", symbol_wait=20.0)
    assert re.search(r"Missing: symbols of practice.*id is in the image.*HTTP 500", shown)
