"""``lmv`` and ``!lmi`` of ELF and Mach-O modules: their ids, and no words of PE headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds

PE_WORDS = ("Timestamp", "CheckSum", "Time Stamp", "File OS", "PDB")
GUID = "3f58bc3d-eabe-3361-b5fb-52a676298598"


def shown(path: Path, platform: int, name: str, codeview: bytes, command: str) -> str:
    builder = MinidumpBuilder().system(platform=platform)
    builder.thread(1, amd64_context(rip=0x400010))
    builder.module(0x400000, 0x10000, name, codeview=codeview, version=(3, 1, 4, 1))
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    return "\n".join(item.text() for item in interpreter.run(command))


@pytest.mark.parametrize("command", ["lmva 400000", "!lmi 400000"])
def test_elf(tmp_path: Path, command: str) -> None:
    text = shown(tmp_path / "a", 0x8201, "libc.so.6", b"LEpB" + bytes(range(20)), command)
    assert "Build ID:" in text
    assert "000102030405060708090a0b0c0d0e0f10111213" in text
    assert not [word for word in PE_WORDS if word in text]


@pytest.mark.parametrize("command", ["lmva 400000", "!lmi 400000"])
def test_elf_with_the_record_of_old_writers(tmp_path: Path, command: str) -> None:
    text = shown(tmp_path / "a", 0x8201, "linux-gate.so", rsds(GUID, 0, "linux-gate.so"), command)
    assert "3F58BC3DEABE3361B5FB52A6762985980" in text
    assert "Build ID" not in text
    assert not [word for word in PE_WORDS if word in text]


@pytest.mark.parametrize("command", ["lmva 400000", "!lmi 400000"])
def test_macho(tmp_path: Path, command: str) -> None:
    text = shown(tmp_path / "a", 0x8101, "dyld_sim", rsds(GUID, 0, "dyld_sim"), command)
    assert "3F58BC3D-EABE-3361-B5FB-52A676298598" in text
    assert not [word for word in PE_WORDS if word in text]


def test_headers_of_macho_are_refused_by_name(tmp_path: Path) -> None:
    text = shown(tmp_path / "a", 0x8101, "dyld_sim", rsds(GUID, 0, "dyld_sim"), "!dh 400000")
    assert "dyld_sim is a Mach-O image" in text


def test_pe_keeps_its_words(tmp_path: Path) -> None:
    text = shown(tmp_path / "a", 2, r"C:\a\x.dll", rsds(GUID, 1, "x.pdb"), "lmva 400000")
    assert "CheckSum:" in text
    assert "UUID" not in text
