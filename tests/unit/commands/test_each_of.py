"""Commands run for each frame, thread, register, function and list element."""

from __future__ import annotations

import pytest
from conftest_types import Items, Run

from polydbg.base.errors import CommandError
from polydbg.commands.each_of import EachFrame
from polydbg.commands.language import Interpreter
from polydbg.commands.list_walk import Link, _elements, _Options
from polydbg.commands.output import Failure
from polydbg.commands.printf import Printed
from polydbg.engine.session import Session


def test_each_frame_is_chosen_while_its_command_runs(items: Items, session: Session) -> None:
    found = items('!for_each_frame ".printf \\"%d\\\\n\\", @$frame"')
    frames = [item.number for item in found if isinstance(item, EachFrame)]
    printed = [item.value for item in found if isinstance(item, Printed)]
    assert frames == list(range(len(frames)))
    assert printed == [f"{number}\n" for number in frames]
    assert session.current.scope.frame == 0


def test_frames_without_a_command_are_listed(items: Items) -> None:
    rows = [item for item in items("!for_each_frame") if isinstance(item, EachFrame)]
    assert rows[0].text().startswith("00 practice!record_sale")


def test_each_thread_is_current_while_its_command_runs(run: Run, session: Session) -> None:
    count = len(session.current.threads)
    assert len(run("!for_each_thread .echo @#ThreadIndex ${@#ThreadId}")) == count
    assert len(run("!for_each_thread")) == count


def test_each_register_and_process(run: Run) -> None:
    assert any(line.startswith("rip 0x") for line in run(
        "!for_each_register -c:.echo @#RegisterName @#RegisterValue"))  # fmt: skip
    assert run('!for_each_process ".echo @#ProcessId"')[0].startswith("0x")


def test_each_function_of_a_module(run: Run, items: Items) -> None:
    assert "practice!main" in run("!for_each_function -m:practice -p:ma* -c:.echo @#SymbolName")
    assert isinstance(items("!for_each_function -m:nosuch")[-1], Failure)


@pytest.mark.parametrize(
    "line",
    ["!list", "!list 5", "!list -t practice!nosuch.x 5", "!list -q 5", '!list "-t"'],
    ids=["bare", "no-type", "no-such-type", "no-such-flag", "cut-off"],
)
def test_a_list_that_is_not_given_whole_is_an_error(items: Items, line: str) -> None:
    assert isinstance(items(line)[-1], Failure)


def test_a_null_list_is_empty_and_help_is_given(run: Run) -> None:
    assert run("!list -h")[0].startswith("!list -t")


def test_lists_end_at_null_at_their_start_and_in_circles(
    interpreter: Interpreter, session: Session
) -> None:
    sp = session.current.scope_registers()["rsp"]
    list(interpreter.run(".overlay on"))
    for at, value in ((0, sp + 0x10), (0x10, sp + 0x20), (0x20, 0)):
        list(interpreter.run(f"eq {sp + at:#x} {value:#x}"))
    ctx = interpreter.context()
    link, options = Link(0, 0, 8), _Options(start=sp)
    nodes = [sp, sp + 0x10, sp + 0x20]
    assert list(_elements(ctx, link, options)) == nodes
    list(interpreter.run(f"eq {sp + 0x20:#x} {sp:#x}"))
    assert list(_elements(ctx, link, options)) == nodes
    list(interpreter.run(f"eq {sp + 0x20:#x} {sp + 0x10:#x}"))
    with pytest.raises(CommandError, match="does not come back"):
        list(_elements(ctx, link, options))
    list(interpreter.run(f"eq {sp + 0x20:#x} 1"))
    with pytest.raises(CommandError, match="Cannot read next element"):
        list(_elements(ctx, link, options))
    assert list(_elements(ctx, link, _Options(start=sp, most=2))) == nodes[:2]
