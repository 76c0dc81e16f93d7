"""``.srcpath``, ``.srcfix`` and their forms for a client."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.commands.output import Failure
from polydbg.engine.session import Session


def test_rules_are_checked_by_their_folder(run: Run, tmp_path: Path) -> None:
    rule = rf"C:\build\*={tmp_path}"
    assert run(f".srcpath {rule}")[0] == f"Source search path is: {rule}"
    assert any(line.startswith("OK") and line.endswith(rule) for line in run(".srcpath"))
    assert run(r".lsrcpath C:\build=/nowhere/at/all")[0].startswith(
        "Error: Execute .srcpath(+) command attempts to access 'C:\\build=/nowhere/at/all' failed: "
    )


@pytest.mark.parametrize("name", [".srcfix", ".lsrcfix"])
def test_srcfix(run: Run, session: Session, tmp_path: Path, name: str) -> None:
    run(name)
    assert session.settings.source_path == "SRV*"
    run(f".srcpath {tmp_path}")
    run(f"{name}+")
    assert session.settings.source_path == f"{tmp_path};SRV*"
    run(f"{name} {tmp_path}")
    assert session.settings.source_path == f"SRV*;{tmp_path}"
    assert run(".srcpath")[0] == f"Source search path is: SRV*;{tmp_path}"


def test_what_is_not_found_says_why(items: Items) -> None:
    failure = items("lsa .")[-1]
    assert isinstance(failure, Failure)
    assert failure.identifier == "source.not-found"
    assert ".srcfix" in failure.hint
    assert "no source path is set" in failure.text()
