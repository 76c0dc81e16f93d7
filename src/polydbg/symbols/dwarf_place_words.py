"""What ``dv /V`` prints for the place of a variable: ``@rbp-0x0014``, ``@rax``, ``""`` for others.

What counts from the frame's base is shown from a register: from that which the base is, else from
the frame pointer where that stands at its usual place, else from the stack pointer.
"""

from __future__ import annotations

from polydbg.base.errors import DebuggerError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.location_lists import expression_at
from polydbg.formats.dwarf.names import find
from polydbg.formats.dwarf.reading import sleb128, uleb128
from polydbg.formats.dwarf.unit import Die
from polydbg.types.source import FrameView

_REG0, _BREG0, _REGX, _FBREG, _BREGX, _CFA = 0x50, 0x70, 0x90, 0x91, 0x92, 0x9C
_POINTERS = {
    "amd64": ("rbp", "rsp"),
    "x86": ("ebp", "esp"),
    "arm64": ("fp", "sp"),
    "arm": ("r11", "sp"),
}
#: How many words lie between the frame pointer and the CFA in the usual frame.
_USUAL_WORDS = 2


def place_words(die: Die, function: Die, view: FrameView, address: int) -> str:
    """Return the words for where the variable of *die* is in the frame of *function* at *address*
    of the file; ``""`` where it is in no single register and not at a distance from one."""
    owner = find(die, c.AT_LOCATION)
    if owner is None:
        return ""
    try:
        form, value = owner.attributes[c.AT_LOCATION]
        expression = expression_at(owner.unit, form, value, address)
        return _words(expression or b"", function, view, address)
    except DebuggerError:
        return ""


def _words(expression: bytes, function: Die, view: FrameView, address: int) -> str:
    found = _register_and_offset(expression)
    if found is not None:
        number, offset = found
        name = view.register_by_number(number)[0]
        return f"@{name}" if offset is None else _from_register(name, offset)
    if expression[:1] != bytes((_FBREG,)):
        return ""
    offset, position = sleb128(expression, 1)
    owner = find(function, c.AT_FRAME_BASE)
    if position != len(expression) or owner is None:
        return ""
    form, value = owner.attributes[c.AT_FRAME_BASE]
    base = expression_at(owner.unit, form, value, address) or b""
    if base == bytes((_CFA,)):
        return _from_cfa(view, offset, function.unit.header.address_size)
    found = _register_and_offset(base)
    if found is None:
        return ""
    return _from_register(view.register_by_number(found[0])[0], (found[1] or 0) + offset)


def _register_and_offset(expression: bytes) -> tuple[int, int | None] | None:
    """Return the register that an expression is, or the one it counts from and how far."""
    opcode = expression[0] if expression else 0
    if _REG0 <= opcode < _BREG0 and len(expression) == 1:
        return opcode - _REG0, None
    if opcode == _REGX:
        number, position = uleb128(expression, 1)
        return (number, None) if position == len(expression) else None
    if _BREG0 <= opcode < _REGX or opcode == _BREGX:
        number, position = opcode - _BREG0, 1
        if opcode == _BREGX:
            number, position = uleb128(expression, 1)
        offset, position = sleb128(expression, position)
        return (number, offset) if position == len(expression) else None
    return None


def _from_cfa(view: FrameView, offset: int, size: int) -> str:
    names = _POINTERS.get(view.machine)
    if names is None:
        return ""
    place = view.cfa() + offset
    pointer, stack = names
    try:
        value = view.register(pointer)
        if value + _USUAL_WORDS * size == view.cfa():
            return _from_register(pointer, place - value)
    except DebuggerError:
        pass  # the frame pointer is used for something else
    return _from_register(stack, place - view.register(stack))


def _from_register(name: str, offset: int) -> str:
    sign = "-" if offset < 0 else "+"
    return f"@{name}{sign}0x{abs(offset):04x}"
