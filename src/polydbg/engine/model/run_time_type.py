"""The class that an object has at run time, by the table of virtual functions it points to.

Symbols name these tables: ``Class::`vftable'`` of Microsoft's compiler, for a base at another
offset with ``{for `Base'}``; ``vtable for Class`` of the Itanium C++ ABI (2.5), whose tables have
the distance to the whole object two pointers before the address point.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError
from polydbg.types.members import base_path
from polydbg.types.model import CompoundType, MemberKind
from polydbg.types.place import in_memory
from polydbg.types.scalars import as_signed
from polydbg.types.value import Value, complete_object

if TYPE_CHECKING:
    from polydbg.engine.session import System

_MICROSOFT = re.compile(r"(?P<class>.+)::`vftable'(?:\{for `.+'\})?\Z", re.DOTALL)
_ITANIUM = "vtable for "
_MAX_CLASSES = 256
_MAX_BASES = 64
_MAX_OBJECT = 1 << 31


def run_time_object(system: System, value: Value) -> Value:
    """Return the whole object that *value*, an object of a class with virtual functions, is a part
    of; *value* itself where that is all of it, or where nothing tells."""
    address = value.address
    compound = complete_object(value.type)
    if address is None or compound is None or compound is not value.type.bare:
        return value
    try:
        return _found(system, value, address, compound) or value
    except DebuggerError:
        return value


def _found(system: System, value: Value, address: int, static: CompoundType) -> Value | None:
    offset = _table_offset(static)
    if offset is None:
        return None
    size, order = value.around.model.pointer_size, value.around.model.order
    pointer = address + offset
    table = int.from_bytes(system.memory.read(pointer, size), order)
    place = system.modules.place(table)
    if not place.module or not place.symbol:
        return None
    microsoft = _MICROSOFT.match(place.symbol)
    if microsoft is not None and not place.displacement:
        name, distance = microsoft["class"], None
    elif place.symbol.startswith(_ITANIUM):
        name = place.symbol.removeprefix(_ITANIUM)
        top = int.from_bytes(system.memory.read(table - 2 * size, size), order)
        distance = as_signed(top, 8 * size)
    else:
        return None
    return _whole(system, value, f"{place.module}!{name}", static, pointer, distance)


def _whole(
    system: System,
    value: Value,
    name: str,
    static: CompoundType,
    pointer: int,
    distance: int | None,
) -> Value | None:
    """Return the object of the class *name* that *value* lies in; *distance* leads from the
    *pointer* to the table to its start, ``None``: the bases' offsets do."""
    found = system.types.named(name)
    derived = found[1].bare if found is not None else None
    if found is None or not isinstance(derived, CompoundType) or derived.name == static.name:
        return None
    path = base_path(derived, static)
    if not path:
        return None
    address = value.address or 0
    if distance is not None:
        start = pointer + distance
    elif any(step.kind is MemberKind.VIRTUAL_BASE for step in path):
        return None
    else:
        start = address - sum(step.offset for step in path)
    size = derived.size or 0
    if not 0 <= address - start < max(size, 1) < _MAX_OBJECT:
        return None
    return Value(found[1], in_memory(start), value.around)


def _table_offset(compound: CompoundType) -> int | None:
    """Return where an object of the class has a pointer to a table, ``None``: it has none."""
    pending = [(compound, 0)]
    for _ in range(_MAX_CLASSES):
        if not pending:
            return None
        current, offset = pending.pop()
        for member in current.members:
            if member.kind is MemberKind.VTABLE:
                return offset + member.offset
        for base in reversed(current.bases[:_MAX_BASES]):
            inner = base.type.bare
            if base.kind is MemberKind.BASE and isinstance(inner, CompoundType):
                pending.append((inner, offset + base.offset))
    return None
