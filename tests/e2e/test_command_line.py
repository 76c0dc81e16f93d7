"""The program as users start it: exit codes, standard input, JSON, errors without tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest
from tests.servers import unruly

from polydbg.testing.minidump_builder import MinidumpBuilder

DEMO = str(resources.files("polydbg") / "demo")
DUMP = f"{DEMO}/practice.dmp"

# A test runner in the background may hand down that SIGINT is ignored.
START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from polydbg.cli.main import main; sys.exit(main())"
)


def polydbg(*argv: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "polydbg", *argv],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **env},
    )


def test_success_failure_and_usage() -> None:
    assert polydbg(DUMP, "-c", "k;q").returncode == 0
    assert polydbg(DUMP, "-c", "? nosuch;q").returncode == 1
    done = polydbg("-nosuch")
    assert done.returncode == 64
    assert "--help" in done.stderr
    assert polydbg("--help").returncode == 0
    assert polydbg("--version").stdout.startswith("polydbg ")


def test_an_unreadable_input_is_exit_2_with_one_clear_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.dmp"
    bad.write_bytes(b"\x7fELF" + bytes(60))
    for path in (bad, tmp_path / "missing.dmp"):
        done = polydbg(str(path), "-c", "q")
        assert done.returncode == 2
        assert "Traceback" not in done.stdout + done.stderr


def test_commands_from_standard_input_go_on_after_a_failure() -> None:
    done = polydbg(DUMP, stdin="? nosuch\n.echo still here\nq\n.echo not this\n")
    assert done.returncode == 1
    assert "still here" in done.stdout
    assert "not this" not in done.stdout
    done = polydbg(DUMP, "--stop-on-error", stdin="? nosuch\n.echo still here\n")
    assert done.returncode == 1
    assert "still here" not in done.stdout


def test_command_files_and_logs(tmp_path: Path) -> None:
    script, log = tmp_path / "cmds.txt", tmp_path / "out.log"
    script.write_text(".echo from the file\n\n* a comment\nq\n")
    done = polydbg(DUMP, "-cf", str(script), "-logo", str(log))
    assert done.returncode == 0
    assert "from the file" in done.stdout
    assert "from the file" in log.read_text()
    assert polydbg(DUMP, "-cf", str(tmp_path / "no.txt")).returncode == 64


def test_json_is_one_object_a_command() -> None:
    done = polydbg(DUMP, "--json", "-y", DEMO, "-i", DEMO, stdin=".ecxr; k\n? 1/0\nq\n")
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [o["command"] for o in objects] == ["open", ".ecxr", "k", "? 1/0", "q"]
    assert [o["ok"] for o in objects] == [True, True, True, False, True]
    failure = objects[3]["items"][0]
    assert failure["type"] == "failure"
    assert failure["identifier"]


def test_several_dumps_in_one_session(tmp_path: Path) -> None:
    for name in ("b.dmp", "a.dmp"):
        (tmp_path / name).write_bytes(Path(DUMP).read_bytes())
    done = polydbg("-z", f"{tmp_path}/*.dmp", "-c", "||;||1s;|;q")
    rows = [line for line in done.stdout.splitlines() if "User mini dump" in line]
    assert [row.rsplit("/", 1)[-1] for row in rows] == ["a.dmp", "b.dmp"]


def test_no_colour_when_output_is_no_terminal() -> None:
    assert "\x1b" not in polydbg(DUMP, "-c", "lm;q").stdout
    assert "\x1b[" in polydbg(DUMP, "--color", "always", "-c", "lm;q").stdout


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interrupted_batch_is_exit_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", START, DUMP, "-c", ".echo ready; .sleep 0n30000; q"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "ready" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert process.wait(timeout=60) == 130
    assert time.monotonic() - started < 20
    process.stdout.close()


@pytest.mark.skipif(os.name != "posix", reason="terminals and signals of POSIX")
def test_ctrl_c_ends_a_verb_and_leaves_no_prompt() -> None:
    terminal, stdin = os.openpty()
    with unruly.Unruly() as server:
        server.behaviours["/"] = unruly.silent(10)
        process = subprocess.Popen(
            [sys.executable, "-c", START, "sym", "path", "-y", f"srv*{server.url}"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"no_proxy": "*"},
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Deferred"):
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    os.close(terminal)
    os.close(stdin)
    assert process.returncode == 130
    assert rest == "Interrupted.\n"


def test_a_processor_named_for_a_dump_that_does_not_say_it(tmp_path: Path) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(MinidumpBuilder(with_system_info=False).build())
    assert polydbg(str(path), "-c", "q").returncode == 2
    assert polydbg("-arch", "arm64", "-z", str(path), "-c", "q").returncode == 0
    assert "Finished dump check" in polydbg("check", "-arch", "arm64", str(path)).stdout
