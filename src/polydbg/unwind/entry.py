"""Ends stacks at the entry point of ELF programs: the system jumps there, nobody called it.

System V ABI, "Process Initialization": at the entry point there is no return address on the stack.
Programs say so in their call frame information, but not all do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from polydbg.base.errors import DebuggerError
from polydbg.images.pe import PeImage
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext

if TYPE_CHECKING:
    from polydbg.images.elf import ElfImage

_LONGEST = 0x80
_LONGEST_GOAL = 0x1000
_SEARCHED = 0x20
_JMP = 0xE9


class EntryPoint:
    """Knows the function at the entry point of an image by its symbol, or by its few bytes where
    no symbol says how long it is."""

    def __init__(self) -> None:
        self._goals: WeakKeyDictionary[ElfImage, tuple[int, ...]] = WeakKeyDictionary()

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        found = context.image_at(callee.lookup_pc)
        # A PE's entry point is called by the system's own code, as a Mach-O's is.
        if found is None or isinstance(found[1], PeImage):
            return None
        from polydbg.images.elf import ElfImage

        base, image = found
        if not isinstance(image, ElfImage) or image.entry_point is None:
            return None
        start, at = base + image.entry_point, callee.lookup_pc
        is_near = start <= at < start + _LONGEST
        jumps = [base + rva for rva in self._jumps(image) if 0 <= at - base - rva < _LONGEST_GOAL]
        if not (is_near or jumps) or not _is_program(image):
            return None
        function = context.function_at(at)
        if function is None and not is_near:
            return None
        if function is not None and function[0] not in (start, *jumps):
            return None
        names = callee.convention
        return Caller({names.pc: 0, names.sp: callee.sp}, FrameTrust.CFI)

    def _jumps(self, image: ElfImage) -> tuple[int, ...]:
        """Return where the code at the entry point jumps to: what it leaves to another function is
        called by nobody either (``___start`` of NetBSD)."""
        known = self._goals.get(image)
        if known is None:
            known = self._goals[image] = _direct_jumps(image)
        return known


def _direct_jumps(image: ElfImage) -> tuple[int, ...]:
    """Return the RVAs that jumps (``jmp rel32``) in the first bytes of x86 programs lead to. Other
    bytes may look like one: the goal has to be the start of a function."""
    entry = image.entry_point
    if entry is None or image.machine not in ("amd64", "x86"):
        return ()
    try:
        code = image.space.read_some(entry, _SEARCHED)
    except DebuggerError:
        return ()
    places = (place for place in range(len(code) - 4) if code[place] == _JMP)
    return tuple(
        entry + place + 5 + int.from_bytes(code[place + 1 : place + 5], "little", signed=True)
        for place in places
    )


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
