"""Variables of the Windows sample programs beside nullwrite, figures and faults: threads, the
patterns of the heap, C++ with the GNU library, recursion, optimised code, add-ins.

What optimised code keeps nowhere must be lost: in fastpath ``tree``, ``sum``, ``i``, ``scale`` and
main's ``argc`` and ``result``; in addin_a ``parser`` and ``gone`` of the inlined ``bang``, and
``text``, ``callback`` and ``sum`` of ``addin_parse``.
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


WORKERS = ("alice", "bob", "sleeper", "waiter", "locker", "spinner", "queue")


@pytest.mark.parametrize("name", ["lockstep", "lockstep-full", "lockstep-names", "lockstep.wine"])
def test_lockstep(open_dump: Open, name: str) -> None:
    session = open_dump(name)
    has_data = not name.endswith(".wine")
    writer = 0 if has_data else 1  # its ninth thread writes the dump
    threads = session.threads
    stack: Stack = [("dumper_write_and_exit", {"exit_code": 7}), ("main", {"i": 7})]
    assert differences(list(threads[0].frames()), stack) == []
    table = session.value("&lockstep!g_workers[0]").value
    assert isinstance(table, int)
    for number, worker in enumerate(WORKERS, 1):
        wanted: dict[str, int | str] = {"arg": table + 32 * (number - 1)}
        if number <= 2:
            wanted["me"] = wanted["arg"]
            if has_data:
                wanted |= {"me.name": worker, "me.number": number}
        thread = threads[number + writer]
        assert differences(list(thread.frames()), [(f"{worker}_body", wanted)]) == []
        truth: dict[str, int | str] = {
            f"g_workers[{number - 1}].name": worker,
            f"g_workers[{number - 1}].number": number,
            f"g_workers[{number - 1}].id": thread.id,
            f"g_workers[{number - 1}].body == &{worker}_body": 1,
        }
        unsure: Truth = {
            path: value if has_data else Unsure(value) for path, value in truth.items()
        }
        assert expression_differences(session, unsure) == []
    queue: Truth = {"bytes": 0, "key": 0, "overlapped": 0}
    assert differences(list(threads[7 + writer].frames()), [("queue_body", queue)]) == []
    locks: dict[str, int] = {
        "lockstep!g_fork_left.OwningThread": threads[1 + writer].id,
        "lockstep!g_fork_right.OwningThread": threads[2 + writer].id,
        "lockstep!g_fork_left.RecursionCount": 1,
        "lockstep!g_ready": 7,
    }
    states: Truth = {path: value if has_data else Unsure(value) for path, value in locks.items()}
    assert expression_differences(session, states) == []


BIRDS = "Birds of the Northern Hemisphere"


def _shelf(of: str) -> dict[str, int | str]:
    return {
        f"{of}.room_": "north",
        f"{of}.books_[0].title": "Atlas",
        f"{of}.books_[0].year": 1955,
        **{f"{of}.books_[0].pages[{i}]": i + 1 for i in range(3)},
        f"{of}.books_[1].title": BIRDS,
        f"{of}.books_[1].year": 1987,
        **{f"{of}.books_[1].pages[{i}]": 10 * i + 10 for i in range(2)},
        f"{of}.index_[0].first": "Atlas",
        f"{of}.index_[0].second": 0,
        f"{of}.index_[1].first": BIRDS,
        f"{of}.index_[1].second": 1,
        f"*{of}.counter_.[ptr]": 12,
    }


@pytest.mark.parametrize("name", ["shelf", "shelf.wine"])
def test_shelf(open_dump: Open, name: str) -> None:
    """main finds its variables by RBP, which the engine's dump has as 0 when the exception that
    nobody caught ends in abort: what would lie there is in no memory. The program's own dump has
    it right, but not the heap."""
    session = open_dump(name)
    has_heap = name == "shelf"

    def truth(of: str) -> Truth:
        return {k: v if has_heap else Unsure(v) for k, v in _shelf(of).items()}

    lost: Truth = {"shelf.room_": LOST, "argc": LOST, "argv": LOST}
    stack: Stack = [
        ("on_abort", {"words[0]": 7}),
        ("Shelf::find", {**truth("this"), "title": "Comets"}),
        ("read", {**truth("shelf"), "title": "Comets", "wanted": "Comets"}),
        ("main", lost if has_heap else {**truth("shelf"), "shelf.room_": "north", "argc": 5}),
    ]
    assert differences(list(session.crash_frames()), stack) == []
    label = "a label too long for the small buffer of std::string"
    wanted: Truth = {
        "sizeof(Book)": 64,
        "sizeof(Shelf)": 32 + 24 + 48 + 8,
        "shelf!g_label": label if has_heap else Unsure(label),
    }
    assert expression_differences(session, wanted) == []


def test_overflow(open_dump: Open) -> None:
    """Each frame of the recursion has its own variables; the innermost has just begun."""
    session = open_dump("overflow")
    frames = [each for each in session.crash_frames(80) if each.module == "overflow"]
    level = frames[0].locals["level"].value
    assert isinstance(level, int)
    assert level > 1000
    stack: list[tuple[str, Truth]] = [("descend", {"level": level})]
    for depth in range(1, 30):
        own = level - depth
        marks = {f"here.marks[{i}]": own * 100 + i for i in (0, 1, 17, 29)}
        stack.append(("bounce", {"level": own, "next": own + 1, "above.level": own}))
        descend: Truth = {"level": own, "here.level": own, "i": 30, **marks}
        stack.append(("descend", {**descend, "above.level": own - 1, "here.above.level": own - 1}))
    assert differences(frames, stack) == []
    for depth in range(2, 20, 2):
        outer = frames[depth + 2].locals["here"].address
        assert frames[depth].locals["above"].value == outer
    truth: Truth = {"overflow!g_deepest": Unsure(level - 1), "sizeof(step)": 136}
    assert expression_differences(session, truth) == []


PATTERNS: dict[str, int | float | str] = {
    **{f"g_pattern[{i}]": (i * 7 + 3) & 0xFF for i in (0, 1, 100, 255, 4095)},
    "g_ascii[0x40]": ord("T"),
    "g_ascii + 0x40": "The quick brown fox jumps over the lazy dog 0123456789",
    "g_wide + 0x10": "Sphinx of black quartz",
    "g_dwords[16]": 0xFEEDFACE,
    "g_dwords[17]": 0xDEADBEEF,
    "g_dwords[63]": 0xFEEDFACE,
    **{f"g_qwords[{i}]": 0x0123456789ABCDEF + i for i in (0, 7, 15)},
    **{f"g_doubles[{i}]": 1.5 * i for i in range(8)},
    "g_list->text": "node-00",
    "g_list->next->text": "node-01",
    "g_list->next->next->value": 102,
    "g_list->tag": 0x444F4E45,
    "((unsigned char *)g_pages)[0]": 0xA0,
    "((unsigned char *)g_pages)[3 * 4096 + 1]": 0xA3,
    "((unsigned char *)g_pages)[3 * 4096]": 0xA3,
    "g_list->next->value - g_list->value": 1,
    "sizeof(node)": 40,
    "sizeof(*g_list)": 40,
    "sizeof(*g_wide)": 2,
}


def test_heapdata(open_dump: Open) -> None:
    session = open_dump("heapdata-snap")
    stack: Stack = [("dumper_write_and_exit", {"exit_code": 0}), ("main", {"sum": 1045})]
    assert differences(list(session.crash_frames()), stack) == []
    assert expression_differences(session, PATTERNS) == []
    node = session.value("heapdata!g_list")
    for number in range(10):
        assert (node["value"].value, node["text"].string()) == (100 + number, f"node-{number:02}")
        node = node["next"]
    assert node.value == 0


def test_heapdata_crash(open_dump: Open) -> None:
    session = open_dump("heapdata-crash")
    wild: Truth = {"at": 0x4141414142424240, "sum": 303, "at.value": LOST}
    stack: Stack = [("sum_list", wild), ("main", {"sum": 1045, "argc": 2})]
    assert differences(list(session.crash_frames()), stack) == []
    wine = open_dump("heapdata-handles.wine")
    main: Stack = [("dumper_write_and_exit", {"exit_code": 0}), ("main", {"sum": 1045, "argc": 5})]
    assert differences(list(wine.crash_frames()), main) == []


def test_fastpath(open_dump: Open) -> None:
    session = open_dump("fastpath")
    stack: Stack = [
        ("read_leaf", {"leaf": 3, "leaf.weight": LOST}),
        ("walk", {"tree": LOST, "sum": LOST, "i": LOST}),
        ("tally", {"tree": LOST, "scale": LOST, "doubled": 24}),
        (
            "main",
            {
                "argc": LOST,
                "result": LOST,
                "tree.count": Unsure(3),
                "tree.leaves[2]": Unsure(3),
                "one.weight": 10,
                "two.weight": 20,
            },
        ),
    ]
    assert differences(list(session.crash_frames()), stack) == []
    truth: Truth = {"fastpath!g_sink": 24, "sizeof(struct tree)": 40, "sizeof(struct leaf)": 16}
    assert expression_differences(session, truth) == []


def test_loader(open_dump: Open) -> None:
    inside = open_dump("loader-inside")
    parser: Truth = {"at": "!", "tokens": 2, "self.tokens": 2, "self.self.at": "!"}
    stack: Stack = [
        ("bang", {"parser": LOST, "gone": LOST}),
        (
            "addin_parse",
            {
                "text": LOST,
                "callback": LOST,
                "sum": LOST,
                **{f"parser.{path}": value for path, value in parser.items()},
            },
        ),
        ("use_addin", {"text": "alpha beta !"}),
        ("main", {"total": 6, "argc": 2}),
    ]
    assert differences(list(inside.crash_frames()), stack) == []
    wanted: Truth = {
        "addin_a!g_addin_calls": 1,
        "loader!s_callbacks": 4,
        "sizeof(struct parser)": 32,
    }
    assert expression_differences(inside, wanted) == []
    callback = next(each for each in inside.crash_frames() if each.symbol == "addin_parse")
    address = callback.locals["parser"]["callback"].value
    assert isinstance(address, int)
    assert inside.name_of(address) == "loader!on_token"
    for name in ("loader-stale", "loader-stale-unloaded"):
        stale = open_dump(name)
        rip = stale.exception.registers["rip"] if stale.exception is not None else 0
        called: Stack = [
            ("use_addin", {"fn": rip, "text": "four five"}),
            ("main", {"total": 6, "argc": 2, "count": rip}),
        ]
        assert differences(list(stale.crash_frames()), called) == []
        assert expression_differences(stale, {"loader!s_callbacks": 2}) == []
