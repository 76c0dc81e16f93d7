"""Exception and context records of 32-bit targets: their own layouts and widths."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, x86_context

RECORD, CONTEXT, POINTERS = 0x20000, 0x20100, 0x20080


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], list[str]]:
    builder = MinidumpBuilder("x86")
    builder.thread(4, x86_context(eip=0x401000, esp=0x20000), teb=0x7EFDD000)
    builder.module(0x400000, 0x10000, "C:\\a\\x.exe")
    builder.exception(
        4, code=0xC0000005, address=0x401000, parameters=(1, 0x41414141), context=x86_context()
    )
    record = struct.pack("<5I2I", 0xC0000005, 0, 0, 0x401002, 2, 0, 0xDEAD).ljust(0x80, b"\1")
    pointers = struct.pack("<2I", RECORD, CONTEXT).ljust(0x80, b"\2")
    builder.memory(RECORD, record + pointers + x86_context(eip=0x402000, esp=0x20010))
    path = tmp_path / "a.dmp"
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)

    list(interpreter.run("ln x"))  # what is said once about missing files is said now
    return lambda line: [text for i in interpreter.run(line) for text in i.text().splitlines()]


def test_the_address_of_an_access_has_eight_digits(run: Callable[[str], list[str]]) -> None:
    assert run(".exr -1")[-1] == "Attempt to write to address 41414141"


def test_records_in_memory_have_pointers_of_four_bytes(run: Callable[[str], list[str]]) -> None:
    record = run(f".exr {RECORD:x}")
    assert record == [
        "ExceptionAddress: 00401002 (x+0x00001002)",
        "   ExceptionCode: c0000005 (Access violation)",
        "  ExceptionFlags: 00000000",
        "NumberParameters: 2",
        "   Parameter[0]: 00000000",
        "   Parameter[1]: 0000dead",
        "Attempt to read from address 0000dead",
    ]
    both = run(f".exptr {POINTERS:x}")
    assert both[0] == "----- Exception record at 00020000:"
    assert both[1:8] == record
    assert both[8] == "----- Context record at 00020100:"
    assert "eip=00402000 esp=00020010" in both[10]


def test_the_block_of_a_thread_has_eight_digits(run: Callable[[str], list[str]]) -> None:
    assert run(".thread") == ["Implicit thread is now 7efdd000"]


def test_debug_registers_have_eight_digits(run: Callable[[str], list[str]]) -> None:
    assert "dr0=00000000 dr1=00000000 dr2=00000000" in run("rM 20")


def test_images_are_not_missed_for_unwinding(run: Callable[[str], list[str]]) -> None:
    """Only x64 has its unwind data in the images."""
    assert not [line for line in run("k") if "unwind data" in line]
