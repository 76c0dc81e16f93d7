"""Python at hand: !py, scripts, their commands, their failures, and how they end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata, resources
from pathlib import Path

import pytest

import polydbg
from polydbg.base.errors import Cancelled, CommandError
from polydbg.engine import scripts
from polydbg.library.session import DumpSession

Print = Callable[[str], str]
SCRIPT = '''
import polydbg
print("loading", len(session.threads))

@polydbg.command("!orders", summary="Say hello.", example="!orders now")
def orders(session, arguments):
    print("got", arguments)
    return session.command("? 5").text

@polydbg.command("!broken")
def broken(session, arguments):
    """Fail."""
    raise ValueError("bad\\nthing")
'''


@pytest.fixture
def dump() -> Iterator[DumpSession]:
    folder = resources.files("polydbg") / "demo"
    with polydbg.open(str(folder / "practice.dmp"), symbols=str(folder), images=str(folder)) as it:
        yield it


@pytest.fixture
def printed(dump: DumpSession) -> Print:
    return lambda line: dump.command(line, check=False).text.rstrip("\n")


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "orders.py"
    path.write_text(SCRIPT)
    return str(path)


def test_expressions_and_statements(printed: Print) -> None:
    assert printed("!py 1 + 1") == "2"
    assert printed("!py 'text'") == "text"
    assert printed("!py None") == ""
    assert printed("!py x = 5; print(x)") == "5"
    assert printed("!py x + 1") == "6", "names stay"
    assert printed("!py for t in session.threads: print(t.ordinal)") == "0\n1"


def test_the_current_thread_and_frame_are_bound(printed: Print) -> None:
    assert printed("!py thread.ordinal, frame.number, frame.symbol") == "(0, 0, 'record_sale')"
    assert printed("~1s")
    assert printed("!py thread.ordinal") == "1"
    assert printed("~0s; .frame 2")
    assert printed("!py frame.number") == "2"


def test_commands_and_python_nest(printed: Print) -> None:
    assert printed('!py session.command("!py print(7)").text').strip() == "7"
    assert printed(".foreach /s (w \"a b\") { !py print('${w}') }") == "a\nb"


def test_partial_lines_and_control_characters(printed: Print) -> None:
    assert printed("!py print('a', end='')") == "a"
    assert printed("!py print(chr(27))") == "\\x1b"


def test_errors_are_one_line_with_their_place(printed: Print, dump: DumpSession) -> None:
    assert printed("!py 1/0") == "ZeroDivisionError: division by zero (<!py>:1)"
    assert printed("!py (").startswith("SyntaxError: ")
    assert "\n" not in printed("!py raise ValueError('a\\nb')")
    assert "Traceback" in printed("!py -v 1/0")
    assert printed("!py raise SystemExit") == ""
    with pytest.raises(CommandError, match="CommandError"):
        dump.command('!py session.command("nosuch")')


def test_output_of_other_threads_stays_where_it_was(printed: Print) -> None:
    before = sys.stdout
    assert printed("!py print(1)") == "1"
    assert sys.stdout is before


def test_a_script_declares_commands(printed: Print, script: str) -> None:
    lines = printed(f'.scriptload "{script}"').split("\n")
    assert lines == ["loading 2", f"Python script successfully loaded from '{script}'"]
    assert printed("!ORDERS a b").split("\n")[:2] == [
        "got a b", "Evaluate expression: 5 = 00000000`00000005"]  # fmt: skip
    assert script in printed(".scriptlist")
    assert "!orders" in printed(".chain")
    assert "!orders" in printed(".help")
    assert "Say hello." in printed(".help !orders")
    assert "Fail." in printed(".help !broken")
    assert printed("!broken") == "ValueError: bad (orders.py:13)"
    assert printed(".scriptunload orders.py") == f"Python script unloaded from '{script}'"
    assert printed("!orders").startswith("No export orders found")
    assert printed(".scriptunload orders.py").startswith("no script orders.py is loaded")


def test_a_script_as_a_program(printed: Print, tmp_path: Path) -> None:
    path = tmp_path / "report.py"
    path.write_text("if __name__ == '__main__': print(arguments, session.arch)")
    assert printed(f'.scriptrun "{path}" a "b c"') == "['a', 'b c'] amd64"
    assert printed(f'.scriptload "{path}"').startswith("Python script")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = (", "SyntaxError"),
        ("import nosuchmodule", "ModuleNotFoundError"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("import polydbg\n@polydbg.command('k')\ndef f(s, a): pass", "ValueError"),
        ("import polydbg\n@polydbg.command('!list')\ndef f(s, a): pass", "!list is a command"),
    ],
    ids=["syntax", "import", "base", "name", "taken"],
)
def test_a_script_that_fails_is_not_kept(
    printed: Print, tmp_path: Path, code: str, words: str
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(code)
    assert printed(f'.scriptload "{path}"').startswith(words)
    assert printed(".scriptlist") == "Command Loaded Scripts:"


@pytest.mark.parametrize(
    "code", ["while True: pass", "while True: print(1)", "import time\nwhile 1: time.sleep(0.05)",
             "session.command('.for (;1;) { .echo x }')",
             "while True:\n try:\n  while True: pass\n except KeyboardInterrupt: break"],
    ids=["loop", "printing", "sleeping", "commands", "catching"],
)  # fmt: skip
def test_an_interrupt_ends_a_script(dump: DumpSession, tmp_path: Path, code: str) -> None:
    path = tmp_path / "long.py"
    path.write_text(code)
    threading.Timer(0.3, dump.interrupt).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        dump.command(f'.scriptrun "{path}"')
    assert time.monotonic() - started < 10
    assert not [each for each in threading.enumerate() if each.name == "script"]
    assert dump.command("!py 1+1").text.strip() == "2", "the session goes on"


def test_the_session_of_a_script_is_lent(dump: DumpSession) -> None:
    dump.command("!py kept = session")
    dump.command("!py kept.close()")
    assert dump.command("!py session.arch").text.strip() == "amd64"
    failed = dump.command("!py kept.arch", check=False).text
    assert "the session is closed" in failed


def test_python_can_be_forbidden_and_foreign_text_runs_none(printed: Print, script: str) -> None:
    refused = "!py is not run in a line that holds text of the target"
    assert refused in printed(".foreach (w { .echo 5 }) { !py w }")
    printed(".noshell")
    for line in ("!py 1", f'.scriptload "{script}"', f'.scriptrun "{script}"'):
        assert "has been disabled" in printed(line)


def test_windows_extensions_are_refused_with_what_to_do(printed: Print, script: str) -> None:
    assert ".scriptload" in printed(".load uext")
    assert "successfully loaded" in printed(f".load {script}")
    assert "Python" in printed(".scriptproviders")


def test_a_file_of_natvis_is_loaded_as_views(printed: Print, tmp_path: Path) -> None:
    path = tmp_path / "my views.natvis"
    path.write_text("<AutoVisualizer></AutoVisualizer>")
    assert printed(f'.scriptload "{path}"').startswith("Successfully loaded visualizers")


class _Entry:
    dist = None

    def __init__(self, name: str, found: object) -> None:
        self.name = name
        self._found = found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def test_packages_add_commands_and_broken_ones_are_said(
    printed: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    @polydbg.command("!of_package", summary="Of a package.")
    def of_package(session: scripts.ScriptSession, arguments: str) -> str:
        return f"hello {arguments}"

    entries = [_Entry("good", of_package), _Entry("bad", ImportError("no module\nnamed x"))]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries)
    assert printed("? 1")
    lines = printed("!of_package there").split("\n")
    said = "    the commands of bad could not be imported: ImportError: no module"
    assert lines == [said, "hello there"]
    assert printed("!of_package") == "hello ", "said once"
    chain = printed(".chain")
    assert "!of_package" in chain
    assert "could not be imported" in chain
    assert "!of_package" in printed(".help")
