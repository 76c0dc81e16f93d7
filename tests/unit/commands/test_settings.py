"""``.lines``, ``.asm``, ``l+`` and ``l-``."""

from __future__ import annotations

from conftest_types import Items, Run

from polydbg.commands.output import Failure


def test_lines_toggle(run: Run) -> None:
    assert run(".lines") == ["Line number information will not be loaded"]
    assert run(".lines") == ["Line number information will be loaded"]
    assert run(".lines -d") == ["Line number information will not be loaded"]
    assert run(".lines -e; .lines -t")[-1] == "Line number information will not be loaded"
    assert "SYMOPT_LOAD_LINES" not in "".join(run(".symopt"))


def test_assembly_options(run: Run, items: Items) -> None:
    assert run(".asm") == ["Assembly options: <default>"]
    assert run(".asm no_code_bytes") == ["Assembly options: no_code_bytes"]
    assert run(".asm- no_code_bytes") == ["Assembly options: <default>"]
    assert isinstance(items(".asm nosuch")[-1], Failure)


def test_source_options(run: Run, items: Items) -> None:
    assert run("l+t") == ["Source options are 1:", "     1/t - Step/trace by source line"]
    assert run("l+s")[-1] == "     4/s - List source code at prompt"
    assert run("l+*")[0] == "Source options are f:"
    assert run("l-o; l-*")[-1] == "Source options are 0:"
    failure = items("l+z")[-1]
    assert isinstance(failure, Failure)
    assert failure.message == "Syntax error"
