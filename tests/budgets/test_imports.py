"""Which modules a run imports: start-up time, counted instead of timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "src" / "polydbg" / "demo"
REPORT = (
    "import sys\n"
    "from polydbg.cli.main import main\n"
    "try:\n"
    "    main()\n"
    "except SystemExit:\n"
    "    pass\n"
    "print('modules:', *sorted(sys.modules), file=sys.stderr)\n"
)

# What each costs to import, and who may: measured 2026-11 on two shared cores.
HEAVY = {
    "asyncio": "40 ms; servers",
    "email": "10 ms; nobody",
    "http.client": "15 ms; downloads",
    "multiprocessing": "10 ms; nobody",
    "prompt_toolkit": "80 ms; a prompt on a terminal",
    "pycxxfilt": "5 ms; C++ names",
    "socket": "5 ms; servers and downloads",
    "ssl": "15 ms; downloads",
    "unicorn": "tests only",
    "urllib.request": "30 ms; downloads",
}
# Nothing of this where no dump is opened: the first screen disassembles one instruction.
ENGINE = {"capstone": "50 ms", "ctypes": "5 ms", "polydbg.engine": "100 ms"}


def modules_of(commands: str) -> set[str]:
    """The modules that ``polydbg -z practice.dmp -c COMMANDS`` has imported at its end."""
    options = ["-z", str(DEMO / "practice.dmp"), "-y", str(DEMO), "-i", str(DEMO)]
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *options, "-c", commands],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "practice" in done.stdout
    line = next(line for line in done.stderr.splitlines() if line.startswith("modules:"))
    return set(line.split()[1:])


@pytest.fixture(scope="module")
def listing() -> set[str]:
    return modules_of("lm;q")


def test_listing_modules_imports_nothing_heavy(listing: set[str]) -> None:
    found = {name: HEAVY[name] for name in HEAVY if name in listing}
    assert not found


@pytest.fixture(scope="module")
def stack() -> set[str]:
    return modules_of("k;q")


def test_a_stack_imports_nothing_heavy(stack: set[str]) -> None:
    """Symbols, lines and unwinding are our own code; only C++ names need the demangler."""
    found = {name: HEAVY[name] for name in HEAVY if name in stack}
    assert not found


def test_a_stack_of_windows_imports_no_readers_of_other_systems(stack: set[str]) -> None:
    readers = ("polydbg.formats.dwarf", "polydbg.formats.elf", "polydbg.formats.macho")
    assert not [name for name in stack if name.startswith(readers)]


def test_listing_modules_imports_few_modules_of_others(listing: set[str]) -> None:
    """The interpreter itself starts with about 60, capstone brings 45."""
    others = {name for name in listing if name.partition(".")[0] != "polydbg"}
    assert len(others) < 260


# What an analysis needs beyond the verdict of the first screen.
LATER = {
    "polydbg.engine.analysis.analyze",
    "polydbg.engine.analysis.blame",
    "polydbg.engine.analysis.hang",
    "polydbg.engine.analysis.recursion",
    "polydbg.engine.locks",
}


def test_the_first_screen_loads_what_judges_and_no_more_of_the_analysis(listing: set[str]) -> None:
    assert "polydbg.engine.analysis.judge" in listing
    assert not LATER & listing
    assert "polydbg.engine.address_map" not in listing


# What views of classes need: the evaluator, XML, their rows.
VIEWS = {
    "pyexpat",
    "polydbg.engine.views.presenting",
    "polydbg.engine.views.scope",
    "polydbg.expr.cpp.evaluator",
    "polydbg.formats.natvis.reader",
    "tempfile",
    "zipfile",
}


@pytest.mark.parametrize("commands", ["dv;q", "dt practice!order;q", "dt order;q"])
def test_variables_and_types_load_views_only_where_a_class_has_one(commands: str) -> None:
    assert not VIEWS & modules_of(commands)


def test_help_does_not_load_the_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "polydbg", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    found = {name: cost for name, cost in {**HEAVY, **ENGINE}.items() if name in loaded}
    assert "polydbg.cli.main" in loaded
    assert not found
