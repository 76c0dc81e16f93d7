"""The search for PDBs and images of modules: stores, other builds, damage, notices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from polydbg.base.identifiers import DebugId
from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.reload import add, forget, module_info, refresh, reload_list, unload
from polydbg.engine.session import Session
from polydbg.images.pe import PeImage
from polydbg.symbols.pdb import open_pdb
from polydbg.symbols.store import Outcome, SymbolPath
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

DEMO = Path(str(resources.files("polydbg"))) / "demo"
BASE = 0x140000000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "default"))


@pytest.fixture(scope="module")
def pdb_id() -> DebugId:
    source = open_pdb(DEMO / "practice.pdb")
    try:
        return source.debug_id
    finally:
        source.close()


Opened = tuple[Session, Module, list[str]]
Open = Callable[..., Opened]


@pytest.fixture
def open_dump(tmp_path: Path, pdb_id: DebugId) -> Open:
    """Open a dump of the practice program; *age* and *guid* replace those of its record."""

    def opened(
        *,
        symbols: str = "",
        images: str = "",
        age: int | None = None,
        guid: str | None = None,
        recorded: str = "C:\\build\\practice.pdb",
        with_record: bool = True,
        timestamp: int | None = None,
        size: int | None = None,
        folder: str = "case",
    ) -> Opened:
        image = PeImage.from_file(DEMO / "practice.exe")
        record = rsds(guid or pdb_id.guid, pdb_id.age if age is None else age, recorded)
        builder = MinidumpBuilder().thread(1, amd64_context(rip=BASE + 0x1567))
        builder.module(
            BASE,
            image.size_of_image if size is None else size,
            "C:\\build\\practice.exe",
            timestamp=image.timestamp if timestamp is None else timestamp,
            checksum=image.checksum,
            codeview=record if with_record else b"",
        )
        image.close()
        (tmp_path / folder).mkdir(exist_ok=True)
        dump = tmp_path / folder / "x.dmp"
        dump.write_bytes(builder.build())
        session = Session()
        notices: list[str] = []
        session.files.notices.notify = lambda identifier, message: notices.append(message)
        session.settings.symbol_path = SymbolPath.parse(symbols)
        session.settings.image_path = SymbolPath.parse(images)
        system = session.open_dump(str(dump))
        return session, system.modules.modules[0], notices

    return opened


def load(opened: Opened) -> Module:
    session, module, _ = opened
    session.current.modules.symbols(module)
    return module


def put(path: Path, name: str = "practice.pdb") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(DEMO / name, path)
    return path


def outcomes(module: Module) -> list[Outcome]:
    assert module.symbol_trail is not None
    return [entry.outcome for entry in module.symbol_trail.entries]


@pytest.mark.parametrize("tiers", [2, 3])
def test_stores_of_two_and_three_tiers(
    open_dump: Open, tmp_path: Path, pdb_id: DebugId, tiers: int
) -> None:
    store = tmp_path / "store"
    folder = store
    if tiers == 3:
        store.mkdir()
        (store / "index2.txt").touch()
        folder = store / "pr"
    expected = put(folder / "practice.pdb" / pdb_id.key / "practice.pdb")
    module = load(open_dump(symbols=f"srv*{store}"))
    assert module.status == "private pdb symbols"
    assert module.symbols is not None
    assert Path(module.symbols.path).samefile(expected)


def test_a_chain_copies_into_its_cache(open_dump: Open, tmp_path: Path, pdb_id: DebugId) -> None:
    put(tmp_path / "far" / "practice.pdb" / pdb_id.key / "practice.pdb")
    module = load(open_dump(symbols=f"srv*{tmp_path / 'near'}*{tmp_path / 'far'}"))
    near = tmp_path / "near" / "practice.pdb" / pdb_id.key / "practice.pdb"
    assert module.symbols is not None
    assert module.symbols.path == str(near)
    assert Outcome.COPIED in outcomes(module)


def test_wrong_age_is_told_from_another_build(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "practice.pdb")
    module = load(open_dump(symbols=str(tmp_path / "s"), age=7))
    assert module.state is SymbolState.NONE
    assert module.symbol_trail is not None
    assert "right GUID but age 1 instead of 7" in module.symbol_trail.advice()[0]


def test_wrong_guid(open_dump: Open, tmp_path: Path, pdb_id: DebugId) -> None:
    put(tmp_path / "s" / "practice.pdb")
    module = load(open_dump(symbols=str(tmp_path / "s"), guid="1" * 32))
    assert module.symbol_trail is not None
    entry = next(e for e in module.symbol_trail.entries if e.outcome is Outcome.WRONG_ID)
    assert entry.found_id == pdb_id.key
    assert "of another build" in module.symbol_trail.advice()[0]


def test_load_anything_marks_the_module(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "practice.pdb")
    opened = open_dump(symbols=str(tmp_path / "s"), age=7)
    opened[0].settings.symbol_options |= 0x40
    module = load(opened)
    assert (module.flag, module.status) == ("M", "private pdb symbols")
    assert any("of another build" in notice for notice in opened[2])


def test_exact_symbols_win_over_load_anything(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "practice.pdb")
    opened = open_dump(symbols=str(tmp_path / "s"), age=7)
    opened[0].settings.symbol_options |= 0x440
    assert load(opened).state is SymbolState.NONE


def test_one_module_may_be_accepted(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "practice.pdb")
    opened = open_dump(symbols=str(tmp_path / "s"), age=7)
    session, module, _ = opened
    session.files.accept_mismatch(module.info)
    assert load(opened).flag == "M"
    fresh = forget(session.current.modules, module, session.files)
    session.current.modules.symbols(fresh)
    assert fresh.state is SymbolState.NONE


def test_damaged_pdb_falls_through(open_dump: Open, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "practice.pdb").write_bytes(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS" + bytes(99))
    opened = open_dump(symbols=str(tmp_path / "a"))
    module = load(opened)
    assert module.state is SymbolState.NONE
    assert Outcome.DAMAGED in outcomes(module)
    assert any("is damaged" in notice for notice in opened[2])
    put(tmp_path / "b" / "practice.pdb")
    second = load(open_dump(symbols=f"{tmp_path / 'a'};{tmp_path / 'b'}"))
    assert second.status == "private pdb symbols"


def test_missing_everything(open_dump: Open) -> None:
    opened = open_dump()
    module = load(opened)
    assert module.state is SymbolState.NONE
    assert opened[2] == [
        "Unable to load image C:\\build\\practice.exe, Win32 error 0n2",
        "*** ERROR: Module load completed but symbols could not be loaded for practice.exe",
    ]
    opened[2].clear()
    load(opened)
    assert opened[2] == []
    session = opened[0]
    session.files.unwind_data_missing(module)
    assert opened[2] == []  # one line for a missing image
    assert session.files.notices.take_missing() == "practice"
    assert session.files.notices.take_missing() == ""


def test_the_folder_of_the_dump_is_the_last_place(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "a;b" / "practice.pdb")
    put(tmp_path / "a;b" / "practice.exe", "practice.exe")
    session, module, notices = opened = open_dump(folder="a;b")
    load(opened)
    assert module.status == "private pdb symbols"
    assert module.image_file == tmp_path / "a;b" / "practice.exe"
    assert session.settings.symbol_path.text == ""
    assert notices == []


def test_the_folder_of_the_image_is_searched(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "bin" / "practice.exe", "practice.exe")
    put(tmp_path / "bin" / "practice.pdb")
    module = load(open_dump(images=str(tmp_path / "bin")))
    assert module.status == "private pdb symbols"


def test_the_image_names_the_pdb_where_the_dump_does_not(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "bin" / "practice.exe", "practice.exe")
    put(tmp_path / "s" / "practice.pdb")
    opened = open_dump(images=str(tmp_path / "bin"), symbols=str(tmp_path / "s"), with_record=False)
    assert load(opened).status == "private pdb symbols"


def test_without_record_and_image_the_advice_is_the_image(open_dump: Open, tmp_path: Path) -> None:
    module = load(open_dump(symbols=str(tmp_path), with_record=False))
    assert module.symbol_trail is not None
    assert ".exepath" in module.symbol_trail.advice()[0]


def test_an_image_without_record(open_dump: Open, tmp_path: Path, pdb_id: DebugId) -> None:
    data = (DEMO / "practice.exe").read_bytes()
    (tmp_path / "bin").mkdir()
    # The signature of the record is not RSDS any more: the image names no PDB.
    (tmp_path / "bin" / "practice.exe").write_bytes(data.replace(b"RSDS", b"XXXX"))
    module = load(open_dump(images=str(tmp_path / "bin"), with_record=False))
    assert Outcome.NO_RECORD in outcomes(module)
    assert module.symbol_trail is not None
    assert "no CodeView record" in module.symbol_trail.advice()[0]


def test_another_image_is_refused_with_both_numbers(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "bin" / "practice.exe", "practice.exe")
    opened = open_dump(images=str(tmp_path / "bin"), timestamp=0x12345678)
    module = load(opened)
    assert module.image_file is None
    assert opened[2][0].startswith(
        "*** WARNING: Check Image - Timestamp mismatch - Dump: 0x12345678, File: 0x"
    )
    second = open_dump(images=str(tmp_path / "bin"), size=0x999000)
    load(second)
    assert "Size mismatch - Dump: 0x999000" in second[2][0]


def test_same_stamp_but_another_debug_id_is_another_image(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "bin" / "practice.exe", "practice.exe")
    opened = open_dump(images=str(tmp_path / "bin"), guid="1" * 32)
    assert load(opened).image_file is None
    assert "Debug id mismatch" in opened[2][0]


def test_unwind_warning_once(open_dump: Open) -> None:
    session, module, notices = open_dump()
    session.files.unwind_data_missing(module)
    session.files.unwind_data_missing(module)
    assert len(notices) == 1
    assert "x64 PDBs carry no unwind data: image practice.exe not found" in notices[0]


def test_noisy_prints_the_trail(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "practice.pdb")
    opened = open_dump(symbols=str(tmp_path / "s"))
    opened[0].settings.noisy = True
    load(opened)
    assert any(n.startswith("DBGENG:  ") for n in opened[2])
    assert any(n.startswith("DBGHELP: ") and " - OK (has " in n for n in opened[2])


def test_hostile_names_open_nothing(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "secret" / "practice.pdb")
    for recorded in ("\\\\evil\\share\\practice.pdb", "//evil/share/practice.pdb"):
        module = load(open_dump(recorded=recorded))
        assert module.state is SymbolState.NONE
        assert Outcome.NOT_ASKED in outcomes(module)
    module = load(open_dump(recorded="..", symbols=str(tmp_path)))
    assert outcomes(module)[0] is Outcome.UNSAFE_NAME


def test_unload_bring_back_and_refresh(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "practice.pdb")
    session, module, _ = opened = open_dump()
    load(opened)
    session.settings.symbol_path = SymbolPath.parse(str(tmp_path / "s"))
    refresh(session.current, session.files)
    module = session.current.modules.modules[0]
    assert module.status == "private pdb symbols"  # execution stands in it, so it came at once
    unload(session.current, module, session.files)
    assert session.current.modules.modules == []
    reload_list(session.current, session.files)
    again = session.current.modules.named("practice")
    assert again is not None
    assert again.state is SymbolState.DEFERRED


def test_added_modules_get_names_of_their_own(open_dump: Open) -> None:
    session, _, _ = open_dump()
    added = add(session.current, module_info("practice.exe", 0x1000, 0x100), session.files)
    assert added.name == "practice_1000"
    assert session.current.modules.at(0x1010) is added
    assert session.current.modules.at(BASE) is session.current.modules.named("practice")


def test_files_of_other_systems_are_not_taken_for_pdbs(tmp_path: Path) -> None:
    builder = MinidumpBuilder().system(platform=0x8201).thread(1, amd64_context(rip=BASE))
    builder.module(BASE, 0x1000, "/usr/bin/app", codeview=rsds("1" * 32, 0, "app"))
    (tmp_path / "x.dmp").write_bytes(builder.build())
    session = Session()
    notices: list[str] = []
    session.files.notices.notify = lambda identifier, message: notices.append(message)
    module = session.open_dump(str(tmp_path / "x.dmp")).modules.modules[0]
    session.current.modules.symbols(module)
    assert notices == ["app: neither DWARF nor symbol tables were found"]
    assert session.files.notices.take_missing() == "app"
    assert outcomes(module) == [Outcome.MISSING]
    assert module.symbol_trail is not None
    advice = module.symbol_trail.advice()
    assert advice[0].startswith(
        "Its debug information is found by its build id, which is not known"
    )
    assert advice[1:] == [
        "No search path is set: .sympath DIR, where DIR holds app.debug or app.sym. "
        "Breakpad's dump_syms makes app.sym from app as it was built."
    ]


def test_a_pdb_of_the_right_name_and_unknown_id(open_dump: Open, tmp_path: Path) -> None:
    """Neither record nor image: nothing was compared, so nothing is of another build."""
    put(tmp_path / "s" / "practice.pdb")
    module = load(open_dump(symbols=str(tmp_path / "s"), with_record=False))
    assert module.state is SymbolState.NONE
    assert Outcome.UNKNOWN_ID in outcomes(module)
    assert module.symbol_trail is not None
    advice = "\n".join(module.symbol_trail.advice())
    assert "the id of this build is not known" in advice
    assert ".reload; or -i DIR on the command line" in advice
    assert "unknown" not in advice
    assert "another build" not in advice


def test_a_cut_pdb_says_its_sizes(open_dump: Open, tmp_path: Path) -> None:
    data = (DEMO / "practice.pdb").read_bytes()
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "practice.pdb").write_bytes(data[: len(data) // 2])
    opened = open_dump(symbols=str(tmp_path / "s"))
    assert load(opened).state is SymbolState.NONE
    words = f"the file is cut: it has {len(data) // 2} bytes, its header says {len(data)}"
    assert any(words in notice for notice in opened[2])


def test_breakpad_text_in_the_place_of_a_pdb(open_dump: Open, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    stored = tmp_path / "s" / "practice.pdb"
    text = "MODULE windows x86_64 %s practice.pdb\nPUBLIC 1000 0 beginning\n"
    stored.write_text(text % "0123456789ABCDEF0123456789ABCDEF1")
    opened = open_dump(symbols=str(tmp_path / "s"))
    module = load(opened)
    assert Outcome.WRONG_ID in outcomes(module)
    assert not any("damaged" in notice for notice in opened[2])
    assert module.pdb_key is not None
    stored.write_text(text % module.pdb_key.key)
    module = load(open_dump(symbols=str(tmp_path / "s")))
    assert module.symbols is not None
    assert module.symbols.status == "breakpad symbols"
    assert module.symbols.symbol_named("beginning") is not None
