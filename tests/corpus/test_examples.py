"""The example of each command is true: it runs on a suitable dump and no command of it fails.

Most run on the practice dump that the package carries; what needs another target is in a table.
What is behind four blanks in an example explains it.
"""

from __future__ import annotations

import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import Failure, Item, joined
from polydbg.commands.registry import ABSENT_FAMILY, LIVE_FAMILY, REGISTRY, Command
from polydbg.engine.session import Session
from polydbg.library.session import lend_to_scripts

PRACTICE = resources.files("polydbg") / "demo"
DONE = [e for e in REGISTRY.commands() if e.family not in (ABSENT_FAMILY, LIVE_FAMILY)]
FULL, DATA = "win/nullwrite-full", "win/heapdata-snap"
TARGETS = {
    **dict.fromkeys(("!peb", "!tls", "!dlls", "!envvar", "dS", ".exptr"), FULL),
    "!list": DATA,
    "!teb": "win/lockstep-full",
    "!handle": "kdlib/targetapp_minidump.dmp",
    "!runaway": "win/nullwrite-full",
    "!crashpad": "breakpad/minidump_crashpad_annotation.dmp",
    "!linux": "rust-minidump/linux-mini.dmp",
    "!sw": "kdlib/stacktest_wow64.dmp.xz",
    ".effmach": "kdlib/stacktest_wow64.dmp.xz",
}
"""Where the practice dump does not do: ``win/NAME`` of the samples, else below ``minidump``."""
FAILS_ON_PURPOSE = {".catch"}
FILES = {
    "commands.txt": "k 1", "show.txt": "dq ${$arg1} L${$arg2}", "report.py": "print(arguments)",
    "orders.py": "import polydbg\n@polydbg.command('!orders')\ndef orders(s, a): pass\n",
    "app.natvis": "<AutoVisualizer></AutoVisualizer>",
}  # fmt: skip
_SECONDS = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that examples name."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    with resources.as_file(PRACTICE) as demo:
        shutil.copy(demo / "practice.dmp", tmp_path / "other.dmp")
        shutil.copy(demo / "container" / "image.tar", tmp_path / "image.tar")
        with zipfile.ZipFile(tmp_path / "both.zip", "w") as both:
            both.write(demo / "practice.dmp", "first.dmp")
            both.write(demo / "practice.dmp", "second.dmp")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(session: Session, line: str) -> list[Item]:
    cancel = CancelToken()
    interpreter = Interpreter(session, cancel, lambda text, done, total: None)
    lend_to_scripts(session, interpreter, cancel)
    timer = threading.Timer(_SECONDS, cancel.cancel)
    timer.start()
    try:
        return list(interpreter.run(line))
    finally:
        timer.cancel()


def _path(target: str, data_dir: Path, sample_dump: Callable[[str], Path]) -> str:
    kind, _, name = target.partition("/")
    return str(sample_dump(name) if kind == "win" else data_dir / "minidump" / kind / name)


@pytest.fixture
def session(folder: Path) -> Iterator[Session]:
    session = Session()
    session.settings.offline = True
    yield session
    session.close()


@pytest.mark.parametrize("entry", DONE, ids=lambda entry: entry.name)
def test_the_example_runs(entry: Command, request: pytest.FixtureRequest, session: Session) -> None:
    target = TARGETS.get(entry.name)
    paths = str(PRACTICE)
    if target is not None:
        data_dir = request.getfixturevalue("data_dir")
        dump = _path(target, data_dir, request.getfixturevalue("sample_dump"))
        paths = f"{data_dir / 'samples' / 'win' / 'bin'};{data_dir / 'minidump' / 'kdlib'}"
    else:
        dump = str(PRACTICE / "practice.dmp")
    session.settings.search(paths, paths, offline=True)
    session.settings.source_path = str(PRACTICE)
    session.open_dump(dump)
    if entry.name == "||":
        session.open_dump(dump)
    items = _run(session, entry.example.split("    ")[0])
    failures = [item for item in items if isinstance(item, Failure)]
    assert bool(failures) == (entry.name in FAILS_ON_PURPOSE), joined(failures)


def test_the_table_names_commands() -> None:
    names = {entry.name for entry in DONE}
    assert names >= FAILS_ON_PURPOSE
    assert names >= {name for name in TARGETS if name in names}
    assert all(entry.example and entry.syntax and entry.summary for entry in DONE)
