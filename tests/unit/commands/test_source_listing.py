"""Source listings: ``ls``, ``lsa``, ``lsc``, ``lsf``, ``lsp``."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.commands.output import Failure
from polydbg.engine.session import Session


@pytest.fixture
def crash_line(run: Run, session: Session, tmp_path: Path) -> int:
    """Write a source file of the recorded name, each line saying its number."""
    run(".ecxr")
    top = session.current_frame()  # the innermost inlined call, which is what is listed
    assert top is not None
    assert top.is_inline
    name = top.file.replace("\\", "/").rsplit("/", 1)[-1]
    (tmp_path / name).write_bytes(b"".join(b"text %d\r\n" % n for n in range(1, 2001)))
    session.settings.source_path = str(tmp_path)
    warning = run("lsa .")[0]  # said once: these are not the lines that were compiled
    assert warning.startswith("*** WARNING: ")
    assert "not the file that was compiled" in warning
    run("lsf-")
    return top.line


def test_lsa_marks_the_line_and_ls_goes_on(run: Run, crash_line: int) -> None:
    lines = run("lsa .")
    assert len(lines) == 10
    assert lines[4] == f">{crash_line:5}: text {crash_line}"
    assert lines[0] == f" {crash_line - 4:5}: text {crash_line - 4}"
    assert run("ls")[0] == f" {crash_line + 6:5}: text {crash_line + 6}"
    assert run("lsa @rip") == lines


def test_the_chosen_frame_is_listed(run: Run, session: Session, crash_line: int) -> None:
    """Frame 1 contains the inlined frame 0: the same address, another line."""
    for number in (1, 2, 0):
        run(f".frame {number}")
        frame = session.current_frame()
        assert frame is not None
        marked = next(line for line in run("lsa .") if line.startswith(">"))
        assert marked == f">{frame.line:5}: text {frame.line}"
        assert run("ls ., 1")[0].startswith(f" {frame.line - 4:5}:")
        assert run("lsa ., 1, 1") == ["     1: text 1"]


def test_ls_takes_decimal_lines_and_counts(run: Run, crash_line: int) -> None:
    run("lsa .")
    assert run("ls 10, 2") == ["    10: text 10", "    11: text 11"]
    assert run("ls , 1") == ["    12: text 12"]
    assert run("ls 1,3")[-1] == "     3: text 3"


def test_ls_alone_begins_where_execution_stands(run: Run, crash_line: int) -> None:
    assert run("ls")[0] == f" {crash_line - 4:5}: text {crash_line - 4}"


def test_lsp_changes_how_many(run: Run, crash_line: int) -> None:
    run("lsp -a 1 2")
    lines = run("lsa .")
    assert len(lines) == 4
    assert lines[1].startswith(">")
    run("lsp -a 6")
    assert len(run("lsa .")) == 6


def test_lsf_and_lsc(run: Run, items: Items, tmp_path: Path, crash_line: int) -> None:
    (tmp_path / "other.c").write_text("one\ntwo\x1b[31m\n", encoding="utf-8")
    run("lsf other.c")
    assert run("ls 1, 5") == ["     1: one", "     2: two\\x1b[31m"]
    assert run("lsc") == [f"Current: {tmp_path / 'other.c'}(3)"]
    run("lsf-")
    nothing, advice = run("lsc")
    assert nothing == "No current source file"
    assert "lsa ." in advice
    assert "lsf FILE" in advice
    failure = items("lsf")[-1]
    assert isinstance(failure, Failure)
    assert failure.text().split("\n")[0] == "         ^ Syntax error in 'lsf'"


def test_missing_source_says_what_to_do(items: Items, session: Session, crash_line: int) -> None:
    session.settings.source_path = ""
    failure = items("lsa .")[-1]
    assert isinstance(failure, Failure)
    assert ".srcpath+" in failure.hint
    failure = items("lsa 0")[-1]
    assert isinstance(failure, Failure)
    assert failure.message == "No line information for 00000000`00000000"


def test_past_the_end(items: Items, crash_line: int) -> None:
    items("lsa .")
    failure = items("ls 5000")[-1]
    assert isinstance(failure, Failure)
    assert failure.identifier == "source.past-end"


def test_form_feeds_do_not_end_lines(run: Run, tmp_path: Path, crash_line: int) -> None:
    (tmp_path / "ff.c").write_bytes(b"one\x0c\ntwo\x85\n")
    run("lsf ff.c")
    assert run("ls 1, 9")[1].startswith("     2: two")


def test_source_at_stop_displays(run: Run, crash_line: int) -> None:
    """As transcript live-step has it: before the symbol line, and with ``l+o`` alone."""
    run("l+s")
    source, symbol, instruction = run("r rip; ~0s; .ecxr")[-3:]
    assert source == f">{crash_line:5}: text {crash_line}"
    assert symbol.endswith(":")
    assert "mov" in instruction
    run("l+o")
    assert run(".ecxr")[-1] == source
    run(".lines -d")
    assert run(".ecxr")[-1] == instruction
    run("l-*; .lines -e")
    assert source not in run(".ecxr")
