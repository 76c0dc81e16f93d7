"""What 32-bit dumps show: registers when a thread is chosen, ChildEBP stacks, frame layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd
from polydbg.commands.stack import Layout, frame_row
from polydbg.engine.modules import Place
from polydbg.engine.session import Session
from polydbg.engine.stack import StackFrame
from polydbg.symbols.frame_info import WinFrame
from polydbg.testing.minidump_builder import MinidumpBuilder, u32, x86_context

STACK = 0x12F000


@pytest.fixture
def x86_session(tmp_path: Path) -> Iterator[Session]:
    """A thread in ``app``: two callers by their frame pointers, then the end of the stack."""
    builder = MinidumpBuilder(arch="x86").system()
    builder.module(0x400000, 0x10000, r"C:\app\app.exe")
    words = {0x00: 7, 0x10: STACK + 0x30, 0x14: 0x401234, 0x18: 1, 0x1C: 2, 0x20: 3}
    words |= {0x30: STACK + 0x50, 0x34: 0x405678, 0x38: 0x11, 0x3C: 0x12, 0x40: 0x13}
    stack = b"".join(u32(words.get(offset, 0)) for offset in range(0, 0x400, 4))
    context = x86_context(eip=0x402000, esp=STACK, ebp=STACK + 0x10, eax=5, cs=0x23, efl=0x246)
    builder.thread(1, context, stack=(STACK, stack), teb=0x7EFDD000)
    builder.memory(0x402000, b"\x8b\x04\x24" + b"\x90" * 13)
    path = tmp_path / "x86.dmp"
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    yield session
    session.close()


@pytest.fixture
def run32(x86_session: Session) -> Callable[[str], list[str]]:
    interpreter = Interpreter(x86_session, CancelToken(), lambda text, done, total: None)

    def run(line: str) -> list[str]:
        items = [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]
        text = "\n".join(i.text() for i in items if "symbols could not" not in i.text())
        return [row for row in text.split("\n") if "Win32 error" not in row and "!sym" not in row]

    return run


def test_choosing_a_thread_shows_its_registers(run32: Callable[[str], list[str]]) -> None:
    assert run32("~0s") == [
        "eax=00000005 ebx=00000000 ecx=00000000 edx=00000000 esi=00000000 edi=00000000",
        "eip=00402000 esp=0012f000 ebp=0012f010 iopl=0         nv up ei pl zr na pe nc",
        "cs=0023  ss=0000  ds=0000  es=0000  fs=0000  gs=0000             efl=00000246",
        "app+0x2000:",
        "00402000 8b0424          mov     eax,dword ptr [esp]  ss:0000:0012f000=00000007",
    ]


def test_stacks_have_child_ebp_and_three_arguments(run32: Callable[[str], list[str]]) -> None:
    shown = run32("kb 2")
    assert shown[0] == " # ChildEBP RetAddr      Args to Child              "
    assert shown[1].startswith("WARNING: Stack unwind information not available.")
    assert shown[2:] == [
        "00 0012f010 00401234     00000001 00000002 00000003 app+0x2000",
        "01 0012f030 00405678     00000011 00000012 00000013 app+0x1234 (guess)",
    ]
    assert run32("k 1")[::2] == [
        " # ChildEBP RetAddr      ",
        "00 0012f010 00401234     app+0x2000",
    ]
    assert run32("kf 2")[0] == " #   Memory  ChildEBP RetAddr      "
    assert run32("kf 2")[3] == "01        20 0012f030 00405678     app+0x1234 (guess)"
    assert run32("kc 1")[::2] == [" # ", "00 app"]
    assert run32(".frame 0") == ["00 0012f010 00401234     app+0x2000"]


def test_stacks_that_begin_where_the_user_says(run32: Callable[[str], list[str]]) -> None:
    assert run32("k = 12f030 1")[-1] == "00 0012f030 00405678     app+0x2000"
    assert run32("k = 12f030 12f020 401234 1")[-1] == "00 0012f030 00405678     app+0x1234"
    assert run32("kd 2")[-2:] == ["0012f000  00000007", "0012f004  00000000"]
    assert run32("r $csp") == ["$csp=0012f000"]


def test_the_chain_ends_at_the_frame_that_nothing_called(
    run32: Callable[[str], list[str]],
) -> None:
    assert run32("k")[-1] == "02 0012f050 00000000     app+0x5678 (guess)"


def test_the_registers_of_a_guessed_frame_begin_a_stack_of_guesses(
    run32: Callable[[str], list[str]],
) -> None:
    run32(".frame /c 1")
    assert run32("k 1")[-1] == "00 0012f030 00405678     app+0x1234 (guess)"
    assert run32(".frame")[-1].endswith("app+0x1234 (guess)")
    run32(".cxr")
    assert run32("k 1")[-1] == "00 0012f010 00401234     app+0x2000"


@pytest.mark.parametrize(
    ("program", "uses_ebp", "shown"),
    [
        ("", False, "(FPO: [2,4,1])"),
        ("", True, "(FPO: [Uses EBP] [2,4,1])"),
        ("$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =", False, "(FPO: [2,4,1])"),
        ("$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + =", False, "(FPO: [Non-Fpo])"),
    ],
)
def test_kv_says_how_the_function_lays_out_its_frame(
    run32: Callable[[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    uses_ebp: bool,
    shown: str,
) -> None:
    record = WinFrame(0x2000, 0x40, 3, 8, 4, 16, 0, program, uses_ebp)
    monkeypatch.setattr(
        "polydbg.commands.stack.win_frame_at", lambda system, address: (0x400000, record)
    )
    row = next(line for line in run32("kv 1") if line.startswith("00 "))
    assert row == f"00 0012f010 00401234     00000001 00000002 00000003 app+0x2000 {shown}"


@pytest.mark.parametrize(
    ("letters", "shown"),
    [
        ("", "00 (Inline) --------     app!leaf+0x1 [leaf.c @ 7]"),
        (
            "v",
            "00 (Inline) --------     -------- -------- -------- "
            "app!leaf+0x1 (Inline Function @ 00402000) [leaf.c @ 7]",
        ),
        ("c", "00 app!leaf"),
    ],
)
def test_inlined_calls(x86_session: Session, letters: str, shown: str) -> None:
    system = x86_session.current
    (whole,) = x86_session.stack(system, system.scope_registers(), 1)
    place = Place(whole.frame.pc, "app", "leaf", 1)
    row = StackFrame(0, whole.frame, place, "leaf.c", 7, True)
    assert frame_row(system, row, Layout(letters, True, "x86", 4)).text() == shown


def test_registers_by_name_have_their_own_width(run32: Callable[[str], list[str]]) -> None:
    assert run32("r eax, ax, esp, zf") == ["eax=00000005 ax=5 esp=0012f000 zf=1"]
    assert "Bad register error" in run32("r rax")[0]


def test_junk_is_no_context(run32: Callable[[str], list[str]]) -> None:
    assert run32(".cxr 12f000")[0].startswith("no x86 CONTEXT record at 0012f000")
