"""What docs/scripting.md shows is what happens on the practice dump."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

import polydbg
from polydbg.library.session import DumpSession

PAGE = Path(__file__).parents[3] / "docs" / "scripting.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
FILES = dict(re.findall(r"File `([^`]+)`:\n\n```\w*\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
SESSIONS = [text for _, text in BLOCKS if text.startswith("0:000>")]


@pytest.fixture
def dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DumpSession]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    folder = resources.files("polydbg") / "demo"
    with polydbg.open(str(folder / "practice.dmp"), symbols=str(folder), images=str(folder)) as it:
        yield it


@pytest.mark.skipif(os.name != "posix", reason="the page runs programs of Unix")
@pytest.mark.parametrize("text", SESSIONS, ids=lambda text: text.split()[1].strip(".!$"))
def test_the_page_is_true(text: str, dump: DumpSession) -> None:
    for step in re.split(r"^0:000> ", text, flags=re.M)[1:]:
        line, _, wanted = step.partition("\n")
        shown = dump.command(line, check=False).text.strip("\n")
        pattern = re.escape(wanted.strip("\n")).replace(re.escape("..."), r"(?s:.*)")
        assert re.fullmatch(pattern, shown), f"{line}\n{shown}"


def test_the_page_has_its_files() -> None:
    assert set(FILES) == {"show.txt", "totals.py"}
    assert len(SESSIONS) > 6
