"""Modules of Windows without their PDB: DWARF and COFF symbols, in the image or in a debug file."""

from __future__ import annotations

import shutil
import uuid
import zlib
from importlib import resources
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.stack import FrameRow
from polydbg.commands.sym import SymbolSearch
from polydbg.engine.modules import Module
from polydbg.engine.session import Session
from polydbg.images.pe import PeImage
from polydbg.symbols.pdb import open_pdb
from polydbg.symbols.store import Outcome, SymbolPath
from polydbg.testing.dwarf_sample import sample
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context
from polydbg.testing.pe_builder import PeBuilder, rsds

GUID = bytes(range(16))
KEY = "030201000504070608090a0b0c0d0e0f"


def made(*, dwarf: bool = False, coff: bool = False, link: bytes = b"") -> PeBuilder:
    """Return an image that is linked to address 0, as its DWARF is."""
    image = PeBuilder(image_base=0)
    image.exports("app.exe", [("exported", 0x1200)])
    image.debug((2, rsds(GUID, 1, "")))
    if dwarf:
        image.sections += [(name, bytes(data)) for name, data in sample(5).sections.items()]
    if coff:
        image.symbol("by_assembler", 0x100)
    if link:
        image.sections.append((".gnu_debuglink", link))
    return image


def link_to(name: str, data: bytes) -> bytes:
    text = name.encode() + b"\0"
    return text + bytes(-len(text) % 4) + zlib.crc32(data).to_bytes(4, "little")


class Opened:
    """A session on a dump with ``app.exe`` at 0x10000 and a program counter in ``ns::run``."""

    def __init__(self, folder: Path, image: bytes) -> None:
        self.folder = folder / "images"
        self.folder.mkdir()
        (self.folder / "app.exe").write_bytes(image)
        parsed = PeImage.from_buffer(image, "app.exe")
        builder = MinidumpBuilder().thread(7, amd64_context(rip=0x11016))
        builder.module(
            0x10000,
            parsed.size_of_image,
            "C:\\app\\app.exe",
            timestamp=parsed.timestamp,
            checksum=parsed.checksum,
        )
        path = folder / "dump" / "app.dmp"
        path.parent.mkdir()
        path.write_bytes(builder.build())
        self.session = Session()
        self.said: list[str] = []
        self.session.files.notices.notify = lambda identifier, text: self.said.append(identifier)
        self.session.settings.image_path = SymbolPath.parse(str(self.folder))
        self.module = self.session.open_dump(str(path)).modules.modules[0]

    def load(self) -> Module:
        self.session.current.modules.symbols(self.module)
        return self.module

    def run(self, line: str) -> list[object]:
        interpreter = Interpreter(self.session, CancelToken(), lambda text, done, total: None)
        return list(interpreter.run(line))

    def found(self) -> list[tuple[str, Outcome]]:
        """Return the names of the places of the trail that were anything but empty."""
        trail = self.module.symbol_trail
        assert trail is not None
        return [
            (Path(each.place).name, each.outcome)
            for each in trail.entries
            if each.outcome is not Outcome.MISSING
        ]

    def name_at(self, rva: int) -> str:
        symbols = self.load().symbols
        assert symbols is not None
        symbol = symbols.symbol_at(rva)
        return symbol.name if symbol is not None else ""


def test_dwarf_in_the_image(tmp_path: Path) -> None:
    opened = Opened(tmp_path, made(dwarf=True, coff=True).build())
    module = opened.load()
    assert module.status == "private dwarf symbols"
    assert module.flag == " "
    assert opened.said == []
    assert opened.found() == [("app.exe", Outcome.FOUND)]
    assert opened.session.files.notices.take_missing() == ""
    names = [opened.name_at(rva) for rva in (0x1016, 0x1104)]
    assert names == ["ns::run", "by_assembler"]
    rows = [item for item in opened.run("k") if isinstance(item, FrameRow)]
    assert [row.call_site for row in rows[:3]] == ["app!once", "app!twice", "app!ns::run"]
    assert {row.symbols for row in rows[:3]} == {"dwarf"}
    why = next(item for item in opened.run("!sym why app") if isinstance(item, SymbolSearch))
    assert why.state.startswith("private dwarf symbols, ")
    assert why.advice == ()
    assert "app.exe - OK: DWARF in the image" in why.text()


