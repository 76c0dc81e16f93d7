"""Faults of memory that the code of the signal explains by itself: keys, tags, bounds.

Facts: ``sigaction(2)``; XNU's ``mach/arm/exception.h``; ``pkeys(7)``; the kernel's documentation of
ARM64's memory tagging and of x86's shadow stacks; ``asm-generic/siginfo.h`` for SPARC's application
data integrity.
"""

from __future__ import annotations

from typing import Final

from polydbg.engine.analysis.causes import Case
from polydbg.engine.analysis.location import Located
from polydbg.engine.analysis.model import Confidence, Verdict

_TAGS: Final = (
    "MEMORY_TAG",
    "the tag of a pointer is not that of its memory: out of bounds, or freed",
)
_KINDS: Final = {
    "SEGV_BNDERR": ("BOUNDS_CHECK", "a pointer failed a check of its bounds"),
    "SEGV_PKUERR": ("PROTECTION_KEY", "the protection key of the memory denies the access"),
    "SEGV_ACCADI": _TAGS,
    "SEGV_ADIDERR": _TAGS,
    "SEGV_ADIPERR": _TAGS,
    "SEGV_MTEAERR": _TAGS,
    "SEGV_MTESERR": _TAGS,
    "EXC_ARM_PAC_FAIL": ("POINTER_AUTHENTICATION", "a signed pointer failed its authentication"),
    "SEGV_CPERR": (
        "CONTROL_FLOW",
        "a return or an indirect jump went where control flow protection does not let it go",
    ),
}


def judge_protection(case: Case, located: Located) -> Verdict | None:
    """Return the verdict that the event's code alone gives, ``None`` for other codes."""
    found = _KINDS.get(case.fault.detail)
    if found is None:
        return None
    problem, words = found
    evidence = list(located.notes)
    values = case.record.parameters
    if case.fault.detail == "SEGV_PKUERR" and len(values) == 1:
        evidence.append(f"the key of the memory is {values[0]}")
    if case.fault.detail == "SEGV_BNDERR" and len(values) == 2:
        low, high = map(case.scene.address_text, values)
        evidence.append(f"the bounds are {low} to {high}")
    if case.fault.detail == "SEGV_MTEAERR":
        evidence.append("the processor reported it late: an instruction before this one did it")
    return Verdict(problem, words, Confidence.CERTAIN, tuple(evidence))
