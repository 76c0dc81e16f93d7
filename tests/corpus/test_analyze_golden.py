"""``!analyze`` on every dump of the corpus, against texts that were reviewed by hand.

``POLYDBG_UPDATE_GOLDEN=1`` writes them anew: then every difference wants a look, not a commit.
"""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_elf_cores import NAMES as CORES

from polydbg.base.cancel import CancelToken
from polydbg.commands.analysis_items import AnalysisItem
from polydbg.commands.language import Interpreter
from polydbg.engine import debug_files, elf_files
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

GOLDEN = Path(__file__).parent / "golden" / "analyze"
SYMBOLS = (
    *("samples/win/bin", "samples/win/wine", "symbols/breakpad", "symbols/rust-minidump"),
    "samples/linux/bin",
)
CORE_SAMPLES = ("cargo-gcc-O0-dwarf4", "cargo-stripped", "crab", "crowd", "plunge", "zoo-gxx")
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


@pytest.fixture
def no_host_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from where the dump's process had it: this host may have the same files."""
    begin = elf_files._ImageSearch.__init__

    def begin_without_paths(self: elf_files._ImageSearch, *arguments: Any) -> None:
        begin(self, *arguments)
        self.paths = []

    monkeypatch.setattr(elf_files._ImageSearch, "__init__", begin_without_paths)
    monkeypatch.setattr(debug_files, "_DEBUG_ROOT", Path("/nonexistent"))


@pytest.mark.usefixtures("no_host_files")
@pytest.mark.parametrize("name", CORE_SAMPLES)
def test_cores_of_samples(name: str, data_dir: Path) -> None:
    path = data_dir / "samples" / "linux" / "cores" / f"{name}.core.zst"
    _compare(f"{name}.core", _analysis(path, data_dir, "!analyze").text(), path, data_dir)


@pytest.mark.usefixtures("no_host_files")
def test_core_verbose(data_dir: Path) -> None:
    path = data_dir / "samples" / "linux" / "cores" / "plunge.core.zst"
    _compare("plunge.core-v", _analysis(path, data_dir, "!analyze -v").text(), path, data_dir)


@pytest.mark.usefixtures("no_host_files")
def test_collected_cores(data_dir: Path) -> None:
    """One file for all of them: the verdict with its evidence and the bucket of each."""
    names = [*CORES, *(f"macos/{path.name}" for path in (data_dir / "macos").glob("*.xz"))]
    parts = [part for name in sorted(names) for part in _summary(data_dir / name, name, data_dir)]
    _compare("cores", "\n".join(parts), data_dir / "core", data_dir)


def _summary(path: Path, name: str, data_dir: Path) -> Iterator[str]:
    item = _analysis(path, data_dir, "!analyze")
    yield name
    yield f"  {item.problem_class} [{item.confidence}] {item.summary}"
    for each in item.evidence:
        yield f"    because {each}"
    yield f"  {item.bucket}"
    yield f"    by {item.bucket_rule}"


def _collected(data_dir: Path) -> list[Path]:
    folder = data_dir / "minidump"
    return sorted([*folder.rglob("*.dmp"), *folder.rglob("*.xz")])


def test_collected_dumps(data_dir: Path, tmp_path: Path) -> None:
    """One file for all of them: the verdict with its evidence and the bucket of each."""
    parts: list[str] = []
    for path in _collected(data_dir):
        opened = path
        if path.suffix == ".xz":
            opened = tmp_path / path.stem
            opened.write_bytes(lzma.decompress(path.read_bytes()))
        parts += _summary(opened, str(path.relative_to(data_dir)), data_dir)
    _compare("collected", "\n".join(parts), data_dir / "minidump", data_dir)


def test_no_screen_is_longer_than_a_screen() -> None:
    for path in GOLDEN.glob("*.txt"):
        if path.stem not in ("collected", "cores") and not path.stem.endswith("-v"):
            assert len(path.read_text("utf-8").splitlines()) <= 40, path.name


def test_buckets_are_the_same_for_the_same_crash() -> None:
    """Seven dumps of one crash, written with other options, are one failure."""
    buckets = {
        next(line for line in path.read_text("utf-8").split("\n") if line.startswith("FAILURE_B"))
        for path in GOLDEN.glob("nullwrite*.txt")
        if not path.stem.endswith("-v")
    }
    assert len(buckets) == 1
