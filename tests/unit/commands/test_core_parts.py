"""``.dumpdebug`` and ``.dumpchk`` of cores made by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.core_parts import CoreHeader, CoreNote, CoreSegment, CoreThreadNotes
from polydbg.commands.dump_check import DumpDamage
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Item
from polydbg.engine.session import Session
from polydbg.testing.core_builder import ElfCoreBuilder, MachCoreBuilder

Run = Callable[[bytes, str], list[Item]]


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Run]:
    sessions: list[Session] = []

    def run(data: bytes, line: str) -> list[Item]:
        path = tmp_path / f"{len(sessions)}.core"
        path.write_bytes(data)
        sessions.append(Session())
        sessions[-1].open_dump(str(path))
        interpreter = Interpreter(sessions[-1], CancelToken(), lambda text, done, total: None)
        return [item for item in interpreter.run(line) if not isinstance(item, CommandEnd)]

    yield run
    for session in sessions:
        session.close()


def core() -> bytes:
    builder = ElfCoreBuilder().thread(7, 11, *[0] * 27).signal_info(11, 1, 0, 0)
    builder.note("LINUX", 0x202, bytes(0x240)).note("MINE", 0x77, b"abc")
    return builder.memory(0x1000, bytes(0x40), 0x1000, 5).memory(0x5000, bytes(0x100)).build()


def test_parts_of_an_elf_core(on: Run) -> None:
    items = on(core(), ".dumpdebug")
    (head,) = [item for item in items if isinstance(item, CoreHeader)]
    assert (head.machine, head.system, head.parts) == ("amd64", "linux", 3)
    segments = [item for item in items if isinstance(item, CoreSegment)]
    assert [(each.segment_type, each.address, each.stored, each.size) for each in segments[1:]] == [
        ("LOAD", 0x1000, 0x40, 0x1000),
        ("LOAD", 0x5000, 0x100, 0x100),
    ]
    notes = [item for item in items if isinstance(item, CoreNote)]
    assert [(note.owner, note.name, note.size) for note in notes] == [
        ("CORE", "NT_PRSTATUS", 0x150),
        ("CORE", "NT_SIGINFO", 128),
        ("LINUX", "NT_X86_XSTATE", 0x240),
        ("MINE", "", 3),
    ]
    assert core()[notes[3].offset :].startswith(b"abc")
    (thread,) = [item for item in items if isinstance(item, CoreThreadNotes)]
    assert thread.text() == "     0  ID 7, signal 11, siginfo: registers general, xstate"


def test_what_is_cut_off(on: Run) -> None:
    items = on(core()[:-0x80], ".dumpchk")
    last = [item for item in items if isinstance(item, CoreSegment)][-1]
    assert (last.stored, last.present) == (0x100, 0x80)
    assert last.text().endswith("only 80 bytes are in the file")
    (damage,) = [item for item in items if isinstance(item, DumpDamage)]
    assert damage.identifier == "dump.truncated"


def test_parts_of_a_macho_core(on: Run) -> None:
    builder = MachCoreBuilder()
    builder.threads.append([(4, struct.pack("<21Q", *range(21)))])
    builder.segments.append((0x4000, bytes(0x100)))
    builder.notes.append(("owner\x1b", b"data"))
    items = on(builder.build(), ".dumpdebug")
    texts = [item.text() for item in items]
    assert texts[0].startswith("----- Mach-O Core Analysis")
    assert any("LC_THREAD" in text for text in texts)
    (segment,) = [item for item in items if isinstance(item, CoreSegment)]
    assert (segment.address, segment.stored, segment.present) == (0x4000, 0x100, 0x100)
    (note,) = [text for text in texts if "LC_NOTE" in text]
    assert "\x1b" not in note
