"""What a C++ exception of GCC or clang carries: its type, the types it derives from, its text.

Facts: the Itanium C++ ABI, "Exception Handling" (``__cxa_exception`` lies before the thrown object
and ends with the unwinder's header, whose class names the library: ``GNUCC++`` and a zero, or
``CLNGC++``) and "RTTI layout" (``type_info`` is a virtual table and a mangled name; that of a class
with bases names them). ``std::logic_error`` and ``std::runtime_error`` of libstdc++ and of libc++
hold their text behind the virtual table, as a pointer to characters before which lie length,
capacity and count of users.

Nothing but words of the stack and registers lead to the header: what they point to is checked, and
only an exception that was caught (``std::terminate`` counts as a handler) and that somebody still
uses is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame
from polydbg.symbols.demangle import undecorate_elf
from polydbg.targets.target import byte_order

_CLASSES: Final = (b"GNUCC++", b"CLNGC++")
_HEADER: Final = {8: 0x50, 4: 0x30}
"""How far the unwinder's header lies behind ``exceptionType`` of ``__cxa_exception``, by pointer
size; the thrown object lies 32 bytes behind the header."""
_OBJECT: Final = 0x20
_DEPENDENT: Final = 1
_HANDLERS: Final = {8: 0x28, 4: 0x14}
_USERS: Final = {
    (b"GNUCC++", 8): (-0x60, 4),
    (b"GNUCC++", 4): (-0x40, 4),
    (b"CLNGC++", 8): (-0x58, 8),
    (b"CLNGC++", 4): (-4, 4),
}
"""Where, from the header on, and how wide the count of the exception's users is."""
_MAX_COUNT: Final = 1000
_MAX_NAME: Final = 1024
_MAX_TEXT: Final = 512
_MAX_TYPES: Final = 32
_MAX_BASES: Final = 8
_SCANNED: Final = 0x4000
_POLL_EVERY: Final = 64
_WITH_TEXT: Final = ("std::logic_error", "std::runtime_error")
_INTEGERS: Final = {
    "int": (4, True),
    "unsigned int": (4, False),
    "short": (2, True),
    "unsigned short": (2, False),
    "long long": (8, True),
    "unsigned long long": (8, False),
}
_STANDARD: Final = re.compile(r"std::(?:__\w+::)?")


class ThrownObject(msgspec.Struct, frozen=True):
    """A thrown object at *address*: *types* it can be caught as, its own first. *text* is what it
    holds as a message, or the value of a number, ``""`` where that is not known; *text_of* names
    the class that holds it."""

    types: tuple[str, ...]
    address: int
    text: str = ""
    text_of: str = ""


def thrown_objects(
    system: System, frames: Sequence[StackFrame], cancel: CancelToken | None = None
) -> list[ThrownObject]:
    """Return the exceptions in flight that *frames*, those that end the program, lead to: registers
    first, then words of the stack from its top up to the last of the frames."""
    if system.pointer_size not in _HEADER or system.machine == "arm":  # ARM's header is another
        return []
    found: dict[int, ThrownObject] = {}
    for count, word in enumerate(_words(system, frames)):
        if cancel is not None and count % _POLL_EVERY == 0:
            cancel.check()
        header = _header(system, word)
        if header is None or header in found:
            continue
        try:
            thrown = _thrown(system, header)
        except DebuggerError:
            continue
        if thrown is not None:
            found[header] = thrown
    unlike = {thrown.address: thrown for thrown in reversed(found.values())}
    return list(reversed(unlike.values()))


def _words(system: System, frames: Sequence[StackFrame]) -> Iterator[int]:
    """Yield what may point to an exception, each word once."""
    seen = set()
    for row in frames:
        for value in row.frame.registers.values():
            if value not in seen:
                seen.add(value)
                yield value
    if not frames:
        return
    size, order = system.pointer_size, byte_order(system.target)
    start, last = frames[0].frame.sp, frames[-1].frame
    end = last.caller_sp if last.caller_sp is not None else last.sp
    data = system.memory.read_some(start, max(0, min(end - start, _SCANNED)))
    for at in range(0, len(data) - size + 1, size):
        word = int.from_bytes(data[at : at + size], order)
        if word not in seen:
            seen.add(word)
            yield word


def _header(system: System, word: int) -> int | None:
    """Return the unwinder's header that *word* points to: to itself, to ``__cxa_exception`` before
    it, or to the object behind it."""
    size = system.pointer_size
    if word < 0x10000 or word % size:
        return None
    lead = _HEADER[size]
    room = system.memory.read_some(word - _OBJECT, _OBJECT + lead + 0x18)
    if not room:  # *word* may be where memory begins
        room = bytes(_OBJECT) + system.memory.read_some(word, lead + 0x18)
    for distance in (0, lead, lead + 0x10, -_OBJECT):
        name = _class_name(system, room[_OBJECT + distance : _OBJECT + distance + 8])
        if name[:7] in _CLASSES and len(name) == 8 and name[7] <= _DEPENDENT:
            return word + distance
    return None


def _class_name(system: System, raw: bytes) -> bytes:
    return raw[::-1] if byte_order(system.target) == "little" else raw


