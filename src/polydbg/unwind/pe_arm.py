"""Callers on ARM64 and ARM by the unwind tables of PE images."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from polydbg.base.errors import FormatError, MemoryReadError, UnwindError
from polydbg.formats.pe.arm_operations import ArmCode
from polydbg.images.pe import PeImage
from polydbg.unwind.arm_rules import codes_at, kept_registers, undo
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext

_CACHE_LIMIT = 20_000


class PeArm:
    """Finds the unwind codes of an address and undoes them; one for *machine*, as PE images name
    it (``arm64`` or ``arm``). Code without a row is a leaf: its return address is in lr."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        # What is behind a call belongs to the call: back by the shortest instruction.
        self._step_back = 4 if machine == "arm64" else 2
        self._codes: WeakKeyDictionary[PeImage, dict[int, tuple[ArmCode, ...] | None]] = (
            WeakKeyDictionary()
        )

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        found = context.image_at(callee.lookup_pc)
        if found is None:
            return None
        base, image = found
        if (
            not isinstance(image, PeImage)
            or image.machine != self._machine
            or not image.has_unwind_table
        ):
            return None
        rva = callee.pc - base
        if callee.is_return_address:
            rva -= self._step_back
        try:
            codes = self._find(image, rva, callee.registers.get("cpsr"))
        except MemoryReadError:
            return None  # an image in memory without its tables: as if there was none
        except FormatError as error:
            raise UnwindError(f"unwind information of {image.name}: {error.message}") from error
        if codes is None:
            return _caller_of_leaf(callee)
        undone = undo(codes, callee, context.memory)
        return Caller(undone.registers, FrameTrust.UNWIND_INFO, undone.is_exact)

    def _find(self, image: PeImage, rva: int, flags: int | None) -> tuple[ArmCode, ...] | None:
        """Return the codes to undo at *rva*, ``None`` for a leaf function."""
        known = self._codes.get(image)
        if known is None:
            known = self._codes[image] = {}
        if rva not in known:
            if len(known) >= _CACHE_LIMIT:
                known.clear()
            info = image.arm_unwind_at(rva)
            known[rva] = None if info is None else codes_at(info, rva - info.begin, flags)
        return known[rva]


def _caller_of_leaf(callee: Callee) -> Caller | None:
    # A leaf does not call: a caller without a row is assembler code or no code at all.
    names = callee.convention
    address = callee.registers.get(names.lr)
    if callee.is_return_address or address is None:
        return None
    registers = kept_registers(callee)
    registers[names.pc], registers[names.sp] = address, callee.sp
    return Caller(registers, FrameTrust.LEAF)
