"""``dx`` on the practice dump: shapes, flags, formats, paths that can be typed back."""

from __future__ import annotations

import pytest
from conftest_types import Items, Run

from polydbg.commands.dx_grid import GridRow
from polydbg.commands.dx_rows import ModelRow
from polydbg.commands.output import Failure


def value(run: Run, expression: str) -> str:
    """Return what stands behind the colon of the first line."""
    line = next(line for line in run(f"dx {expression}") if line.startswith(expression))
    shown = line[len(expression) :].lstrip()
    assert shown.startswith(": "), line
    return shown[2:]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1+1", "2"),
        ("0x10", "16"),
        ("1u", "0x1"),
        ("1.5", "1.500000"),
        ("'A'", "65 'A'"),
        ("1 == 1", "true"),
        ("3,x", "0x3"),
        ("10,b", "0y1010"),
        ("12,o", "014"),
        ("0x20,d", "32"),
        ("(1,2)", "2"),
        ('"abc".Length', "0x3"),
        ('"abc".ToUpper()', "ABC"),
        ('"abc" + "def"', "abcdef"),
        ('"abc".Substring(1, 1)', "b"),
        ('"abc".Remove(1)', "a"),
        ('"abc".IndexOf("z")', "-1"),
        ('"abc".PadLeft(5, "*")', "**abc"),
        ('"abc".Replace("b", "XX")', "aXXc"),
        ('"abc".StartsWith("ab") && "abc".EndsWith("bc")', "true"),
        ('"abc" == "abc"', "true"),
        ('"abc" < "abd"', "true"),
        ('(1 == 1) ? "t" : "f"', "t"),
        ("true ? 1 : 2.0", "1.000000"),
        ("((x, y) => x + y)(5, 7)", "12"),
        ("(x => y => x + y)(1)(2)", "3"),
        ("new { A = 1, B = new { C = 2 } }.B.C", "2"),
        ('5.ToDisplayString("x")', "0x5"),
        ("sizeof(int)", "0x4"),
        ("(short)70000", "4464 [Type: short]"),
        ("@$t0", "0x0"),
    ],
)
def test_values_of_the_language(run: Run, expression: str, expected: str) -> None:
    assert value(run, expression) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Count()", "0x2"),
        ("Any(t => t.Id == 0)", "false"),
        ("All(t => t.Id > 0)", "true"),
        ("Select(t => t.Stack.Frames.Count()).Sum() > 3", "true"),
        ("Aggregate(0, (sum, t) => sum + 1)", "2"),
        ("Contains(5)", "false"),
    ],
)
def test_queries_over_threads(run: Run, query: str, expected: str) -> None:
    assert value(run, f"@$curprocess.Threads.{query}") == expected


def test_a_process_and_its_parts(run: Run) -> None:
    lines = run("dx @$curprocess")
    assert lines[0].startswith("@$curprocess     : practice")
    assert [line.split()[0] for line in lines[1:]] == [
        "Name",
        "Id",
        "Threads",
        "Modules",
        "Environment",
    ]
    assert lines[3] == "    Threads         "


def test_hidden_parts_and_methods_show_on_demand(run: Run) -> None:
    text = "\n".join(run("dx -v @$curprocess"))
    assert "Index            : 0x0" in text
    assert "SwitchTo         [SwitchTo() - Method which makes the process current]" in text


def test_fields_of_a_class(run: Run) -> None:
    run(".frame 2")
    lines = run("dx order")
    assert lines[0].endswith("[Type: order *]")
    assert lines[1].startswith("    [+0x000] ")
    assert run("dx *order")[1:] == lines[1:]
    deeper = run("dx -r2 *order")
    assert len(deeper) > len(lines)
    assert run("dx -r0 order") == lines[:1]


def test_paths_lead_back_to_what_they_are_of(run: Run, items: Items) -> None:
    run(".frame 2")
    rows = []
    for root in ("order", "*order", "@$curprocess", "@$curthread.Stack", "new { A = 1 }"):
        rows += [row for row in items(f"dx -r3 {root}") if isinstance(row, ModelRow)]
    assert len(rows) > 60
    for row in rows:
        if row.kind in ("more", "error") or "Environment" in row.path:
            continue
        found = items(f"dx -r0 {row.path}")
        assert isinstance(found[0], ModelRow), (row.path, found)
        assert (found[0].value, found[0].type_name) == (row.value, row.type_name), row.path


def test_a_thousand_elements_show_a_hundred_and_go_on(run: Run) -> None:
    lines = run("dx (char *)@rsp,1000")
    assert len(lines) == 1 + 1000
    lines = run("dx -c 998 (unsigned char *)@rsp,1000")
    assert [line.split()[0] for line in lines[1:]] == ["[998]", "[999]"]
    lines = run("dx *(unsigned char (*)[1000])@rsp")
    assert len(lines) == 1 + 100 + 1
    assert lines[-1].strip() == "[...]"
    assert run("dx -c 100 *(unsigned char (*)[1000])@rsp")[1].startswith("    [100]")


