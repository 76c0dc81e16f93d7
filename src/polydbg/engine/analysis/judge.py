"""The verdict on a stored event: gathers what is known at the fault, and judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from polydbg.arch.disassembly import LONGEST_INSTRUCTION, Instruction
from polydbg.arch.registers import program_counter, stack_pointer
from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.analysis.access import judge_access
from polydbg.engine.analysis.causes import Case, judge_event, recursion_verdict
from polydbg.engine.analysis.fault import fault_of
from polydbg.engine.analysis.location import Scene, locate_access
from polydbg.engine.analysis.model import Confidence, Fault, FaultKind, Recursion, Verdict
from polydbg.engine.analysis.operands import operand_accesses
from polydbg.engine.analysis.refused import judge_refused
from polydbg.engine.code import decoder_at
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import DumpEvent
from polydbg.unwind.frames import FrameTrust

_ACCESSES = (FaultKind.ACCESS, FaultKind.IN_PAGE, FaultKind.GUARD_PAGE)


def first_verdict(
    system: System,
    registers: Mapping[str, int],
    frames: Sequence[StackFrame],
    cancel: CancelToken | None = None,
) -> Verdict | None:
    """Return a verdict from the record, the registers and the *frames* at hand, for the first
    screen; ``None`` where no event is stored."""
    event = system.target.event()
    if event is None or not event.is_stored:
        return None
    fault = fault_of(event, system)
    return judge(case_of(system, event, fault, registers, frames, None, cancel))[1]


def case_of(
    system: System,
    event: DumpEvent,
    fault: Fault,
    registers: Mapping[str, int],
    frames: Sequence[StackFrame],
    recursion: Recursion | None,
    cancel: CancelToken | None,
) -> Case:
    """Return what a verdict on *event* may look at."""
    pc = program_counter(registers)
    instruction = _instruction_at(system, pc) if pc is not None else None
    scene = Scene(
        system=system,
        registers=registers,
        instruction=" ".join(instruction.text.split()) if instruction else "",
        operands=operand_accesses(instruction, registers, system.machine) if instruction else [],
        called_from=_called_from(system, registers, frames),
        cancel=cancel,
    )
    return Case(scene, fault, event.exception, frames, recursion, instruction)


def _instruction_at(system: System, pc: int) -> Instruction | None:
    data = system.memory.read_some(pc, LONGEST_INSTRUCTION)
    if not data:
        return None
    try:
        return decoder_at(system, pc).decode_one(data, pc)
    except DebuggerError:
        return None


def _called_from(system: System, registers: Mapping[str, int], frames: Sequence[StackFrame]) -> str:
    """Return how control came to a pc that is no code, ``""`` where it is code or nothing tells."""
    pc, sp = program_counter(registers), stack_pointer(registers)
    if pc is None or sp is None or len(frames) < 2:
        return ""
    caller = frames[1]
    if caller.trust is FrameTrust.WILD_CALL:
        return f"the return address on top of the stack says that {caller.place.text} called"
    size = system.pointer_size
    below = system.memory.read_some(sp - size, size)
    if caller.trust is FrameTrust.SCAN and int.from_bytes(below, "little") == pc and below:
        return (
            "the word just below the stack pointer holds the address: a ret took it from the "
            f"stack, so the stack was overwritten; what is left of it names {caller.place.text}"
        )
    return ""


def judge(case: Case) -> tuple[Fault, Verdict]:
    """Return the fault, completed by what the operands tell, and the verdict."""
    fault = case.fault
    if fault.kind not in _ACCESSES or fault.access is None:
        return fault, judge_event(case)
    refused = judge_refused(case)
    if refused is not None:
        return fault, _with_detail(fault, refused)
    located = locate_access(case.scene, fault.access)
    verdict = judge_access(case.scene, located)
    if verdict.problem_class == "STACK_OVERFLOW" and case.recursion is not None:
        found = recursion_verdict(case.recursion, Confidence.LIKELY)
        evidence = (*found.evidence, *verdict.evidence)
        verdict = msgspec.structs.replace(found, evidence=evidence)
    return msgspec.structs.replace(fault, access=located.access), _with_detail(fault, verdict)


def _with_detail(fault: Fault, verdict: Verdict) -> Verdict:
    if fault.kind is FaultKind.IN_PAGE:
        return Verdict(
            "IN_PAGE_ERROR",
            "a page could not be read from its file: a disk, a network share or a removed medium",
            Confidence.CERTAIN,
            verdict.evidence,
        )
    if fault.detail:
        evidence = (*verdict.evidence, f"the system reports {fault.name} ({fault.detail})")
        return msgspec.structs.replace(verdict, evidence=evidence)
    return verdict
