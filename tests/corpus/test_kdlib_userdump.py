"""The legacy full user dump of kdlib, straight from its .xz: MANIFEST.md's facts and the stack that
kdlib's own tests assert against Microsoft's engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.base.identifiers import DebugId
from polydbg.engine.session import Session
from polydbg.library.handle import Handle
from polydbg.library.variables import Locals
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="module")
def session(data_dir: Path) -> Iterator[Session]:
    opened = Session()
    symbols = data_dir / "symbols" / "kdlib" / "stacktest_x64_release"
    opened.settings.symbol_path = SymbolPath.parse(str(symbols))
    dump = data_dir / "minidump" / "kdlib" / "stacktest_x64_release.userdump.xz"
    opened.open_dump(str(dump))
    yield opened
    opened.close()


def test_facts_of_the_manifest(session: Session) -> None:
    target = session.current.target
    assert target.kind_line == "User Dump File: Only application data is available"
    assert target.member == "stacktest_x64_release.userdump"
    assert len(target.memory.buffer) == 8383603  # type: ignore[attr-defined]
    assert (len(target.threads()), len(target.modules()), len(target.regions())) == (3, 7, 0x38)
    system = target.system()
    assert (target.arch, system.major, system.build) == ("amd64", 10, 17134)
    first = target.modules()[0]
    assert first.debug_id == DebugId("DC1EB176CD52469895EBBB75895BEC2B", 2)
    assert not target.warnings()


def test_what_the_page_shared_by_windows_says(session: Session) -> None:
    """NtBuildNumber of the page agrees with the header; the times fit the link time."""
    target = session.current.target
    system = target.system()
    assert int.from_bytes(target.memory.read(0x7FFE0260, 4), "little") == system.build
    assert (system.product_type, system.processor_count) == (1, 4)
    linked = target.modules()[0].timestamp
    assert system.dump_time_unix is not None
    assert linked < system.dump_time_unix < linked + 3600
    assert system.time_zone_bias_minutes == -180


def test_the_event(session: Session) -> None:
    target = session.current.target
    event = target.event()
    assert event is not None
    assert event.is_stored
    assert event.exception.code == 0x80000003
    registers = target.exception_registers()
    assert registers is not None
    assert registers["rip"] == event.exception.address == 0x7FF7E1451E65
    assert target.memory.read(registers["rip"], 1) == b"\xcc"


def test_the_stack_that_dbgeng_sees(session: Session) -> None:
    system = session.current
    frames = list(session.stack(system, system.scope_registers(), 32))
    shown = [(f.place.text.partition("!")[2].partition("+")[0], f.line) for f in frames[:4]]
    assert shown == [
        ("stackTestClass::stackMethod", 129),
        ("stackTestRun2", 144),
        ("stackTestRun1", 172),
        ("stackTestRun", 185),
    ]
    assert [f.is_inline for f in frames[:4]] == [True, True, False, True]
    assert frames[-1].place.text.startswith("ntdll!RtlUserThreadStart")


def test_every_thread_reaches_its_start(session: Session) -> None:
    system = session.current
    for thread in system.threads:
        frames = list(session.stack(system, system.thread_registers(thread), 64))
        assert frames[-1].place.text == "ntdll!RtlUserThreadStart+0x21"


def test_variables_of_the_optimised_frame(session: Session) -> None:
    """localFloat 0.8f and localChars as in the debug build; the references came in registers that
    hold other things by now, and the statics were dropped from the program."""
    system = session.current
    row = list(session.stack(system, system.scope_registers(), 3))[2]
    found = Locals(Handle(session, system), row, system.thread)
    assert found["localFloat"].value == 0.800000011920929
    assert (found["localDouble"].value, found["localChars"].string()) == (0.0, "Bye")
    lost = {name for name, each in found.items() if not each.is_available}
    assert lost == {"a", "b", "c", "staticLong", "staticFloat"}
