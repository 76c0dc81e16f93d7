"""Verdicts on cores made by hand: what the signal's record says, and who sent it."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.engine.analysis.analyze import analyze
from polydbg.engine.analysis.model import Analysis, Confidence
from polydbg.engine.session import Session
from polydbg.testing.core_builder import ElfCoreBuilder

CODE, STACK, DATA = 0x401000, 0x7FFC00000000, 0x600000
RAX, RIP, RSP = 10, 16, 19  # in the order of Linux
OWN = 7
STORE = "894810"  # mov dword ptr [rax+10h],ecx
PUSH = "50"  # push rax


def analysis(
    tmp_path: Path,
    signal: int,
    code: int,
    *rest: int,
    bytes_: str = STORE,
    rax: int = DATA,
    rsp: int = STACK + 0x100,
    has_info: bool = True,
    page: bytes = b"",
) -> Analysis:
    """Return the analysis of a core whose record is *signal*, *code* and the numbers of *rest*."""
    registers = [0] * 27
    registers[RAX], registers[RIP], registers[RSP] = rax, CODE, rsp
    builder = ElfCoreBuilder().thread(OWN, signal, *registers)
    if has_info:
        builder.signal_info(signal, code, *rest)
    builder.memory(CODE, bytes.fromhex(bytes_).ljust(0x1000, b"\x90"), flags=5)
    builder.memory(DATA, bytes(0x1000)).memory(STACK, bytes(0x1000))
    if page:
        builder.memory(0x7F0000000000, page.ljust(0x1000, b"\0"))
    path = tmp_path / "made.core"
    path.write_bytes(builder.build())
    session = Session()
    try:
        return analyze(session, session.open_dump(str(path)))
    finally:
        session.close()


def said(found: Analysis) -> str:
    return " ".join((found.verdict.summary, *found.verdict.evidence))


@pytest.mark.parametrize(
    ("code", "rest", "problem", "words"),
    [
        (3, (DATA + 16, 0, 0, 0, 0x1000, 0, 0x2000, 0), "BOUNDS_CHECK", "00001000 to 00000000`"),
        (4, (DATA + 16, 0, 0, 0, 5), "PROTECTION_KEY", "the key of the memory is 5"),
        (8, (0, 0), "MEMORY_TAG", "an instruction before this one did it"),
        (9, (DATA + 16, 0), "MEMORY_TAG", "the tag of a pointer"),
        (10, (0, 0), "CONTROL_FLOW", "control flow protection"),
    ],
)
def test_codes_that_tell_all(
    tmp_path: Path, code: int, rest: tuple[int, ...], problem: str, words: str
) -> None:
    found = analysis(tmp_path, 11, code, *rest)
    assert found.verdict.problem_class == problem
    assert found.verdict.confidence is Confidence.CERTAIN
    assert words in said(found)


@pytest.mark.parametrize("signal", [6, 8, 11, 15])
def test_another_process_sent_the_signal(tmp_path: Path, signal: int) -> None:
    found = analysis(tmp_path, signal, 0, 99, 1000)
    assert found.verdict.problem_class == "TERMINATED"
    assert found.verdict.confidence is Confidence.CERTAIN
    assert found.verdict.summary.startswith("process 0n99 sent SIG")
    assert "of user 0n1000" in said(found)


def test_the_process_sent_itself_the_signal(tmp_path: Path) -> None:
    found = analysis(tmp_path, 6, -6, OWN, 1000)
    assert found.verdict.problem_class == "ABORT"
    found = analysis(tmp_path, 11, -6, OWN, 1000, bytes_="90")
    assert found.verdict.problem_class == "TERMINATED"
    assert found.verdict.confidence is Confidence.LIKELY


def test_a_handler_sent_the_fault_on_that_the_instruction_makes(tmp_path: Path) -> None:
    found = analysis(tmp_path, 11, -6, OWN, 1000, rax=0)
    assert found.verdict.problem_class == "NULL_POINTER_WRITE"
    assert found.verdict.confidence is Confidence.LIKELY
    assert "a handler sent it on" in said(found)


def test_no_address_is_made_up_without_a_record(tmp_path: Path) -> None:
    found = analysis(tmp_path, 11, 0, has_info=False, rax=0x900000)
    assert found.record is not None
    assert found.record.address is None
    access = found.fault.access
    assert access is not None
    assert (access.address, access.is_reported) == (0x900010, False)
    assert found.fault.detail == ""


def test_the_kernels_null_is_no_null_pointer(tmp_path: Path) -> None:
    found = analysis(tmp_path, 11, 0x80, 0, 0, rax=0x1234567812345678)
    assert found.verdict.problem_class == "INVALID_POINTER_WRITE"
    access = found.fault.access
    assert access is not None
    assert access.address == 0x1234567812345688


def test_a_stack_pointer_below_the_stack_is_a_used_up_stack(tmp_path: Path) -> None:
    low = STACK - 0x20
    found = analysis(tmp_path, 11, 1, low - 8 & 0xFFFFFFFF, low - 8 >> 32, bytes_=PUSH, rsp=low)
    assert found.verdict.problem_class == "STACK_OVERFLOW"
    far = STACK - 0x200000
    found = analysis(tmp_path, 11, 1, far - 8 & 0xFFFFFFFF, far - 8 >> 32, bytes_=PUSH, rsp=far)
    assert found.verdict.problem_class != "STACK_OVERFLOW"


def test_what_the_system_says_of_an_address_that_the_map_lets_pass(tmp_path: Path) -> None:
    found = analysis(tmp_path, 11, 2, DATA + 16, 0)
    assert found.verdict.confidence is Confidence.LIKELY
    assert "does not permit" in said(found)


@pytest.mark.parametrize(
    ("code", "words"),
    [("670fb94012", "an index was out of the bounds"), ("670fb900", "an addition of integers")],
)
def test_checks_of_clang(tmp_path: Path, code: str, words: str) -> None:
    found = analysis(tmp_path, 4, 2, CODE, 0, bytes_=code)
    assert found.verdict.problem_class == "UNDEFINED_BEHAVIOR"
    assert words in found.verdict.summary


def test_floating_point_in_words(tmp_path: Path) -> None:
    found = analysis(tmp_path, 8, 3, CODE, 0)
    assert found.verdict.summary == "a floating-point number was divided by zero"


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (b"\0\x10\0\0free(): double free detected in tcache 2\n", "DOUBLE_FREE"),
        (b"\0\x10\0\0a: a.c:5: f: Assertion `x' failed.\n", "ASSERTION"),
        (b"\0\x20\0\0free(): double free detected in tcache 2\n", "ABORT"),  # not its size
        (b"\0\x10\0\0free(): double free detected in tcache 2", "ABORT"),  # no line
        (b"\0\x10\0\0free(): double free\n\0\0more", "ABORT"),  # does not end there
    ],
)
def test_the_last_message_of_a_library_that_is_not_at_hand(
    tmp_path: Path, page: bytes, problem: str
) -> None:
    found = analysis(tmp_path, 6, -6, OWN, 1000, page=page)
    assert found.verdict.problem_class == problem
    assert found.verdict.confidence is Confidence.LIKELY
