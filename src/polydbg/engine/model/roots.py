"""Where the data model begins: ``Debugger``, and the variables ``@$cursession`` and the like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from polydbg.engine.model.lists import from_list_entry
from polydbg.engine.model.objects import (
    DataObject,
    Element,
    Load,
    Method,
    ModelError,
    ModelObject,
    Part,
    Sequence,
)
from polydbg.engine.model.processes import current_thread, process_object, session_object
from polydbg.engine.model.stacks import frame_object, stack_object

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext

MAX_LINES = 100_000
"""Lines of output of a command that an object holds."""


def model_root(context: ModelContext) -> DataObject:
    """Return ``Debugger``."""
    return ModelObject(
        {
            "Sessions": lambda: Sequence(lambda: _sessions(context)),
            "Settings": lambda: settings_object(context),
            "State": lambda: _state(context),
            "Utility": lambda: _utility(context),
        }
    )


def pseudo_variable(context: ModelContext, name: str) -> DataObject | None:
    """Return the object that ``@$name`` means, ``None`` if the model has none of that name."""
    found = _VARIABLES.get(name)
    return found(context) if found is not None else None


def _sessions(context: ModelContext) -> Iterator[Element]:
    key = context.number(context.system.ordinal)
    yield Element(lambda: session_object(context), key)


def _current_stack(context: ModelContext) -> DataObject:
    thread = context.system.thread
    if thread is None:
        raise ModelError("the dump has no threads", identifier="target.no-thread")
    return stack_object(context, thread)


def _current_frame(context: ModelContext) -> DataObject:
    row = context.session.current_frame(context.cancel)
    if row is None:
        raise ModelError("there is no stack", identifier="stack.none")
    return frame_object(context, row, context.system.thread)


class UserVariables(DataObject):
    """The variables that ``dx @$name = ...`` made."""

    def __init__(self, context: ModelContext) -> None:
        self._context = context

    @property
    def _variables(self) -> dict[str, object]:
        return self._context.session.model_variables

    def properties(self) -> Iterator[Part]:
        for name, found in self._variables.items():
            if isinstance(found, DataObject):
                yield Part(name, _held(found), _own_name(name), is_rooted=True)

    def methods(self) -> Mapping[str, Method]:
        def remove(arguments: tuple[DataObject, ...]) -> DataObject:
            name = (self._context.as_text(arguments[0]) or "").removeprefix("@").removeprefix("$")
            if self._variables.pop(name, None) is None:
                raise ModelError("Use of undefined variable", identifier="model.undefined-variable")
            return ModelObject({})

        def clear(arguments: tuple[DataObject, ...]) -> DataObject:
            self._variables.clear()
            return ModelObject({})

        return {
            "Remove": Method(
                "Remove(VariableName)", "Method which removes a variable", remove, 1, 1
            ),
            "Clear": Method("Clear()", "Method which removes all variables", clear),
        }


def _own_name(name: str) -> Callable[[str], str]:
    return lambda parent: f"@${name}"


def _held(object_: DataObject) -> Load:
    return lambda: object_


_VARIABLES: dict[str, Callable[[ModelContext], DataObject]] = {
    "cursession": session_object,
    "curprocess": process_object,
    "curthread": current_thread,
    "curstack": _current_stack,
    "curframe": _current_frame,
    "vars": UserVariables,
    "debuggerRootNamespace": lambda context: ModelObject({"Debugger": lambda: model_root(context)}),
}


def _state(context: ModelContext) -> DataObject:
    variables: dict[str, Load] = {name: _variable(context, name) for name in _VARIABLES}
    return ModelObject(
        {
            "DebuggerVariables": lambda: Variables(variables),
            "PseudoRegisters": lambda: ModelObject({"General": lambda: _pseudo_registers(context)}),
            "UserVariables": lambda: UserVariables(context),
        }
    )


class Variables(ModelObject):
    """Variables whose paths are their own names: ``@$curthread``."""

    def properties(self) -> Iterator[Part]:
        for part in super().properties():
            yield Part(part.name, part.load, _own_name(part.name), is_rooted=True)


def _variable(context: ModelContext, name: str) -> Load:
    return lambda: _VARIABLES[name](context)


_PSEUDO = ("ra", "ip", "exentry", "retreg", "proc", "thread", "peb", "teb", "tpid", "tid")


def _pseudo_registers(context: ModelContext) -> DataObject:
    names = [*_PSEUDO, *(f"t{number}" for number in range(20))]
    return Variables({name: _pseudo_register(context, name) for name in names})


def _pseudo_register(context: ModelContext, name: str) -> Load:
    def load() -> DataObject:
        found = context.scope.pseudo_register(f"${name}")
        if found is None:
            raise ModelError("not available in this session", identifier="model.not-available")
        return context.number(found) if isinstance(found, int) else context.made(found)

    return load


def _utility(context: ModelContext) -> DataObject:
    def execute(arguments: tuple[DataObject, ...]) -> DataObject:
        line = context.as_text(arguments[0])
        if line is None:
            raise ModelError("a command in quotes is needed", identifier="model.no-text")
        lines: list[str] = []
        for text in context.run(line):
            if len(lines) >= MAX_LINES:
                raise ModelError("the command prints too many lines", identifier="model.too-many")
            lines.append(text)
        return Sequence(lambda: (Element(_text_load(context, text)) for text in lines))

    control = Method(
        "ExecuteCommand(Command)",
        "Method which executes a debugger command and returns its output as lines",
        execute, 1, 1,
    )  # fmt: skip
    collections = from_list_entry(context)
    return ModelObject(
        {
            "Collections": lambda: WithMethods({collections.name: collections}),
            "Control": lambda: WithMethods({control.name: control}),
        }
    )


class WithMethods(DataObject):
    """An object that has methods only."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods

    def methods(self) -> Mapping[str, Method]:
        return self._methods


def _text_load(context: ModelContext, text: str) -> Load:
    return lambda: context.text(text)


def settings_object(context: ModelContext) -> DataObject:
    """Return ``Debugger.Settings``: the groups of the engine, with what is set here in them."""
    settings = context.session.settings

    def group(properties: dict[str, Load]) -> Load:
        return lambda: ModelObject(properties)

    return ModelObject(
        {
            "Debug": group({}),
            "Display": group({"Inline": lambda: context.truth_value(settings.inline)}),
            "EngineInitialization": group({}),
            "Extensions": group({}),
            "Input": group({"Radix": lambda: context.number(settings.radix)}),
            "Sources": group({"SourcePath": lambda: context.text(settings.source_path)}),
            "Symbols": group(
                {
                    "Sympath": lambda: context.text(settings.symbol_path.text),
                    "ImagePath": lambda: context.text(settings.image_path.text),
                    "Offline": lambda: context.truth_value(settings.offline),
                }
            ),
            "AutoSaveSettings": lambda: context.truth_value(False),
        }
    )
