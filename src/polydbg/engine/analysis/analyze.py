"""Puts an analysis together: walks the stack of the fault, judges, blames, names the bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from polydbg.arch.registers import program_counter
from polydbg.base.cancel import CancelToken
from polydbg.engine.analysis.blame import bucket_hash, bucket_symbol, choose_blame
from polydbg.engine.analysis.causes import Case
from polydbg.engine.analysis.ended import interrupted_frame, named_reason
from polydbg.engine.analysis.fault import fault_of
from polydbg.engine.analysis.hang import Hang, judge_hang
from polydbg.engine.analysis.judge import case_of, judge
from polydbg.engine.analysis.model import (
    AccessKind,
    Analysis,
    Blame,
    Confidence,
    Fault,
    FaultKind,
    Verdict,
)
from polydbg.engine.analysis.recursion import find_recursion
from polydbg.engine.analysis.runtime import managed_runtime
from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import ThreadInfo

MAX_FRAMES: Final = 256
"""How far the stack of the fault is walked: enough to see that a recursion has no end."""


def analyze(
    session: Session,
    system: System,
    cancel: CancelToken | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    hang: bool = False,
) -> Analysis:
    """Return what happened in *system*: the verdict on its event; on what its threads wait for
    where no event is stored, or if *hang* asks for it, which is long where there are many.

    :raises Cancelled: the user asked to stop.
    """
    event = system.target.event()
    thread = system.event_thread
    waiting = None
    if hang or event is None or not event.is_stored:
        waiting = judge_hang(session, system, cancel, progress)
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
        case = case_of(system, event, fault, registers, frames, recursion, cancel)
        fault, verdict = judge(case)
        skip = _frames_to_skip(case, fault)
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


def _frames_to_skip(case: Case, fault: Fault) -> int:
    """Return how many frames on top only carried the end out, or are no code at all."""
    if fault.kind is FaultKind.ACCESS and fault.access is not None:
        # What called into an unloaded module is blamed on that module.
        is_gone = bool(case.frames and case.frames[0].place.unloaded)
        return int(fault.access.kind is AccessKind.EXECUTE and not is_gone)
    reason = named_reason(case.frames)
    if reason is not None:
        return reason[1].number + 1
    # What a handler sent on is blamed on what it had interrupted.
    row = interrupted_frame(case.frames) if fault.kind is FaultKind.TERMINATED else None
    return row.number if row is not None else 0


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
    image = system.modules.pe_image(module) if module is not None else None
    return image is not None and image.is_managed
