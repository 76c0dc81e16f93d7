"""``.effmach`` and what follows it in a 64-bit dump of a 32-bit process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, u64, x86_context

TEB, SAVED, CODE = 0x7000, 0x20000, 0x401000


@pytest.fixture
def wow64_session(tmp_path: Path) -> Iterator[Session]:
    """Thread 0 in 64-bit code, thread 1 stopped by an exception in 32-bit code, thread 2 without
    a thread block."""
    builder = (
        MinidumpBuilder().system().module(0x70000000, 0x1000, r"C:\Windows\System32\wow64.dll")
    )
    builder.thread(1, amd64_context(rip=0x7FF812345678, rsp=0x5000, cs=0x33), teb=TEB)
    builder.thread(2, amd64_context(rip=CODE, rsp=0x6000, rax=5, cs=0x23))
    builder.thread(3, amd64_context(rip=0x7FF812345678, rsp=0x7000, cs=0x33))
    builder.memory(TEB + 0x1488, u64(SAVED))
    builder.memory(SAVED, b"\0\0\x4c\x01" + x86_context(eip=0x402000, esp=0x3000, eax=0x1234))
    builder.memory(CODE, b"\xcc\x40\x40\x40")
    builder.exception(2, 0x4000001F, address=CODE, context=amd64_context(rip=CODE, cs=0x23))
    path = tmp_path / "wow64.dmp"
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    yield session
    session.close()


@pytest.fixture
def wow64(wow64_session: Session) -> Callable[[str], list[str]]:
    interpreter = Interpreter(wow64_session, CancelToken(), lambda text, done, total: None)

    def run(line: str) -> list[str]:
        items = [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]
        return "\n".join(i.text() for i in items).split("\n")

    return run


def test_a_dump_opens_on_the_machine_whose_code_ran(
    wow64_session: Session, wow64: Callable[[str], list[str]]
) -> None:
    assert wow64_session.prompt == "0:001:x86> "
    assert wow64(".effmach") == ["Effective machine: x86 compatible (x86)"]
    assert wow64("r eip") == ["eip=00401000"]
    assert wow64("? @$ptrsize") == ["Evaluate expression: 4 = 00000004"]


def test_the_other_machine_has_the_other_registers_widths_and_code(
    wow64_session: Session, wow64: Callable[[str], list[str]]
) -> None:
    assert wow64(".effmach amd64; r rip") == [
        "Effective machine: x64 (AMD64)",
        "rip=0000000000401000",
    ]
    assert wow64_session.prompt == "0:001> "
    assert wow64("~0s; r rip")[-1] == "rip=00007ff812345678"
    assert wow64(".effmach x86; r eip, eax, ax, ah, al") == [
        "Effective machine: x86 compatible (x86)",
        "eip=00402000 eax=00001234 ax=1234 ah=12 al=34",
    ]
    assert wow64_session.prompt == "0:000:x86> "
    assert wow64(f"u {CODE:x} L2") == [
        "00401000 cc              int     3",
        "00401001 40              inc     eax",
    ]
    assert wow64(".effmach .") == ["Effective machine: x64 (AMD64)"]
    assert wow64(".effmach #") == ["Effective machine: x86 compatible (x86)"]


def test_addresses_that_32_bits_do_not_hold_are_shown_whole(
    wow64: Callable[[str], list[str]],
) -> None:
    assert wow64("? 0xffffffff80001234") == ["Evaluate expression: -2147478988 = 80001234"]
    assert wow64("db 7ff8`12345678 L1")[0].startswith("00007ff8`12345678  ?? ")


def test_the_stored_exception_brings_its_machine(
    wow64_session: Session, wow64: Callable[[str], list[str]]
) -> None:
    shown = wow64(".effmach amd64; .ecxr")
    assert shown[1].startswith("eax=")
    assert wow64_session.prompt == "0:001:x86> "


def test_the_analysis_is_of_the_code_that_ran(
    wow64_session: Session, wow64: Callable[[str], list[str]]
) -> None:
    shown = wow64(".effmach amd64; ~0s; !analyze -v")
    assert any(line.startswith("eip=00401000") for line in shown)
    assert wow64_session.prompt == "0:000> "
    assert wow64("r rip") == ["rip=00007ff812345678"]


def test_machines_that_no_thread_has_are_refused(wow64: Callable[[str], list[str]]) -> None:
    assert wow64(".effmach z80")[0] == "Unknown machine 'z80'"
    assert wow64(".effmach arm64")[0] == "this dump's threads have no arm64 registers"


def test_switching_between_the_two_sides_with_sw(
    wow64_session: Session, wow64: Callable[[str], list[str]]
) -> None:
    assert wow64("!wow64exts.sw") == ["Switched to Host mode"]
    assert wow64_session.prompt == "0:001> "
    assert wow64("!sw") == ["Switched to Guest (WoW) mode"]


def test_a_thread_without_a_block_has_no_x86_stack(wow64: Callable[[str], list[str]]) -> None:
    shown = wow64("~2s; k")
    assert shown[-2:] == [
        "the x86 registers of this thread are not in the dump",
        "    .effmach amd64; k    shows its other stack",
    ]
