"""``dt`` in a session on the practice dump."""

from __future__ import annotations

import pytest
from conftest_types import Items, Run

from polydbg.commands.output import Failure
from polydbg.commands.type_rows import FieldRow

ORDER_AT = ".frame 2; dt order"


def without_symbols(lines: list[str]) -> list[str]:
    """Return *lines* without what is said of symbols and of the frame selected."""
    return [line for line in lines if not line.startswith(("*** ", "0", "    !sym", "WARNING"))]


def test_a_type_by_name(run: Run) -> None:
    rows = [
        "   +0x000 number           : Int4B",
        "   +0x004 state            : order_state",
        "   +0x008 customer         : Ptr64 Char",
        "   +0x010 lines            : [3] line",
        "   +0x028 line_count       : Int4B",
        "   +0x030 total_cents      : Int8B",
    ]
    assert without_symbols(run("dt practice!order")) == rows
    assert without_symbols(run("dt order")) == ["practice!order", *rows]
    assert without_symbols(run("dt struct order"))[0] == "practice!order"


def test_a_variable(run: Run, items: Items) -> None:
    assert without_symbols(run(ORDER_AT)) == [
        "Local var @ rsi Type order*",
        "   +0x000 number           : 0n503",
        "   +0x004 state            : 0 ( ORDER_NEW )",
        '   +0x008 customer         : 0x00000001`400091e4  "Aiko"',
        "   +0x010 lines            : [3] line",
        "   +0x028 line_count       : 0n2",
        "   +0x030 total_cents      : 0n798",
    ]
    rows = [item for item in items("dt order") if isinstance(item, FieldRow)]
    assert [(row.name, row.offset, row.level, row.value) for row in rows[:2]] == [
        ("number", 0, 0, "0n503"),
        ("state", 4, 0, "0 ( ORDER_NEW )"),
    ]
    assert rows[2].type_name == "char *"
    assert rows[3].address == 0x11FC80


def test_fields_and_addresses(run: Run) -> None:
    assert without_symbols(run(".frame 2; dt order customer lines[1].")) == [
        "Local var @ rsi Type order*",
        '   +0x008 customer  : 0x00000001`400091e4  "Aiko"',
        "   +0x010 lines     : [1] ",
        "      +0x000 article   : 0x7d2",
        "      +0x004 quantity  : 0n3",
    ]
    assert run("dt -t practice!shop @@(shop) price_count") == ["   +0x010 price_count : 0n3"]
    assert run("dt int @@(order)") == ["0n503"]
    assert run("dt unsigned int @@(order)") == ["0x1f7"]
    assert run("dt price * @@(&shop->prices) article") == [
        "0x00000000`0011fcb0 ",
        "   +0x000 article : 0x3e9",
    ]


def test_a_local_stands_before_a_type_of_its_name(run: Run) -> None:
    lines = without_symbols(run(".frame 2; dt practice!order 11fc70"))
    assert lines[0] == (
        "(order is a local variable of type order* here; the type: dt -t practice!order ADDRESS)"
    )
    assert run("dt -t practice!order 11fc70")[0] == "   +0x000 number           : 0n503"


def test_several_objects(run: Run) -> None:
    lines = run(".frame 2; dt -a2 practice!price @@(shop->prices) article")
    rule = "-" * 45
    assert without_symbols(lines) == [
        "[0] @ 00000000`0011fcb0 ",
        rule,
        "   +0x000 article : 0x3e9",
        "",
        "[1] @ 00000000`0011fcc8 ",
        rule,
        "   +0x000 article : 0x3ea",
        "",
    ]


def test_lists(run: Run) -> None:
    lines = run(".frame 2; dt -t practice!shop @@(shop) -l current name")
    assert without_symbols(lines)[:3] == [
        "current at 0x00000000`0011fd00",
        "-" * 45,
        '   +0x000 name : 0x00000001`40009298  "The Corner Shop"',
    ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dt practice!nosuch", "Symbol practice!nosuch not found."),
        ("dt order.", "Symbol order. not found."),
        ("dt practice!order nosuch", "Cannot find specified field members."),
        ("dt practice!order_state x", "Cannot find specified field members."),
        ("dt -l next practice!order", "Symbol next not found."),
        ("dt practice!order 11fc70 -l customer", "'customer' is no pointer to follow"),
        ("dt practice!order -l next", "a list needs the address of its first element"),
        ("dt", "Syntax error"),
        ("dtx practice!order", "Syntax error"),
    ],
)
def test_what_cannot_be_shown(command: str, message: str, items: Items) -> None:
    failure = items(command)[-1]
    assert isinstance(failure, Failure)
    assert failure.message == message
    assert failure.hint


def test_names_by_pattern(run: Run) -> None:
    lines = without_symbols(run("dt practice!pri*"))
    assert lines[0] == "          practice!price"
    assert any(line.endswith("  practice!price_line") for line in run("dt practice!pri*"))
    assert without_symbols(run("dt -t practice!*order")) == ["          practice!order"]
    assert run("dt -s 38 practice!*") == ["          practice!order"]
    assert "   +0x000 article          : Uint4B" in run("dt -t -d practice!price*")
    assert run("dt practice!Nothing<*>")[-1] == ""


def test_kinds_of_types(run: Run) -> None:
    assert run("dt practice!order_state")[-3:] == [
        "   ORDER_NEW = 0n0",
        "   ORDER_PRICED = 0n1",
        "   ORDER_SHIPPED = 0n10",
    ]
    assert run("dt practice!DWORD") == ["Uint4B"]
    assert run("dt practice!PCONTEXT") == ["Ptr64 _CONTEXT"]
    assert run("dt practice!main") == ["main  int (", "\tint, ", "\tchar**)"]
    assert run("dt unsigned short") == ["Uint2B"]


def test_missing_memory(run: Run) -> None:
    assert run("dt practice!line 10") == [
        "   +0x000 article          : ??",
        "   +0x004 quantity         : ??",
        "Memory read error 0000000000000014",
    ]
    assert run("dt practice!dump_path") == ["???? ", "Memory read error 000000014000c120"]


def test_help(run: Run) -> None:
    assert run("dt -h")[0].startswith("dt [-a[n]")
