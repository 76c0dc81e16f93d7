"""The code of one function by control flow: which instructions can run, in which blocks.

A block starts at the function's start, at each target of a jump and after each conditional one.
Computed jumps are followed where a jump table of a usual shape lies behind them
(:mod:`polydbg.engine.jump_tables`); otherwise the analysis says that code may be missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from polydbg.arch.disassembly import Disassembler, FlowKind, Instruction, Symbolizer
from polydbg.engine.code import instructions
from polydbg.engine.functions import Function
from polydbg.engine.jump_tables import jump_targets
from polydbg.memory.space import AddressSpace

MAX_INSTRUCTIONS = 1 << 18
"""More than any function has that people read; damaged code can go on for longer."""

_POLL = 64
_HISTORY = 24  # instructions before a computed jump in which its table is looked for


class FunctionCode(msgspec.Struct, eq=False):
    """What flow analysis found. *rows* are by address; *leaders* start blocks.

    *is_complete* is false where a computed jump could not be followed or code could not be read,
    *is_cut* true where there was more than :data:`MAX_INSTRUCTIONS`.
    """

    function: Function
    rows: dict[int, Instruction] = msgspec.field(default_factory=dict)
    leaders: set[int] = msgspec.field(default_factory=set)
    is_complete: bool = True
    is_cut: bool = False

    def blocks(self, *, by_address: bool = False) -> list[list[Instruction]]:
        """Return the blocks in the order of their offset from the function's start, so that parts
        moved below it come last; or by address."""
        start = 0 if by_address else self.function.start
        order = sorted(self.rows, key=lambda address: (address - start) & 0xFFFFFFFFFFFFFFFF)
        blocks: list[list[Instruction]] = []
        end = None
        for address in order:
            row = self.rows[address]
            if address != end or address in self.leaders:
                blocks.append([])
            blocks[-1].append(row)
            end = row.end
        return blocks


class FlowAnalysis:
    """Follows the code of one function; *step* is called every few instructions."""

    def __init__(
        self,
        memory: AddressSpace,
        decoder: Disassembler,
        function: Function,
        symbolize: Symbolizer,
        step: Callable[[int], None],
        *,
        several_exits: bool = False,
    ) -> None:
        """Prepare. *several_exits* lets a block go on after a conditional jump."""
        self._memory = memory
        self._decoder = decoder
        self._symbolize = symbolize
        self._step = step
        self._several_exits = several_exits
        self._pending = [function.start]
        self._code = FunctionCode(function, leaders={function.start})

    def run(self) -> FunctionCode:
        """Return the function's code.

        :raises Cancelled: by *step*.
        """
        code = self._code
        while self._pending and not code.is_cut:
            start = self._pending.pop()
            if start not in code.rows:
                self._follow(start)
        return code

    def _follow(self, start: int) -> None:
        """Read on from *start* up to where control goes elsewhere or joins known code."""
        code = self._code
        history = deque[Instruction](maxlen=_HISTORY)
        stream = instructions(self._memory, self._decoder, start, self._symbolize)
        for row in stream:
            if row.address in code.rows or not self._is_inside(row.address):
                return
            if len(code.rows) >= MAX_INSTRUCTIONS:
                code.is_cut = True
                return
            if len(code.rows) % _POLL == 0:
                self._step(len(code.rows))
            code.rows[row.address] = row
            history.append(row)
            if not self._goes_on(row, history):
                return

    def _is_inside(self, address: int) -> bool:
        function = self._code.function
        return 0 <= address - function.start < function.size or function.contains(address)

    def _goes_on(self, row: Instruction, history: deque[Instruction]) -> bool:
        """Note where *row* leads, and say whether the next instruction follows it."""
        if not row.data or not row.is_decoded:
            self._code.is_complete = False
            return False
        flow = self._decoder.flow(row)
        if flow.kind in (FlowKind.NEXT, FlowKind.CALL):
            return True
        if flow.kind is FlowKind.BRANCH:
            self._lead_to(flow.target)
            if not self._several_exits:
                self._code.leaders.add(row.end)
            return True
        if flow.kind is FlowKind.JUMP:
            if flow.target is None:
                self._computed(history)
            else:
                self._lead_to(flow.target)
        return False

    def _lead_to(self, target: int | None) -> None:
        if target is not None and self._is_inside(target):
            self._code.leaders.add(target)
            self._pending.append(target)

    def _computed(self, history: deque[Instruction]) -> None:
        """Follow a computed jump through its table; a jump through a pointer leaves for good."""
        module = self._code.function.module
        base = module.base if module is not None else 0
        targets = jump_targets(
            self._memory,
            self._decoder,
            list(history),
            self._code.rows.values(),
            base,
            self._is_inside,
            self._step,
        )
        if targets is None:
            return
        if not targets:
            self._code.is_complete = False
        for target in targets:
            self._lead_to(target)
