"""Every x64 sample dump opens and shows what is known of it: event, crash line, chain, threads.

The table is that of ``samples/README.md``; lines of callers are those of the call, also where that
file names the line after it (nullwrite.c:88, shelf.cpp:54), as the engine's ``k`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.engine.session import Session
from polydbg.engine.stack import StackFrame
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

SHOP = [("apply_discount", 67), ("price_order", 87), ("run_shop", 127), ("main", 136)]
SNAPSHOT = [("main", 0)]

# dump -> (exception code, functions with lines that stand in the stack in this order)
TRUTH: dict[str, tuple[int, list[tuple[str, int]]]] = {
    "nullwrite": (0xC0000005, SHOP),
    "nullwrite-data": (0xC0000005, SHOP),
    "nullwrite-full": (0xC0000005, SHOP),
    "nullwrite-r": (0xC0000005, SHOP),
    "nullwrite-code": (0xC0000005, SHOP),
    "nullwrite-first": (0xC0000005, SHOP),
    "nullwrite.wine": (0xC0000005, SHOP),
    "lockstep": (0x80000003, SNAPSHOT),
    "lockstep-full": (0x80000003, SNAPSHOT),
    "lockstep-names": (0x80000003, SNAPSHOT),
    "lockstep.wine": (0x80000003, []),
    "figures-throw": (
        0xE06D7363,
        [
            ("throw_failure", 122),
            ("geometry::Box::paint", 130),
            ("total_area", 149),
            ("run", 0),
            ("main", 0),
        ],
    ),
    "figures-throw.wine": (0xE06D7363, [("throw_failure", 122), ("geometry::Box::paint", 130)]),
    "figures-null": (0xC0000005, [("geometry::Box::paint", 134)]),
    "figures-snap": (0x80000003, [("dumper_write_and_exit", 0), ("geometry::Box::paint", 132)]),
    "shelf": (0xC0000409, [("on_abort", 53), ("Shelf::find", 39), ("read", 46), ("main", 0)]),
    "shelf.wine": (0xC0000409, []),
    "overflow": (0xC00000FD, [("descend", 20), ("bounce", 0), ("descend", 0)]),
    "heapdata-snap": (0x80000003, [("main", 96)]),
    "heapdata-crash": (0xC0000005, [("sum_list", 46), ("main", 0)]),
    "heapdata-handles.wine": (0x80000003, []),
    "faults-divzero": (0xC0000094, [("divide", 20), ("main", 0)]),
    "faults-divzero.wine": (0xC0000094, [("divide", 20), ("main", 0)]),
    "faults-idiv-overflow": (0xC0000094, [("divide", 20), ("main", 0)]),
    "faults-int3": (0x80000003, [("stop_here", 27), ("main", 0)]),
    "faults-badcall": (0xC0000005, [("call_through", 33), ("main", 0)]),
    "faults-nx": (0xC0000005, [("call_through", 33), ("main", 0)]),
    "faults-privileged": (0xC0000096, [("privileged", 38), ("main", 0)]),
    "faults-readonly": (0xC0000005, [("write_constant", 43), ("main", 0)]),
    "faults-raise": (0xE0001234, [("raise_own", 49), ("main", 80)]),
    "faults-abort": (0xC0000409, [("on_abort", 0), ("give_up", 63), ("main", 0)]),
    "fastpath": (0xC0000005, [("read_leaf", 16), ("walk", 23), ("tally", 31), ("main", 45)]),
    "loader-inside": (
        0xC0000005,
        [("bang", 14), ("addin_parse", 28), ("use_addin", 23), ("main", 0)],
    ),
    "loader-stale": (0xC0000005, [("use_addin", 23), ("main", 0)]),
    "loader-stale-unloaded": (0xC0000005, [("use_addin", 23), ("main", 0)]),
}


@pytest.fixture
def open_sample(
    data_dir: Path, sample_dump: Callable[[str], Path]
) -> Iterator[Callable[[str], Session]]:
    sessions: list[Session] = []

    def make(name: str) -> Session:
        session = Session()
        binaries, system = (data_dir / "samples" / "win" / each for each in ("bin", "wine"))
        session.settings.symbol_path = SymbolPath.parse(str(binaries))
        session.settings.image_path = SymbolPath.parse(f"{binaries};{system}")
        session.open_dump(str(sample_dump(name)))
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


def crash_stack(session: Session, limit: int = 64) -> list[StackFrame]:
    system = session.current
    registers = system.target.exception_registers() or system.scope_registers()
    return list(session.stack(system, registers, limit))


def test_the_table_names_every_dump(data_dir: Path) -> None:
    folder = data_dir / "samples" / "win" / "dumps"
    names = {p.name.removesuffix(".zst").removesuffix(".dmp") for p in folder.iterdir()}
    assert names == set(TRUTH)


@pytest.mark.parametrize("name", TRUTH)
def test_event_and_chain(name: str, open_sample: Callable[[str], Session]) -> None:
    code, chain = TRUTH[name]
    session = open_sample(name)
    event = session.current.target.event()
    assert event is not None
    assert event.exception.code == code
    found = [(f.place.symbol, f.line) for f in crash_stack(session)]
    rest = iter(found)
    for function, line in chain:
        for symbol, at in rest:
            if symbol == function and (not line or at == line):
                break
        else:
            pytest.fail(f"{function}:{line} is not in the stack, in order: {found}")


def test_a_call_into_an_unloaded_module_is_named(open_sample: Callable[[str], Session]) -> None:
    top = crash_stack(open_sample("loader-stale-unloaded"))[0]
    assert top.place.text == "<Unloaded_addin_b.dll>+0x1370"


def test_wild_calls_are_marked(open_sample: Callable[[str], Session]) -> None:
    frames = crash_stack(open_sample("faults-badcall"))
    assert frames[0].frame.pc == 0x123456789ABC
    assert frames[1].trust.is_guess


def test_lockstep_has_its_threads(open_sample: Callable[[str], Session]) -> None:
    session = open_sample("lockstep-names")
    system = session.current
    assert len(system.threads) == 8
    bodies = []
    for thread in system.threads[1:]:
        frames = list(session.stack(system, system.thread_registers(thread), 32))
        bodies += [(f.place.symbol, f.line) for f in frames if f.place.symbol.endswith("_body")][:1]
    assert [n for n, _ in bodies] == [
        f"{n}_body" for n in ("alice", "bob", "sleeper", "waiter", "locker", "spinner", "queue")
    ]
    lines = dict(bodies)
    assert (lines["alice_body"], lines["bob_body"]) == (42, 52)
    assert (lines["sleeper_body"], lines["waiter_body"]) == (59, 67)
    assert (lines["locker_body"], lines["queue_body"]) == (74, 91)


def test_a_used_up_stack_is_walked_to_its_limit(open_sample: Callable[[str], Session]) -> None:
    frames = crash_stack(open_sample("overflow"), 0x400)
    assert len(frames) == 0x400
    names = {f.place.symbol for f in frames[:100]}
    assert names == {"descend", "bounce"}
