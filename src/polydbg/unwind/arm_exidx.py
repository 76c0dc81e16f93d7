"""Callers on 32-bit ARM by the exception tables of ELF images (``.ARM.exidx``).

The tables hold where functions call. A first frame can be anywhere, so there the code is decoded:
it shows whether the frame is being made, is there, or is being taken down. Where neither code nor
table is sure, what the table says is a guess.

A row that says that nobody may unwind is mostly no end: compilers write it for C without unwind
tables, and linkers for gaps. It is one where the code goes on to end the thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from polydbg.base.errors import FormatError, MemoryReadError, UnwindError
from polydbg.formats.pe.arm_operations import ArmCode
from polydbg.images.pe import PeImage
from polydbg.unwind.arm_frames import LinkRegister
from polydbg.unwind.arm_places import Code, Inside, undoing_at, undoing_epilog
from polydbg.unwind.arm_rules import undo
from polydbg.unwind.calls import may_return_to
from polydbg.unwind.cfi import trust_of
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext, code_address

if TYPE_CHECKING:
    from polydbg.formats.elf.arm_exidx import ExceptionIndex, IndexRow
    from polydbg.images.elf import ElfImage

_THUMB_BIT = 0x20  # of cpsr
_EXITS: Final = (
    bytes.fromhex("0127 00df"),  # movs r7, #1; svc 0: exit, in T32 code
    bytes.fromhex("4ff00107 00df"),  # the same with a longer move
    bytes.fromhex("0170a0e3 000000ef"),  # in A32 code
)


class ArmExceptionTables:
    """Finds the row of an address and undoes what it says."""

    def __init__(self) -> None:
        self._indexes: WeakKeyDictionary[ElfImage, ExceptionIndex | None] = WeakKeyDictionary()

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        found = context.image_at(callee.lookup_pc)
        if found is None or isinstance(found[1], PeImage):
            return None
        from polydbg.images.elf import ElfImage

        base, image = found
        if not isinstance(image, ElfImage):
            return None
        index = self._index(image)
        if index is None:
            return None
        try:
            row = index.row_at(callee.lookup_pc - base)
            if row is None:
                return None
            if row.cannot_unwind:
                return _end_of_thread(callee, image, base)
            codes = index.codes(row)
        except MemoryReadError:
            return None  # an image in memory without its tables: as if there were none
        except FormatError as error:
            raise UnwindError(f"unwind tables of {image.name}: {error.message}") from error
        place = _Place(callee, context, image, base, row)
        if callee.is_return_address:
            trust = FrameTrust.UNWIND_INFO if place.is_for_row(codes) else FrameTrust.CALL_SITE
        else:
            codes, trust = place.codes_between_calls(codes)
        return _caller(callee, context, codes, trust)

    def _index(self, image: ElfImage) -> ExceptionIndex | None:
        from polydbg.images.arm_exidx import exception_index_of

        if image not in self._indexes:
            self._indexes[image] = exception_index_of(image)
        return self._indexes[image]


def _end_of_thread(callee: Callee, image: ElfImage, base: int) -> Caller | None:
    """Return the end of the stack where the code behind the call ends the thread."""
    if not callee.is_return_address:
        return None
    behind = image.space.read_some(callee.pc - base, 8)
    if not behind.startswith(_EXITS):
        return None
    return Caller({callee.convention.pc: 0, callee.convention.sp: callee.sp}, FrameTrust.CFI)


def _caller(
    callee: Callee, context: UnwindContext, codes: tuple[ArmCode, ...], trust: FrameTrust
) -> Caller | None:
    names = callee.convention
    if trust is FrameTrust.CALL_SITE and not callee.is_return_address:
        # A place that is reached without the frame has lr from the caller; so has one with the
        # frame that has not called yet.
        by_link = LinkRegister().caller_of(callee, context)
        if by_link is not None:
            return by_link
    registers = undo(codes, callee, context.memory).registers
    value = registers[names.pc]
    if trust is FrameTrust.CALL_SITE and not may_return_to(context, value, names):
        return None
    registers[names.pc] = code_address(context, names, value)
    leads = trust_of(callee, registers[names.pc], context)
    return Caller(registers, leads if leads.is_guess else trust, has_code_address=True)


class _Place:
    """Where in its function a frame is."""

    def __init__(
        self, callee: Callee, context: UnwindContext, image: ElfImage, base: int, row: IndexRow
    ) -> None:
        self._callee = callee
        self._image = image
        self._rva = callee.lookup_pc - base
        self._row = row
        function = context.function_at(callee.lookup_pc)
        self._start = row.start if function is None else function[0] - base
        self._end = row.end if function is None else self._start + function[1]

    def is_for_row(self, codes: tuple[ArmCode, ...]) -> bool:
        """Tell whether the row is sure to be for the function that called.

        Neighbours may share a row, but a function without one looks the same: so one that begins
        behind the row must begin as the codes say.
        """
        return self._start <= self._row.start or any(
            undoing_at(codes, self._code(is_thumb), self._start, self._rva) is Inside.BODY
            for is_thumb in (True, False)
        )

    def codes_between_calls(
        self, codes: tuple[ArmCode, ...]
    ) -> tuple[tuple[ArmCode, ...], FrameTrust]:
        """Return what is to be undone at a place that need not be a call, and how sure that is."""
        flags = self._callee.registers.get("cpsr")
        if flags is None:
            return codes, FrameTrust.CALL_SITE
        code = self._code(bool(flags & _THUMB_BIT))
        left = undoing_epilog(code, self._rva, self._start, self._end)
        if left is not None:
            return left, FrameTrust.INSTRUCTIONS
        made = undoing_at(codes, code, self._start, self._rva)
        if made is Inside.BODY:
            return codes, FrameTrust.UNWIND_INFO
        if made is Inside.UNKNOWN:
            return codes, FrameTrust.CALL_SITE
        return made, FrameTrust.INSTRUCTIONS

    def _code(self, is_thumb: bool) -> Code:
        return Code(self._image.space, is_thumb)
