"""Puts an analysis together: reads the fault, walks its stack, judges, blames, names the bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from polydbg.arch.disassembly import LONGEST_INSTRUCTION, Instruction
from polydbg.arch.registers import program_counter, stack_pointer
from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.analysis.access import Scene, judge_access, locate_access
from polydbg.engine.analysis.blame import bucket_hash, bucket_symbol, choose_blame
from polydbg.engine.analysis.causes import Case, judge_event, named_reason, recursion_verdict
from polydbg.engine.analysis.fault import fault_of
from polydbg.engine.analysis.hang import Hang, judge_hang
from polydbg.engine.analysis.model import (
    Analysis,
    Blame,
    Confidence,
    Fault,
    FaultKind,
    Recursion,
    Verdict,
)
from polydbg.engine.analysis.operands import operand_accesses
from polydbg.engine.analysis.recursion import find_recursion
from polydbg.engine.analysis.runtime import managed_runtime
from polydbg.engine.code import decoder_at
from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import DumpEvent, ThreadInfo
from polydbg.unwind.frames import FrameTrust

MAX_FRAMES: Final = 256
"""How far the stack of the fault is walked: enough to see that a recursion has no end."""

_ACCESSES = (FaultKind.ACCESS, FaultKind.IN_PAGE, FaultKind.GUARD_PAGE)


def analyze(
    session: Session,
    system: System,
    cancel: CancelToken | None = None,
    *,
    hang: bool = False,
) -> Analysis:
    """Return what happened in *system*: the verdict on its event; on what its threads wait for
    where no event is stored, or if *hang* asks for it.

    :raises Cancelled: the user asked to stop.
    """
    event = system.target.event()
    thread = system.event_thread
    waiting = None
    if hang or event is None or not event.is_stored:
        waiting = judge_hang(session, system, cancel)
    registers = _registers(system, thread)
    if waiting is not None and waiting.thread is not None:
        thread, registers = waiting.thread, system.thread_registers(waiting.thread)
    frames = list(session.stack(system, registers, MAX_FRAMES + 1, cancel))
    is_cut, frames = len(frames) > MAX_FRAMES, frames[:MAX_FRAMES]
    recursion = find_recursion(frames, is_cut)
    fault = fault_of(event, system) if event else Fault(FaultKind.NONE, "")
    if event is None or waiting is not None:
        fault = Fault(FaultKind.HANG if hang else FaultKind.NONE, "")
        verdict, skip = _hang_verdict(waiting, hang), 0
    else:
        case = _case(system, event, fault, registers, frames, recursion)
        fault, verdict = judge(case)
        skip = _frames_to_skip(case, verdict)
    if verdict.problem_class != "STACK_OVERFLOW":
        recursion = None
    blame = choose_blame(system, frames, recursion, skip)
    bucket, rule = _bucket(system, fault, verdict, blame)
    runtime, managed = _managed(system, frames)
    return Analysis(
        fault=fault,
        verdict=verdict,
        thread=thread,
        record=event.exception if event and event.is_stored else None,
        registers=registers,
        frames=frames,
        is_cut=is_cut,
        blame=blame,
        recursion=recursion,
        managed_frames=managed,
        managed_runtime=runtime,
        is_stored=event is not None and event.is_stored,
        is_hang=waiting is not None,
        waits=waiting.waits if waiting else (),
        bucket=bucket,
        bucket_rule=rule,
        bucket_hash=bucket_hash(bucket),
    )


def first_verdict(
    system: System, registers: Mapping[str, int], frames: Sequence[StackFrame]
) -> Verdict | None:
    """Return a verdict from the record, the registers and the *frames* at hand, for the first
    screen; ``None`` where no event is stored."""
    event = system.target.event()
    if event is None or not event.is_stored:
        return None
    return judge(_case(system, event, fault_of(event, system), registers, frames, None))[1]


def _hang_verdict(waiting: Hang | None, asked: bool) -> Verdict:
    if waiting is not None and waiting.verdict is not None:
        return waiting.verdict
    if asked:
        return Verdict(
            "HANG",
            "no thread was seen to wait for a lock that another holds; what each waits for is "
            "listed",
            Confidence.UNKNOWN,
        )
    return Verdict(
        "SNAPSHOT",
        "no exception is stored: the dump is a snapshot of a process, not of a crash",
        Confidence.CERTAIN,
    )


def _registers(system: System, thread: ThreadInfo | None) -> Mapping[str, int]:
    """Return the registers of the fault: the exception's, else the thread's."""
    stored = system.exception_registers()
    if stored is not None and program_counter(stored) is not None:
        return stored
    return system.thread_registers(thread) if thread else {}


def _case(
    system: System,
    event: DumpEvent,
    fault: Fault,
    registers: Mapping[str, int],
    frames: Sequence[StackFrame],
    recursion: Recursion | None,
) -> Case:
    pc = program_counter(registers)
    instruction = _instruction_at(system, pc) if pc is not None else None
    scene = Scene(
        system=system,
        registers=registers,
        instruction=" ".join(instruction.text.split()) if instruction else "",
        operands=operand_accesses(instruction, registers, system.machine) if instruction else [],
        called_from=_called_from(system, registers, frames),
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
    located = locate_access(case.scene, fault.access)
    verdict = judge_access(case.scene, located)
    if verdict.problem_class == "STACK_OVERFLOW" and case.recursion is not None:
        found = recursion_verdict(case.recursion, Confidence.LIKELY)
        evidence = (*found.evidence, *verdict.evidence)
        verdict = msgspec.structs.replace(found, evidence=evidence)
    return msgspec.structs.replace(fault, access=located.access), _with_detail(fault, verdict)


def _frames_to_skip(case: Case, verdict: Verdict) -> int:
    """Return how many frames on top only carried the end out, or are no code at all."""
    access = case.fault.access
    if access is not None and case.fault.kind is FaultKind.ACCESS:
        place = case.frames[0].place if case.frames else None
        gone = place is not None and place.unloaded
        return int(
            "EXECUTE" in verdict.problem_class or "NX_FAULT" in verdict.problem_class
        ) - bool(gone)
    reason = named_reason(case.frames)
    return reason[1].number + 1 if reason is not None else 0


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


def _bucket(system: System, fault: Fault, verdict: Verdict, blame: Blame | None) -> tuple[str, str]:
    """Return ``CLASS_code_image!function`` and the rule that made it."""
    symbol, rule = "unknown!unknown", "no stack"
    if blame is not None:
        symbol, how = bucket_symbol(system, blame.frame)
        rule = f"{blame.rule}; named {how}"
    head = [verdict.problem_class]
    if fault.kind is not FaultKind.NONE and fault.name:
        head.append(fault.name.replace(" ", "_"))
    return "_".join([*head, symbol]), f"problem class, code, and {rule}"


def _managed(system: System, frames: Sequence[StackFrame]) -> tuple[str, int]:
    """Return the managed run-time and how many frames lie in code that it made."""
    runtime = managed_runtime(system.modules.modules)
    if not runtime:
        return "", 0
    count = 0
    for row in frames:
        if row.is_inline or row.place.unloaded:
            continue
        module = system.modules.at(row.frame.lookup_pc)
        count += module is None or (not row.place.symbol and _has_il(system, row))
    return runtime, count


def _has_il(system: System, row: StackFrame) -> bool:
    """Tell whether the frame's module is a managed image (it has a CLI header)."""
    module = system.modules.at(row.frame.lookup_pc)
    image = system.modules.image(module) if module is not None else None
    return image is not None and image.is_managed
