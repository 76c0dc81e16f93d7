"""Commands that do nothing here say why, and what to use instead."""

from __future__ import annotations

import re

import pytest
from conftest_types import Items, Run

from polydbg.commands.language import suggestion
from polydbg.commands.output import Failure
from polydbg.commands.refused import ABSENT, REFUSED
from polydbg.commands.registry import ABSENT_FAMILY, LIVE_FAMILY, REGISTRY

NAMES = [name for names, _, _ in ABSENT for name in names.split()]
WANTED = "!heap .dump .process"


@pytest.mark.parametrize("name", sorted({*NAMES, *WANTED.split()}))
def test_each_absent_command_says_so_in_one_line(name: str, items: Items) -> None:
    for line in (name, f"{name} -v (x) {'{ k }'}"):
        (failure,) = items(line)
        assert isinstance(failure, Failure)
        assert failure.identifier == "command.not-in-this-version"
        assert failure.text().startswith(f"{name} is not in this version: ")
        assert "\n" not in failure.text()


@pytest.mark.parametrize("line", ["!ext.heap -s"])
def test_arguments_and_qualified_names(line: str, items: Items) -> None:
    (failure,) = items(line)
    assert isinstance(failure, Failure)
    assert failure.identifier == "command.not-in-this-version"


def test_comments_and_their_neighbours_still_work(run: Run) -> None:
    assert run(".echo a; $$ < not a file; .echo b") == ["a", "b"]
    assert run("dd @rsp L1") == run("dd @rsp L1")
    assert "Syntax error" in run("yvoid")[0]


def test_hints_lead_only_to_commands_that_work() -> None:
    registry = REGISTRY
    unusable = (LIVE_FAMILY, ABSENT_FAMILY)
    hints = [row[-1] for row in (*REFUSED, *ABSENT)]
    named = {word for hint in hints for word in re.findall(r"(?<![\w<$])[.!][a-z]\w+", hint)}
    assert {".ecxr", ".overlay", "!lmi"} <= named
    for word in named:
        found = registry.exact(word)
        assert found is not None, word
        assert found.family not in unusable, word
    assert "!heap" not in suggestion("!heaps")


def test_help_names_what_is_absent_without_explaining_each(run: Run) -> None:
    lines = run(".help")
    assert not any(line.startswith("  !heap  ") for line in lines)
    assert any("!heap" in line for line in lines)
    assert "Not in this version." in run(".help !heap")[0]


def test_examples_read_well() -> None:
    examples = " ".join(entry.example for entry in REGISTRY.commands())
    assert "of 1 byte each" in examples
    assert "of 1 bytes" not in examples
