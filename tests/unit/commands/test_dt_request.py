"""How the arguments of ``dt`` are read."""

from __future__ import annotations

import pytest

from polydbg.base.errors import CommandError
from polydbg.commands.cursor import Cursor
from polydbg.commands.dt_fields import field_of
from polydbg.commands.dt_request import Request, read_request


def read(text: str) -> Request:
    return read_request(Cursor(text))


@pytest.mark.parametrize(
    ("text", "name", "fields", "address"),
    [
        ("app!order", "app!order", [], ""),
        ("app!order id customer 1f00", "app!order", ["id", "customer"], "1f00"),
        ("order items[1].price", "order", ["items[1].price"], ""),
        ("app!order @@(order)", "app!order", [], "@@(order)"),
        ("app!order @@c++( order ) state", "app!order", ["state"], "@@c++( order )"),
        ("app!order poi(app!list)", "app!order", [], "poi(app!list)"),
        ("app!order 0", "app!order", [], "0"),
        ("order c", "order", [], "c"),
        ("order -n c", "order", ["c"], ""),
        ("-n cafe id", "cafe", ["id"], ""),
        ("app!Ring<4,app::Figure *> slots_", "app!Ring<4,app::Figure *>", ["slots_"], ""),
        ("app!lock app!g_lock", "app!lock", ["app!g_lock"], ""),
        ("unsigned int @rsp", "unsigned int", [], "@rsp"),
        ("order * @rsp", "order *", [], "@rsp"),
        ("(app!order) 10", "app!order", [], "10"),
        ("int @rsp+8", "int", [], "@rsp+8"),
    ],
    ids=lambda each: str(each),
)
def test_names_fields_and_addresses(text: str, name: str, fields: list[str], address: str) -> None:
    request = read(text)
    assert request.name == name
    assert [each.text for each in request.fields] == fields
    assert request.address == address


def test_switches() -> None:
    request = read("-r1 -vb order -a2 -l next")
    assert (request.depth, request.elements, request.link) == (1, 2, "next")
    assert {"r", "v", "b"} <= request.letters
    assert read("-r order").depth == 2
    assert read("-r99 order").depth == 9
    assert read("-a order").elements == 0
    assert read("-s 10 app!*").size == "10"
    assert read("-s order").name == "order"
    assert read("struct order").types_only
    assert read("-t order").types_only
    assert read("-y order c").address == "c"
    assert read("order -y cu -yo s").fields[0].is_prefix


@pytest.mark.parametrize(
    "text", ["-z order", "-p order", "-l", "-r1_ order", "order 1 2", "struct"]
)
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(CommandError):
        read(text)


def test_only_the_command_is_read() -> None:
    cursor = Cursor("order id; k")
    assert read_request(cursor).name == "order"
    assert cursor.peek() == ";"


@pytest.mark.parametrize(
    ("text", "steps", "opened"),
    [
        ("a", [("a", None)], 0),
        ("a.", [("a", None)], 1),
        ("a..", [("a", None)], 2),
        ("a[3].b->c", [("a", 3), ("b", None), ("c", None)], 0),
    ],
    ids=lambda each: str(each),
)
def test_fields(text: str, steps: list[tuple[str, int | None]], opened: int) -> None:
    field = field_of(text, is_prefix=False)
    assert field is not None
    assert [(step.name, step.index) for step in field.steps] == steps
    assert field.opened == opened


@pytest.mark.parametrize("text", ["", "...", "[1]", "a[", "a[999999999999999999999]"])
def test_what_is_no_field(text: str) -> None:
    assert field_of(text, is_prefix=False) is None


def test_fields_match_by_name_prefix_and_pattern() -> None:
    prefix = field_of("cu", is_prefix=True)
    pattern = field_of("c*", is_prefix=False)
    exact = field_of("customer", is_prefix=False)
    assert prefix is not None
    assert prefix.matches("Customer")
    assert pattern is not None
    assert pattern.matches("customer")
    assert exact is not None
    assert exact.matches("customer")
    assert not exact.matches("custom")
