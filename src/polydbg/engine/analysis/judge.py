"""The verdict on a stored event: gathers what is known at the fault, and judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from polydbg.arch.disassembly import LONGEST_INSTRUCTION, Instruction
from polydbg.arch.registers import program_counter, stack_pointer
from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.analysis.access import judge_access
from polydbg.engine.analysis.causes import Case, judge_event, recursion_verdict
from polydbg.engine.analysis.fault import fault_of
from polydbg.engine.analysis.location import Located, Scene, locate_access
from polydbg.engine.analysis.model import (
    Access,
    AccessKind,
    Confidence,
    Fault,
    FaultKind,
    Recursion,
    Verdict,
)
from polydbg.engine.analysis.operands import operand_accesses
from polydbg.engine.analysis.pointers import is_null
from polydbg.engine.analysis.protection import judge_protection
from polydbg.engine.analysis.raised import judge_raised
from polydbg.engine.analysis.refused import judge_refused
from polydbg.engine.analysis.runtime import is_of_heap
from polydbg.engine.code import decoder_at
from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import DumpEvent
from polydbg.unwind.frames import FrameTrust

_IN_PAGE = "IN_PAGE_ERROR"
_NO_PAGE = "a page could not be had: its file ends before it or cannot be read, or memory ran out"
_LOW_PROCESSES = 0x1000
"""Below, an address is more often a null pointer's than the number of a process."""
_FIRST_FRAMES = 24
_ACCESSES = (FaultKind.ACCESS, FaultKind.IN_PAGE, FaultKind.GUARD_PAGE)


