"""Sessions, processes, threads and modules as objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError
from polydbg.base.text import address_text, sanitise_line
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
from polydbg.engine.model.stacks import stack_object
from polydbg.engine.modules import Module
from polydbg.engine.program import process_id, program_path
from polydbg.engine.windows_process import is_windows, peb, split_variable
from polydbg.targets.dump_file import shown_path
from polydbg.targets.process_files import process_files
from polydbg.targets.target import HandleInfo, ThreadInfo
from polydbg.types.model import PointerType
from polydbg.types.place import constant
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext
    from polydbg.engine.session import System


def session_object(context: ModelContext) -> DataObject:
    """Return what ``@$cursession`` means: the current dump."""
    system = context.system

    def words() -> str:
        path = shown_path(system.target.path, system.target.member)
        return sanitise_line(f"{system.target.kind_short}: {path}")

    return ModelObject(
        {
            "Processes": lambda: Sequence(lambda: iter([_process_element(context)])),
            "Id": lambda: context.number(system.ordinal),
        },
        words=words,
        hidden=frozenset(("Id",)),
    )


def _process_element(context: ModelContext) -> Element:
    key = context.number(process_id(context.system))
    return Element(lambda: process_object(context), key)


def process_object(context: ModelContext) -> DataObject:
    """Return what ``@$curprocess`` means."""
    system = context.system
    name = program_path(system).replace("\\", "/").rpartition("/")[2]
    return ModelObject(
        {
            "Name": lambda: context.text(name),
            "Id": lambda: context.number(process_id(system)),
            "Index": lambda: context.number(0),
            "Threads": lambda: Sequence(lambda: _threads(context)),
            "Modules": lambda: Sequence(lambda: _modules(context)),
            "Environment": lambda: _process_environment(context),
            "Io": lambda: ModelObject({"Handles": lambda: Sequence(lambda: _handles(context))}),
        },
        words=lambda: sanitise_line(name) or None,
        methods=lambda: _switching(
            "process", lambda: context.session.select_system(system.ordinal)
        ),
        hidden=frozenset(("Index", "Io")),
    )


def _switching(what: str, switch: Callable[[], None]) -> dict[str, Method]:
    def call(arguments: tuple[DataObject, ...]) -> DataObject:
        switch()
        return ModelObject({})

    return {"SwitchTo": Method("SwitchTo()", f"Method which makes the {what} current", call)}


# -- threads -----------------------------------------------------------------------------------


def _threads(context: ModelContext) -> Iterator[Element]:
    for thread in context.system.threads:
        yield Element(_thread_load(context, thread), context.number(thread.id))


def _thread_load(context: ModelContext, thread: ThreadInfo) -> Callable[[], DataObject]:
    return lambda: thread_object(context, thread)


def thread_object(context: ModelContext, thread: ThreadInfo) -> DataObject:
    """Return a thread; its value is where it started, where the dump says."""
    system = context.system
    properties: dict[str, Load] = {
        "Id": lambda: context.number(thread.id),
        "Index": lambda: context.number(thread.ordinal),
        "Name": lambda: context.text(thread.name or ""),
        "Stack": lambda: stack_object(context, thread),
        "Registers": lambda: registers_object(context, system.thread_registers(thread)),
        "Environment": lambda: _thread_environment(context, thread),
    }

    def words() -> str | None:
        if not thread.start_address:
            return sanitise_line(thread.name or "") or None
        start = system.modules.place(thread.start_address).text
        # The blank at the end is the engine's.
        return f"{start} ({address_text(thread.start_address, system.pointer_size)}) "

    hidden = {"Index"} if thread.name else {"Index", "Name"}
    return ModelObject(
        properties,
        words=words,
        methods=lambda: _switching("thread", lambda: system.select_thread(thread)),
        hidden=frozenset(hidden),
    )


def current_thread(context: ModelContext) -> DataObject:
    """Return what ``@$curthread`` means. :raises ModelError: the dump has no threads."""
    if context.system.thread is None:
        raise ModelError("the dump has no threads", identifier="target.no-thread")
    return thread_object(context, context.system.thread)


def _thread_environment(context: ModelContext, thread: ThreadInfo) -> DataObject:
    if not is_windows(context.system):
        return ModelObject({"ThreadPointer": lambda: context.number(thread.teb or 0)})
    return ModelObject({"EnvironmentBlock": lambda: _block(context, thread.teb, "_TEB", "thread")})


def _process_environment(context: ModelContext) -> DataObject:
    properties: dict[str, Load] = {"Variables": lambda: _variables(context)}
    if is_windows(context.system):
        properties["EnvironmentBlock"] = lambda: _block(
            context, context.session.evaluator.pseudo_register("$peb"), "_PEB", "process"
        )
    return ModelObject(properties)


def _block(context: ModelContext, address: int | None, type_name: str, what: str) -> DataObject:
    """Return the block that Windows keeps of a process or thread, as its symbols describe it.

    :raises ModelError: the dump does not say where it is, or no symbols describe it.
    """
    if not address:
        raise ModelError(f"the dump does not say where the {what}'s block lies")
    found = context.system.types.named(f"ntdll!{type_name}", context.cancel)
    if found is None:
        raise ModelError(
            f"Unable to find type '{type_name}'",
            hint=f"the block is at {address:#x}; !{type_name[1:].lower()} shows it",
        )
    target, model = found[1], context.machine.model
    data = address.to_bytes(model.pointer_size, model.order)
    pointer = PointerType(lambda: target, model.pointer_size)
    return NativeObject(Value(pointer, constant(data), context.machine.around), context)


def _variables(context: ModelContext) -> DataObject:
    """Return the environment variables of the process, where the dump has them."""
    return Sequence(lambda: _variable_elements(context))


def _variable_elements(context: ModelContext) -> Iterator[Element]:
    for text in _environment_texts(context.system):
        name, value = split_variable(text)
        yield Element(_text_load(context, value), context.text(name))


def _text_load(context: ModelContext, text: str) -> Callable[[], DataObject]:
    return lambda: context.text(text)


def _environment_texts(system: System) -> tuple[str, ...]:
    files = process_files(system.target)
    if files is not None and files.environment:
        return files.environment
    if not is_windows(system):
        return ()
    parameters = peb(system).parameters
    block = parameters.environment if parameters is not None else None
    return block.variables if block is not None else ()


# -- modules and handles -----------------------------------------------------------------------


def _modules(context: ModelContext) -> Iterator[Element]:
    for module in context.system.modules.modules:
        yield Element(_module_load(context, module))


def _module_load(context: ModelContext, module: Module) -> Callable[[], DataObject]:
    return lambda: module_object(context, module)


def module_object(context: ModelContext, module: Module) -> DataObject:
    """Return a module; its value and its name are its path, as in the engine."""
    path = module.info.image_path or module.info.name
    return ModelObject(
        {
            "BaseAddress": lambda: context.number(module.base),
            "Name": lambda: context.text(path),
            "Size": lambda: context.number(module.end - module.base),
            "Symbols": lambda: context.text(_symbol_status(context, module)),
        },
        words=lambda: sanitise_line(path),
        hidden=frozenset(("Symbols",)),
    )


def _symbol_status(context: ModelContext, module: Module) -> str:
    try:
        context.system.modules.symbols(module)
    except DebuggerError as error:
        return error.message
    return module.status


def _handles(context: ModelContext) -> Iterator[Element]:
    for info in context.system.target.handles():
        yield Element(_handle_load(context, info), context.number(info.handle))


def _handle_load(context: ModelContext, info: HandleInfo) -> Callable[[], DataObject]:
    return lambda: ModelObject(
        {
            "Handle": lambda: context.number(info.handle),
            "Type": lambda: context.text(info.type_name),
            "GrantedAccess": lambda: context.number(info.granted_access),
            "Object": lambda: context.text(info.object_name),
        },
        words=lambda: sanitise_line(info.type_name) or None,
    )
