"""What a C++ exception of Microsoft's compiler carries: its types, and what() where it is one.

RaiseException's parameters are a magic number, the object, the ThrowInfo, and for images of 64 bits
the base that the addresses in it count from. ThrowInfo names the types that a handler may catch it
as, the most derived first; each TypeDescriptor holds a decorated name.
"""

from __future__ import annotations

from typing import Final

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.session import System
from polydbg.symbols.demangle import undecorate_type
from polydbg.targets.target import ExceptionRecord

_MAGIC: Final = range(0x19930520, 0x19930530)
_MAX_TYPES: Final = 32
_MAX_NAME: Final = 1024
_MAX_TEXT: Final = 512
_STD_EXCEPTION: Final = "std::exception"


class Thrown(msgspec.Struct, frozen=True):
    """A thrown object: *types* it can be caught as, most derived first; *what* its text or ``""``
    where it has none or the dump lacks it. *object* is its address."""

    types: tuple[str, ...]
    object: int
    what: str


def thrown_object(system: System, record: ExceptionRecord) -> Thrown | None:
    """Return what was thrown, ``None`` where the dump does not hold it."""
    size = system.pointer_size
    if len(record.parameters) < (4 if size == 8 else 3) or record.parameters[0] not in _MAGIC:
        return None
    base = record.parameters[3] if size == 8 else 0
    try:
        types = _types(system, record.parameters[2], base)
    except DebuggerError:
        return None
    if not types:
        return None
    what = _what(system, record.parameters[1]) if _STD_EXCEPTION in types else ""
    return Thrown(types, record.parameters[1], what)


def _number(system: System, address: int, size: int = 4) -> int:
    return int.from_bytes(system.memory.read(address, size), "little")


def _types(system: System, throw_info: int, base: int) -> tuple[str, ...]:
    array = base + _number(system, throw_info + 12)
    names = []
    for index in range(min(_number(system, array), _MAX_TYPES)):
        catchable = base + _number(system, array + 4 + 4 * index)
        descriptor = base + _number(system, catchable + 4)
        data = system.memory.read_some(descriptor + 2 * system.pointer_size, _MAX_NAME)
        name, end, _ = data.partition(b"\0")
        if not end or not name.startswith(b"."):
            break
        names.append(sanitise_line(undecorate_type(name.decode("utf-8", "replace"))))
    return tuple(names)


def _what(system: System, address: int) -> str:
    """Return the text of a ``std::exception``: a pointer behind the object's vtable pointer."""
    size = system.pointer_size
    try:
        pointer = _number(system, address + size, size)
    except DebuggerError:
        return ""
    if not pointer:
        return ""
    text, end, _ = system.memory.read_some(pointer, _MAX_TEXT).partition(b"\0")
    return sanitise_line(text.decode("utf-8", "replace")) if end else ""
