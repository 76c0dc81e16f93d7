"""Where a failed access went: what the system reports, completed by the instruction's operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from polydbg.arch.disassembly import LONGEST_INSTRUCTION
from polydbg.arch.registers import program_counter
from polydbg.base.cancel import CancelToken
from polydbg.base.text import address_text
from polydbg.engine.analysis.model import Access, AccessKind
from polydbg.engine.analysis.operands import OperandAccess
from polydbg.engine.analysis.pointers import is_canonical, is_null, is_of_system
from polydbg.engine.session import System

if TYPE_CHECKING:  # most faults are explained without the map
    from polydbg.engine.address_map import AddressMap

_PAGE = 0x1000


class Scene:
    """What is known at the fault. *instruction* is its text, ``""`` when its code is not at hand;
    *called_from* says how control came to a pc outside all code, ``""`` where nothing does;
    *was_called*: by a call instruction that was seen."""

    def __init__(
        self,
        system: System,
        registers: Mapping[str, int],
        instruction: str,
        operands: Sequence[OperandAccess],
        called_from: str = "",
        was_called: bool = False,
        cancel: CancelToken | None = None,
    ) -> None:
        self.system = system
        self.registers = registers
        self.instruction = instruction
        self.operands = operands
        self.called_from = called_from
        self.was_called = was_called
        self.cancel = cancel

    @cached_property
    def map(self) -> AddressMap:
        """Return the map of the process, made when an explanation first needs it."""
        return self.system.address_map(self.cancel)

    @property
    def pc(self) -> int:
        return program_counter(self.registers) or 0

    def address_text(self, address: int) -> str:
        return address_text(address, self.system.pointer_size)


class Located(msgspec.Struct, frozen=True):
    """An access with its address and the operand that explains it; *is_sure* when the system
    reports an address that an operand gives as well."""

    access: Access
    operand: OperandAccess | None
    is_sure: bool
    notes: tuple[str, ...] = ()

    @property
    def address(self) -> int | None:
        return self.access.address


def locate_access(scene: Scene, access: Access) -> Located:
    """Return *access* with what the operands add: its address, its direction, its register."""
    if _is_fetch(scene, access):
        return Located(msgspec.structs.replace(access, kind=AccessKind.EXECUTE), None, True)
    if access.address is None:
        return _from_operands(scene, access, "the system does not report the address")
    if access.kind is AccessKind.UNKNOWN and access.address == scene.pc:
        # lldb writes the program counter where a signal's own address belongs.
        unknown = msgspec.structs.replace(access, address=None, is_reported=False)
        return _from_operands(scene, unknown, "the dump has only the instruction's own address")
    kind: AccessKind = access.kind
    for operand in scene.operands:
        # The report names the first byte that failed, or the start of what was accessed.
        if -8 <= _distance(scene, access.address, operand.address) < max(operand.size, 8):
            if kind is AccessKind.UNKNOWN:
                kind = operand.kind
            found = Access(kind, access.address, True, operand.size)
            return Located(found, operand, True, _operand_notes(scene, operand))
    notes: tuple[str, ...] = ()
    if scene.operands:
        notes = (
            f"the operands of `{scene.instruction}` do not give the reported address "
            f"{scene.address_text(access.address)}",
        )
    elif not scene.instruction:
        notes = (
            f"the system reports {scene.address_text(access.address)}; the code of the "
            "instruction is not in the dump",
        )
    return Located(access, None, False, notes)


def _distance(scene: Scene, address: int, operand: int) -> int:
    """Return how far *address* lies past *operand*, whose tag Linux on ARM64 does not report."""
    if scene.system.machine == "arm64" and address >> 56 == 0:
        operand &= (1 << 56) - 1
    return address - operand


def _is_fetch(scene: Scene, access: Access) -> bool:
    """Tell whether the instruction itself could not be fetched.

    Signals do not say so, and neither does Windows without execution prevention: it reports a read.
    """
    if access.kind is AccessKind.EXECUTE:
        return True
    if access.kind is AccessKind.WRITE or access.address is None:
        return False
    if access.address == scene.pc:
        return is_no_code(scene)
    # An instruction may reach into a page that cannot be fetched.
    reaches = 0 < access.address - scene.pc < LONGEST_INSTRUCTION
    return reaches and access.address % _PAGE == 0 and not scene.operands


def is_no_code(scene: Scene) -> bool:
    """Tell whether the program counter is outside of all code, as far as anything tells."""
    can_execute = scene.map.can_execute(scene.pc)
    if can_execute is None:
        return scene.system.modules.at(scene.pc) is None
    return not can_execute


def _from_operands(scene: Scene, access: Access, why: str) -> Located:
    """Choose the operand whose access must have failed; *why* says what is not reported."""
    system = scene.system
    candidates = [o for o in scene.operands if not is_canonical(o.address, system.machine)]
    where = "non-canonical"
    if not candidates:
        candidates = [o for o in scene.operands if is_null(o.address)]
        where = "null"
    if not candidates:
        candidates = [o for o in scene.operands if scene.map.is_mapped(o.address) is False]
        where = "unmapped"
    if not candidates:
        candidates = [o for o in scene.operands if _is_refused(scene, o)]
        where = "inaccessible"
    if not candidates:
        if not scene.instruction and is_no_code(scene):
            found = Access(AccessKind.EXECUTE, scene.pc, False)
            return Located(found, None, False, ("the code at the fault is not in the dump",))
        code = () if scene.instruction else ("the code of the instruction is not in the dump",)
        return Located(access, None, False, (why, *code))
    operand = candidates[0]
    found = Access(operand.kind, operand.address, False, operand.size)
    notes = (
        f"{why}; the {where} operand [{operand.expression}] of the instruction gives it",
        *_operand_notes(scene, operand),
    )
    return Located(found, operand, len(candidates) == 1, notes)


def _is_refused(scene: Scene, operand: OperandAccess) -> bool:
    """Tell whether what lies at the operand's address may not be accessed so."""
    system = scene.system
    if is_of_system(operand.address, system.machine, system.target.system().platform):
        return True
    if operand.kind is AccessKind.WRITE:
        return scene.map.can_write(operand.address) is False
    return scene.map.can_read(operand.address) is False


def _operand_notes(scene: Scene, operand: OperandAccess) -> tuple[str, ...]:
    verb = "writes" if operand.kind is AccessKind.WRITE else "reads"
    at = scene.address_text(operand.address)
    if not operand.base:
        return (f"`{scene.instruction}` {verb} {at}",)
    register = f"{operand.base} = {scene.address_text(operand.base_value)}"
    return (f"`{scene.instruction}` {verb} [{operand.expression}] = {at}, {register}",)
