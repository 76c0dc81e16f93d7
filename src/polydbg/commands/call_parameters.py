"""The parameters of calls as ``kp`` and ``kP`` print them between the name and the offset."""

from __future__ import annotations

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.output import Item
from polydbg.commands.value_words import UNAVAILABLE, Present, value_words
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame
from polydbg.engine.variables import variables_of
from polydbg.targets.target import ThreadInfo
from polydbg.types.naming import spelled

_LOST = "<Value unavailable error>"
MAX_PARAMETERS = 128


class CallParameter(Item, frozen=True):
    """A parameter of a frame; *value* is as ``dv`` prints it."""

    name: str
    type_name: str
    value: str

    def text(self) -> str:
        value = _LOST if self.value == UNAVAILABLE else self.value
        return f"{self.type_name} {self.name} = {value}"


def parameters_of(
    system: System, row: StackFrame, present: Present | None, thread: ThreadInfo | None = None
) -> tuple[CallParameter, ...] | None:
    """Return the parameters of a frame but for ``this``; ``None`` where the symbols have none of
    the function, and of inlined calls, of which the engine shows none. The frame lies on the stack
    of *thread*, by default the current one."""
    if row.is_inline or not row.place.symbol:
        return None
    try:
        found = variables_of(system, row, thread)
    except DebuggerError:
        return None
    if found is None:
        return None
    return tuple(
        CallParameter(
            name=sanitise_line(each.name),
            type_name=sanitise_line(spelled(each.value.type)),
            value=value_words(each.value, present),
        )
        for each in found
        if each.is_parameter and each.name != "this"
    )[:MAX_PARAMETERS]


def parameters_text(parameters: tuple[CallParameter, ...], on_lines: bool) -> str:
    """Return the parameters in parentheses; *on_lines*: each on a line of its own (``kP``)."""
    if not parameters:
        return "(void)"
    if not on_lines:
        return f"({', '.join(each.text() for each in parameters)})"
    return "(\n" + ",\n".join(f"\t\t\t{each.text()}" for each in parameters) + ")"