def first_verdict(
    session: Session,
    system: System,
    registers: Mapping[str, int],
    frames: Sequence[StackFrame],
    cancel: CancelToken | None = None,
) -> Verdict | None:
    """Return a verdict from the record, the registers and the *frames* at hand, for the first
    screen; ``None`` where no event is stored. Why a program aborted only its stack tells, the top
    of which is walked."""
    event = system.target.event()
    if event is None or not event.is_stored:
        return None
    fault = fault_of(event, system)
    if fault.kind is FaultKind.ABORT:
        frames = list(session.stack(system, registers, _FIRST_FRAMES, cancel))
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
    called_from, was_called = _called_from(system, registers, frames)
    instruction = _instruction_at(system, pc) if pc is not None else None
    scene = Scene(
        system=system,
        registers=registers,
        instruction=" ".join(instruction.text.split()) if instruction else "",
        operands=operand_accesses(instruction, registers, system.machine) if instruction else [],
        called_from=called_from,
        was_called=was_called,
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


def _called_from(
    system: System, registers: Mapping[str, int], frames: Sequence[StackFrame]
) -> tuple[str, bool]:
    """Return how control came to a pc that is no code, ``""`` where it is code or nothing tells,
    and whether a call instruction was seen there."""
    pc, sp = program_counter(registers), stack_pointer(registers)
    if pc is None or sp is None or len(frames) < 2:
        return "", False
    caller = frames[1]
    if caller.trust is FrameTrust.WILD_CALL:
        seen = bool(system.memory.read_some(caller.frame.pc - 1, 1))
        words = "says" if seen else "suggests"
        return (
            f"the return address on top of the stack {words} that {caller.place.text} called",
            seen,
        )
    size = system.pointer_size
    below = system.memory.read_some(sp - size, size)
    found = int.from_bytes(below, "little") == pc and not is_null(pc)  # zeros are everywhere
    if caller.trust is FrameTrust.SCAN and found:
        words = (
            "the word just below the stack pointer holds the address: a ret took it from the "
            f"stack, so the stack was overwritten; what is left of it names {caller.place.text}"
        )
        return words, False
    return "", False


def judge(case: Case) -> tuple[Fault, Verdict]:
    """Return the fault, completed by what the operands tell, and the verdict."""
    fault = case.fault
    raised = judge_raised(case)
    if raised is not None:
        return fault, raised
    if fault.kind is FaultKind.TERMINATED and (passed := _passed_on(case)) is not None:
        return fault, passed
    if fault.kind not in _ACCESSES or fault.access is None:
        return fault, judge_event(case)
    refused = judge_refused(case)
    if refused is not None:
        return fault, _with_detail(fault, refused)
    located = locate_access(case.scene, fault.access)
    told = judge_protection(case, located)
    if told is not None:
        return msgspec.structs.replace(fault, access=located.access), _with_detail(fault, told)
    verdict = _of_bus(case, located) or judge_access(case.scene, located, case.fault.detail)
    if verdict.problem_class == "STACK_OVERFLOW" and case.recursion is not None:
        found = recursion_verdict(case.recursion, Confidence.LIKELY)
        evidence = (*found.evidence, *verdict.evidence)
        verdict = msgspec.structs.replace(found, evidence=evidence)
    verdict = _unless_sent(case, located, _unless_no_access(case, located, verdict))
    verdict = _in_heap(case, verdict)
    return msgspec.structs.replace(fault, access=located.access), _with_detail(fault, verdict)


def _passed_on(case: Case) -> Verdict | None:
    """Explain a fault whose handler sent its signal again, which came when the handler returned:
    the thread is back at the instruction that failed, if its operands tell that it must."""
    fault, scene = case.fault, case.scene
    own = scene.system.target.process_id
    if fault.name not in ("SIGSEGV", "SIGBUS") or not scene.operands or own is None:
        return None
    if fault.sender is None or fault.sender.process_id != own:
        return None
    located = locate_access(scene, Access(AccessKind.UNKNOWN, None, False))
    if located.operand is None:
        return None
    verdict = judge_access(scene, located)
    words = f"{fault.name} ({fault.detail}) came from the process itself: a handler sent it on"
    sure = Confidence.LIKELY if verdict.confidence is Confidence.CERTAIN else Confidence.POSSIBLE
    evidence = (*verdict.evidence, words)
    return msgspec.structs.replace(verdict, confidence=sure, evidence=evidence)


def _in_heap(case: Case, verdict: Verdict) -> Verdict:
    """Add to a verdict on a fault in the heap's own code what mostly leads there."""
    if not case.frames or not is_of_heap(case.frames[0].place.symbol):
        return verdict
    words = (
        f"{case.frames[0].place.base_text} keeps the heap: its data may have been overwritten "
        "before, or a block was freed twice"
    )
    return msgspec.structs.replace(verdict, evidence=(*verdict.evidence, words))


def _of_bus(case: Case, located: Located) -> Verdict | None:
    """Explain a SIGBUS by a mapped file that has no more of the page."""
    fault, scene = case.fault, case.scene
    if fault.name != "SIGBUS":
        return None
    addresses = [operand.address for operand in scene.operands]
    if located.address is not None:
        addresses = [located.address]
    for address in addresses:
        region = scene.map.at(address)
        path = region.file.path if region is not None and region.file is not None else ""
        if path.startswith("/"):
            at = f"{scene.address_text(address)} is mapped from {sanitise_line(path)}"
            return Verdict(_IN_PAGE, _NO_PAGE, Confidence.LIKELY, (*located.notes, at))
    if fault.kind is FaultKind.IN_PAGE:
        return Verdict(_IN_PAGE, _NO_PAGE, Confidence.LIKELY, located.notes)
    return None


def _unless_no_access(case: Case, located: Located, verdict: Verdict) -> Verdict:
    """Lower a verdict on an access that the instruction there does not make."""
    text, is_execute = case.scene.instruction, located.access.kind is AccessKind.EXECUTE
    is_x86 = case.scene.system.machine in ("amd64", "x86")  # ARM lists registers without brackets
    if not text or case.scene.operands or "[" in text or is_execute or not is_x86:
        return verdict
    words = f"`{text}` accesses no memory: the record or the registers are of something else"
    evidence = (*verdict.evidence, words)
    return msgspec.structs.replace(verdict, confidence=Confidence.POSSIBLE, evidence=evidence)


def _unless_sent(case: Case, located: Located, verdict: Verdict) -> Verdict:
    """Lower a verdict on a signal without code whose number no operand gives: ``kill`` stores the
    sender's process there."""
    address = located.address
    is_signal = case.fault.name in ("SIGSEGV", "SIGBUS")
    if not is_signal or case.record.flags or located.operand is not None or not address:
        return verdict
    if not located.access.is_reported or address == case.scene.pc:
        return verdict
    sender = address & 0xFFFFFFFF
    words = f"the record has no code: a process ({sender}) may have sent the signal"
    if sender == case.scene.system.target.process_id:
        return Verdict(
            "TERMINATED",
            "the program sent itself the signal (kill): no instruction failed",
            Confidence.LIKELY,
            (*located.notes, f"the record has no code, and its number is the process, {sender}"),
        )
    doubtful = sender >= _LOW_PROCESSES or bool(case.scene.instruction)
    confidence = Confidence.POSSIBLE if doubtful else verdict.confidence
    evidence = (*verdict.evidence, words)
    return msgspec.structs.replace(verdict, confidence=confidence, evidence=evidence)


def _with_detail(fault: Fault, verdict: Verdict) -> Verdict:
    if fault.kind is FaultKind.GUARD_PAGE and verdict.problem_class != "STACK_OVERFLOW":
        return Verdict(
            "GUARD_PAGE",
            "a page was touched that was marked to tell of the first access (PAGE_GUARD)",
            Confidence.CERTAIN,
            verdict.evidence,
        )
    if fault.kind is FaultKind.IN_PAGE and fault.name != "SIGBUS":
        return Verdict(
            _IN_PAGE,
            "a page could not be read from its file: a disk, a network share or a removed medium",
            Confidence.CERTAIN,
            verdict.evidence,
        )
    if fault.detail:
        evidence = (*verdict.evidence, f"the system reports {fault.name} ({fault.detail})")
        return msgspec.structs.replace(verdict, evidence=evidence)
    return verdict
