"""``!handle``, ``!runaway`` and ``!for_each_module``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.access_rights import access_names
from polydbg.commands.each_module import EachModule
from polydbg.commands.handles import HandleRow, HandleTotal
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.commands.runaway import ThreadTimeRow
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, u32, u64

Run = Callable[[MinidumpBuilder, str], list[Item]]
SECOND = 10_000_000
EPOCH = 116_444_736_000_000_000


def run_in(path: Path, line: str) -> list[Item]:
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    return [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]


@pytest.fixture
def on(tmp_path: Path) -> Run:
    def run(builder: MinidumpBuilder, line: str) -> list[Item]:
        path = tmp_path / "x.dmp"
        path.write_bytes(builder.build())
        return run_in(path, line)

    return run


def object_information(builder: MinidumpBuilder, kind: int, data: bytes) -> int:
    return builder.blob(u32(0, kind, len(data)) + data)


def handles(arch: str = "amd64") -> MinidumpBuilder:
    builder = MinidumpBuilder(arch=arch).thread(1)
    event = object_information(builder, 6, u32(1, 1))
    mutant = object_information(builder, 2, u32(0) + bytes([1, 1, 0, 0]))
    semaphore = object_information(builder, 8, u32(2, 9))
    section = object_information(builder, 7, u64(0) + u32(0x8000000, 0) + u64(0x1000))
    thread = object_information(builder, 1, u64(0x103, 0x7000, 0x4298, 0x4068, 0xF) + u32(15, 0))
    builder.handle(4, "Event", r"\BaseNamedObjects\x", info=event)
    builder.handle(8, "Mutant", info=mutant).handle(0xC, "Semaphore", info=semaphore)
    builder.handle(0x10, "Section", info=section).handle(0x14, "Thread", info=thread)
    return builder.handle(0x18, "").handle(0x1C, "Event", "bad\x1b[2J", info=0xFFFFFF00)


def test_all_handles_and_their_types(on: Run) -> None:
    items = on(handles(), "!handle")
    rows = [i for i in items if isinstance(i, HandleRow)]
    assert [r.text() for r in rows[:2]] == [
        "Handle 0000000000000004\n  Type         \tEvent",
        "Handle 0000000000000008\n  Type         \tMutant",
    ]
    totals = {i.type_name: i.count for i in items if isinstance(i, HandleTotal)}
    assert totals == {
        "Event": 2,
        "Mutant": 1,
        "Semaphore": 1,
        "Section": 1,
        "Thread": 1,
        "None": 1,
    }
    assert "7 Handles\nType           \tCount" in [i.text() for i in items]


def test_one_handle_with_all_that_is_known(on: Run) -> None:
    (row,) = on(handles(), "!handle 4 f")
    assert row.text().split("\n") == [
        "Handle 0000000000000004",
        "  Type         \tEvent",
        "  Attributes   \t0",
        "  GrantedAccess\t0x1f0003:",
        "         Delete,ReadControl,WriteDac,WriteOwner,Synch",
        "         QueryState,ModifyState",
        "  HandleCount  \t2",
        "  PointerCount \t32769",
        "  Name         \t\\BaseNamedObjects\\x",
        "  Object specific information",
        "    Event Type Auto Reset",
        "    Event is Set",
    ]


@pytest.mark.parametrize(
    ("handle", "lines"),
    [
        ("8", ["Mutex is Owned", "Mutex is abandoned"]),
        ("c", ["Semaphore Count 2", "Semaphore Limit 9"]),
        ("10", ["Section attributes 0x8000000", "Section max size 0x1000"]),
        ("14", ["Thread Id   4298.4068", "Priority    15"]),
        ("18", ["No object specific information available"]),
        ("1c", ["No object specific information available"]),
    ],
)
def test_objects(on: Run, handle: str, lines: list[str]) -> None:
    (row,) = on(handles(), f"!handle {handle} 8")
    assert [each for each in lines if each not in row.text()] == []


def test_type_filter_flags_and_width(on: Run) -> None:
    items = on(handles("x86"), "!handle 0 4 event")
    assert items[0].text().startswith("Handle 00000004\n  Name         \t")
    assert "\x1b" not in items[1].text()
    assert items[-1].text() == "2 handles of type event"
    assert not [i for i in on(handles(), "!handle 0 0") if isinstance(i, HandleRow)]


def test_without_handles_or_of_an_unknown_one(on: Run) -> None:
    (failure,) = on(MinidumpBuilder().thread(1), "!handle")
    assert isinstance(failure, Failure)
    assert failure.message == "Unable to read handle information"
    (failure,) = on(handles(), "!handle 1234")
    assert isinstance(failure, Failure)


def test_rights_without_names_stay_numbers() -> None:
    standard, specific = access_names("File", 0x12019F)
    assert standard == ("ReadControl", "Synch")
    assert specific[:3] == ("Read/List", "Write/Add", "Append/SubDir/CreatePipe")
    assert specific[3:] == ("ReadEA", "WriteEA", "ReadAttr", "WriteAttr")
    assert access_names("IRTimer", 0x100002) == (("Synch",), ("0x2",))
    assert access_names("Event", 0) == ((), ())


@pytest.mark.corpus
def test_handles_of_a_real_dump(data_dir: Path) -> None:
    path = data_dir / "minidump/kdlib/targetapp_minidump.dmp"
    items = run_in(path, "!handle 0 f")
    rows = {i.handle: i for i in items if isinstance(i, HandleRow)}
    assert len(rows) == 43
    assert rows[0x38].name == "\\KnownDlls"
    assert rows[0x38].standard_access == ()
    assert rows[0x38].specific_access == ("Query", "Traverse")
    assert rows[0x4].information == {"event_type": 0, "event_state": 1}
    assert rows[0x2B8].information["thread_id"] == 0x4068


def test_times_of_threads_descend(on: Run) -> None:
    created = EPOCH + 0x65000000 * SECOND - 5 * SECOND
    builder = MinidumpBuilder().thread(0x10).thread(0x2B40).thread(0x30)
    builder.thread_info(0x10, times=(created, 0, 20_000, 930_000))
    builder.thread_info(0x2B40, times=(created - SECOND, 0, 50_000, 86_400 * SECOND))
    builder.thread_info(0x30, times=(created, created + SECOND, 0, 0))
    text = "\n".join(i.text() for i in on(builder, "!runaway 7")).split("\n")
    assert text == [
        " User Mode Time",
        "  Thread       Time",
        "    1:2b40      1 days 0:00:00.000",
        "    0:10        0 days 0:00:00.093",
        "    2:30        0 days 0:00:00.000",
        " Kernel Mode Time",
        "  Thread       Time",
        "    1:2b40      0 days 0:00:00.005",
        "    0:10        0 days 0:00:00.002",
        "    2:30        0 days 0:00:00.000",
        " Elapsed Time",
        "  Thread       Time",
        "    1:2b40      0 days 0:00:06.000",
        "    0:10        0 days 0:00:05.000",
        "    2:30        0 days 0:00:01.000",
    ]
    rows = [i for i in on(builder, "!runaway") if isinstance(i, ThreadTimeRow)]
    assert {r.kind for r in rows} == {"user"}


def test_times_that_are_not_there(on: Run) -> None:
    (failure,) = on(MinidumpBuilder().thread(1), "!runaway")
    assert isinstance(failure, Failure)
    assert failure.identifier == "target.no-thread-times"
    (failure,) = on(MinidumpBuilder().thread(1), "!runaway 8")
    assert isinstance(failure, Failure)


def modules() -> MinidumpBuilder:
    builder = MinidumpBuilder().thread(1)
    builder.module(0x400000, 0x2000, r"C:\app\app.exe", version=(1, 2, 3, 4), timestamp=0x5A)
    return builder.module(0x500000, 0x1000, 'C:\\evil;q".dll')


def test_each_module(on: Run) -> None:
    line = '!for_each_module ".echo @#ModuleName @#Base @#End @#Size ${@#FileVersion}! @#Nothing"'
    assert [i.text() for i in on(modules(), line)] == [
        "app 0x400000 0x402000 0x2000 1.2.3.4! @#Nothing",
        "evil_q_ 0x500000 0x501000 0x1000 ! @#Nothing",
    ]
    line = "!for_each_module .echo @#ModuleIndex @#TimeDateStamp @#ImageNameSize; .echo end"
    assert [i.text() for i in on(modules(), line)] == ["0x0 0x5a 0xf", "0x1 0x0 0xf", "end"]


def test_names_of_modules_begin_no_command(on: Run) -> None:
    texts = [i.text() for i in on(modules(), "!for_each_module .echo @#ImageName")]
    assert texts == [r"C:\app\app.exe", r"C:\evil_q_.dll"]


def test_list_of_modules(on: Run) -> None:
    items = on(modules(), "!for_each_module")
    assert all(isinstance(i, EachModule) for i in items)
    assert items[0].text() == (
        "00: 00000000`00400000 00000000`00402000 app                  C:\\app\\app.exe"
    )