def _thrown(system: System, header: int) -> ThrownObject | None:
    """Return what the exception with the unwinder's *header* is; ``None`` for none in flight.

    One that ``std::rethrow_exception`` made points to the object of another.

    :raises MemoryReadError: a part of it is absent.
    """
    size = system.pointer_size
    start = header - _HEADER[size]
    if not 0 < _number(system, start + _HANDLERS[size], 4, signed=True) <= _MAX_COUNT:
        return None
    name = _class_name(system, system.memory.read(header, 8))
    if name[7] == _DEPENDENT:
        header = _number(system, start, size) - _OBJECT
        start = header - _HEADER[size]
        name = _class_name(system, system.memory.read(header, 8))
    if (name[:7], size) not in _USERS or name[7]:
        return None
    distance, width = _USERS[name[:7], size]
    if not 0 < _number(system, header + distance, width) <= _MAX_COUNT:
        return None
    types = _types(system, _number(system, start, size))
    if not types:
        return None
    address = header + _OBJECT
    try:
        text, holder = _text(system, types, address)
    except DebuggerError:
        text, holder = "", ""
    return ThrownObject(types, address, text, holder)


def _number(system: System, address: int, size: int, *, signed: bool = False) -> int:
    return int.from_bytes(
        system.memory.read(address, size), byte_order(system.target), signed=signed
    )


def _types(system: System, info: int) -> tuple[str, ...]:
    """Return the name of the ``type_info`` at *info* and of its bases, nearest first; the first
    base comes first, so that those at the start of the object lead."""
    names: dict[str, None] = {}
    waiting, seen = [info], set()
    while waiting and len(names) < _MAX_TYPES:
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        try:
            name = _type_name(system, at)
            if not name:
                continue
            names.setdefault(name)
            waiting += _bases(system, at)
        except DebuggerError:
            continue
    return tuple(names)


def _type_name(system: System, info: int) -> str:
    """Return the name that a ``type_info`` holds; ``""`` where it is no name of a type."""
    size = system.pointer_size
    if system.modules.at(_number(system, info, size)) is None:  # its virtual table
        return ""
    pointer = _number(system, info + size, size) & (1 << 63) - 1
    data, end, _ = system.memory.read_some(pointer, _MAX_NAME).partition(b"\0")
    name = data.decode("ascii", "replace").removeprefix("*")
    if not end or not name or not name.isprintable():
        return ""
    shown = undecorate_elf(f"_ZTS{name}")
    return sanitise_line(shown.removeprefix("typeinfo name for ")) if shown[:4] != "_ZTS" else ""


def _bases(system: System, info: int) -> list[int]:
    """Return the ``type_info`` of the bases, by the class of this one, which its table names."""
    size = system.pointer_size
    table = system.modules.place(_number(system, info, size)).symbol
    if "__si_class_type_info" in table:
        return [_number(system, info + 2 * size, size)]
    if "__vmi_class_type_info" not in table:
        return []
    count = min(_number(system, info + 2 * size + 4, 4), _MAX_BASES)
    first = info + 2 * size + 8
    return [_number(system, first + 2 * size * index, size) for index in range(count)]


def _text(system: System, types: Sequence[str], address: int) -> tuple[str, str]:
    """Return the message or the value that the object holds, and of which class it is."""
    own = types[0]
    if own in _INTEGERS:
        size, signed = _INTEGERS[own]
        return str(_number(system, address, size, signed=signed)), own
    size = system.pointer_size
    if own in ("char const*", "char*"):
        return _characters(system, _number(system, address, size)), own
    holder = next((each for each in map(_plain, types) if each in _WITH_TEXT), "")
    if not holder:
        return "", ""
    return _shared_text(system, _number(system, address + size, size)), holder


def _plain(name: str) -> str:
    """Return a name of the standard library without its version: ``std::__1::x`` is ``std::x``."""
    return _STANDARD.sub("std::", name, count=1)


def _characters(system: System, pointer: int) -> str:
    data, end, _ = system.memory.read_some(pointer, _MAX_TEXT).partition(b"\0")
    if not pointer or (not end and len(data) < _MAX_TEXT):
        return ""
    return sanitise_line(data.decode("utf-8", "replace"))


def _shared_text(system: System, pointer: int) -> str:
    """Return the text at *pointer*, if length and capacity before it say that it is one."""
    size = system.pointer_size
    length = _number(system, pointer - 3 * size, size)
    capacity = _number(system, pointer - 2 * size, size)
    if not 0 < length <= capacity or _number(system, pointer + length, 1):
        return ""
    data = system.memory.read_some(pointer, min(length, _MAX_TEXT))
    text = sanitise_line(data.decode("utf-8", "replace"))
    return text if length <= _MAX_TEXT else f"{text}..."


def shown_text(thrown: ThrownObject) -> str:
    """Return what the object holds, in words: ``what() is "x"`` only of the standard's own
    classes, whose ``what`` is known; ``""`` where nothing is known."""
    if not thrown.text:
        return ""
    own = thrown.types[0]
    if thrown.text_of == own and own in _INTEGERS:
        return f"its value is {thrown.text}"
    if thrown.text_of == own and own.startswith("char"):
        return f'its text is "{thrown.text}"'
    if own.startswith("std::"):
        return f'what() is "{thrown.text}"'
    return f'its {thrown.text_of} holds "{thrown.text}"'
