"""``.nvload`` and its like."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_types import Items, Run

VIEW = '<AutoVisualizer><Type Name="A"><DisplayString>a</DisplayString></Type></AutoVisualizer>'


def test_files_are_loaded_listed_and_unloaded(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "my views.natvis"
    path.write_text(VIEW)
    loaded = f'Successfully loaded visualizers in "{path}"'
    assert run(f".nvload {path}") == [loaded]
    assert run(f'.nvload "{path}"') == [loaded]
    listed = run(".nvlist")
    assert listed[:2] == ["Loaded NatVis Files:", f"    {path}"]
    assert any(line.endswith("libstdcxx.natvis") for line in listed[2:])
    assert listed.count(f"    {path}") == 1
    assert run(".nvunload my views.natvis") == [f'Successfully unloaded visualizers in "{path}"']
    assert len(run(".nvunloadall")) == len(listed) - 2
    assert run(".nvlist") == ["Loaded NatVis Files:", "    <None Loaded>"]


def test_what_is_not_applied_is_said(items: Items, tmp_path: Path) -> None:
    path = tmp_path / "a.natvis"
    path.write_text(VIEW.replace("</Type>", "<Odd/></Type>"))
    _, notice = items(f".nvload {path}")
    assert notice.text() == "not applied: Odd (line 1)"
    listed = items(".nvlist")[1]
    assert (listed.types, listed.unsupported) == (1, ("Odd (line 1)",))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (".nvload", "Syntax error"),
        (".nvload /no/such.natvis", "Unable to load"),
        (".nvunload nothing", "no visualizers of"),
    ],
)
def test_what_cannot_be_done(run: Run, line: str, words: str) -> None:
    assert words in "\n".join(run(line))


def test_damaged_files_are_refused_and_not_loaded(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.natvis"
    path.write_text("<!DOCTYPE a><AutoVisualizer/>")
    assert "line 1: document types" in "\n".join(run(f".nvload {path}"))
    assert f"    {path}" not in run(".nvlist")
