"""Variables and expressions of every Windows sample dump equal what samples/README.md and the
sources say: locals and parameters frame by frame, globals, statics, members, sizes.

What the kind of a dump leaves out is missing, never another value: small dumps have no globals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from values_truth import LOST, Stack, Truth, Unsure, differences, expression_differences

import polydbg
from polydbg.library.session import DumpSession

pytestmark = pytest.mark.corpus

Open = Callable[[str], DumpSession]


@pytest.fixture
def open_dump(data_dir: Path, sample_dump: Callable[[str], Path]) -> Iterator[Open]:
    win = data_dir / "samples" / "win"
    folders = [win / "bin", win / "wine"]
    sessions: list[DumpSession] = []

    def opened(name: str) -> DumpSession:
        sessions.append(polydbg.open(sample_dump(name), symbols=folders, images=folders))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


FIRST: dict[str, int | float | str] = {
    "id": 1001,
    "state": 5,
    "flags.gift": 1,
    "flags.priority": 5,
    "flags.zone": 100,
    "flags.offset": -3,
    "flags.rest": 0xBEEF,
    "items[0].sku": 0xC0FFEE,
    "items[0].quantity": -2,
    "items[0].grade": ord("A"),
    "items[0].price.whole": 0x0102030405060708,
    "items[0].price.half[0]": 0x05060708,
    "items[0].price.bytes[7]": 1,
    "items[1].price.real": 19.75,
    "items[2].discount": 99,
    "special": 0,
    "customer": "Ada Example",
    "city": "K\u00f6ln",
    "next.id": 1002,
    "next.state": -1,
    "box.low.x": 11,
    "box.low.y": -12,
    "box.high.x": -7,
    "box.high.y": 9,
    "weight": 2.5,
    "ratio": 0.125,
    "code": "AX-17",
}
SHOP: Stack = [
    ("apply_discount", {"item": 0, "percent": 41, "rounded": 42, "item.discount": LOST}),
    (
        "price_order",
        {
            **{f"order.{path}": value for path, value in FIRST.items()},
            "depth": 7,
            "rate_count": 5,
            "total": 98,
            "i": 5,
            "before": 5,
            "where.x": -7,
            "where.y": 9,
            "label": "price:AX-17",
            "inner": 98000000686,
            "rates[0]": 3,
            "rates[2]": 4,
            "rates[4]": 5,
            "s_calls": Unsure(41),
        },
    ),
    (
        "run_shop",
        {
            **{f"first.{path}": value for path, value in FIRST.items()},
            **{f"list.{path}": value for path, value in FIRST.items()},
            "name": "Blue Door",
            "second.id": 1002,
            "second.state": -1,
            "second.customer": "Blue Door",
            "second.next": 0,
            "second.weight": 0.0,
            **{f"rates[{index}]": value for index, value in enumerate((3, 1, 4, 1, 5))},
        },
    ),
    ("main", {"code": 0}),
]
SHOP_EXPRESSIONS: Truth = {  # in run_shop
    "sizeof(order)": 0xA8,
    "sizeof(line_item)": 24,
    "sizeof(flags)": 4,
    "sizeof(amount)": 8,
    "first.id + second.id": 2003,
    "first.flags.priority * first.flags.offset": -15,
    "first.flags.zone == 100 && first.flags.rest == 0xbeef": 1,
    "list->next->id": 1002,
    "((order *)opaque)->id": 1002,
    "&first == list": 1,
    "(void *)&second == opaque": 1,
    "first.items[0].price.bytes[0]": 8,
    "(unsigned char)first.items[0].quantity": 0xFE,
    "first.box.high.x - first.box.low.y": 5,
    "*(first.customer + 4)": ord("E"),
    "first.city[1]": 0xF6,
    "first.weight * first.ratio": 0.3125,
    "rates[4] << 2": 20,
    "sizeof(rates) / sizeof(rates[0])": 5,
    "&first.items[2] - &first.items[0]": 2,
    "first.state == ORDER_PAID": 1,
    "nullwrite!ORDER_LOST": -1,
    "(order_state)6 == ORDER_PAID + 1": 1,
    "first.checker == &nullwrite!check_order": 1,
}
SHOP_GLOBALS: dict[str, int | float | str] = {
    "nullwrite!g_order_count": 2,
    "nullwrite!s_magic": 0x1122334455667788,
    "nullwrite!g_shop_name": "Blue Door",
    "nullwrite!g_first_order->id": 1001,
    "nullwrite!g_first_order == &first": 1,
    "nullwrite!g_first_order->next->customer": "Blue Door",
    **{f"g_corner[{i}].x": 2 * i + 1 for i in range(4)},
    **{f"g_corner[{i}].y": 2 * i + 2 for i in range(4)},
    **{f"g_matrix[{i}][{j}]": 10 * i + j + 10 for i in range(2) for j in range(3)},
    "g_matrix[1][2] - g_matrix[0][0]": 12,
    "(&g_corner[3])->y": 8,
    "sizeof(g_matrix)": 24,
}


def _select(session: DumpSession, function: str) -> None:
    """Select the first frame of *function* in the stack of the event."""
    frame = next(each for each in session.crash_frames() if each.symbol == function)
    if session.exception is not None:
        session.command(".ecxr")
    session.command(f".frame {frame.number:x}")


@pytest.mark.parametrize(
    "name",
    [
        *("nullwrite", "nullwrite-data", "nullwrite-full", "nullwrite-code", "nullwrite-first"),
        *("nullwrite.wine", "nullwrite-r"),
    ],
)
def test_nullwrite(open_dump: Open, name: str) -> None:
    session = open_dump(name)
    assert differences(list(session.crash_frames(6)), SHOP) == []
    _select(session, "run_shop")
    assert expression_differences(session, SHOP_EXPRESSIONS) == []
    has_globals = name in ("nullwrite-data", "nullwrite-full")
    truth = {k: v if has_globals else Unsure(v) for k, v in SHOP_GLOBALS.items()}
    assert expression_differences(session, truth) == []


#: what the objects of figures hold in every dump
CORNERS = {
    f"corners_[{i}].{n}": 2 * i + j + 1 for i in range(2) for j, n in enumerate(("left", "top"))
}
BOX: Truth = {
    "name_": "square",
    "kind_": 4,
    "id_": 102,
    "size_.x": 3,
    "size_.y": 4,
    **CORNERS,
    "red": 0x11,
    "green": 0x22,
    "blue": 0x33,
    "visible": 1,
}
CIRCLE: Truth = {
    "name_": "round",
    "kind_": 3,
    "id_": 101,
    "radius_": 2.0,
    "centre_.x": 1.5,
    "centre_.y": -2.5,
}


KINDS = {7: "throw", 8: "snap", 9: "null"}  # main's first argument and the layer that it means


def _figures(layer: int) -> Stack:
    box: Truth = {**BOX, "last_layer": layer}
    paint: Truth = {
        **{f"this.{path}": value for path, value in box.items()},
        "layer": layer,
        "before": -1,
    }
    total: Truth = {
        "sum": 24.0,
        "scaled": 48.0 + layer,
        "layer": layer,
        "scale.layer": layer,
        "scale.sum": 24.0,
        "ring.used_": 2,
        **{f"box.{path}": value for path, value in box.items()},
        **{f"painted.{path}": box[path] for path in ("red", "green", "blue", "last_layer")},
        "ring.slots_[0].name_": "round",
        "ring.slots_[1].name_": "square",
        "ring.slots_[0].id_": 101,
        "ring.slots_[1].id_": 102,
    }
    run: Truth = {
        **{f"box.{path}": value for path, value in box.items()},
        **{f"circle.{path}": value for path, value in CIRCLE.items()},
        "diamond.base_value": 1,
        "diamond.left_value": 2,
        "diamond.right_value": 3,
        "diamond.own_value": 4,
        "old": 4,
        "yes": 1,
        "letter": 0x3B1,
        "unit": ord("Z"),
        "*array": "hello",
        "layer": layer,
        "ring.used_": 2,
        "ring.slots_[1].id_": 102,
    }
    return [
        ("geometry::Box::paint", paint),
        ("total_area", total),
        ("run", run),
        ("main", {"layer": layer, "kind": Unsure(KINDS[layer])}),
    ]


FIGURES_EXPRESSIONS: Truth = {  # in run
    "sizeof(geometry::Box)": 64,
    "sizeof(geometry::Diamond)": 48,
    "sizeof(geometry::Vec<int>)": 8,
    "sizeof(geometry::Vec<double>)": 16,
    "diamond.left_value + diamond.base_value": 3,
    "((geometry::Left *)&diamond)->base_value": 1,
    "((geometry::Right *)&diamond)->right_value": 3,
    "(char *)(geometry::Painted *)&box - (char *)&box": 24,
    "((geometry::Box *)(geometry::Painted *)&box)->id_": 102,
    "static_cast<geometry::Figure *>(&box)->id_": 102,
    "ring.slots_[0] == (geometry::Figure *)&circle": 1,
    "old == OldC": 1,
    "box.kind_ == geometry::Kind::Box": 1,
    "(int)geometry::Kind::Group": 5,
    "circle.radius_ * circle.radius_ * 3": 12.0,
    "array[4]": ord("o"),
    "sizeof(array)": 6,
    "letter + 1": 0x3B2,
    "!yes": 0,
    "geometry::Figure::kLimit": 64,
}
FIGURES_GLOBALS: dict[str, int | float | str] = {
    "geometry::Figure::s_made": 102,
    "box.s_made": 102,
    "g_origin.x": 7,
    "g_origin.y": -8,
    "g_origin.x * g_origin.y": -56,
    "g_last": 0,
}


@pytest.mark.parametrize(
    ("name", "layer", "data"),
    [
        ("figures-throw", 7, True),
        ("figures-throw.wine", 7, False),
        ("figures-snap", 8, True),
        ("figures-null", 9, True),
    ],
)
def test_figures(open_dump: Open, name: str, layer: int, data: bool) -> None:
    session = open_dump(name)
    frames = list(session.crash_frames())
    assert differences(frames, _figures(layer)) == []
    if layer == 7:
        thrown: Truth = {
            "code": 404,
            "figure.id_": 102,
            "figure.name_": "square",
            "failure.code": 404,
            "failure.text": "no such figure",
            "failure.place.x": 4,
            "failure.place.y": 5,
        }
        assert differences(frames, [("throw_failure", thrown)]) == []
    if layer == 9:
        assert differences(frames, [("geometry::Box::paint", {"missing": 0})]) == []
    _select(session, "run")
    assert expression_differences(session, FIGURES_EXPRESSIONS) == []
    truth = {k: v if data else Unsure(v) for k, v in FIGURES_GLOBALS.items()}
    hidden = 17 + (102 if layer == 7 else 0)
    truth["figures!`anonymous namespace'::hidden_total"] = hidden if data else Unsure(hidden)
    assert expression_differences(session, truth) == []


#: dump of faults -> functions with their variables
FAULTS: dict[str, Stack] = {
    "faults-divzero": [
        ("divide", {"top": 1234, "bottom": 0}),
        ("main", {"argc": 2, "kind": Unsure("divzero")}),
    ],
    "faults-divzero.wine": [("divide", {"top": 1234, "bottom": 0}), ("main", {"argc": 5})],
    "faults-idiv-overflow": [("divide", {"top": -0x80000000, "bottom": -1}), ("main", {"argc": 2})],
    "faults-int3": [("stop_here", {"code": 14, "kept": 42}), ("main", {"argc": 2})],
    "faults-badcall": [("call_through", {"target": 0x123456789ABC, "value": 5})],
    "faults-nx": [("call_through", {"value": 6})],
    "faults-privileged": [("main", {"argc": 2})],
    "faults-readonly": [("write_constant", {"value": 5}), ("main", {"argc": 2})],
    "faults-raise": [
        (
            "raise_own",
            {
                "a": 30,
                "b": 40,
                "words[0]": 0x1111,
                "words[1]": 0x2222,
                "words[2]": 30,
                "words[3]": 40,
            },
        ),
        ("main", {"argc": 2}),
    ],
    "faults-abort": [
        ("on_abort", {"words[0]": 7, "signal_number": 22}),
        ("give_up", {"why": "told to"}),
        ("main", {"argc": 2}),
    ],
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(open_dump: Open, name: str) -> None:
    session = open_dump(name)
    assert differences(list(session.crash_frames()), FAULTS[name]) == []
    constants: Truth = {"faults!g_constant": Unsure(77), "faults!g_minus_one": Unsure(-1)}
    assert expression_differences(session, constants) == []
