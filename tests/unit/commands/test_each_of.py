"""Commands run for each frame, thread, register, function and list element."""

from __future__ import annotations

import pytest
from conftest_types import Items, Run

from polydbg.base.errors import CommandError
from polydbg.commands.each_of import EachFrame
from polydbg.commands.language import Interpreter
from polydbg.commands.list_walk import Link, _back, _elements, _field, _Options, _split_fields
from polydbg.commands.output import Failure
from polydbg.commands.printf import Printed
from polydbg.engine.session import Session
from polydbg.types.model import (
    CompoundParts,
    CompoundType,
    Member,
    MemberKind,
    PointerType,
    VoidType,
)


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


def _compound(name: str, *members: Member) -> CompoundType:
    return CompoundType(name, 0x20, "struct", lambda: CompoundParts(members))


def _entry() -> CompoundType:
    def pointer() -> PointerType:
        return PointerType(lambda: entry, 8)

    entry = _compound("ENTRY", Member("Flink", pointer()), Member("Blink", pointer(), 8))
    return entry


def test_pointers_to_links_are_followed_to_the_elements_that_hold_them() -> None:
    entry = _entry()
    owner = _compound("NODE", Member("value", entry), Member("links", entry, 0x10))
    offset, links = _field(owner, "links") or (0, entry)
    flink = (_field(links, "Flink") or (0, entry))[1]
    assert isinstance(flink, PointerType)
    assert offset == 0x10
    assert _back(flink, [(owner, 0), (links, offset)]) == 0x10
    assert _back(PointerType(lambda: owner, 8), [(owner, 0), (links, offset)]) == 0
    assert _back(PointerType(VoidType, 8), [(owner, 0), (links, offset)]) == 0


def test_members_of_bases_and_of_parts_without_a_name_are_found() -> None:
    entry = _entry()
    unnamed = _compound("", Member("inner", entry, 8))
    base = _compound("BASE", Member("", unnamed, 8))
    derived = _compound("DERIVED", Member("BASE", base, 0x10, MemberKind.BASE))
    assert (_field(derived, "inner") or (0, None))[0] == 0x20
    assert _field(derived, "nosuch") is None
    own = CompoundType("ROUND", 8, "struct", lambda: CompoundParts((round_member,)))
    round_member = Member("", own, 0)
    assert _field(own, "nosuch") is None, "a type that holds itself ends"


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a!b.c.d", ["a!b", "c", "d"]), ("v<x.y>.n", ["v<x.y>", "n"]), ("a", ["a"])],
    ids=["path", "template", "bare"],
)
def test_links_are_split_at_their_dots(text: str, parts: list[str]) -> None:
    assert _split_fields(text) == parts
