"""The command line: one table for parsing, help, completion and documentation."""

from __future__ import annotations

import subprocess

import pytest

from polydbg.cli.options import (
    OPTIONS,
    VERBS,
    UsageError,
    completion_script,
    help_text,
    markdown,
    parse,
)


def test_cdb_switches_and_free_words() -> None:
    found = parse(["-z", "a.dmp", "b.dmp", "-y", "sym;x", "-c", "k;q", "--json"])
    assert found.verb == "open"
    assert found.dumps == ["a.dmp", "b.dmp"]
    assert found.get("y") == "sym;x"
    assert found.get("c") == "k;q"
    assert found.has("json")


def test_a_first_word_that_is_a_verb_is_the_verb() -> None:
    assert parse(["sym", "why", "a.dmp", "app"]).words == ["why", "a.dmp", "app"]
    assert parse(["./open"]).dumps == ["./open"]
    assert parse(["-z", "open"]).dumps == ["open"]
    assert parse(["open", "x.dmp"]).dumps == ["x.dmp"]


def test_switches_given_again_add_up() -> None:
    found = parse(["-c", "k", "-y", "a", "x.dmp", "-c", "q", "-y", "b"])
    assert found.get("c") == "k; q"
    assert found.get("y") == "a;b"


def test_several_dumps_and_the_end_of_options() -> None:
    assert parse(["-z", "a", "-z", "b"]).dumps == ["a", "b"]
    assert parse(["--", "-odd.dmp"]).dumps == ["-odd.dmp"]
    assert parse(["--color=never"]).get("color") == "never"


@pytest.mark.parametrize("argv", [["-nosuch"], ["-z"], ["--json=1"], ["--jsn"]])
def test_wrong_usage(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(argv)


def test_help_and_documentation_name_everything() -> None:
    for text in (help_text(), markdown()):
        for option in OPTIONS:
            assert option.name in text
        for verb in VERBS:
            assert verb.name in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    script = completion_script(shell)
    assert "polydbg" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=30)


def test_unknown_shell() -> None:
    with pytest.raises(UsageError):
        completion_script("tcsh")
