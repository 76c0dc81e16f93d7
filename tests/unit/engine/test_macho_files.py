"""The search for images and dSYMs of Mach-O modules: names, bundles, UUIDs, other builds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.session import Session
from polydbg.symbols.store import Outcome, SymbolPath
from polydbg.testing import macho_builder as built
from polydbg.testing.dwarf_sample import sample
from polydbg.testing.macho_builder import CODE, MachoBuilder
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

BASE = 0x140000000
UUID = bytes(range(1, 17))
TEXT = "01020304-0506-0708-090A-0B0C0D0E0F10"
OTHER = bytes(range(2, 18))
OTHER_TEXT = "02030405-0607-0809-0A0B-0C0D0E0F1011"
INSIDE = Path("Contents") / "Resources" / "DWARF"


def image(uuid: bytes = UUID) -> bytes:
    builder = MachoBuilder(uuid=uuid, starts=[0x1000, 0x1040])
    builder.section("__text", b"\x90" * 0x3000, flags=CODE)
    return builder.symbol("_main", 0x1000).build()


def dsym(uuid: bytes = UUID, base: int = 0) -> bytes:
    builder = MachoBuilder(type=built.DSYM, base=base, uuid=uuid)
    builder.section("__text", bytes(0x3000), flags=CODE)
    for name, data in sample(5).sections.items():
        builder.section("__" + name[1:], bytes(data), segment="__DWARF")
    return builder.build()


class Case:
    """A dump with one module ``App``, opened with a symbol path and an image path."""

    def __init__(self, session: Session, notices: list[str]) -> None:
        self.session = session
        self.notices = notices

    def load(self) -> Module:
        modules = self.session.current.modules
        modules.symbols(modules.modules[0])
        return modules.modules[0]


Open = Callable[..., Case]


@pytest.fixture
def open_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "default"))

    def opened(
        symbols: Path | str = "",
        images: Path | str = "",
        *,
        path: str = "/Applications/My.app/Contents/MacOS/App",
    ) -> Case:
        builder = MinidumpBuilder().thread(1, amd64_context(rip=BASE + 0x1014))
        record = rsds(TEXT, 0, "App")
        builder.system(platform=0x8101).module(BASE, 0x4000, path, codeview=record)
        dump = tmp_path / "case" / "x.dmp"
        dump.parent.mkdir(exist_ok=True)
        dump.write_bytes(builder.build())
        session = Session()
        notices: list[str] = []
        session.files.notices.notify = lambda identifier, message: notices.append(message)
        session.settings.symbol_path = SymbolPath.parse(str(symbols))
        session.settings.image_path = SymbolPath.parse(str(images))
        session.open_dump(str(dump))
        return Case(session, notices)

    return opened


def put(folder: Path, *parts: str, data: bytes) -> Path:
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def bundled(folder: Path, bundle: str, data: bytes, name: str = "App") -> Path:
    return put(folder / f"{bundle}.dSYM" / INSIDE, name, data=data)


def test_the_symbol_table_of_an_image(open_dump: Open, tmp_path: Path) -> None:
    path = put(tmp_path, "images", "App", data=image())
    case = open_dump(images=path.parent)
    module = case.load()
    assert (module.state, module.status) == (SymbolState.LOADED, "macho symbols")
    assert module.image_file == path
    assert case.session.current.modules.place(BASE + 0x1010).text == "App!main+0x10"
    # The image gives the bytes that the dump does not have.
    assert case.session.current.memory.read(BASE + 0x1010, 2) == b"\x90\x90"


@pytest.mark.parametrize(
    "place",
    [
        ("App.dSYM", *INSIDE.parts, "App"),
        ("My.app.dSYM", *INSIDE.parts, "App"),
        ("Renamed.dSYM", *INSIDE.parts, "App"),
        ("0102", "0304", "0506", "0708", "090A", "0B0C0D0E0F10"),
        ("_.dwarf", f"mach-uuid-sym-{UUID.hex()}", "_.dwarf"),
        ("App",),
    ],
)
def test_places_of_a_dsym(open_dump: Open, tmp_path: Path, place: tuple[str, ...]) -> None:
    path = put(tmp_path / "symbols", *place, data=dsym())
    case = open_dump(tmp_path / "symbols")
    module = case.load()
    assert module.status == "private dwarf symbols"
    assert module.symbols is not None
    assert Path(module.symbols.path) == path
    line = case.session.current.modules.line_at(BASE + 0x1000)
    assert line is not None
    assert line.line == 10
    assert not module.mismatched


def test_a_dsym_that_is_given_itself(open_dump: Open, tmp_path: Path) -> None:
    path = bundled(tmp_path / "symbols", "Odd", dsym())
    for given in (tmp_path / "symbols" / "Odd.dSYM", path):
        module = open_dump(given).load()
        assert module.symbols is not None
        assert Path(module.symbols.path) == path


def test_a_dsym_beside_the_image_and_beside_its_bundle(open_dump: Open, tmp_path: Path) -> None:
    app = put(tmp_path, "images", "My.app", "Contents", "MacOS", "App", data=image())
    path = bundled(tmp_path / "images", "My.app", dsym())
    module = open_dump(images=tmp_path / "images").load()
    assert module.image_file == app  # found by the end of its recorded path
    assert module.symbols is not None
    assert Path(module.symbols.path) == path
    closer = bundled(app.parent, "App", dsym())
    module = open_dump(images=tmp_path / "images").load()
    assert module.symbols is not None
    assert Path(module.symbols.path) == closer


def test_another_build_is_refused_with_both_uuids(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path, "images", "App", data=image(OTHER))
    bundled(tmp_path / "symbols", "App", dsym(OTHER))
    case = open_dump(tmp_path / "symbols", tmp_path / "images")
    module = case.load()
    assert module.state is SymbolState.NONE
    assert module.image_file is None
    refused = [text for text in case.notices if "mismatch" in text]
    assert len(refused) == 1
    assert f"Dump: {TEXT}, File: {OTHER_TEXT}" in refused[0]
    assert module.symbol_trail is not None
    entry = next(e for e in module.symbol_trail.entries if e.outcome is Outcome.WRONG_ID)
    assert (entry.detail, entry.found_id) == (f"wanted UUID {TEXT}", OTHER_TEXT)


def test_reload_i_loads_another_build(open_dump: Open, tmp_path: Path) -> None:
    bundled(tmp_path / "symbols", "App", dsym(OTHER))
    case = open_dump(tmp_path / "symbols")
    case.session.files.accept_mismatch(case.session.current.modules.modules[0].info)
    module = case.load()
    assert (module.status, module.flag) == ("private dwarf symbols", "M")


def test_a_universal_file_gives_the_part_of_the_uuid(open_dump: Open, tmp_path: Path) -> None:
    parts = (built.ARM64, image(OTHER)), (built.AMD64, image())
    put(tmp_path, "images", "App", data=built.universal(*parts))
    case = open_dump(images=tmp_path / "images")
    assert case.load().status == "macho symbols"
    assert case.session.current.modules.macho_image(case.load()) is not None


def test_damaged_and_foreign_files_are_passed_over(open_dump: Open, tmp_path: Path) -> None:
    bundled(tmp_path / "symbols", "App", b"not a Mach-O file")
    bundled(tmp_path / "symbols", "My.app", dsym()[:40])
    put(tmp_path, "images", "App", data=b"\x7fELF")
    case = open_dump(tmp_path / "symbols", tmp_path / "images")
    module = case.load()
    assert module.state is SymbolState.NONE
    assert module.symbol_trail is not None
    assert module.symbol_trail.entries[0].outcome is Outcome.DAMAGED


def test_names_out_of_a_dump_lead_nowhere_else(open_dump: Open, tmp_path: Path) -> None:
    put(tmp_path, "secret", "App", data=image())
    (tmp_path / "images").mkdir()
    case = open_dump(images=tmp_path / "images", path="/x/../secret/App")
    assert case.load().state is SymbolState.NONE


def test_debug_information_left_in_object_files_is_said(open_dump: Open, tmp_path: Path) -> None:
    builder = MachoBuilder(starts=[0x1000]).section("__text", bytes(0x2000), flags=CODE)
    builder.symbol("_main", 0x1000).symbol("/tmp/a.o", 0, 0x66)
    put(tmp_path, "images", "App", data=builder.build())
    module = open_dump(images=tmp_path / "images").load()
    assert module.status == "macho symbols"
    assert module.symbol_trail is not None
    said = [str(entry) for entry in module.symbol_trail.entries]
    assert any("object files, /tmp/a.o: run dsymutil" in text for text in said)


def test_what_to_do_names_every_file_that_would_serve(open_dump: Open, tmp_path: Path) -> None:
    case = open_dump()
    trail = case.load().symbol_trail
    assert trail is not None
    assert "where DIR holds App.dSYM or App or App.sym" in trail.advice()[-1]
    (tmp_path / "symbols").mkdir()
    trail = open_dump(tmp_path / "symbols").load().symbol_trail
    assert trail is not None
    assert trail.advice()[-1].startswith(f"Put App.dSYM or App or App.sym ({{{TEXT}}} age 0) into")
