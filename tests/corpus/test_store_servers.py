"""Dumps of other systems, their files on servers: Breakpad stores, ELF and Mach-O keys of SSQP."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.unruly import Unruly

from polydbg.engine.session import Session
from polydbg.images.elf import ElfImage
from polydbg.images.macho import MachoImage
from polydbg.symbols.store import SymbolPath

pytestmark = pytest.mark.corpus

KIOSK = Path(__file__).parents[2] / "src" / "polydbg" / "demo" / "container"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Unruly]:
    with Unruly() as running:
        yield running


def opened(dump: Path, url: str, tmp_path: Path) -> Session:
    """Open a copy of *dump*, away from what lies beside it."""
    copy = tmp_path / "dump" / dump.name
    copy.parent.mkdir()
    copy.write_bytes(dump.read_bytes())
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(f"srv*{url}")
    session.files.downloads.wait_at_most(20)
    session.open_dump(str(copy))
    return session


def names(session: Session) -> list[str]:
    system = session.current
    registers = system.exception_registers() or system.scope_registers()
    return [row.place.base_text for row in session.stack(system, registers, 16)]


def test_breakpad_files(server: Unruly, data_dir: Path, tmp_path: Path) -> None:
    store = data_dir / "symbols" / "breakpad"
    for file in store.rglob("*.sym"):
        server.files[f"/{file.relative_to(store).as_posix()}"] = file.read_bytes()
    dump = data_dir / "minidump" / "breakpad" / "minidump2.dmp"
    session = opened(dump, server.url, tmp_path)
    assert names(session)[:2] == [
        "test_app!`anonymous namespace'::CrashFunction", "test_app!main",
    ]  # fmt: skip
    module = session.current.modules.named("test_app")
    assert module is not None
    assert module.status == "private breakpad symbols"
    assert str(tmp_path / "cache") in module.symbols.path  # type: ignore[union-attr]
    session.close()


def test_elf_files(server: Unruly, tmp_path: Path) -> None:
    debug = KIOSK / "symbols" / "kiosk.debug"
    image = ElfImage.from_file(debug)
    key = (image.build_id or "").ljust(40, "0")
    image.close()
    server.files[f"/_.debug/elf-buildid-sym-{key}/_.debug"] = debug.read_bytes()
    server.files[f"/kiosk/elf-buildid-{key}/kiosk"] = _kiosk()
    session = opened(KIOSK / "core.7", server.url, tmp_path)
    assert names(session)[:3] == ["kiosk!sell", "kiosk!serve", "kiosk!open_kiosk"]
    session.close()


def _kiosk() -> bytes:
    """The program, out of the layers of its container's image."""
    with tarfile.open(KIOSK / "image.tar") as outer:
        for member in outer:
            layer = outer.extractfile(member) if member.isfile() else None
            if layer is None or layer.read(8)[:5] in (b"", b"{") or "json" in member.name:
                continue
            layer.seek(0)
            try:
                with tarfile.open(fileobj=layer) as inner:
                    file = inner.extractfile("app/kiosk")
                    assert file is not None
                    return file.read()
            except (tarfile.ReadError, KeyError):
                continue
    raise AssertionError("no program in the image")


def test_macho_files(server: Unruly, data_dir: Path, tmp_path: Path) -> None:
    """Only the dSYM is on the server: the image's own code is nowhere."""
    bundle = data_dir / "symbols" / "symbolic-minidump" / "crash_macos.dSYM"
    debug = next(path for path in bundle.rglob("DWARF/*") if path.is_file())
    image = MachoImage.from_file(debug)
    assert image.uuid is not None
    key = f"mach-uuid-sym-{image.uuid.hex()}"
    image.close()
    server.files[f"/_.dwarf/{key}/_.dwarf"] = debug.read_bytes()
    dump = data_dir / "minidump" / "symbolic" / "crash_macos.dmp"
    session = opened(dump, server.url, tmp_path)
    assert names(session)[0].startswith("crash_macos!")
    assert f"/_.dwarf/{key}/_.dwarf" in server.paths
    session.close()
