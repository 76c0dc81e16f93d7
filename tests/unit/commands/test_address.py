"""``!address`` and ``!vprot``: rows, details, filters, formats and totals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.address import AddressDetails, AddressRow, Protection
from polydbg.commands.address_summary import AddressTotal
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, Item, Notice
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, x86_context

Run = Callable[[MinidumpBuilder, str], list[Item]]


@pytest.fixture
def on(tmp_path: Path) -> Run:
    def run(builder: MinidumpBuilder, line: str) -> list[Item]:
        path = tmp_path / "x.dmp"
        path.write_bytes(builder.build())
        session = Session()
        session.open_dump(str(path))
        interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
        return [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]

    return run


def listed(arch: str = "amd64") -> MinidumpBuilder:
    context = amd64_context(rip=0x401010, rsp=0x200100)
    if arch == "x86":
        context = x86_context(eip=0x401010, esp=0x200100)
    builder = MinidumpBuilder(arch=arch).misc(process_id=0x1A2C)
    builder.thread(0x2B40, context, stack=(0x200000, bytes(0x1000)))
    builder.module(0x400000, 0x2000, "C:\\app\\app\x1b.exe").memory(0x300000, b"MZ\x90\0")
    builder.region(0, 0x200000, state=0x10000, protect=1, kind=0)
    builder.region(0x200000, 0x1000).region(0x201000, 0x1000, protect=0x104, allocation=0x200000)
    builder.region(0x300000, 0x1000, protect=0x40)
    builder.region(0x301000, 0x5000, state=0x2000, protect=0, allocation=0x300000)
    return builder.region(0x400000, 0x2000, protect=0x20, kind=0x1000000)


def test_map_on_64_bits(on: Run) -> None:
    lines = "\n".join(item.text() for item in on(listed(), "!address")).split("\n")
    assert lines[1].startswith("        BaseAddress      EndAddress+1        RegionSize     Type")
    assert lines[2] == "-" * 122
    assert lines[3] == (
        "+        0`00000000        0`00200000        0`00200000             MEM_FREE    "
        "PAGE_NOACCESS                      Free       "
    )
    assert lines[5].startswith(
        "         0`00201000        0`00202000        0`00001000 MEM_PRIVATE"
    )
    assert "PAGE_READWRITE | PAGE_GUARD        Stack      [~0; 1a2c.2b40]" in lines[5]
    assert lines[-1].endswith('Image      [app_; "C:\\app\\app\\x1b.exe"]')
    assert any(line.endswith("<unknown>  [MZ..]") for line in lines)


def test_map_on_32_bits(on: Run) -> None:
    lines = "\n".join(item.text() for item in on(listed("x86"), "!address")).split("\n")
    assert lines[1].startswith("  BaseAddr EndAddr+1 RgnSize     Type       State")
    assert lines[3].startswith("+        0   200000   200000             MEM_FREE    PAGE_NOACCESS")


def test_details(on: Run) -> None:
    (item,) = on(listed(), "!address @rsp")
    assert isinstance(item, AddressDetails)
    assert (item.usage, item.content_source, item.content_length) == ("Stack", "target", 0xF00)
    assert item.text().split("\n") == [
        "",
        "Usage:                  Stack",
        "Base Address:           00000000`00200000",
        "End Address:            00000000`00201000",
        "Region Size:            00000000`00001000 (   4.000 kB)",
        "State:                  00001000          MEM_COMMIT",
        "Protect:                00000004          PAGE_READWRITE",
        "Type:                   00020000          MEM_PRIVATE",
        "Allocation Base:        00000000`00200000",
        "Allocation Protect:     00000004          PAGE_READWRITE",
        "More info:              ~0k",
        "",
        "",
        "Content source: 1 (target), length: f00",
    ]


def test_filters_join_kinds(on: Run) -> None:
    rows = [i for i in on(listed(), "!address -f:Stack,PAGE_GUARD") if isinstance(i, AddressRow)]
    assert [row.base for row in rows] == [0x201000]
    rows = [
        i for i in on(listed(), "!address -f:mem_reserve,MEM_FREE") if isinstance(i, AddressRow)
    ]
    assert {row.state for row in rows} == {"MEM_RESERVE", "MEM_FREE"}
    assert rows[0].text().startswith("       0`00000000")


def test_filters_name_what_the_map_shows(on: Run) -> None:
    assert [i for i in on(listed(), "!address -f:stack32") if isinstance(i, AddressRow)] == []
    rows = [i for i in on(listed(), "!address -f:<unknown>") if isinstance(i, AddressRow)]
    assert {row.usage for row in rows} == {"<unknown>"}


def test_formats_and_command(on: Run) -> None:
    texts = [item.text() for item in on(listed(), "!address -f:Image -o:csv")]
    assert texts[0].startswith('"BaseAddress","EndAddress+1","RegionSize"')
    assert texts[1].startswith('"0x400000","0x402000","0x2000","MEM_IMAGE","MEM_COMMIT"')
    assert [i.text() for i in on(listed(), "!address -f:VAR -o:1")] == ["0x300000", "0x301000"]
    line = '!address -f:PAGE_EXECUTE_READWRITE -c:".echo %1 %2 %3 %4 %5 %6 %7"; .echo after'
    assert [i.text() for i in on(listed(), line)] == [
        "0x300000 0x301000 0x1000 MEM_PRIVATE MEM_COMMIT PAGE_EXECUTE_READWRITE <unknown>",
        "after",
    ]


def test_unknown_words_are_refused(on: Run) -> None:
    for line in ("!address -f:nosuch", "!address -o:xml", "!address -z"):
        (item,) = on(listed(), line)
        assert isinstance(item, Failure)
        assert item.hint


def test_summary(on: Run) -> None:
    items = on(listed(), "!address -summary")
    totals = {(i.table, i.name): i for i in items if isinstance(i, AddressTotal)}
    free = totals["usage", "Free"]
    assert free.busy_percent is None
    busy = sum(t.busy_percent or 0 for (table, _), t in totals.items() if table == "usage")
    assert busy == pytest.approx(100, abs=0.1)
    guard = totals["protect", "PAGE_READWRITE | PAGE_GUARD"]
    assert guard.text().startswith(
        "PAGE_READWRITE | PAGE_GUARD               1        0`00001000 (   4.000 kB)  10.00%"
    )


def test_partial_map_says_so(on: Run) -> None:
    builder = MinidumpBuilder().thread(1, stack=(0x200000, bytes(0x1000)))
    items = on(builder.module(0x400000, 0x2000, "app.exe"), "!address")
    assert isinstance(items[0], Notice)
    rows = {i.usage: i for i in items if isinstance(i, AddressRow)}
    assert rows["Image"].protect == rows["Image"].state == ""
    (failure,) = on(builder, "!vprot 10")
    assert isinstance(failure, Failure)
    (item,) = on(builder, "!vprot 400010")
    assert isinstance(item, Protection)
    assert "Protect:           <info not present at the target>" in item.text()


def test_protection(on: Run) -> None:
    (item,) = on(listed(), "!vprot")
    assert item.text().split("\n") == [
        "BaseAddress:       0000000000400000",
        "AllocationBase:    0000000000400000",
        "AllocationProtect: 00000020  PAGE_EXECUTE_READ",
        "RegionSize:        0000000000002000",
        "State:             00001000  MEM_COMMIT",
        "Protect:           00000020  PAGE_EXECUTE_READ",
        "Type:              01000000  MEM_IMAGE",
    ]


@pytest.mark.corpus
def test_linux_maps(data_dir: Path) -> None:
    session = Session()
    session.open_dump(str(data_dir / "minidump/breakpad/linux_null_read_av.dmp"))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    rows = {i.base: i for i in interpreter.run("!address") if isinstance(i, AddressRow)}
    assert rows[0x1438000].usage == "Heap"
    assert rows[0x7FFF1CDB2000].usage == "Stack"
    assert rows[0x614000].comment == "[/home/mattdr/crashing-programs/null_read_av]"
    assert rows[0xFFFFFFFFFF600000].comment == "[vsyscall]"
