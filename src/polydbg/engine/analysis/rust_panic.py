"""What a Rust program said when it panicked: the message and the place.

Facts: Rust's standard library, ``std::panicking``. A panic goes through ``panic_with_hook``, which
gets the payload as a trait object (data and virtual table: drop function, size, alignment) and a
``&Location`` (file as pointer and length, line, column). The payload of a formatted message holds
the finished ``String`` (capacity, pointer, length, in an order of the compiler's choice), that of a
constant message a ``&str``. The layout is no promise of Rust: only what fits in all parts is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import byte_order

_HOOKS: Final = ("panic_with_hook", "rust_panic_with_hook")
_REACH: Final = 0x200
"""How far above the hook's frame payload and location are looked for, in bytes."""
_MAX_TEXT: Final = 4096
_MAX_PATH: Final = 1024
_MAX_LINE: Final = 10_000_000
_SIZES: Final = (2, 3, 4)
"""Of a payload, in pointers: a ``&str``; a ``String`` with or without what it is made from."""


class Panic(msgspec.Struct, frozen=True):
    """*message* and the place as ``src/main.rs:31:20``, each ``""`` where it was not found;
    *is_only*: the stack names no other place, so that it is that of this panic."""

    message: str
    place: str
    is_only: bool


def find_panic(system: System, frames: Sequence[StackFrame]) -> Panic | None:
    """Return what the panic in *frames* said, ``None`` where no frame is that of the hook."""
    row = next((r for r in frames if r.place.symbol.rsplit("::", 1)[-1] in _HOOKS), None)
    if row is None:
        return None
    size, order = system.pointer_size, byte_order(system.target)
    start = row.frame.sp
    end = (row.frame.caller_sp or start) + _REACH
    data = system.memory.read_some(start, min(end - start, 16 * _REACH))
    words = [
        int.from_bytes(data[at : at + size], order) for at in range(0, len(data) - size + 1, size)
    ]
    stack = range(start, start + len(data))
    messages = (_message(system, *pair) for pair in itertools.pairwise(words) if pair[0] in stack)
    places = list(
        filter(None, dict.fromkeys(_place(system, word) for word in words if word not in stack))
    )
    own = [each for each in places if not each.startswith(("/rustc/", "library/"))]
    place = places[0] if len(places) == 1 else own[0] if len(own) == 1 else ""
    return Panic(next(filter(None, messages), ""), place, len(places) == 1)


def _number(system: System, address: int) -> int:
    size = system.pointer_size
    return int.from_bytes(system.memory.read(address, size), byte_order(system.target))


def _message(system: System, payload: int, table: int) -> str:
    """Return the message of the trait object (*payload*, *table*), ``""`` where it is none."""
    size = system.pointer_size
    if system.modules.at(table) is None:
        return ""
    try:
        drop, bytes_, alignment = (_number(system, table + index * size) for index in range(3))
        if alignment != size or bytes_ not in [count * size for count in _SIZES]:
            return ""
        if drop and not _is_code(system, drop):
            return ""
        fields = [_number(system, payload + at) for at in range(0, bytes_, size)]
    except DebuggerError:
        return ""
    for pointer, length in _texts(fields):
        if text := _text(system, pointer, length):
            return text
    return ""


def _texts(fields: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield what may be pointer and length of the text in the words of a payload."""
    if len(fields) == _SIZES[0]:
        yield fields[0], fields[1]
        return
    for pointer, length, capacity in itertools.permutations(fields, 3):
        if 0 < length <= capacity <= _MAX_TEXT * 16:
            yield pointer, length


def _is_code(system: System, address: int) -> bool:
    module = system.modules.at(address)
    image = system.modules.image(module) if module is not None else None
    return image is None or module is None or image.is_code(address - module.base)


def _text(system: System, pointer: int, length: int) -> str:
    if not 0 < length <= _MAX_TEXT or pointer < 0x1000:
        return ""
    data = system.memory.read_some(pointer, length)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    is_text = len(data) == length and all(each.isprintable() or each in "\n\t" for each in text)
    return sanitise_line(text) if is_text else ""


def _place(system: System, location: int) -> str:
    """Return the place that a ``Location`` names, ``""`` where *location* is no address of one."""
    size, order = system.pointer_size, byte_order(system.target)
    if system.modules.at(location) is None:
        return ""
    data = system.memory.read_some(location, 2 * size + 8)
    if len(data) < 2 * size + 8:
        return ""
    pointer, length = (int.from_bytes(data[at : at + size], order) for at in (0, size))
    line, column = (int.from_bytes(data[at : at + 4], order) for at in (2 * size, 2 * size + 4))
    if not 0 < length <= _MAX_PATH or not 0 < line < _MAX_LINE or not 0 < column < _MAX_LINE:
        return ""
    path = _text(system, pointer, length)
    return f"{path}:{line}:{column}" if path.endswith(".rs") else ""