def test_grids_have_a_column_for_each_part(run: Run, items: Items) -> None:
    lines = run(
        "dx -g @$curprocess.Modules.Select(m => new { Name = m.Name, Base = m.BaseAddress })"
    )
    assert lines[0] == lines[2] == lines[-1] == "=" * len(lines[1])
    assert lines[1].split() == ["=", "=", "Name", "=", "Base", "="]
    assert lines[3].startswith("= [0x0]    - ")
    assert {len(line) for line in lines} == {len(lines[0])}
    rows = [i for i in items("dx -gc 8 @$curprocess.Modules") if isinstance(i, GridRow)]
    assert all(len(cell) <= 8 for row in rows for cell in row.values.values())


def test_variables_are_kept_and_removed(run: Run) -> None:
    assert run("dx @$size = 5")[0] == "@$size = 5       : 5"
    assert run("dx @$size * 2")[0].endswith(": 10")
    assert run("dx @$size += 2")[0].endswith(": 7")
    assert run("dx @$vars")[1] == "    size             : 7"
    run("dx @$double = (x => x * 2)")
    assert run("dx @$double(@$size)")[0].endswith(": 14")
    run('dx @$vars.Remove("size")')
    assert run("dx @$size")[0] == "Error: Use of undefined variable"


def test_temporary_registers_are_those_of_other_commands(run: Run) -> None:
    assert run("dx @$t3 = 7; ? @$t3")[1] == "Evaluate expression: 7 = 00000000`00000007"
    run(".frame 2; dx @$t4 = order")
    assert run("dx -r0 @$t4")[0].endswith("[Type: order *]")
    assert run("?? @$t4->number")[0] == "int 0n503"


def test_commands_make_lines(run: Run) -> None:
    assert value(run, 'Debugger.Utility.Control.ExecuteCommand("k 2").Count()') == "0x3"
    lines = run('dx Debugger.Utility.Control.ExecuteCommand(".echo a; .echo b")')
    assert [line.rpartition(" : ")[2] for line in lines[1:]] == ["a", "b"]


def test_switching_threads_and_frames(run: Run) -> None:
    run("dx -s @$curthread.Stack.Frames[1].SwitchTo()")
    assert run(".frame")[0].startswith("01 ")
    assert run("dx -s 5") == [""]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("nosuch", "Unable to bind name 'nosuch'"),
        ("@$nosuch", "Use of undefined variable"),
        ("new [] { 1 }", "Expected '{' at '[] { 1 }'"),
        ("(nosuch *)1", "Unable to find type 'nosuch *' for cast."),
        ("1 +", "Unexpected token at '<EOL>'"),
        ("1 @5", "Unexpected token at '@5'"),
        ("1,zz", "Unexpected token at ',zz'"),
        ("@$curprocess.Nope", "Unable to bind name 'Nope'"),
        ("5.First()", "Unable to bind name 'First'"),
        ("@$curprocess.Threads.Select()", "Invalid number of arguments to method 'Select'"),
        ("@$curprocess.Threads.Where(5)", None),
        ("@@masm(1)", "Unexpected token at '@@masm(1)'"),
    ],
)
def test_errors_are_the_engines(items: Items, expression: str, message: str | None) -> None:
    found = items(f"dx {expression}")
    if message is None:
        assert isinstance(found[1], ModelRow)
        assert found[1].value == "a function is needed: x => ..."
        return
    assert isinstance(found[0], Failure)
    assert found[0].message == f"Error: {message}"
    assert found[0].caret is None


def test_what_fails_is_an_element_and_the_query_goes_on(run: Run) -> None:
    run("k")  # whatever is said of symbols is said here
    frames = len(run("dx @$curstack.Frames")) - 1
    query = "@$curstack.Frames.Select(f => f.Parameters.order_number)"
    lines = run(f"dx {query}")
    assert len(lines) == 1 + frames
    assert lines[1].endswith(": 503 [Type: int]")
    assert lines[3].endswith(": Unable to bind name 'order_number'")
    assert len(run(f"dx {query}.AllNonError()")) == 1 + 2
    assert run(f"dx {query}.LastNonError()")[0].endswith("503 [Type: int]")


def test_what_calls_itself_ends(items: Items) -> None:
    items("dx @$loop = (x => @$loop(x))")
    found = items("dx @$loop(1)")
    assert isinstance(found[0], Failure)
    assert "nests too deep" in found[0].message
    assert isinstance(items("dx " + "(" * 5000)[0], Failure)
    assert isinstance(items("dx " + "x=>" * 2000 + "1")[0], Failure)


def test_a_semicolon_in_a_string_is_part_of_it(run: Run) -> None:
    assert run('dx "a;b".Length; .echo next') == ['"a;b".Length     : 0x3', "next"]
