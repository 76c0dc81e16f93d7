"""Where the virtual bases of an object are, in the layout of Microsoft's C++ compiler.

An object with virtual bases holds a pointer to a table of 32-bit offsets, counted from where that
pointer is; the first entry leads back to the object. Source: LLVM "CodeView Type Records"
(LF_VBCLASS), clang ``MicrosoftCXXABI``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from polydbg.types.place import ValueUnavailableError

if TYPE_CHECKING:
    from polydbg.types.value import Value

_ENTRY_SIZE = 4


def virtual_base(pointer_offset: int, slot: int) -> Callable[[Value], int]:
    """Return what finds the offset of a virtual base in an object: *pointer_offset* is where the
    pointer to the table lies in it, *slot* the base's index in the table."""

    def locate(value: Value) -> int:
        if value.address is None:
            raise ValueUnavailableError("a virtual base of an object that is in no memory")
        around = value.around
        memory, order = around.memory, around.model.order
        pointer = memory.read(value.address + pointer_offset, around.model.pointer_size)
        entry = int.from_bytes(pointer, order) + _ENTRY_SIZE * slot
        offset = memory.read(entry & (1 << 8 * around.model.pointer_size) - 1, _ENTRY_SIZE)
        return pointer_offset + int.from_bytes(offset, order, signed=True)

    return locate
