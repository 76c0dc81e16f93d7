"""Source lookup by the longest suffix of a recorded name."""

from pathlib import Path

import pytest

from polydbg.symbols.store import SourceFinder, SymbolPath
from polydbg.symbols.store.sources import components


def finder(text: str, **options: bool) -> SourceFinder:
    return SourceFinder(SymbolPath.parse(text), **options)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("recorded", [r"C:\samples\src\a.c", "/home/samples/src/a.c", "src/A.C"])
def test_longest_suffix_over_all_directories(tmp_path: Path, recorded: str) -> None:
    put(tmp_path / "one" / "a.c")
    longest = put(tmp_path / "two" / "src" / "a.c")
    found = finder(f"{tmp_path}/one;{tmp_path}/two").find(recorded)
    assert found == longest


def test_case_and_full_path(tmp_path: Path) -> None:
    full = put(tmp_path / "Samples" / "SRC" / "a.C")
    assert finder(str(tmp_path)).find(r"c:\samples\src\A.c") == full


def test_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.c").mkdir()
    assert finder(f"srv*;{tmp_path};/none").find("a.c") is None
    assert finder("").find("a.c") is None


def test_answers_are_remembered_until_cleared(tmp_path: Path) -> None:
    sources = finder(str(tmp_path))
    assert sources.find("a.c") is None
    put(tmp_path / "a.c")
    assert sources.find("a.c") is None
    sources.clear()
    assert sources.find("a.c") is not None


@pytest.mark.parametrize(
    "recorded",
    ["", "..", "../../etc/passwd", r"..\..\etc\passwd", "/etc/passwd\0", "a\0", "x/" * 5000, "nul",
     "a:b", "C:", "//", "*/a.c"],
)  # fmt: skip
def test_hostile_names_stay_inside(tmp_path: Path, recorded: str) -> None:
    (tmp_path / "in").mkdir()
    put(tmp_path / "etc" / "passwd")
    assert finder(f"{tmp_path}/in", recorded_paths=False).find(recorded) is None


def test_components() -> None:
    assert components(r"D:\a\.\b\..\c\x.c") == ("a", "c", "x.c")
    assert components(r"..\..\x.c") == ("x.c",)


def test_recorded_path_only_on_request(tmp_path: Path) -> None:
    recorded = str(put(tmp_path / "src" / "a.c"))
    assert finder("").find(recorded) is None
    assert finder("", recorded_paths=True).find(recorded) == Path(recorded)
    assert finder("", recorded_paths=True).find("//host/share/a.c") is None


@pytest.mark.parametrize(
    ("rule", "recorded", "rest"),
    [
        (r"C:\build\x", r"c:\BUILD\X\a\b.c", "a/b.c"),
        (r"C:\build\x\*", r"C:\build\x\a\b.c", "a/b.c"),
        (r"C:\build\x", r"D:\build\x\a\b.c", None),
        (r"C:\build\x", r"C:\build\xy\b.c", None),
        ("C:\\", r"C:\a\b.c", "a/b.c"),
        ("/build/x", "/build/x/a/../b.c", "b.c"),
        ("/build/x/*", "/build/x/b.c", "b.c"),
        ("/build/x", "/Build/X/b.c", None),
        ("/build/x", "/build/x", None),
        ("/build/x", "/build/x/../../etc/passwd", None),
        ("/build/*/x", "/build/y/x/a.c", None),
    ],
)
def test_rules(tmp_path: Path, rule: str, recorded: str, rest: str | None) -> None:
    for each in ("a/b.c", "b.c", "x/etc/passwd"):
        put(tmp_path / "there" / each)
    found = finder(f"{rule}={tmp_path}/there;").find(recorded)
    assert found == (tmp_path / "there" / rest if rest else None)


def test_the_longest_rule_wins_and_folders_come_last(tmp_path: Path) -> None:
    short, long = put(tmp_path / "one" / "y" / "a.c"), put(tmp_path / "two" / "a.c")
    folder = put(tmp_path / "three" / "x" / "y" / "a.c")
    path = f"{tmp_path}/three;/x={tmp_path}/one;/x/y={tmp_path}/two"
    assert finder(path).find("/x/y/a.c") == long
    long.unlink()
    assert finder(path).find("/x/y/a.c") == short
    short.unlink()
    assert finder(path).find("/x/y/a.c") == folder
