"""``Debugger.Utility.Collections.FromListEntry``: Windows' doubly linked lists as sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from polydbg.engine.model.native import NativeObject
from polydbg.engine.model.objects import DataObject, Element, Method, ModelError, Sequence
from polydbg.types.members import path_to
from polydbg.types.model import Type
from polydbg.types.place import in_memory
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext

MAX_ENTRIES = 1 << 24


def from_list_entry(context: ModelContext) -> Method:
    """Return the method: the head of a list, the type of its elements and the field in which they
    hang together make the elements."""

    def call(arguments: tuple[DataObject, ...]) -> DataObject:
        head, names = context.address(arguments[0]), [context.as_text(a) for a in arguments[1:]]
        type_name, field = names[0] or "", names[1] or ""
        found = context.scope.type_named(type_name)
        if found is None:
            raise ModelError(f"Unable to find type '{type_name}'", identifier="expression.no-type")
        offset = _offset(found, field)
        return Sequence(lambda: _entries(context, head, found, offset))

    return Method(
        "FromListEntry(ListEntry, TypeName, FieldExpression)",
        "Method which converts a LIST_ENTRY specified by the 'ListEntry' parameter of types whose "
        "name is specified by the string 'TypeName' and whose embedded links within that type are "
        "accessed via an expression specified by the string 'FieldExpression' into a collection "
        "object",
        call,
        3,
        3,
    )


def _offset(type_: Type, field: str) -> int:
    """Return where the links lie in an element. :raises ModelError: there is no such field."""
    offset = 0
    for name in field.split("."):
        path = path_to(type_, name.strip())
        if path is None:
            raise ModelError(f"Unable to bind name '{name}'", identifier="model.unbound")
        offset += sum(step.offset for step in path)
        type_ = path[-1].type
    return offset


def _entries(context: ModelContext, head: int, type_: Type, offset: int) -> Iterator[Element]:
    """Yield the elements up to the head, or to one that was there before."""
    size, order = context.machine.model.pointer_size, context.machine.model.order
    around = context.machine.around
    seen: set[int] = set()
    at = head
    while len(seen) < MAX_ENTRIES:
        context.cancel.check()
        at = int.from_bytes(around.memory.read(at, size), order)
        if at in (0, head) or at in seen:
            return
        seen.add(at)
        yield Element(_load(context, Value(type_, in_memory(at - offset), around)))


def _load(context: ModelContext, value: Value) -> Callable[[], DataObject]:
    return lambda: NativeObject(value, context)
