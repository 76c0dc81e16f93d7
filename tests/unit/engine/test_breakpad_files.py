"""The search for Breakpad files of modules: stores, folders, ids, PDBs first, other builds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.session import Session
from polydbg.symbols.pdb import open_pdb
from polydbg.symbols.store import Outcome, SymbolPath
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

DEMO = Path(str(resources.files("polydbg"))) / "demo"
BASE = 0x140000000
GUID = "0123456789ABCDEF0123456789ABCDEF"
BUILD_ID = bytes.fromhex("67452301ab89efcd0123456789abcdef11223344")  # GUID, and four bytes more
BODY = "FUNC 100 20 0 crash(int)\n100 20 7 0\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "default"))


class Case:
    """A dump with one module, opened with a symbol path."""

    def __init__(self, session: Session, notices: list[str]) -> None:
        self.session = session
        self.notices = notices

    def load(self) -> Module:
        modules = self.session.current.modules
        modules.symbols(modules.modules[0])
        return modules.modules[0]


Open = Callable[..., Case]


@pytest.fixture
def open_dump(tmp_path: Path) -> Open:
    def opened(image: str, record: bytes, symbols: str = "", *, timestamp: int = 0) -> Case:
        builder = MinidumpBuilder().thread(1, amd64_context(rip=BASE + 0x110))
        if image.startswith("/Applications"):
            builder.system(platform=0x8101)
        builder.module(BASE, 0x1000, image, codeview=record, timestamp=timestamp)
        dump = tmp_path / "case" / "x.dmp"
        dump.parent.mkdir(exist_ok=True)
        dump.write_bytes(builder.build())
        session = Session()
        notices: list[str] = []
        session.files.notices.notify = lambda identifier, message: notices.append(message)
        session.settings.symbol_path = SymbolPath.parse(symbols)
        session.open_dump(str(dump))
        return Case(session, notices)

    return opened


def put(
    path: Path, guid: str = GUID, age: str = "1", name: str = "app.pdb", body: str = BODY
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"MODULE windows x86_64 {guid}{age} {name}\n{body}")
    return path


def outcomes(module: Module) -> list[Outcome]:
    assert module.symbol_trail is not None
    return [entry.outcome for entry in module.symbol_trail.entries]


WINDOWS = ("C:\\app.exe", rsds(GUID, 1, "D:\\out\\app.pdb"))
ELF = ("/usr/lib/libapp.so.6", b"LEpB" + BUILD_ID)
MACH_O = ("/Applications/App.app/Contents/MacOS/App", rsds(GUID, 0, "App"))


@pytest.mark.parametrize(
    "place",
    [
        f"s/app.pdb/{GUID}1/app.sym",
        f"s/APP.PDB/{GUID.lower()}1/app.sym",
        "s/app.sym",
        "s/App.Sym",
        "case/app.sym",  # beside the dump
    ],
)
def test_places_of_a_windows_module(open_dump: Open, tmp_path: Path, place: str) -> None:
    expected = put(tmp_path / place)
    case = open_dump(*WINDOWS, symbols=str(tmp_path / "s"))
    module = case.load()
    assert module.symbols is not None
    assert Path(module.symbols.path).samefile(expected)
    assert module.status == "private breakpad symbols"
    assert case.session.current.modules.place(BASE + 0x110).text == "app!crash+0x10"
    assert outcomes(module)[-1] is Outcome.FOUND


@pytest.mark.parametrize(
    ("case", "name", "age"), [(ELF, "libapp.so.6", "0"), (MACH_O, "App", "0")], ids=["elf", "macho"]
)
@pytest.mark.parametrize("in_store", [True, False])
def test_places_of_other_modules(
    open_dump: Open, tmp_path: Path, case: tuple[str, bytes], name: str, age: str, in_store: bool
) -> None:
    folder = tmp_path / "s" / name / (GUID + age) if in_store else tmp_path / "s"
    put(folder / f"{name}.sym", age=age, name=name)
    opened = open_dump(*case, symbols=f"srv*{tmp_path / 's'}" if in_store else str(tmp_path / "s"))
    module = opened.load()
    assert (module.status, module.flag) == ("private breakpad symbols", " ")
    assert opened.notices == []


def test_a_chain_copies_into_its_cache(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "far" / "app.pdb" / f"{GUID}1" / "app.sym")
    module = open_dump(*WINDOWS, symbols=f"srv*{tmp_path / 'near'}*{tmp_path / 'far'}").load()
    assert module.symbols is not None
    assert module.symbols.path == str(tmp_path / "near" / "app.pdb" / f"{GUID}1" / "app.sym")


def test_another_build_is_refused_until_it_is_accepted(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "app.sym", age="2")
    case = open_dump(*WINDOWS, symbols=str(tmp_path / "s"))
    module = case.load()
    assert module.state is SymbolState.NONE
    assert Outcome.WRONG_ID in outcomes(module)
    assert module.symbol_trail is not None
    assert "right GUID but age 2 instead of 1" in module.symbol_trail.advice()[0]
    case.session.files.accept_mismatch(module.info)
    case.session.current.modules.renew(module)
    again = case.load()
    assert (again.flag, again.status) == ("M", "private breakpad symbols")


def test_the_pdb_comes_first_unless_it_is_of_another_build(open_dump: Open, tmp_path: Path) -> None:
    source = open_pdb(DEMO / "practice.pdb")
    debug_id = source.debug_id
    source.close()
    (tmp_path / "s").mkdir()
    shutil.copy(DEMO / "practice.pdb", tmp_path / "s")
    put(tmp_path / "s" / "practice.sym", debug_id.guid, f"{debug_id.age:x}")
    record = rsds(debug_id.guid, debug_id.age, "practice.pdb")
    module = open_dump("C:\\practice.exe", record, symbols=str(tmp_path / "s")).load()
    assert module.status == "private pdb symbols"
    put(tmp_path / "s" / "practice.sym", GUID, "7")
    case = open_dump("C:\\practice.exe", rsds(GUID, 7, "practice.pdb"), str(tmp_path / "s"))
    case.session.settings.symbol_options |= 0x40
    assert case.load().status == "private breakpad symbols"
    assert not case.load().mismatched


def test_a_code_id_stands_in_for_a_record(open_dump: Open, tmp_path: Path) -> None:
    body = "INFO CODE_ID 5AB380771000 app.exe\n" + BODY
    put(tmp_path / "s" / "app.sym", body=body)
    case = open_dump("C:\\app.exe", b"", symbols=str(tmp_path / "s"), timestamp=0x5AB38077)
    assert case.load().status == "private breakpad symbols"
    other = open_dump("C:\\app.exe", b"", symbols=str(tmp_path / "s"), timestamp=0x5AB38078)
    assert Outcome.UNKNOWN_ID in outcomes(other.load())


def test_nothing_found_says_what_to_do(open_dump: Open, tmp_path: Path) -> None:
    windows = open_dump(*WINDOWS, symbols=str(tmp_path)).load()
    assert windows.symbol_trail is not None
    assert windows.symbol_trail.lines()[-1].endswith(
        "app.sym - file not found: no Breakpad symbol file at these places either"
    )
    assert "Put app.pdb" in windows.symbol_trail.advice()[-1]
    elf = open_dump(*ELF, symbols=str(tmp_path)).load()
    assert elf.symbol_trail is not None
    assert f"STORE/libapp.so.6/{GUID}0/libapp.so.6.sym" in elf.symbol_trail.advice()[-1]


def test_damage_is_said(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "app.sym", body=BODY + "FUNC nonsense\n")
    case = open_dump(*WINDOWS, symbols=str(tmp_path / "s"))
    assert case.load().status == "private breakpad symbols"
    assert any("1 record is damaged and left out" in notice for notice in case.notices)
    (tmp_path / "s" / "app.sym").write_bytes(b"\x7fELF not a symbol file")
    other = open_dump(*WINDOWS, symbols=str(tmp_path / "s"))
    module = other.load()
    assert module.state is SymbolState.NONE
    assert Outcome.OTHER_FORMAT in outcomes(module)
    assert any("not a Breakpad symbol file" in notice for notice in other.notices)


def test_ids_of_zeros_count_as_none(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path / "s" / "app.sym", guid="0" * 32, age="0")
    module = open_dump("/bin/app", b"LEpB" + bytes(16), symbols=str(tmp_path / "s")).load()
    assert module.info.debug_id is None
    assert module.state is SymbolState.NONE
    assert Outcome.UNKNOWN_ID in outcomes(module)


def test_a_fragment_counts_once_it_is_accepted(open_dump: Open, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "libapp.so.6.sym").write_text("STACK CFI INIT 100 20 .cfa: $rsp 8 +\n")
    case = open_dump(*ELF, symbols=str(tmp_path / "s"))
    module = case.load()
    assert Outcome.UNKNOWN_ID in outcomes(module)
    assert module.symbol_trail is not None
    assert "does not say of which build it is" in module.symbol_trail.advice()[0]
    case.session.files.accept_mismatch(module.info)
    case.session.current.modules.renew(module)
    again = case.load()
    assert (again.flag, again.status) == ("M", "breakpad symbols")
    assert again.symbols is not None
    assert again.symbols.cfi_at(0x110) is not None
