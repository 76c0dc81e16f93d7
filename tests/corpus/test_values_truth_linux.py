"""Variables and expressions of every Linux sample core equal what samples/README.md and the sources
say, for gcc and clang, -O0 and -O2, DWARF 4 and 5, static, compressed and split debug information,
C, C++ and Rust.

What the optimised builds keep nowhere must be lost or right: ``sum`` of ``load_ship``, ``result``
of ``voyage`` and ``code`` of main; clang's -O2 build keeps ``name`` and ``mark`` of ``voyage`` in
registers that the call overwrites, its -O1 build of zoo says that ``pen.slots`` is nowhere.
:mod:`test_locals_judged` holds every frame of these cores against gdb.
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
def open_core(data_dir: Path) -> Iterator[Open]:
    linux = data_dir / "samples" / "linux"
    folders = [linux / "bin", linux / "bin" / "debug"]
    sessions: list[DumpSession] = []

    def opened(name: str) -> DumpSession:
        core = linux / "cores" / f"{name}.core.zst"
        sessions.append(polydbg.open(core, symbols=folders, images=folders))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


def _select(session: DumpSession, function: str) -> None:
    frame = next(each for each in session.crash_frames() if each.symbol == function)
    session.command(f".frame {frame.number:x}")


SHIP: dict[str, int | float | str] = {
    "name": "Albatross",
    "tonnage": 42000,
    "berth": 11,
    "draught": 8.5,
    "foreign": 1,
    "crates[0].id": 501,
    "crates[0].label": "tea",
    "crates[0].reading.level": 6.25,
    "crates[0].reading.raw": 0x4019000000000000,
    "crates[0].reading.bytes[6]": 0x19,
    "crates[0].hatch.open": 1,
    "crates[0].hatch.number": 21,
    "crates[0].hatch.tilt": -7,
    "crates[0].hatch.serial": 0x123456789A,
    "crates[0].next.id": 502,
    "crates[0].next.label": "coffee",
    "crates[1].id": 502,
    "crates[1].label": "coffee",
    "crates[1].next": 0,
    "top": 0,
}
EXPRESSIONS: Truth = {  # in voyage
    "sizeof(struct ship)": 128,
    "sizeof(struct crate)": 40,
    "sizeof(struct hatch)": 8,
    "sizeof(ship.crates) / sizeof(ship.crates[0])": 2,
    "ship.crates[0].hatch.tilt * ship.crates[0].hatch.number": -147,
    "ship.crates[0].hatch.serial & 0xff": 0x9A,
    "ship.crates[0].next == &ship.crates[1]": 1,
    "ship.crates[0].next->label[2]": ord("f"),
    "&ship.crates[1] - &ship.crates[0]": 1,
    "(char *)&ship.crates[1] - (char *)&ship.crates[0]": 40,
    "weights[3] * weights[1]": -1800,
    "(unsigned short)weights[1]": 0xFFFA,
    "sizeof(weights)": 8,
    "ship.draught * 2": 17.0,
    "ship.berth == BERTH_SOUTH": 1,
    "ship.berth - BERTH_LOST": 14,
    "ship.tonnage % 1000 + ship.foreign": 1,
    "*ship.name": ord("A"),
    "ship.inspect == inspect_ship": 1,
    "g_flagship.crates[0].hatch.tilt": -7,
    "g_flagship.crates[1].label": "coffee",
    "g_flagship.name == ship.name": 1,
    "g_ship_count": 3,
    "t_depth": 77,
    "g_heap_text": "pattern: the five boxing wizards jump quickly",
    "sizeof(long)": 8,
    "sizeof(tonnage_t)": 8,
}


def _cargo(mark: int, *, optimised: bool, clang: bool) -> Stack:
    ship = {f"ship.{path}": value for path, value in SHIP.items()}
    weights = {f"weights[{i}]": value for i, value in enumerate((5, -6, 7, 300))}
    lost = optimised and clang
    voyage: Truth = {
        **ship,
        **weights,
        "name": LOST if lost else "Albatross",
        "mark": LOST if lost else mark,
    }
    argc = 1 if mark == 9 else 2
    code: Truth = {"code": LOST} if optimised else {}
    load: Truth = {**ship, **weights, "count": 4, "mark": mark, "note": "sum=90110"}
    return [
        ("stamp", {"crate": 0, "mark": mark, "doubled": mark * 2, "crate.id": LOST}),
        ("load_ship", {**load, "sum": LOST if optimised else 90110}),
        ("voyage", {**voyage, **({"result": LOST} if optimised else {})}),
        ("main", {"argc": Unsure(argc) if optimised else argc, "mark": mark, **code}),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("cargo-gcc-O0-dwarf4", "cargo-gcc-O0-dwarf4.gcore", "cargo-gcc-O0-dwarf4.mini"),
        "cargo-gcc-O2-dwarf5",
        *("cargo-clang-O0-dwarf5", "cargo-clang-O2-dwarf4", "cargo-static-pie", "cargo-nopie"),
        *("cargo-compressed-debug", "cargo-stripped"),
    ],
)
def test_cargo(open_core: Open, name: str) -> None:
    session = open_core(name)
    mark = 2000000 if name.endswith("gcore") else 9
    optimised = "-O2-" in name or name == "cargo-static-pie"  # that is built with -O1
    stack = _cargo(mark, optimised=optimised, clang="clang" in name)
    assert differences(list(session.crash_frames()), stack) == []
    _select(session, "voyage")
    assert expression_differences(session, EXPRESSIONS) == []
    secret = 0xFEEDC0DEDEADBEEF  # a static that optimising compilers put into the code alone
    static: Truth = {"s_secret": Unsure(secret) if optimised else secret}
    assert expression_differences(session, static) == []


ACTORS = ("salt", "pepper", "ringer", "rider", "reader", "spinner")


@pytest.mark.parametrize("name", ["crowd", "crowd.gcore"])
def test_crowd(open_core: Open, name: str) -> None:
    session = open_core(name)
    table = session.value("&crowd!g_actors[0]").value
    assert isinstance(table, int)
    found = set()
    for thread in session.threads:
        frames = list(thread.frames())
        bodies = {"salt_first": 0, "pepper_first": 1, "ringer": 2, "rider": 3, "reader": 4}
        bodies["spinner"] = 5
        body = next((each.symbol for each in frames if each.symbol in bodies), None)
        if body is None:
            continue
        number = bodies[body]
        found.add(number)
        assert differences(frames, [(body, {"arg": table + 32 * number})]) == []
        session.command(f"~{thread.ordinal}s")
        truth: Truth = {
            "crowd!t_number": number + 1,  # each thread has its own
            f"crowd!g_actors[{number}].name": ACTORS[number],
            f"crowd!g_actors[{number}].number": number + 1,
            f"((crowd!actor *){table + 32 * number})->name": ACTORS[number],
            f"crowd!g_actors[{number}].body == &crowd!{body}": 1,
        }
        assert expression_differences(session, truth) == []
    assert found == set(range(6))
    owners: Truth = {
        "crowd!g_ready": 6,
        "crowd!g_salt.__data.__owner": session.threads[_thread_of(session, "salt_first")].id,
        "crowd!g_pepper.__data.__owner": session.threads[_thread_of(session, "pepper_first")].id,
        "sizeof(crowd!actor)": 32,
    }
    assert expression_differences(session, owners) == []


def _thread_of(session: DumpSession, function: str) -> int:
    return next(
        number
        for number, thread in enumerate(session.threads)
        if any(each.symbol == function for each in thread.frames())
    )


OTTER: dict[str, int | float | str] = {
    "name_": "Oleander the Very Long Named Otter",
    "diet_": -2,
    "s_count": 1001,
    "depth": 40,
    "legs": 4,
    "age": 9,
    **{f"shells_[{i}]": value for i, value in enumerate((3, 1, 4, 1, 5))},
    "toys_[0].first": "ball",
    "toys_[0].second": 2,
    "toys_[1].first": "ring",
    "toys_[1].second": 3,
    "tag_.[value]": 17,
    "mood_.[value]": "calm",
}
ANIMAL = ("name_", "diet_", "s_count", "depth", "legs", "age")
ZOO_EXPRESSIONS: Truth = {  # in main
    "sizeof(zoo::Being)": 16,
    "sizeof(pen)": 12,
    "otter.legs * otter.age + otter.depth": 76,
    "((zoo::Being &)animal).age": 9,
    "((zoo::Walker *)&otter)->legs": 4,
    "(zoo::Animal *)&otter == &animal": 1,
    "sizeof(pen.slots[0])": 2,
    "zoo::Animal::s_count": 1001,
    "otter.diet_ == zoo::Diet::Fish": 1,
    "(int)zoo::Diet::Meat": 7,
}


@pytest.mark.parametrize("name", ["zoo-gxx", "zoo-clang"])
def test_zoo(open_core: Open, name: str) -> None:
    session = open_core(name)
    animal = {f"animal.{path}": OTTER[path] for path in ANIMAL}
    # clang -O1 says where pen.used is and that the other bytes are nowhere.
    slots: Truth = {
        f"pen.slots[{i}]": LOST if "clang" in name else n for i, n in enumerate((7, -8, 0))
    }
    otter = {f"otter.{path}": value for path, value in OTTER.items()}
    held: Truth = {"*otter.weight_.[ptr]": 11.5, "*otter.shared_.[ptr]": 64}
    stack: Stack = [
        ("zoo::open_cage", {**animal, "number": 42, "sound": "eek"}),
        ("main", {**animal, **slots, "pen.used": 2, **otter, **held}),
    ]
    frames = list(session.crash_frames())
    assert differences(frames, stack) == []
    inner = next(each for each in frames if each.symbol.endswith("operator()"))
    assert inner.locals["number"].value == 35
    _select(session, "main")
    assert expression_differences(session, ZOO_EXPRESSIONS) == []
    sum_of_slots: Truth = {"pen.slots[0] + pen.slots[1]": LOST if "clang" in name else -1}
    assert expression_differences(session, sum_of_slots) == []


def test_crab(open_core: Open) -> None:
    session = open_core("crab")
    shell: dict[str, int | float | str] = {
        "id": 0xC0AB,
        "tide.height": 7.5,
        "tide.name": "Ada",
        "rings[0]": 10,
        "rings[1]": 20,
        "rings[2]": 30,
        "inner.__0.id": 5,
        "inner.__0.tide.__0": 3,
    }
    table: Truth = {
        "shared.[value].[value][0].__0": "a",
        "shared.[value].[value][0].__1": 1,
        "shared.[value].[value][1].__0": "b",
        "shared.[value].[value][1].__1": 2,
    }
    stack: Stack = [
        (
            "<crab::Shell as crab::Pinch>::force",
            {"times": 4, "index": 8, **{f"self.{path}": value for path, value in shell.items()}},
        ),
        ("crab::squeeze", {"times": 4}),
        ("crab::main", {**{f"shell.{path}": value for path, value in shell.items()}, **table}),
    ]
    frames = list(session.crash_frames())
    assert differences(frames, stack) == []
    main = next(each for each in frames if each.symbol == "crab::main")
    assert [each.text for each in (main.locals["calm"], main.locals["shell"]["tide"])] == [
        "Calm",
        'Storm { height: 7.500000, name: "Ada" }',
    ]
    assert main.locals["shell"]["inner"]["__0"]["inner"].text == "None"
    squeeze = next(each for each in frames if each.symbol == "crab::squeeze")
    assert squeeze.locals["target"]["pointer"].value == main.locals["shell"].address
    statics: Truth = {
        "crab!crab::COUNTER": 16,
        "crab!crab::GREETING": "ahoy",
        "sizeof(crab!crab::Tide)": 32,
    }
    assert expression_differences(session, statics) == []


def test_plunge(open_core: Open) -> None:
    """The innermost frame lies on the guard page: its parameters are not there."""
    session = open_core("plunge")
    frames = [each for each in session.crash_frames(60) if each.module == "plunge"]
    assert frames[0].symbol == "bounce"
    top = frames[1].locals["level"].value
    assert isinstance(top, int)
    stack: list[tuple[str, Truth]] = [("bounce", {"level": LOST, "above": LOST})]
    for level in range(top, top - 25, -1):
        here: Truth = {"here.level": level, f"here.marks[{level % 200}]": _char(level)}
        stack.append(("plunge", {**here, "level": level, "above.level": level - 1}))
        stack.append(("bounce", {"level": level - 1, "above.level": level - 1}))
    assert differences(frames, stack) == []
    assert (
        expression_differences(session, {"plunge!g_deepest": top, "sizeof(plunge!step)": 216}) == []
    )


def _char(number: int) -> int:
    """Return what a plain char of the target, which is signed, holds of *number*."""
    return (number + 128) % 256 - 128
