"""Threads' stacks as objects: frames, their places, parameters and local variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.engine.frame_view import frame_view
from polydbg.engine.model.native import NativeObject
from polydbg.engine.model.objects import (
    DataObject,
    Element,
    Load,
    Method,
    ModelError,
    ModelObject,
    Sequence,
)
from polydbg.engine.model.registers import registers_object
from polydbg.engine.modules import displacement_text
from polydbg.engine.stack import StackFrame
from polydbg.engine.variables import NamedValue, variables_of
from polydbg.targets.target import ThreadInfo
from polydbg.types.model import EnumType, PointerType, ScalarType
from polydbg.types.place import ValueUnavailableError

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext

_HIDDEN = frozenset(("Attributes", "Registers"))


def stack_object(context: ModelContext, thread: ThreadInfo) -> DataObject:
    """Return the stack of *thread*: the property ``Frames``."""
    return ModelObject({"Frames": lambda: Sequence(lambda: _frames(context, thread))})


def _frames(context: ModelContext, thread: ThreadInfo) -> Iterator[Element]:
    system, session = context.system, context.session
    current = system.thread is not None and thread.id == system.thread.id
    registers = system.scope_registers() if current else system.thread_registers(thread)
    limit = session.settings.stack_limit
    for row in session.stack(system, registers, limit, context.cancel):
        yield Element(_frame_load(context, row, thread))


def _frame_load(
    context: ModelContext, row: StackFrame, thread: ThreadInfo | None
) -> Callable[[], DataObject]:
    return lambda: frame_object(context, row, thread)


def frame_object(context: ModelContext, row: StackFrame, thread: ThreadInfo | None) -> DataObject:
    """Return a frame: name, ``LocalVariables``, ``Parameters``, ``Attributes``, ``SwitchTo``."""

    def switch(arguments: tuple[DataObject, ...]) -> DataObject:
        if thread is not None and (
            context.system.thread is None or thread.id != context.system.thread.id
        ):
            context.system.select_thread(thread)
        context.system.scope.frame = row.number
        return ModelObject({})

    return ModelObject(
        {
            "Attributes": lambda: _attributes(context, row, thread),
            "LocalVariables": lambda: _variables(context, row, thread, parameters=False),
            "Parameters": lambda: _variables(context, row, thread, parameters=True),
            "Registers": lambda: registers_object(context, row.registers),
        },
        words=lambda: frame_words(row),
        methods=lambda: {
            "SwitchTo": Method("SwitchTo()", "Method which makes the frame the current one", switch)
        },
        hidden=_HIDDEN,
    )


def frame_words(row: StackFrame) -> str:
    """Return ``app!main + 0x43``."""
    place = row.place
    if not place.displacement_text or row.is_inline:
        return place.base_text
    return f"{place.base_text} + {displacement_text(place.displacement)}"


def _attributes(context: ModelContext, row: StackFrame, thread: ThreadInfo | None) -> DataObject:
    frame = row.frame
    properties: dict[str, Load] = {
        "InstructionOffset": lambda: context.number(frame.pc),
        "StackOffset": lambda: context.number(frame.sp),
    }
    view = frame_view(context.system, row, thread)
    properties["FrameOffset"] = lambda: context.number(view.cfa())
    properties["ReturnOffset"] = lambda: _return_address(context, row)
    properties["FrameNumber"] = lambda: context.number(row.number)
    if row.file:
        properties["SourceInformation"] = lambda: ModelObject(
            {
                "SourceFileName": lambda: context.text(row.file),
                "SourceLine": lambda: context.number(row.line),
            },
            words=lambda: sanitise_line(f"{row.file} @ {row.line}"),
        )
    return ModelObject(properties)


def _return_address(context: ModelContext, row: StackFrame) -> DataObject:
    address = row.frame.return_address
    if address is None:
        raise ValueUnavailableError("where the frame returns to is not known")
    return context.number(address)


def _variables(
    context: ModelContext, row: StackFrame, thread: ThreadInfo | None, *, parameters: bool
) -> DataObject:
    """Return the variables of a frame in order of their names; of several with one name the
    innermost has it, the others are ``name@1`` and so on."""
    found = variables_of(context.system, row, thread) or []
    named: dict[str, Load] = {}
    for each in found:
        name, count = each.name, 0
        while name in named:
            count += 1
            name = f"{each.name}@{count}"
        if each.is_parameter is parameters:
            named[name] = _value_load(context, each)
    return ModelObject({name: named[name] for name in sorted(named)})


def _value_load(context: ModelContext, named: NamedValue) -> Callable[[], DataObject]:
    return lambda: _readable(context, named)


def _readable(context: ModelContext, named: NamedValue) -> DataObject:
    """Return the value of a variable. :raises ModelError: its number is not in memory."""
    bare = named.value.type.bare
    if isinstance(bare, (ScalarType, EnumType, PointerType)):
        try:
            named.value.bytes()
        except MemoryReadError as error:
            raise ModelError(
                f"Memory access error for {sanitise_line(named.name)}",
                identifier="expression.memory",
            ) from error
        except DebuggerError:
            pass  # it is shown as what it is: <value unavailable>
    return NativeObject(named.value, context)
