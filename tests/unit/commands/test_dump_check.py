"""``.dumpdebug``, ``.dumpchk`` and ``polydbg check``: streams as the engine lists them, damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.cli.main import main
from polydbg.commands.dump_check import DumpDamage, DumpSummary
from polydbg.commands.dump_streams import DumpRange, DumpStream
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, u32, u64, x86_context

Run = Callable[[bytes, str], list[Item]]


@pytest.fixture
def on(tmp_path: Path) -> Run:
    def run(data: bytes, line: str) -> list[Item]:
        path = tmp_path / "x.dmp"
        path.write_bytes(data)
        return run_in(path, line)

    return run


def run_in(path: Path, line: str) -> list[Item]:
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    return [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]


def lines_of(items: list[Item]) -> list[str]:
    return "\n".join(i.text() for i in items).split("\n")


def crash(arch: str = "amd64") -> MinidumpBuilder:
    context = amd64_context(rip=0x401010, rsp=0x200010)
    if arch == "x86":
        context = x86_context(eip=0x401010, esp=0x200010)
    builder = MinidumpBuilder(arch=arch, flags=0x1804).misc(process_id=0x1A2C)
    builder.thread(0x2B40, context, teb=0x7EFDD000, stack=(0x200000, bytes(64)))
    builder.thread_info(0x2B40).thread_name(0x2B40, "main").unloaded(0x600000, 0x1000, "gone.dll")
    builder.module(0x400000, 0x2000, "C:\\app\\\x1bapp.exe").memory(0x300000, b"MZ")
    builder.memory(0x301000, bytes(0x20)).memory64(0x500000, bytes(8)).memory64(0x600000, bytes(4))
    builder.exception(0x2B40, 0xC0000005, 0x401010, (0, 0), context=context)
    builder.handle(4, "Event", "x").comment("hello").region(0x1000, 0x1000)
    return builder.stream(0x47670001, u32(3, 1, 1)).stream(0xFFF0, b"abcd").stream(0, b"")


def test_header_and_streams(on: Run) -> None:
    lines = lines_of(on(crash().build(), ".dumpdebug"))
    assert lines[:9] == [
        "----- User Mini Dump Analysis",
        "",
        "MINIDUMP_HEADER:",
        "Version         A793 (A0D7)",
        "NumberOfStreams 16",
        "Flags           1804",
        "                0004 MiniDumpWithHandleData",
        "                0800 MiniDumpWithFullMemoryInfo",
        "                1000 MiniDumpWithThreadInfo",
    ]
    assert "  1 threads" in lines
    assert any(line.endswith(", ID 2B40, Teb:000000007EFDD000") for line in lines)
    assert any(
        line.endswith(", 00000000`00400000 - 00000000`00402000: 'C:\\app\\\\x1bapp.exe', 0")
        for line in lines
    )
    assert any(line.endswith(": 'gone.dll'") for line in lines)
    assert "  range#    RVA      Address             Size" in lines
    assert "  Total memory: 22" in lines
    assert "  Total memory: c" in lines
    assert '    Handle(0000000000000004,"Event","x")' in lines
    assert "  'hello'" in lines
    at = next(n for n, line in enumerate(lines) if "ExceptionStream (6)" in line)
    assert lines[at + 1 : at + 5] == [
        "  ThreadID 11072",
        "  ExceptionCode C0000005",
        "  ExceptionRecord 0",
        "  ExceptionAddress 401010",
    ]
    assert "Dir entry 4, ??? stream has unknown stream type 65520" in lines
    assert any("type UnusedStream (0), size 00000000, RVA" in line for line in lines)
    assert "                0000 MiniDumpNormal" in lines_of(
        on(MinidumpBuilder().thread(1).build(), ".dumpdebug")
    )


def test_ranges_follow_each_other(on: Run) -> None:
    items = on(crash().build(), ".dumpdebug")
    stream = next(i.index for i in items if isinstance(i, DumpStream) and i.stream_type == 9)
    first, second = (i for i in items if isinstance(i, DumpRange) and i.stream == stream)
    assert (second.address, second.size, second.rva) == (0x600000, 4, first.rva + 8)


def test_narrow_addresses(on: Run) -> None:
    lines = lines_of(on(crash("x86").build(), ".dumpdebug"))
    assert "  range#    RVA      Address      Size" in lines
    assert any(line.endswith("    00300000   00000002") for line in lines)
    assert "  ProcessorArchitecture   0000 (PROCESSOR_ARCHITECTURE_INTEL)" in lines
    assert any(", 00400000 - 00402000: " in line for line in lines)


def test_clean_dump_passes(on: Run) -> None:
    items = on(crash().build(), ".dumpchk")
    assert lines_of(items)[-1] == "Finished dump check"
    summary = next(i for i in items if isinstance(i, DumpSummary))
    assert (summary.threads, summary.modules, summary.memory_ranges) == (1, 1, 5)
    assert [i.identifier for i in items if isinstance(i, DumpDamage)] == ["dump.unknown-stream"]
    assert not [i for i in items if isinstance(i, Failure)]


def test_damage_is_named_and_fails(on: Run) -> None:
    data = crash().stream(21, u64(1, 2)).build()
    items = on(data, ".dumpchk")
    damage = [i for i in items if isinstance(i, DumpDamage) and i.is_damage]
    assert "SystemMemoryInfoStream" in damage[0].message
    assert isinstance(items[-1], Failure)
    assert items[-1].identifier == "dump.damaged"
    assert "Finished dump check" in lines_of(items)


def test_streams_that_share_bytes(on: Run) -> None:
    data = bytearray(MinidumpBuilder().thread(1).comment("abc").build())
    at = int.from_bytes(data[12:16], "little")
    data[at + 12 + 8 : at + 12 + 12] = data[at + 8 : at + 12]  # the second stream lies on the first
    items = on(bytes(data), ".dumpchk")
    assert "dump.overlap" in [i.identifier for i in items if isinstance(i, DumpDamage)]


def test_second_stream_of_a_type_is_only_listed(on: Run) -> None:
    items = on(MinidumpBuilder().comment("one").comment("two").build(), ".dumpdebug")
    lines = lines_of(items)
    assert "  'one'" in lines
    assert "  'two'" not in lines


@pytest.mark.parametrize("as_json", [False, True])
def test_check_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    options = ["check", *(["--json"] if as_json else [])]
    data = crash().build()
    clean, cut, none = (tmp_path / name for name in ("clean.dmp", "cut.dmp", "none.dmp"))
    clean.write_bytes(data)
    # The header's directory comes last in built files: cut a stream instead of it.
    at = int.from_bytes(data[12:16], "little")
    cut.write_bytes(data[:at] + data[at : at + 4] + b"\xff\xff\xff\x0f" + data[at + 8 :])
    none.write_bytes(b"no dump")
    assert main([*options, str(clean)]) == 0
    out = capsys.readouterr().out
    assert "Finished dump check" in out
    if as_json:
        answer = json.loads(out)
        assert answer["ok"]
        kinds = {item["type"] for item in answer["items"]}
        assert {"dump_header", "dump_stream", "dump_thread", "dump_module", "dump_range"} <= kinds
    assert main([*options, str(cut)]) == 1
    assert "Finished dump check" in capsys.readouterr().out
    assert main([*options, str(none)]) == 2
    assert "Finished" not in capsys.readouterr().out
    assert main([*options, str(clean), str(none), str(cut)]) == 2
    out = capsys.readouterr().out
    assert out.count("Finished dump check") == 2
    assert main([*options, str(tmp_path / "c*.dmp")]) == 1
    assert capsys.readouterr().out.count("Finished dump check") == 2
    assert main(options) == 64


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("transcript", "dump"),
    [
        ("samples/nullwrite-full.any.txt", "nullwrite-full"),
        ("samples/nullwrite.any.txt", "nullwrite"),
        ("data/minidump__breakpad__tiny-exe-fastfail.dmp.txt", ""),
        ("data/minidump__kdlib__cv_allreg_amd64.dmp.txt", ""),
    ],
)
def test_words_of_the_engine(
    data_dir: Path, sample_dump: Callable[[str], Path], transcript: str, dump: str
) -> None:
    """The engine's own ``.dumpdebug``, line by line; streams it has no name for are elsewhere."""
    text = (data_dir / "windbg-transcripts" / transcript).read_text()
    body = text.split("> .dumpdebug\n", 1)[1]
    wanted = [line.rstrip() for line in body.split("\n0:", 1)[0].rstrip("\n").split("\n")]
    name = Path(transcript).name.removesuffix(".txt").replace("__", "/")
    path = sample_dump(dump) if dump else data_dir / name
    got = [line.rstrip() for line in lines_of(run_in(path, ".dumpdebug"))]
    assert got == wanted
