"""How control tokens reach around the commands in their blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec


class FlowSignal(Exception):  # noqa: N818 - no error: a way out of a block
    """Ends the commands of a block; who opened it catches the one that is meant for it."""


class BreakLoop(FlowSignal):
    """``.break``: leave the loop."""


class ContinueLoop(FlowSignal):
    """``.continue``: on to the next round."""


class LeaveCatch(FlowSignal):
    """``.leave``: go on behind the ``.catch`` block."""


class ProgramFailed(FlowSignal):
    """A command of the block failed, and has said so: the rest is not run, up to a ``.catch``."""


class Flow(msgspec.Struct):
    """How deep in loops and ``.catch`` blocks the commands that run are, and in lines into which
    text of the target or of output was put (*foreign*): those start no program."""

    loops: int = 0
    catches: int = 0
    foreign: int = 0

    @contextmanager
    def in_foreign_text(self) -> Iterator[None]:
        """Within this, what runs has text in it that the user did not write."""
        self.foreign += 1
        try:
            yield
        finally:
            self.foreign -= 1
