"""How control tokens reach around the commands in their blocks."""

from __future__ import annotations

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
    """How deep in loops and ``.catch`` blocks the commands that run are."""

    loops: int = 0
    catches: int = 0
