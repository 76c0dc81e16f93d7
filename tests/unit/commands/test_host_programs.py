"""Programs of this computer: run, fed, ended, and forbidden."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.commands.host_programs import ShellExit
from polydbg.commands.language import Interpreter
from polydbg.commands.output import Failure
from polydbg.engine.aliases import within_a_command
from polydbg.engine.session import Session

PYTHON = shlex.quote(sys.executable) if sys.platform != "win32" else f'"{sys.executable}"'


def test_output_and_status_are_shown(run: Run, items: Items) -> None:
    assert run(f'.shell {PYTHON} -c "print(5); print(6)"') == ["5", "6", ".shell: Process exited"]
    (end,) = items(f'.shell {PYTHON} -c "raise SystemExit(3)"')
    assert isinstance(end, ShellExit)
    assert end.code == 3
    assert run("!!echo short")[0] == "short"


def test_a_program_reads_the_output_of_commands(run: Run) -> None:
    code = "import sys; print(len(sys.stdin.read().split()))"
    assert run(f'.shell -ci ".echo a b; .echo c" {PYTHON} -c "{code}"')[0] == "3"
    assert run(f'.shell {PYTHON} -c "{code}"')[0] == "0", "there is no input otherwise"


def test_files_of_a_program(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    run(f'.shell -o "{out}" {PYTHON} -c "print(7)"')
    assert out.read_text().strip() == "7"
    run(f'.shell -o - {PYTHON} -c "print(8)"')
    assert run(f'.shell -i "{tmp_path / "absent"}" {PYTHON}')[0].startswith("cannot run")


def test_control_characters_do_not_reach_the_terminal(run: Run) -> None:
    assert run(f'.shell {PYTHON} -c "print(chr(27))"')[0] == "\\x1b"


def test_a_program_ends_when_its_time_is_over(run: Run) -> None:
    lines = run(f'.shell -tt 300 {PYTHON} -c "import time; time.sleep(60)"')
    assert lines[0] == ".shell: the time is over"


def test_a_program_is_ended_by_an_interrupt(session: Session) -> None:
    cancel = CancelToken()
    interpreter = Interpreter(session, cancel, lambda text, done, total: None)
    threading.Timer(0.5, cancel.cancel).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        list(interpreter.run(f'.shell {PYTHON} -c "import time; time.sleep(60)"'))
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("line", [".shell echo x", "!!echo x", ".shell"], ids=["shell", "!!", "-"])
def test_programs_can_be_forbidden_for_good(items: Items, line: str) -> None:
    items(".noshell")
    (failure,) = items(line)
    assert isinstance(failure, Failure)
    assert failure.identifier == "shell.disabled"


@pytest.mark.parametrize(
    "lines",
    [
        [".foreach (w { .echo a }) { .shell echo w }"],
        [".foreach (w { .echo a }) { .if (1) { .echo w; .shell echo x } }"],
        ["as /c name .echo a", "!!echo ${name}"],
        ["as /c name .echo a", 'aS other "${name}"', ".shell echo ${other}"],
        [".foreach (w { .echo a }) { r $.u3 = w }", "!!echo $u3"],
        ["!for_each_module .shell echo @#ModuleName"],
        ["!for_each_register -c:!!echo @#RegisterName"],
    ],
    ids=["foreach", "nested", "alias", "alias-of-alias", "fixed", "module", "register"],
)
def test_lines_with_foreign_text_run_no_programs(items: Items, lines: list[str]) -> None:
    found = [item for line in lines for item in items(line)]
    failures = [item for item in found if isinstance(item, Failure)]
    assert failures
    assert {each.identifier for each in failures} == {"shell.foreign-text"}


def test_text_of_the_user_may_run_programs(run: Run) -> None:
    assert run('.foreach /s (w "a") { .shell echo w }')[0] == "a"
    assert run(".foreach (w { .echo a }) { .echo w }; .shell echo after")[1] == "after"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a;.logopen/x", "a_.logopen/x"),
        ("}.logopen/x", "_.logopen/x"),
        ("}{", "__"),
        ("{{closure}}", "{{closure}}"),
        ('"q"', '"q"'),
    ],
    ids=["semicolon", "brace", "braces", "closure", "quotes"],
)
def test_foreign_text_begins_no_command(text: str, kept: str) -> None:
    assert within_a_command(text) == kept


def test_a_hostile_word_stays_in_its_command(session: Session, run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hostile = f"x;.logopen{log}"
    session.aliases.define("evil", hostile, is_foreign=True)
    assert run(".block { .echo ${evil} }") == [hostile.replace(";", "_")]
    session.aliases.define("evil", f"}}.logopen{log}", is_foreign=True)
    run(".block { .if (1) { .echo ${evil} } }")
    assert not log.exists()
    session.aliases.define("evil", hostile)
    run(".block { .echo ${evil} }")
    assert log.exists(), "what the user says is done"
