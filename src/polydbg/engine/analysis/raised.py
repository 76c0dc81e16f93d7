"""Exceptions of Windows that software raised under a code that else the processor's faults have.

``RaiseException`` takes any code. Windows 10 and later mark what it raised with
``EXCEPTION_SOFTWARE_ORIGINATE`` (winnt.h); before, the function on top of the stack tells.
"""

from __future__ import annotations

from polydbg.engine.analysis.causes import Case
from polydbg.engine.analysis.model import Confidence, FaultKind, Verdict

_SOFTWARE_ORIGINATE = 0x80
_RAISERS = ("RaiseException", "RtlRaiseException", "RtlRaiseStatus")
_FAULTS = (
    *(FaultKind.ACCESS, FaultKind.GUARD_PAGE, FaultKind.STACK_OVERFLOW, FaultKind.MISALIGNED),
    *(FaultKind.DIVIDE, FaultKind.OVERFLOW, FaultKind.ILLEGAL, FaultKind.PRIVILEGED),
)
_TOP_FRAMES = 2


def judge_raised(case: Case) -> Verdict | None:
    """Return the verdict on a fault that no instruction made, ``None`` for others."""
    if case.scene.system.target.system().platform != "windows":
        return None
    evidence = []
    rows = [row for row in case.frames[:_TOP_FRAMES] if not row.trust.is_guess]
    raiser = next((row for row in rows if row.place.symbol in _RAISERS), None)
    if raiser is not None:
        evidence.append(f"{raiser.place.base_text} is on top of the stack")
    kinds: tuple[FaultKind, ...] = _FAULTS
    if raiser is not None and raiser.place.symbol == "RaiseException":
        kinds = (*_FAULTS, FaultKind.HEAP_CORRUPTION)  # the heap's own reports take another way
    elif case.record.flags & _SOFTWARE_ORIGINATE:
        evidence.append("the record is marked as raised by software")
    if case.fault.kind not in kinds or not evidence:
        return None
    return Verdict(
        "APPLICATION_FAULT",
        f"the program raised {case.fault.name} itself: no instruction failed, unless a handler "
        "raised an earlier fault again",
        Confidence.LIKELY,
        tuple(evidence),
    )
