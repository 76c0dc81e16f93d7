"""Values of variables in one line, as ``x`` and ``ln`` print them behind ``=``.

Works from the spelling of a type's name: numbers, characters, pointers, strings; of structures
and arrays only the type. An enumeration, whose names of values this cannot know, is a number.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol, runtime_checkable

from polydbg.base.errors import DebuggerError
from polydbg.base.text import address_text, sanitise_line
from polydbg.engine.modules import Module
from polydbg.engine.session import System
from polydbg.symbols.source import Symbol, SymbolSource

NO_TYPE: Final = "<no type information>"
NO_ACCESS: Final = "<Memory access error>"
MAX_STRING: Final = 512
"""Characters of a string that are shown at most."""

_MAX_UNPRINTABLE = 3
_FLOATS = {("float", 4): "<f", ("double", 8): "<d", ("half", 2): "<e"}
_CHARACTERS = {
    "char": ("latin-1", 1),
    "unsigned char": ("latin-1", 1),
    "char8_t": ("utf-8", 1),
    "wchar_t": ("utf-16-le", 2),
    "char16_t": ("utf-16-le", 2),
    "char32_t": ("utf-32-le", 4),
}
"""Character types: encoding and bytes of a unit."""


@runtime_checkable
class NamesTypes(Protocol):
    """A symbol source that knows the types of variables."""

    def data_type_name(self, symbol: Symbol) -> str | None: ...


def type_name(source: SymbolSource, symbol: Symbol) -> str:
    """Return the type of a variable as ``x /t`` prints it, ``""`` where it is not known."""
    if not isinstance(source, NamesTypes):
        return ""
    try:
        return sanitise_line(source.data_type_name(symbol) or "")
    except DebuggerError:
        return ""


def data_value(system: System, module: Module, source: SymbolSource, symbol: Symbol) -> str:
    """Return what stands behind ``=`` for a variable: its value, or why there is none."""
    name = type_name(source, symbol)
    if not name:
        return NO_TYPE
    return value_text(system, name, module.base + symbol.rva, symbol.size)


def value_text(system: System, name: str, address: int, size: int) -> str:
    """Return the value of the *size* bytes at *address*, of a type with that *name*."""
    if name.endswith("]"):
        element, _, _ = name.partition(" [")
        coding = _CHARACTERS.get(element)
        if coding is None or name.count("[") != 1:
            return name
        return f"{name} {_string(system, address, coding, size)}"
    if name.startswith(("struct ", "class ", "union ", "interface ")) and not name.endswith("*"):
        return name
    if not 0 < size <= 16:
        return NO_TYPE
    data = system.memory.read_some(address, size)
    if len(data) < size:
        return NO_ACCESS
    if name.endswith("*"):
        return _pointer(system, name, int.from_bytes(data, "little"))
    return scalar_text(name, data)


def scalar_text(name: str, data: bytes) -> str:
    """Return a number, character or truth value of the type *name* (an enumeration for others)."""
    value = int.from_bytes(data, "little")
    if layout := _FLOATS.get((name, len(data))):
        return f"{struct.unpack(layout, data)[0]:.20g}"
    if name == "bool":
        return "true" if value else "false"
    if coding := _CHARACTERS.get(name):
        try:
            shown = data.decode(coding[0])
        except UnicodeDecodeError:
            shown = "?"
        shown = shown if shown.isprintable() else ""
        number = f"0n{_signed(data)}" if name == "char" else f"{value:#04x}"
        return f"{number} '{shown}'"
    if name.startswith("unsigned ") or name in ("HRESULT", "long double"):
        return _unsigned(value)
    return f"0n{_signed(data)}"


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _unsigned(value: int) -> str:
    if value < 10:
        return f"{value}"
    if value < 1 << 32:
        return f"{value:#x}"
    return f"0x{address_text(value)}" if value < 1 << 64 else f"{value:#x}"


def _pointer(system: System, name: str, value: int) -> str:
    shown = f"0x{address_text(value, system.pointer_size)}"
    coding = _CHARACTERS.get(name.removesuffix(" *"))
    if coding is None or not value:
        return shown
    return f"{shown} {_string(system, value, coding, MAX_STRING * coding[1])}"


def _string(system: System, address: int, coding: tuple[str, int], size: int) -> str:
    """Return the zero-terminated string at *address*, in quotes, at most *size* bytes of it."""
    encoding, unit = coding
    limit = min(size, MAX_STRING * unit)
    data = system.memory.read_some(address, limit)
    if len(data) < unit:
        where = address_text(address, system.pointer_size)
        return f'"--- memory read error at address 0x{where} ---"'
    end = next(
        (i for i in range(0, len(data) - unit + 1, unit) if not any(data[i : i + unit])), None
    )
    text, whole = _readable(data[:end].decode(encoding, "replace"))
    more = "..." if whole and end is None and limit < size else ""
    return f'"{text}{more}"'


def _readable(text: str) -> tuple[str, bool]:
    """Return *text* with ``?`` for what is not printable, and whether that is all of it.

    The engine takes three such characters in a row as a sign that there is no text, and stops.
    """
    shown: list[str] = []
    bad = 0
    for char in text:
        bad = 0 if char.isprintable() else bad + 1
        shown.append("?" if bad else char)
        if bad == _MAX_UNPRINTABLE:
            return sanitise_line("".join(shown)), False
    return sanitise_line("".join(shown)), True
