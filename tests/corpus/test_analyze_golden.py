"""``!analyze`` on every dump of the corpus, against texts that were reviewed by hand.

``POLYDBG_UPDATE_GOLDEN=1`` writes them anew: then every difference wants a look, not a commit.
"""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.analysis_items import AnalysisItem
from polydbg.commands.language import Interpreter
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

GOLDEN = Path(__file__).parent / "golden" / "analyze"
SYMBOLS = ("samples/win/bin", "samples/win/wine", "symbols/breakpad", "symbols/rust-minidump")
SAMPLE_NAMES = """
    fastpath faults-abort faults-badcall faults-divzero faults-divzero.wine faults-idiv-overflow
    faults-int3 faults-nx faults-privileged faults-raise faults-readonly figures-null figures-snap
    figures-throw figures-throw.wine heapdata-crash heapdata-handles.wine heapdata-snap
    loader-inside loader-stale loader-stale-unloaded lockstep lockstep-full lockstep-names
    lockstep.wine nullwrite nullwrite-code nullwrite-data nullwrite-first nullwrite-full nullwrite-r
    nullwrite.wine overflow shelf shelf.wine
"""


def _analysis(path: Path, data_dir: Path, command: str) -> AnalysisItem:
    session = Session()
    text = ";".join(str(data_dir / folder) for folder in SYMBOLS)
    session.settings.symbol_path = SymbolPath.parse(text)
    session.settings.image_path = SymbolPath.parse(text)
    session.settings.source_path = str(data_dir / "samples" / "win" / "src")
    session.open_dump(str(path))
    try:
        interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
        found = [i for i in interpreter.run(command) if isinstance(i, AnalysisItem)]
    finally:
        session.close()
    assert len(found) == 1
    return found[0]


def _compare(name: str, shown: str, path: Path, data_dir: Path) -> None:
    for folder, word in ((path.parent, "DUMPS"), (data_dir, "DATA")):
        shown = shown.replace(str(folder), word)
    shown = "\n".join(line.rstrip() for line in shown.split("\n")) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("POLYDBG_UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(shown, "utf-8")
    assert shown == golden.read_text("utf-8")


@pytest.mark.parametrize("name", SAMPLE_NAMES.split())
def test_samples(name: str, sample_dump: Callable[[str], Path], data_dir: Path) -> None:
    path = sample_dump(name)
    _compare(name, _analysis(path, data_dir, "!analyze").text(), path, data_dir)


@pytest.mark.parametrize("name", ["nullwrite-first", "overflow", "lockstep-full"])
def test_samples_verbose(name: str, sample_dump: Callable[[str], Path], data_dir: Path) -> None:
    path = sample_dump(name)
    command = "!analyze -v -hang" if name.startswith("lockstep") else "!analyze -v"
    _compare(f"{name}-v", _analysis(path, data_dir, command).text(), path, data_dir)


def _collected(data_dir: Path) -> list[Path]:
    folder = data_dir / "minidump"
    return sorted([*folder.rglob("*.dmp"), *folder.rglob("*.xz")])


def test_collected_dumps(data_dir: Path, tmp_path: Path) -> None:
    """One file for all of them: the verdict with its evidence and the bucket of each."""
    parts = []
    for path in _collected(data_dir):
        opened = path
        if path.suffix == ".xz":
            opened = tmp_path / path.stem
            opened.write_bytes(lzma.decompress(path.read_bytes()))
        item = _analysis(opened, data_dir, "!analyze")
        parts.append(str(path.relative_to(data_dir)))
        parts.append(f"  {item.problem_class} [{item.confidence}] {item.summary}")
        parts += [f"    because {each}" for each in item.evidence]
        parts += [f"  {item.bucket}", f"    by {item.bucket_rule}"]
    _compare("collected", "\n".join(parts), data_dir / "minidump", data_dir)


def test_no_screen_is_longer_than_a_screen() -> None:
    for path in GOLDEN.glob("*.txt"):
        if path.stem not in ("collected",) and not path.stem.endswith("-v"):
            assert len(path.read_text("utf-8").splitlines()) <= 40, path.name


def test_buckets_are_the_same_for_the_same_crash() -> None:
    """Seven dumps of one crash, written with other options, are one failure."""
    buckets = {
        next(line for line in path.read_text("utf-8").split("\n") if line.startswith("FAILURE_B"))
        for path in GOLDEN.glob("nullwrite*.txt")
        if not path.stem.endswith("-v")
    }
    assert len(buckets) == 1
