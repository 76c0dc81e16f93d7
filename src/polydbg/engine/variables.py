"""Variables with their values: those of a frame, and global ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.frame_view import frame_view, thread_view
from polydbg.engine.modules import Module
from polydbg.engine.stack import StackFrame
from polydbg.symbols.source import Symbol
from polydbg.targets.target import ThreadInfo
from polydbg.types.model import Type, UnknownType
from polydbg.types.place import Place, in_memory, nowhere
from polydbg.types.source import FrameView, Scope, Variable, VariableKind
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.session import Session, System


class NamedValue(msgspec.Struct, frozen=True, eq=False):
    """A variable, its value, and the words for where it is (``dv /V``): ``@rsp+0x0070``, ``@r10``,
    ``""`` where the debug information has none."""

    variable: Variable
    value: Value
    place_words: str = ""

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def is_parameter(self) -> bool:
        return self.variable.kind is VariableKind.PARAMETER


def scope_of(system: System, frame: StackFrame) -> Scope | None:
    """Return the function that *frame* is in, or the inlined call; ``None`` where its module's
    symbols have no records of variables.

    :raises FormatError: the symbols are damaged there.
    """
    lookup = frame.frame.lookup_pc
    module = system.modules.at(lookup)
    source = system.modules.symbols(module) if module is not None else None
    if module is None or source is None:
        return None
    scopes = source.scopes_at(lookup - module.base)
    return scopes[frame.depth] if frame.depth < len(scopes) else None


def variables_of(
    system: System, frame: StackFrame, thread: ThreadInfo | None = None
) -> list[NamedValue] | None:
    """Return the variables in scope in *frame* with their values, the innermost block first, then
    parameters and locals as recorded, statics last; ``None`` where the symbols have no records.
    *frame* lies on the stack of *thread*, by default the current one.

    :raises FormatError: the symbols are damaged there.
    """
    scope = scope_of(system, frame)
    if scope is None:
        return None
    view = frame_view(system, frame, thread)
    return [named_value(system, each, view) for each in scope.variables]


def current_view(session: Session) -> FrameView | None:
    """Return the view of the selected frame, ``None`` without a stack."""
    frame = session.current_frame(session.files.cancel) if session.has_target else None
    return frame_view(session.current, frame) if frame is not None else None


def named_value(system: System, variable: Variable, view: FrameView | None) -> NamedValue:
    """Return *variable* with its value in the frame of *view* (``None``: no frame). What is
    damaged is a value that is nowhere, with the reason."""
    try:
        in_frame = variable.type_in(view) if view is not None else None
        type_ = in_frame if in_frame is not None else variable.type()
    except DebuggerError as error:
        type_ = UnknownType("", error.message)
    try:
        place, words = variable.locate(view), variable.place_words(view)
    except DebuggerError as error:
        place, words = nowhere(error.message), ""
    return NamedValue(variable, Value(type_, place, system.types.around), words)


def global_named(
    system: System,
    module: Module,
    name: str,
    view: FrameView | None = None,
    cancel: CancelToken | None = None,
    *,
    by_case: bool = False,
) -> Value | None:
    """Return the variable, constant or function of that name in *module*; *view* is the frame
    whose thread's copy of a thread's own variable is meant. With *by_case*, names that differ in
    the case of letters are others."""
    source = system.modules.symbols(module)
    if source is None:
        return None
    try:
        variable = source.global_named(name, cancel)
        if variable is not None and (not by_case or variable.name == name):
            return global_value(system, module, variable, view)
    except DebuggerError:
        return None
    return symbol_named(system, module, name, cancel, by_case=by_case)


def symbol_named(
    system: System,
    module: Module,
    name: str,
    cancel: CancelToken | None = None,
    *,
    by_case: bool = False,
) -> Value | None:
    """Return the function or variable that the symbols of *module* call *name*; see
    :func:`global_named`, which also knows constants and what has no address."""
    source = system.modules.symbols(module)
    try:
        symbol = source.symbol_named(name, cancel) if source is not None else None
    except DebuggerError:
        return None
    if symbol is None or (by_case and symbol.name != name):
        return None
    return symbol_value(system, module, symbol)


def global_value(
    system: System, module: Module, variable: Variable, view: FrameView | None
) -> Value:
    """Return the value of a global variable of *module*."""
    if variable.rva is None:
        return named_value(system, variable, thread_view(system, module, view)).value
    try:
        type_ = variable.type()
    except DebuggerError as error:
        type_ = UnknownType("", error.message)
    return Value(type_, in_memory(module.base + variable.rva), system.types.around)


def symbol_value(system: System, module: Module, symbol: Symbol) -> Value:
    """Return what *symbol* names in memory; its type is unknown where the symbols have none."""
    place: Place = in_memory(module.base + symbol.rva)
    return Value(symbol_type(system, module, symbol), place, system.types.around)


def symbol_type(system: System, module: Module, symbol: Symbol) -> Type:
    """Return the type of a function or variable, an :class:`UnknownType` where the symbols have
    none or are damaged."""
    source = system.modules.symbols(module)
    try:
        if source is not None:
            # A function's index may be that of an id record, which only its own source can tell.
            found = None if symbol.is_code else source.type_of_index(symbol.type_index)
            found = found or source.type_at(symbol.rva)
            if found is not None:
                return found
    except DebuggerError as error:
        return UnknownType("", error.message)
    return UnknownType("", "no type information")
