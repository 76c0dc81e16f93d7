"""Paths, options, ``!sym``, ``.reload`` and ``ld``."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.commands.output import Failure
from polydbg.commands.sym import FrameSymbols, SymbolSearch
from polydbg.commands.symbol_path import SearchPath
from polydbg.engine.session import Session
from polydbg.symbols.store import SymbolPath
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

NAME = "practice"
DEMO = Path(str(resources.files("polydbg"))) / "demo"
TABLE = [
    "",
    "************* Path validation summary **************",
    "Response                         Time (ms)     Location",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "default"))


@pytest.fixture
def other_build(tmp_path: Path, session: Session) -> Path:
    """Make current a dump whose record names another build of the practice PDB, and no image."""
    builder = MinidumpBuilder().thread(1, amd64_context(rip=0x140001567))
    record = rsds("0123456789ABCDEF0123456789ABCDEF", 1, "C:\\build\\practice.pdb")
    builder.module(
        0x140000000, 0x10000, "C:\\build\\practice.exe", timestamp=0x12345678, codeview=record
    )
    path = tmp_path / "x.dmp"
    path.write_bytes(builder.build())
    session.close_system(0)
    session.settings.image_path = SymbolPath.parse("")
    session.open_dump(str(path))
    return path


def test_path_is_shown_with_its_check(run: Run, session: Session) -> None:
    folder = session.settings.symbol_path.text
    *head, row = run(".sympath")
    assert head == [
        f"Symbol search path is: {folder}",
        f"Expanded Symbol search path is: {folder}",
        *TABLE,
    ]
    # A time of 0 ms is not shown; on a busy host it may be some.
    assert re.sub(r"\d", " ", row[:47]) + row[47:] == f"{'OK':47}{folder}"


def test_empty_paths(run: Run, session: Session) -> None:
    session.settings.image_path = SymbolPath.parse("")
    assert run(".exepath") == [
        "Executable image search path is: <empty>",
        "Expanded Executable image search path is: <empty>",
    ]
    assert run(".srcpath") == ["Source search path is: <empty>"]


def test_symfix(run: Run, session: Session) -> None:
    assert run(".symfix") == [""]
    lines = run(".sympath")
    assert lines[:2] == [
        "Symbol search path is: srv*",
        "Expanded Symbol search path is: cache*;SRV*https://msdl.microsoft.com/download/symbols",
    ]
    assert lines[-1] == "Deferred                                       srv*"
    run(".symfix+ /s")
    assert session.settings.symbol_path.text.startswith("srv*;srv*/s*https://")


def test_set_and_append(run: Run, tmp_path: Path, session: Session) -> None:
    lines = run(f".sympath {tmp_path};{tmp_path}/nosuch")
    assert (
        f"Error: Execute .sympath(+) command attempts to access '{tmp_path}/nosuch' failed: "
        "0x2 - File not found." in lines
    )
    run(f".sympath+ {tmp_path}/b")
    assert session.settings.symbol_path.text == f"{tmp_path};{tmp_path}/nosuch;{tmp_path}/b"
    run(f".exepath {tmp_path}")
    run(f".srcpath {tmp_path}")
    assert session.settings.image_path.text == session.settings.source_path == str(tmp_path)


def test_a_command_behind_a_path_is_a_command(run: Run, tmp_path: Path, session: Session) -> None:
    assert run(f".sympath {tmp_path}; .echo a")[-1] == "a"
    assert run(f".sympath+ {tmp_path};.echo b; .echo c")[-2:] == ["b", "c"]
    assert run(f".sympath {tmp_path}; k 1; .echo d")[-1] == "d"
    assert run(f".sympath {tmp_path};~*e .echo d")[-1] == "d"
    run(f".sympath {tmp_path}; {tmp_path}/x;lib")
    assert [e.text for e in session.settings.symbol_path.elements][1:] == [f"{tmp_path}/x", "lib"]


def test_environment(monkeypatch: pytest.MonkeyPatch, run: Run, session: Session) -> None:
    monkeypatch.setenv("_NT_SYMBOL_PATH", session.settings.symbol_path.text)
    session.settings.symbol_path = SymbolPath.from_environment()
    run(f"ld {NAME} /f")
    assert "private pdb symbols" in run(f"lm m {NAME}")[1]


def test_a_new_path_is_looked_at_at_once(run: Run, other_build: Path, session: Session) -> None:
    run(".symopt+ 40; ln @rip")
    lines = "\n".join(run(f".sympath {other_build.parent}/nosuch"))
    assert "ERROR: Module load completed" in lines
    assert "no symbols" in run(f"lm m {NAME}")[1]
    run(f".sympath {DEMO}")
    assert "private pdb symbols" in run(f"lm m {NAME}")[1]


def test_symopt(run: Run, session: Session) -> None:
    before = run(".symopt")
    assert before[:2] == ["Symbol options are 0x30337:", "  0x00000001 - SYMOPT_CASE_INSENSITIVE"]
    assert run(".symopt+ 0x40")[0] == "Symbol options are 0x30377:"
    assert run(".symopt-40") == before
    assert run(".symopt- 10")[0] == "Symbol options are 0x30327:"
    assert not session.settings.lines
    run(".symopt+80000000")
    assert session.settings.noisy


def test_sym_states(run: Run, session: Session) -> None:
    assert run("!sym") == [
        "!sym <noisy/quiet - prompts/prompts off> - quiet mode - symbol prompts on"
    ]
    assert run("!sym noisy") == ["noisy mode - symbol prompts on"]
    assert run(".symopt")[0] == "Symbol options are 0x80030337:"
    assert run("!sym prompts off") == ["noisy mode - symbol prompts off"]
    assert run("!sym quiet;!sym prompts")[-1] == "quiet mode - symbol prompts on"
    assert not session.settings.noisy


def test_frames_say_which_symbols_name_them(items: Items, session: Session) -> None:
    rows = [item for item in items("!sym frames") if isinstance(item, FrameSymbols)]
    named = [row for row in rows if row.symbols]
    assert {row.symbols for row in named} == {"pdb"}
    assert named[0].text().startswith(f"{named[0].number:02x} pdb      {NAME}!")
    assert named[0].text().endswith("practice.pdb]")
    for row in rows:
        assert bool(row.symbols) == bool(row.file) == ("!" in row.name), row


def test_why_lists_symbols_then_image(items: Items, session: Session) -> None:
    symbols, image = (i for i in items(f"!sym why {NAME}") if isinstance(i, SymbolSearch))
    assert (symbols.kind, image.kind) == ("Symbols", "Image")
    assert symbols.found.endswith("practice.pdb")
    assert symbols.places[-1].outcome == "OK"
    assert symbols.places[-1].found_id == symbols.wanted_key
    assert symbols.advice == image.advice == ()
    assert "private pdb symbols" in symbols.text()


def test_why_of_a_wrong_pdb_and_a_missing_image(
    items: Items, other_build: Path, session: Session
) -> None:
    symbols, image = (i for i in items(f"!sym why {NAME}") if isinstance(i, SymbolSearch))
    assert "of another build" in symbols.advice[0]
    wrong = next(p for p in symbols.places if p.outcome == "mismatched id")
    assert wrong.found_id
    assert wrong.found_id != symbols.wanted_key
    assert image.state == "not found"
    assert "Unwind data is in the .exe" in image.advice[0]


def test_why_needs_a_module_that_exists(items: Items) -> None:
    failure = items("!sym why nosuch")[-1]
    assert isinstance(failure, Failure)
    assert failure.hint


def test_why_asks_for_files_as_another_system_has_them(
    session: Session, items: Items, tmp_path: Path
) -> None:
    builder = MinidumpBuilder().system(platform=0x8201).thread(1, amd64_context(rip=0x140000000))
    builder.module(0x140000000, 0x1000, "/usr/bin/app", codeview=rsds("1" * 32, 0, "app"))
    (tmp_path / "x.dmp").write_bytes(builder.build())
    items(f".opendump {tmp_path / 'x.dmp'}; ||1s")
    found = items("!sym why app")
    search, image = [item for item in found if isinstance(item, SymbolSearch)]
    assert search.text().startswith("Symbols of app: none loaded")
    assert "dump_syms" in search.text()
    assert image.text().startswith("Image of app: not found")
    assert "--sysroot DIR or ARCHIVE" in image.text()
    assert "Unwind data is in the .exe" not in image.text()


def test_reload_unknown_module_in_windbgs_words(run: Run) -> None:
    assert run(".reload /f nosuch") == [
        "",
        '"nosuch" was not found in the image list.',
        'Debugger will attempt to load "nosuch" at given base 00000000`00000000.',
        "",
        "Please provide the full image name, including the extension (i.e. kernel32.dll)",
        "for more reliable results.Base address and size overrides can be given as",
        ".reload <image.ext>=<base>,<size>.",
        "Unable to load image nosuch, Win32 error 0n2",
        "Unable to add module at 00000000`00000000",
    ]


def test_reload_options(items: Items, run: Run) -> None:
    failure = items(".reload /z")[-1]
    assert isinstance(failure, Failure)
    assert failure.message == "Reload: Unknown option 'z'"
    assert run(".reload -?")[0].startswith("usage: .reload")
    assert run(".reload /l")[0] == "System Image Summary"
    assert set(run(".reload")[0]) == {"."}


def test_reload_unloads_and_brings_back(run: Run) -> None:
    assert run(f".reload /u {NAME}") == [f"Unloaded {NAME}"]
    assert run(f"lm m {NAME}") == ["start             end                 module name"]
    run(f".reload /f {NAME}.exe")
    assert "private pdb symbols" in run(f"lm m {NAME}")[1]


def test_reload_at_an_address(run: Run) -> None:
    run(".reload plugin.dll=7000`00000000,3000,12345678")
    assert run("lm m plugin")[1].startswith("00007000`00000000 00007000`00003000   plugin")
    assert run(".reload plugin.dll=7100`00000000")[-1].startswith("Unable to add module at")


def test_reload_accepts_another_build_with_i(run: Run, other_build: Path) -> None:
    assert "A symbol file of another build was found" in "\n".join(run(f".reload /f {NAME}.exe"))
    assert "private pdb" not in run(f"lm m {NAME}")[1]
    run(f".reload /i {NAME}.exe")
    assert f"{NAME} M (private pdb symbols)" in run(f"lm m {NAME}")[1]


def test_ld(run: Run, items: Items) -> None:
    assert run(f"ld {NAME}") == [f"Symbols loaded for {NAME}"]
    assert run(f"ld {NAME}") == [f"Symbols already loaded for {NAME}"]
    assert any(line == f"Symbols loaded for {NAME}" for line in run("ld prac* /f"))
    assert isinstance(items("ld nosuch")[-1], Failure)


def test_items_are_typed(items: Items) -> None:
    path = items(".sympath")[-1]
    assert isinstance(path, SearchPath)
    assert path.elements[0].status == "OK"
