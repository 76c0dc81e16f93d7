"""How a line is read: longest spelling, separators, comments, errors with carets."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_types import Items, Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polydbg.commands import index
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure
from polydbg.commands.registry import REGISTRY


def test_semicolons_separate_and_empty_commands_are_fine(run: Run) -> None:
    assert run(";;.echo a;; .echo b;") == ["a", "b"]


def test_quotes_protect_semicolons(run: Run) -> None:
    assert run('.echo "quoted; semicolon"') == ["quoted; semicolon"]


def test_comments(run: Run) -> None:
    assert run(".echo a; $$ not this; .echo b") == ["a", "b"]
    assert run(".echo a; * all of this; .echo b") == ["a"]
    assert run(".echo before $$ after") == ["before $$ after"]


def test_arguments_need_no_blank(run: Run) -> None:
    assert run("k1") == run("k 1")
    assert run("lm1m") == run("lm 1m")


def test_unknown_commands_point_at_themselves(items: Items) -> None:
    failure = items("ynosuch")[-1]
    assert isinstance(failure, Failure)
    assert failure.text().split("\n")[0] == f"{' ' * 7}^ Syntax error in 'ynosuch'"
    failure = items(".nosuchcommand")[-1]
    assert isinstance(failure, Failure)
    assert failure.text().split("\n")[0] == f"{' ' * 20}^ Syntax error in '.nosuchcommand'"
    assert items("!nosuch")[-1].text().startswith("No export nosuch found")


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("bt", "k shows"),
        ("quit", "q ends"),
        ("k 1; info threads", "dv shows"),
        ("ptype Order", "dt TYPE"),
        ("print x", "?? order"),
        ("List", "lsa ."),
    ],
)
def test_words_of_other_debuggers_name_what_stands_for_them(
    items: Items, line: str, instead: str
) -> None:
    (failure,) = [item for item in items(line) if isinstance(item, Failure)]
    assert failure.hint.startswith(instead)


def test_an_error_ends_its_line(run: Run) -> None:
    """And the line above its words points at what could not be evaluated."""
    pointer = " " * len("0:000> .echo a; ? 1/") + "^"
    assert run(".echo a; ? 1/0; .echo b") == ["a", pointer, "Operand error at '0'"]


def test_errors_point_at_the_end_and_at_blocks_not_at_all(run: Run) -> None:
    assert run("? 1 +")[0] == " " * len("0:000> ? 1 +") + "^"
    assert run(".if (1) { ? nosuch }")[0].startswith("Couldn't resolve error")


def test_case_matters_where_windbg_says(run: Run) -> None:
    assert run(".ECHO x") == ["x"]
    assert REGISTRY.exact("dd") is not REGISTRY.exact("dD")


def test_fixed_aliases_are_replaced_anywhere(run: Run) -> None:
    run("r $.u0 = hello")
    assert run(".echo <$u0>") == ["<hello>"]
    assert run("r $.u0") == ['$u0="hello"']


def test_each_command_ends_with_a_mark(interpreter: Interpreter) -> None:
    marks = [i for i in interpreter.run(".echo a; ? nosuch") if isinstance(i, CommandEnd)]
    assert [(m.command, m.ok) for m in marks] == [(".echo a", True), ("? nosuch", False)]


def test_listings_go_on_when_repeated(interpreter: Interpreter) -> None:
    list(interpreter.run(".echo again"))
    assert next(i.text() for i in interpreter.repeat()) == "again"


def test_every_command_is_documented() -> None:
    for entry in REGISTRY.commands():
        assert entry.summary.endswith("."), entry.name
        assert entry.syntax, entry.name
        assert entry.example, entry.name


def test_help_lists_and_explains(run: Run) -> None:
    assert any(line.strip().startswith("k ") for line in run(".help"))
    text = "\n".join(run(".help k"))
    assert "syntax:" in text
    assert "example:" in text
    assert run(".help nosuch")[0] == "no command nosuch"


@pytest.mark.parametrize("line", ["n", "n 10", "n 16"])
def test_radix(line: str, run: Run) -> None:
    assert run(line)[0].startswith("base is ")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.text(alphabet="kKrRdubcplnmvf.~|?@!$x;:'\"`*[]()+-/ 0123456789abcdeflL\\é\x1b", max_size=24)
)
def test_any_line_gives_items_and_no_other_error(interpreter: Interpreter, line: str) -> None:
    if any(word in line for word in (".log", ".sleep", "writemem")):
        return
    for item in interpreter.run(line):
        assert isinstance(item.text(), str)


def test_the_index_of_commands_is_current() -> None:
    """Write it anew with ``make pages``."""
    assert Path(index.__file__).read_text("utf-8") == REGISTRY.index_source()
