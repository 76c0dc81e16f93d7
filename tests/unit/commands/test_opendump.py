"""``.opendump``: archives, their members, and what ``||`` says of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.commands.output import Failure, Item
from polydbg.engine.session import Session

Run = Callable[[str], list[str]]


@pytest.fixture
def archive(session: Session, tmp_path: Path) -> Path:
    path = tmp_path / "both.zip"
    practice = Path(session.current.target.path).read_bytes()
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("one.dmp", practice)
        out.writestr("two.dmp", practice)
    return path


def test_first_member_and_note(run: Run, archive: Path) -> None:
    lines = run(f'.opendump "{archive}"')
    assert lines[0] == f"Loading Dump File [{archive}: one.dmp]"
    assert f"Note: 2 dumps in {archive}: one.dmp, two.dmp; opened the first" in lines
    assert f"User mini dump: {archive}: one.dmp" in run("||")[1]


def test_the_archive_opened_last_is_meant(run: Run, archive: Path) -> None:
    run(f'.opendump /c one.dmp "{archive}"')
    lines = run('.opendump /c "two.dmp"')
    assert lines[0] == f"Loading Dump File [{archive}: two.dmp]"
    assert len(run("||")) == 3


def test_errors(items: Callable[[str], list[Item]]) -> None:
    for line, identifier in [
        (".opendump /c x", "command.argument-missing"),
        (".opendump /c", "command.argument-missing"),
        (".opendump", "command.argument-missing"),
    ]:
        (failure,) = items(line)
        assert isinstance(failure, Failure)
        assert failure.identifier == identifier