def test_dwarf_beside_exports(tmp_path: Path) -> None:
    opened = Opened(tmp_path, made(dwarf=True).build())
    assert opened.load().status == "private dwarf symbols"
    assert opened.name_at(0x1204) == "exported"
    symbols = opened.module.symbols
    assert symbols is not None
    assert [symbols.kind_at(rva) for rva in (0x1016, 0x1204, 0x10)] == ["dwarf", "export", ""]


def test_coff_symbols(tmp_path: Path) -> None:
    opened = Opened(tmp_path, made(coff=True).build())
    module = opened.load()
    assert module.status == "coff symbols"
    assert opened.said == []
    assert opened.found() == [("app.exe", Outcome.STRIPPED)]
    assert opened.session.files.notices.take_missing() == "app"
    assert opened.name_at(0x1104) == "by_assembler"
    why = next(item for item in opened.run("!sym why app") if isinstance(item, SymbolSearch))
    assert "COFF symbols, which are names alone" in why.text()
    assert why.advice


def test_neither(tmp_path: Path) -> None:
    opened = Opened(tmp_path, made().build())
    assert opened.load().status == "export symbols"
    assert opened.said == ["symbols.exports-only"]


@pytest.mark.parametrize("place", ["images", "images/.debug", "symbols"])
def test_debug_link(tmp_path: Path, place: str) -> None:
    debug = made(dwarf=True, coff=True).build()
    opened = Opened(tmp_path, made(link=link_to("app.debug", debug)).build())
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "app.debug").write_bytes(debug)
    opened.session.settings.symbol_path = SymbolPath.parse(str(tmp_path / "symbols"))
    assert opened.load().status == "private dwarf symbols"
    assert opened.module.symbols is not None
    assert Path(opened.module.symbols.path) == tmp_path / place / "app.debug"
    assert opened.found() == [("app.debug", Outcome.FOUND)]
    assert [opened.name_at(rva) for rva in (0x1016, 0x1104)] == ["ns::run", "by_assembler"]


def test_a_debug_file_of_another_checksum(tmp_path: Path) -> None:
    debug = made(dwarf=True).build()
    opened = Opened(tmp_path, made(link=link_to("app.debug", debug)).build())
    (opened.folder / "app.debug").write_bytes(debug + b"\0")
    assert opened.load().status == "export symbols"
    assert opened.found() == [("app.debug", Outcome.WRONG_ID)]
    (opened.folder / "app.debug").write_bytes(b"MZ")
    opened.run(".reload")
    opened.module = opened.session.current.modules.modules[0]
    assert opened.load().status == "export symbols"
    assert opened.found() == [("app.debug", Outcome.DAMAGED)]


def test_build_id(tmp_path: Path) -> None:
    opened = Opened(tmp_path, made().build())
    tree = tmp_path / "symbols" / ".build-id" / KEY[:2]
    tree.mkdir(parents=True)
    other = PeBuilder(image_base=0)
    other.debug((2, rsds(bytes(16), 1, "")))
    (tree / f"{KEY[2:]}.debug").write_bytes(other.build())
    opened.session.settings.symbol_path = SymbolPath.parse(str(tmp_path / "symbols"))
    assert opened.load().status == "export symbols"
    assert opened.found() == [(f"{KEY[2:]}.debug", Outcome.WRONG_ID)]
    (tree / f"{KEY[2:]}.debug").write_bytes(made(dwarf=True).build())
    opened.run(".reload")
    opened.module = opened.session.current.modules.modules[0]
    assert opened.load().status == "private dwarf symbols"


def test_a_damaged_link(tmp_path: Path) -> None:
    opened = Opened(tmp_path, made(coff=True, link=b"x" * 0x200).build())
    assert opened.load().status == "coff symbols"
    outcomes = [outcome for _, outcome in opened.found()]
    assert outcomes == [Outcome.DAMAGED, Outcome.STRIPPED]


def test_a_pdb_wins(tmp_path: Path) -> None:
    demo = Path(str(resources.files("polydbg"))) / "demo"
    source = open_pdb(demo / "practice.pdb")
    debug_id = source.debug_id
    source.close()
    assert debug_id is not None
    image = PeBuilder(image_base=0)
    image.debug((2, rsds(uuid.UUID(debug_id.guid).bytes_le, debug_id.age, "practice.pdb")))
    image.sections += [(name, bytes(data)) for name, data in sample(5).sections.items()]
    opened = Opened(tmp_path, image.build())
    assert opened.load().status == "private dwarf symbols"
    shutil.copy(demo / "practice.pdb", opened.folder)
    opened.run(".reload")
    opened.module = opened.session.current.modules.modules[0]
    assert opened.load().status == "private pdb symbols"
