"""Ends stacks at the entry point of ELF programs: the system jumps there, nobody called it.

System V ABI, "Process Initialization": at the entry point there is no return address on the stack.
Programs say so in their call frame information, but not all do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError
from polydbg.images.pe import PeImage
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext

if TYPE_CHECKING:
    from polydbg.images.elf import ElfImage

_LONGEST = 0x80


class EntryPoint:
    """Knows the function at the entry point of an image by its symbol, or by its few bytes where
    no symbol says how long it is."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        found = context.image_at(callee.lookup_pc)
        # A PE's entry point is called by the system's own code, as a Mach-O's is.
        if found is None or isinstance(found[1], PeImage):
            return None
        from polydbg.images.elf import ElfImage

        base, image = found
        if not isinstance(image, ElfImage) or image.entry_point is None:
            return None
        start = base + image.entry_point
        if not start <= callee.lookup_pc < start + _LONGEST or not _is_program(image):
            return None
        function = context.function_at(callee.lookup_pc)
        if function is not None and function[0] != start:
            return None
        names = callee.convention
        return Caller({names.pc: 0, names.sp: callee.sp}, FrameTrust.CFI)


def _is_program(image: ElfImage) -> bool:
    """Tell whether the system starts at the image's entry point. That of i386's vdso is where
    programs call the system."""
    from polydbg.formats.elf.constants import PT_INTERP

    if image.segment_of(PT_INTERP) is not None:
        return True
    try:
        return image.is_static
    except DebuggerError:
        return False
