"""How often guessed frames are right: the samples' x64 stacks, unwind tables being the truth.

Each method is asked for the caller of every frame that the tables found, knowing just that frame;
and whole stacks are walked with frame pointers and scans alone. Once with the code of the modules
at hand, once without, as in a small dump from elsewhere. ``docs/unwinding.md`` publishes the
figures; ``pytest -s tests/corpus/test_unwind_rates.py`` prints them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from polydbg.base.errors import MemoryReadError
from polydbg.engine.session import Session, System
from polydbg.engine.stack import _UnwindView
from polydbg.images.pe import PeImage
from polydbg.symbols.store import SymbolPath
from polydbg.unwind.frame_pointer import FramePointer
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.method import AMD64, Callee, Caller, UnwindContext, UnwindMethod
from polydbg.unwind.scan import StackScan
from polydbg.unwind.walker import walk

pytestmark = pytest.mark.corpus

EXACT = (FrameTrust.UNWIND_INFO, FrameTrust.LEAF)
METHODS: dict[str, Callable[[], Sequence[UnwindMethod]]] = {
    "frame pointer": lambda: (FramePointer(),),
    "scan": lambda: (StackScan(),),
    "frame pointer, else scan": lambda: (FramePointer(), StackScan()),
}
MAX_FRAMES = 200


class NoCode(_UnwindView):
    """The same dump, but no module's code can be seen."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._system = system
        self._all = self.memory
        self.memory = self  # type: ignore[assignment]

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        return None

    def is_code(self, address: int) -> bool:
        module = self._system.modules.at(address)
        return module is not None and address - module.base >= 0x1000

    def read(self, address: int, size: int) -> bytes:
        data = self.read_some(address, size)
        if len(data) < size:
            raise MemoryReadError(address + len(data))
        return data

    def read_some(self, address: int, size: int) -> bytes:
        return b"" if self._system.modules.at(address) else self._all.read_some(address, size)

    def next_readable(self, address: int) -> int | None:
        return self._all.next_readable(address)


def exact_stacks(system: System) -> Iterator[list[Frame]]:
    """Yield the stacks of all threads as far as unwind tables tell them."""
    seen: set[tuple[int, int]] = set()
    for thread in system.target.threads():
        registers = system.target.registers(thread)
        stack: list[Frame] = []
        for frame in walk(_UnwindView(system), registers, MAX_FRAMES):
            if stack and frame.trust not in EXACT:
                break
            stack.append(frame)
        if len(stack) > 1 and (stack[0].pc, stack[0].sp) not in seen:
            seen.add((stack[0].pc, stack[0].sp))
            yield stack


def asked(
    methods: Sequence[UnwindMethod], frame: Frame, first: bool, view: UnwindContext
) -> Caller | None:
    """Return what the methods say of a frame that is known to be right."""
    callee = Callee(frame.registers, frame.is_return_address, first, AMD64)
    for method in methods:
        caller = method.caller_of(callee, view)
        if caller is not None:
            return caller
    return None


def guessed_walk(
    methods: Sequence[UnwindMethod], first: Frame, view: UnwindContext, limit: int
) -> list[Caller]:
    callee = Callee(first.registers, False, True, AMD64)
    found: list[Caller] = []
    while len(found) < limit:
        caller = next(filter(None, (each.caller_of(callee, view) for each in methods)), None)
        if caller is None or caller.registers["rip"] == 0 or caller.registers["rsp"] <= callee.sp:
            break
        found.append(caller)
        callee = Callee(caller.registers, True, False, AMD64)
    return found


def measure(system: System, view: UnwindContext, counts: Counter[tuple[str, str]]) -> None:
    for stack in exact_stacks(system):
        there = {(frame.pc, frame.sp) for frame in stack}
        for name, make in METHODS.items():
            methods = make()
            known: set[tuple[int, int]] = set()
            for index, (frame, caller) in enumerate(pairwise(stack)):
                if (frame.pc, caller.pc) in known:
                    continue  # recursion: one such frame tells as much as a thousand
                known.add((frame.pc, caller.pc))
                found = asked(methods, frame, index == 0, view)
                if found is None:
                    counts[name, "none"] += 1
                else:
                    place = found.registers["rip"], found.registers["rsp"]
                    counts[name, "right" if place == (caller.pc, caller.sp) else "wrong"] += 1
            for each in guessed_walk(methods, stack[0], view, len(stack) - 1):
                place = each.registers["rip"], each.registers["rsp"]
                counts[name, "walk right" if place in there else "walk wrong"] += 1


@pytest.fixture(scope="module")
def rates(
    data_dir: Path, sample_dump: Callable[[str], Path]
) -> dict[str, Counter[tuple[str, str]]]:
    folder = data_dir / "samples" / "win"
    names = sorted({p.name.split(".dmp")[0] for p in (folder / "dumps").iterdir()})
    found: dict[str, Counter[tuple[str, str]]] = {"code": Counter(), "no code": Counter()}
    for name in names:
        session = Session()
        session.settings.symbol_path = SymbolPath.parse(str(folder / "bin"))
        session.settings.image_path = SymbolPath.parse(f"{folder / 'bin'};{folder / 'wine'}")
        system = session.open_dump(str(sample_dump(name)))
        measure(system, _UnwindView(system), found["code"])
        measure(system, NoCode(system), found["no code"])
        session.close()
    for kind, counts in found.items():
        for method in METHODS:
            print(
                kind, method, {key[1]: count for key, count in counts.items() if key[0] == method}
            )
    return found


def share(counts: Counter[tuple[str, str]], method: str, right: str, *others: str) -> float:
    good = counts[method, right]
    return good / (good + sum(counts[method, other] for other in others))


def test_a_scan_is_right_more_often_than_not(rates: dict[str, Counter[tuple[str, str]]]) -> None:
    assert share(rates["code"], "scan", "right", "wrong", "none") > 0.69
    assert share(rates["no code"], "scan", "right", "wrong", "none") > 0.62
    assert share(rates["code"], "scan", "walk right", "walk wrong") > 0.69
    assert share(rates["no code"], "scan", "walk right", "walk wrong") > 0.63


def test_a_frame_pointer_seldom_leads_to_no_frame_at_all(
    rates: dict[str, Counter[tuple[str, str]]],
) -> None:
    # On x64 it often skips frames: rbp is any register there, and leaves the chain in most code.
    for counts in rates.values():
        assert share(counts, "frame pointer", "walk right", "walk wrong") > 0.9
        assert share(counts, "frame pointer", "right", "wrong") < 0.5
