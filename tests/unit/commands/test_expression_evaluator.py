"""``.expr``: what reads the expressions of commands."""

from __future__ import annotations

import pytest
from conftest_types import Items, Run

from polydbg.base.errors import CommandError
from polydbg.commands.output import Failure
from polydbg.engine.settings import Settings

MASM = "Current expression evaluator: MASM - Microsoft Assembler expressions"
CPP = "Current expression evaluator: C++ - C++ source expressions"


def test_masm_is_the_choice_at_the_start(run: Run) -> None:
    assert run(".expr") == [MASM]
    assert run(".expr /q") == [
        "Available expression evaluators:",
        "MASM - Microsoft Assembler expressions",
        "C++ - C++ source expressions",
        MASM,
    ]


def test_one_that_does_not_exist_changes_nothing(run: Run) -> None:
    assert run(".expr /s basic") == ["No evaluator named 'basic'", MASM]


def test_commands_follow_the_choice(run: Run, items: Items) -> None:
    assert run(".expr /s C++") == [CPP]
    assert run("? 10") == ["Evaluate expression: 10 = 00000000`0000000a"]
    assert run("? sizeof(int) == 4") == ["Evaluate expression: 1 = 00000000`00000001"]
    assert run("? @@masm(10)") == ["Evaluate expression: 16 = 00000000`00000010"]
    assert run("dd @rsp L2")[0].count(" ") == run("dd @rsp L1")[0].count(" ") + 1
    assert run(".if (1 && 1) { .echo yes }") == ["yes"]
    failure = items("? 1 2")[-1]
    assert isinstance(failure, Failure)
    assert failure.message == "Extra character error"
    assert run(".expr -s masm; ? 10") == [MASM, "Evaluate expression: 16 = 00000000`00000010"]


def test_masm_quotes_what_follows_a_nested_expression(items: Items) -> None:
    failure = items("? @@c++(1 +) + 2")[-1]
    assert isinstance(failure, Failure)
    assert failure.message == "Unexpected token ') + 2'"


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setenv("_NT_EXPR_EVAL", "C++")
    settings.choose_evaluator("masm")
    assert settings.evaluator == "masm"
    settings.choose_evaluator(None)
    assert settings.evaluator == "c++"
    settings.choose_evaluator(None, use_environment=False)
    assert settings.evaluator == "masm"
    with pytest.raises(CommandError, match="No evaluator named 'basic'"):
        settings.choose_evaluator("basic")
