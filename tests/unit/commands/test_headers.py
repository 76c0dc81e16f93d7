"""``!lmi``, ``!dh``, ``.imgscan``, ``!error``: of the practice program and of images built here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.base.cancel import CancelToken
from polydbg.commands.headers import ErrorCode, FoundImage, HeaderBlock, ModuleHeaders
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure
from polydbg.engine.session import Session
from polydbg.formats.pdb.compiler import compiler_of
from polydbg.testing.minidump_builder import MinidumpBuilder
from polydbg.testing.pe_builder import DATA_RVA, TEXT_RVA, PeBuilder, rsds, u16, u32

BASE = 0x1_4000_0000
STAMP = 0x5F000000
GUID = bytes(range(16))


def _loaded(builder: PeBuilder) -> bytes:
    """The image as it lies in memory: headers and both sections at their RVAs."""
    file = builder.build()
    text_size = int.from_bytes(file[0x80 + 24 + 240 + 16 :][:4], "little")
    memory = bytearray(DATA_RVA + len(file) - 0x400 - text_size)
    memory[:0x400] = file[:0x400]
    memory[TEXT_RVA : TEXT_RVA + text_size] = file[0x400 : 0x400 + text_size]
    memory[DATA_RVA:] = file[0x400 + text_size :]
    return bytes(memory.ljust(-(-len(memory) // 0x1000) * 0x1000, b"\0"))


def _image(*, reproducible: bool) -> PeBuilder:
    builder = PeBuilder(timestamp=STAMP, characteristics=0x2022)
    builder.exports("made.dll", [("run", TEXT_RVA)])
    entries = [(2, rsds(GUID, 3, "C:\\made.pdb"))]
    builder.debug(*entries, *([(16, b"\x20\0\0\0" + bytes(32))] if reproducible else []))
    return builder


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[[bool], Run]]:
    """Opens a dump with one image in memory; gives what prints a line of commands."""
    sessions: list[Session] = []

    def build(reproducible: bool) -> Run:
        image = _loaded(_image(reproducible=reproducible))
        builder = MinidumpBuilder().thread(7)
        builder.module(BASE, len(image), "C:\\app\\made.dll", timestamp=STAMP, checksum=0x1234)
        builder.module(0x7FF0_0000, 0x1000, "C:\\app\\none.dll", timestamp=STAMP)
        builder.memory64(BASE, image)
        builder.memory64(0x2000_0000, image).memory64(0x3000_0000, b"MZ".ljust(0x1000, b"\0"))
        path = tmp_path / "made.dmp"
        path.write_bytes(builder.build())
        session = Session()
        sessions.append(session)
        session.open_dump(str(path))
        interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
        return lambda line: "\n".join(
            i.text() for i in interpreter.run(line) if not isinstance(i, CommandEnd)
        ).split("\n")

    yield build
    for session in sessions:
        session.close()


def test_lmi_of_the_practice_program(run: Run, items: Items) -> None:
    lines = run("x practice!main; !lmi practice")[1:]
    assert lines[:5] == [
        "Loaded Module Info: [practice] ",
        "         Module: practice",
        "   Base Address: 0000000140000000",
        "     Image Name: practice.exe",
        "   Machine Type: 34404 (X64)",
    ]
    assert "Characteristics: 22  " in lines
    assert "Debug Data Dirs: Type  Size     VA  Pointer" in lines
    (row,) = [line for line in lines if "CODEVIEW" in line]
    assert row.startswith("             CODEVIEW    25, ")
    assert "RSDS - GUID: {" in row
    assert "               Age: 1, Pdb: practice.pdb" in lines
    assert "     Image Type: FILE     - Image read successfully from debugger." in lines
    assert "    Symbol Type: PDB      - Symbols loaded successfully from image path." in lines
    assert "       Compiler: C - front end [19.1 bld 7] - back end [19017.0 bld 0]" in lines
    assert "    Load Report: private symbols & lines, not source indexed " in lines
    (found,) = items("!lmi 140001000")
    assert isinstance(found, ModuleHeaders)
    assert found.base == BASE


def test_lmi_of_an_image_in_memory(made: Callable[[bool], Run]) -> None:
    lines = made(False)("!lmi made")
    assert "     Time Stamp: 5f000000 Sat Jul  4 04:05:20 2020" in lines
    assert "               Age: 3, Pdb: C:\\made.pdb" in lines
    assert "     Image Type: MEMORY   - Image read successfully from loaded memory." in lines
    assert "    Symbol Type: DEFERRED - No error - symbol load deferred" in lines
    assert lines[-1] == "    Load Report: no symbols loaded"


def test_a_hash_is_never_shown_as_a_date(made: Callable[[bool], Run]) -> None:
    run = made(True)
    lines = run("!lmi made")
    stamp = "5f000000 (This is a reproducible build file hash, not a timestamp)"
    assert f"     Time Stamp: {stamp}" in lines
    assert any(line.startswith("                REPRO    24,") for line in lines)
    assert "5F000000 time date stamp" in run("!dh -f made")
    assert not any("2020" in line for line in lines + run("!dh made"))


def test_lmi_of_a_module_without_headers(made: Callable[[bool], Run]) -> None:
    lines = made(False)("!lmi none")
    assert "     Image Type: NONE     - Image not found; its headers are not in the dump." in lines
    assert not any(line.lstrip().startswith(("Machine", "Debug Data")) for line in lines)


def test_lmi_of_no_module(items: Items) -> None:
    for line in ("!lmi", "!lmi 1", "!lmi nosuch"):
        assert isinstance(items(line)[-1], Failure)


def test_dh_headers_alone(run: Run) -> None:
    lines = run("!dh -f practice")
    assert lines[:10] == [
        "",
        "File Type: EXECUTABLE IMAGE",
        "FILE HEADER VALUES",
        "    8664 machine (X64)",
        lines[4],  # what the linker made: sections, stamp, symbols
        lines[5],
        lines[6],
        "       0 number of symbols",
        "      F0 size of optional header",
        "      22 characteristics",
    ]
    assert "   14.00 linker version" in lines
    assert "0000000140000000 image base" in lines
    assert "    8160  DLL characteristics" in lines
    assert "            High entropy VA supported" in lines
    assert any(line.endswith("[      1C] address [size] of Debug Directory") for line in lines)
    assert not any(line.startswith("SECTION") for line in lines)


def test_dh_sections_and_the_debug_directory(made: Callable[[bool], Run]) -> None:
    lines = made(False)("!dh -s made")
    assert lines[1:3] == ["SECTION HEADER #1", "   .text name"]
    assert "         Execute Read" in lines
    at = lines.index("Debug Directories(1)")
    assert lines[at + 1] == "\tType       Size     Address  Pointer"
    identity = "{03020100-0504-0706-0809-0a0b0c0d0e0f}, 3, C:\\made.pdb"
    assert lines[at + 2].endswith(f"\tFormat: RSDS, {identity}")


def test_dh_parts(items: Items) -> None:
    blocks = [i for i in items("!dh 140000000") if isinstance(i, HeaderBlock)]
    assert blocks[0].part == "headers"
    assert [b.name for b in blocks if b.part == "section"][:2] == [".text", ".rdata"]
    assert sum(b.part == "debug" for b in blocks) == 1


def test_dh_where_no_image_is(items: Items) -> None:
    for line in ("!dh", "!dh 5", "!dh -z practice", "!dh nosuch"):
        assert isinstance(items(line)[-1], Failure)


def test_imgscan_finds_what_no_list_has(made: Callable[[bool], Run]) -> None:
    run = made(False)
    assert run(".imgscan") == [
        "MZ at 00000000`20000000, prot 00000000, type 00000000 - size 5000",
        "  Name: made.dll",
        "MZ at 00000001`40000000, prot 00000000, type 00000000 - size 5000",
        "  Name: made.dll",
    ]
    assert run(".imgscan /v /r 30000000 L1000") == ["MZ at 00000000`30000000, but no PE header"]
    assert len(run(".imgscan /r 140000000 L1000")) == 2


def test_imgscan_of_a_dump_without_images(items: Items) -> None:
    assert not [i for i in items(".imgscan") if isinstance(i, FoundImage)]
    assert isinstance(items(".imgscan /l")[-1], Failure)


def test_error(run: Run, items: Items) -> None:
    shown = "Error code: (Win32) 0x2 (2) - The system cannot find the file specified."
    assert run("!error 2") == [shown]
    assert run("!error 0n2; .echo after") == [shown, "after"]
    assert run("!error c0000374")[0].startswith("Error code: (NTSTATUS) 0xc0000374 (3221226356) - ")
    assert run("!error 102 1")[0].startswith("Error code: (NTSTATUS) 0x102 (258) - ")
    assert run("!error 0n54321") == ["Error code: (Win32) 0xd431 (54321) - unknown"]
    (found,) = items("!error 80070005")
    assert isinstance(found, ErrorCode)
    assert (found.kind, found.name) == ("HRESULT", "ERROR_ACCESS_DENIED")
    assert isinstance(items("!error")[-1], Failure)


def _compile3(language: int) -> bytes:
    body = u32(language) + u16(0xD0, 19, 1, 7, 0, 19017, 0, 0, 0) + b"cc\0\0"
    return u16(len(body) + 2, 0x113C) + body


def test_compiler_records() -> None:
    name = u16(2 + 8, 0x1101) + bytes(8)
    found = compiler_of(u32(4) + name + _compile3(1))
    assert found is not None
    assert (found.language_name, found.is_tool) == ("C++", False)
    assert (found.front_end, found.back_end) == ((19, 1, 7), (19017, 0, 0))
    tool = compiler_of(u32(4) + _compile3(7))
    assert tool is not None
    assert tool.is_tool
    old = u32(0x15) + u16(0xD0, 1, 2, 3, 4, 5, 6)
    rust = compiler_of(u32(4) + u16(len(old) + 2, 0x1116) + old)
    assert rust is not None
    assert (rust.language_name, rust.back_end) == ("Rust", (4, 5, 6))


@pytest.mark.parametrize("cut", [0, 3, 4, 7, 12, 20])
def test_compiler_records_cut_short(cut: int) -> None:
    assert compiler_of((u32(4) + _compile3(1))[:cut]) is None


@pytest.mark.corpus
def test_dh_of_the_recorded_module(data_dir: Path, sample_dump: Callable[[str], Path]) -> None:
    """The engine's own ``!dh ntdll``, which reads the headers from the image file."""
    from polydbg.symbols.store.path import SymbolPath

    session = Session()
    folder = data_dir / "samples" / "win" / "wine"
    session.settings.image_path = SymbolPath.parse(str(folder))
    session.open_dump(str(sample_dump("nullwrite")))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    recorded = (data_dir / "windbg-transcripts" / "samples" / "nullwrite.mem.txt").read_text(
        "utf-8"
    )
    _, _, rest = recorded.partition("0:000> !dh ntdll\n")
    expected = rest.partition("\n0:000> ")[0].split("\n")
    output = "\n".join(
        i.text() for i in interpreter.run("!dh ntdll") if not isinstance(i, CommandEnd)
    )
    assert output.split("\n") == expected
    session.close()
