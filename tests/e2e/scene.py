"""A dump, its files as a test wants them, and what ``!sym why`` says of them."""

from __future__ import annotations

import contextlib
import hashlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.servers.stores import DEMO

from polydbg.cli.options import help_text
from polydbg.commands.registry import REGISTRY
from polydbg.commands.sym import SymbolSearch
from polydbg.images.pe import PeImage
from polydbg.service.api import Item, ItemsEvent, OpenRequest
from polydbg.service.local import LocalClient
from polydbg.service.render import json_of, text_of
from polydbg.symbols.pdb import open_pdb
from polydbg.testing.core_builder import ElfCoreBuilder
from polydbg.testing.elf_builder import ALLOC, EXEC, NOTE, ElfBuilder
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

BASE, ELF_BASE, NOTE_AT = 0x140000000, 0x10000, 0x800
PDB, EXE = (DEMO / "practice.pdb").read_bytes(), (DEMO / "practice.exe").read_bytes()
BUILD_ID = hashlib.sha1(b"server").digest()

_opened, _image = open_pdb(DEMO / "practice.pdb"), PeImage.from_file(DEMO / "practice.exe")
assert _opened.debug_id is not None
DEBUG_ID = _opened.debug_id
STAMP, SIZE, CHECKSUM = _image.timestamp, _image.size_of_image, _image.checksum
_opened.close()
_image.close()

PDB_PATH = f"/practice.pdb/{DEBUG_ID.key}/practice.pdb"
EXE_PATH = f"/practice.exe/{STAMP:08X}{SIZE:x}/practice.exe"


class Scene:
    """What a situation consists of. *keep* holds servers until the end; *folder* is on the symbol
    and the image path unless a situation sets another *symbols* or *images*."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, keep: contextlib.ExitStack
    ) -> None:
        self.root, self.monkeypatch, self.keep = root, monkeypatch, keep
        self.folder = root / "files"
        self.folder.mkdir()
        self.dump = root / "dump" / "x.dmp"
        self.dump.parent.mkdir()
        self.cache = root / "cache"
        monkeypatch.setenv("POLYDBG_CACHE", str(self.cache))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("NETRC", str(root / "netrc"))
        self.symbols = self.images = str(self.folder)
        self.offline = False
        self.practice()

    # -- dumps -------------------------------------------------------------------------------

    def practice(
        self,
        *,
        age: int | None = None,
        stamp: int = STAMP,
        size: int = SIZE,
        guid: str = "",
        folder: str = "C:\\build",
    ) -> None:
        """Make a dump of the practice program; a negative *age*: it has no record of the PDB."""
        wanted = DEBUG_ID.age if age is None else age
        record = rsds(guid or DEBUG_ID.guid, wanted, "C:\\build\\practice.pdb")
        builder = MinidumpBuilder().system().thread(1, amd64_context(rip=BASE + 0x1567))
        builder.module(
            BASE,
            size,
            f"{folder}\\practice.exe",
            timestamp=stamp,
            checksum=CHECKSUM,
            codeview=record if wanted >= 0 else b"",
        )
        self.dump.write_bytes(builder.build())

    def core(self, *, with_id: bool = True) -> None:
        """Make a core of the program ``/app/server``; without an id, its note is not in memory."""
        builder = ElfCoreBuilder()
        builder.thread(7, 11, *([0] * 27))
        builder.files((ELF_BASE, ELF_BASE + 0x3000, 0, "/app/server"))
        builder.auxiliary(at3=ELF_BASE + 0x40, at4=56, at5=3, at9=ELF_BASE + 0x2000)
        if with_id:
            data = elf()
            note = data[data.index(b"GNU\0") - 12 :][:36]
            page = (data[:NOTE_AT].ljust(NOTE_AT, b"\0") + note).ljust(0x1000, b"\0")
            builder.memory(ELF_BASE, page)
        self.dump.write_bytes(builder.build())

    def put(self, name: str, data: bytes) -> Path:
        """Put a file into the folder of the search paths."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    # -- what is said ------------------------------------------------------------------------

    @contextlib.contextmanager
    def session(self) -> Iterator[Said]:
        """Open the dump as a batch run does."""
        said = Said()
        request = OpenRequest(
            [str(self.dump)],
            self.symbols,
            self.images,
            "",
            True,
            symbol_wait=20.0,
            offline=self.offline,
        )
        try:
            said.items(said.client.open(request))
            yield said
        finally:
            said.client.close()


class Said:
    """A session; its answers."""

    def __init__(self) -> None:
        self.client = LocalClient()

    def __call__(self, line: str) -> str:
        return "\n".join(text_of(item) for item in self.items(self.client.execute(line)))

    def items(self, events: Iterator[object]) -> list[Item]:
        batches = [event.items for event in events if isinstance(event, ItemsEvent)]
        return [item for batch in batches for item in batch]

    def why(self, kind: str) -> tuple[str, list[str]]:
        """Return one half of ``!sym why`` of the only module as text, and its advice; what JSON
        says is the same."""
        module = "practice" if "practice" in self("lm") else "server"
        found = [
            item
            for item in self.items(self.client.execute(f"!sym why {module}"))
            if isinstance(item, SymbolSearch) and item.kind == kind
        ]
        (half,) = found
        plain = msgspec.json.decode(msgspec.json.encode(json_of(half)))
        text = text_of(half)
        advice: list[str] = plain["advice"]
        for line in (*advice, *(place["place"] for place in plain["places"])):
            assert line in text
        for line in advice:
            assert_typable(line)
        return text, advice


def size_of(image: bytes) -> int:
    """Return what the header of a PE image from the builder says of its size in memory."""
    size: int = struct.unpack_from("<I", image, 0x80 + 24 + 56)[0]
    return size


def elf(build_id: bytes | None = BUILD_ID, *sections: tuple[str, bytes]) -> bytes:
    """Return the program of the core, with more *sections*."""
    builder = ElfBuilder(type=2, entry=ELF_BASE + 0x2000)
    if build_id is not None:
        note = builder.note("GNU", 3, build_id)
        builder.section(".note", note, address=ELF_BASE + NOTE_AT, flags=ALLOC, type=NOTE)
        builder.segment(4, ".note")
    else:
        builder.section(".rodata", bytes(36), address=ELF_BASE + NOTE_AT, flags=ALLOC)
    text = b"\xc3" * 16
    builder.section(".text", text, address=ELF_BASE + 0x2000, flags=ALLOC | EXEC)
    for name, data in sections:
        builder.section(name, data)
    return builder.build()


def assert_typable(advice: str) -> None:
    """Check that the commands in a line of advice exist."""
    for name in re.findall(r"(?<![\w/*~.])([.!][a-z]{3,})(?![\w./(-])", advice):
        assert name in (".exe", ".dll", ".pdb") or REGISTRY.is_name(name), advice
    for words in re.findall(r"polydbg (sym \w+)", advice):
        assert words in help_text(), advice
