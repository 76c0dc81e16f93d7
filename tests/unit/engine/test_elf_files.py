"""ELF modules of cores whose files were deleted or lie in containers, found in a root."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from polydbg.base.errors import FormatError
from polydbg.engine import elf_files
from polydbg.engine.elf_advice import lack_of
from polydbg.engine.session import Session
from polydbg.images.elf import ElfImage
from polydbg.symbols.store import SymbolPath
from polydbg.testing.core_builder import ElfCoreBuilder
from polydbg.testing.elf_builder import ALLOC, EXEC, NOTE, ElfBuilder

BASE, NOTE_AT = 0x10000, 0x800


def program(build_id: bytes) -> bytes:
    builder = ElfBuilder(type=2, entry=BASE + 0x2000)
    note = builder.note("GNU", 3, build_id)
    builder.section(".note", note, address=BASE + NOTE_AT, flags=ALLOC, type=NOTE)
    builder.segment(4, ".note")
    builder.section(".text", b"\xc3" * 16, address=BASE + 0x2000, flags=ALLOC | EXEC)
    return builder.build()


BUILD_ID = hashlib.sha1(b"server").digest()


def core(path: str) -> bytes:
    """A core of the program, mapped as *path*; the page with its note is in memory."""
    builder = ElfCoreBuilder()
    builder.thread(7, 11, *([0] * 27))
    builder.files((BASE, BASE + 0x3000, 0, path))
    builder.auxiliary(at3=BASE + 0x40, at4=56, at5=3, at9=BASE + 0x2000)
    data = program(BUILD_ID)
    note = data[data.index(b"GNU\0") - 12 :][:36]
    builder.memory(BASE, (data[:NOTE_AT].ljust(NOTE_AT, b"\0") + note).ljust(0x1000, b"\0"))
    return builder.build()


@pytest.mark.parametrize(
    ("mapped", "inside"),
    [
        ("/app/server", "app/server"),
        ("/app/server (deleted)", "app/server"),
        ("/var/lib/docker/overlay2/12ab/merged/app/server", "app/server"),
        ("/proc/71/root/app/server (deleted)", "app/server"),
        ("/somewhere/else/server", "opt/moved/server"),
        ("/usr/bin/server", "bin/server"),
    ],
)
def test_deleted_and_containers_paths(tmp_path: Path, mapped: str, inside: str) -> None:
    (tmp_path / "x.core").write_bytes(core(mapped))
    place = tmp_path / "root" / inside
    place.parent.mkdir(parents=True)
    place.write_bytes(program(BUILD_ID))
    session = Session()
    notices: list[str] = []
    session.files.notices.notify = lambda identifier, message: notices.append(identifier)
    session.settings.sysroots = (str(tmp_path / "root"),)
    system = session.open_dump(str(tmp_path / "x.core"))
    (module,) = system.modules.modules
    assert (module.name, module.info.file_name) == ("server", "server")
    system.modules.image(module)
    assert module.image_file == place
    assert not notices
    session.close()


@pytest.mark.parametrize(
    ("build_id", "said"),
    [
        (b"another", f"server is of another build ({b'another'.hex()})."),
        (None, "app/server is not there."),
    ],
)
def test_what_a_root_has_instead(tmp_path: Path, build_id: bytes | None, said: str) -> None:
    (tmp_path / "x.core").write_bytes(core("/app/server"))
    (tmp_path / "root/app").mkdir(parents=True)
    if build_id is not None:
        (tmp_path / "root/app/server").write_bytes(program(build_id))
    session = Session()
    session.settings.sysroots = (str(tmp_path / "root"),)
    system = session.open_dump(str(tmp_path / "x.core"))
    (module,) = system.modules.modules
    system.modules.image(module)
    assert module.image_file is None
    lack = lack_of(system.modules, module)
    assert lack is not None
    assert lack.found_instead.endswith(said)
    session.close()


@pytest.mark.parametrize("build_id", [BUILD_ID, b"another"])
def test_a_debug_file_is_found_by_its_name_without_the_image(
    tmp_path: Path, build_id: bytes
) -> None:
    (tmp_path / "x.core").write_bytes(core("/app/server"))
    place = tmp_path / "debug/server.debug"
    place.parent.mkdir()
    place.write_bytes(program(build_id))
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(str(place.parent))
    system = session.open_dump(str(tmp_path / "x.core"))
    (module,) = system.modules.modules
    system.modules.symbols(module)
    assert (module.debug_file is not None) == (build_id == BUILD_ID)
    session.close()


def test_a_damaged_symbol_table_does_not_keep_dwarf_from_answering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.core").write_bytes(core("/app/server"))
    (tmp_path / "root/app").mkdir(parents=True)
    (tmp_path / "root/app/server").write_bytes(program(BUILD_ID))
    tables: list[object] = []

    def damaged(image: ElfImage, debug: ElfImage | None) -> None:
        raise FormatError("a symbol table without strings")

    def dwarf(image: ElfImage, debug: ElfImage | None, *, table: object, **_: object) -> None:
        tables.append(table)

    monkeypatch.setattr(elf_files, "ElfSource", damaged)
    monkeypatch.setattr(elf_files, "elf_dwarf", dwarf)
    session = Session()
    session.settings.sysroots = (str(tmp_path / "root"),)
    system = session.open_dump(str(tmp_path / "x.core"))
    (module,) = system.modules.modules
    system.modules.symbols(module)
    assert tables == [None]
    assert module.symbol_trail is not None
    told = [each.detail for each in module.symbol_trail.entries]
    assert "a symbol table without strings" in told
    session.close()
