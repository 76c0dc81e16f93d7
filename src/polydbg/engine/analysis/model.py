"""What an analysis says: the fault, a verdict with its evidence, and the code to blame."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from polydbg.engine.exceptions.signals import Sender
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import ExceptionRecord, ThreadInfo


class Confidence(enum.Enum):
    """How sure a verdict is."""

    CERTAIN = "certain"  # the record and the instruction say so, nothing is inferred
    LIKELY = "likely"  # the evidence fits, another reading is possible
    POSSIBLE = "possible"  # a candidate worth a look
    UNKNOWN = "unknown"  # nothing explains the event


class FaultKind(enum.Enum):
    """What happened, whatever system and processor say it in."""

    ACCESS = "access"
    IN_PAGE = "in-page error"
    STACK_OVERFLOW = "stack overflow"
    GUARD_PAGE = "guard page"
    MISALIGNED = "misaligned access"
    DIVIDE = "divide"
    OVERFLOW = "integer overflow"
    FLOATING_POINT = "floating point"
    ILLEGAL = "illegal instruction"
    PRIVILEGED = "privileged instruction"
    BREAKPOINT = "breakpoint"
    SINGLE_STEP = "single step"
    ABORT = "abort"
    FAIL_FAST = "fail fast"
    CXX_THROW = "C++ exception"
    OBJECTIVE_C_THROW = "Objective-C exception"
    MANAGED = "managed exception"
    HEAP_CORRUPTION = "heap corruption"
    INVALID_HANDLE = "invalid handle"
    DEBUG_OUTPUT = "debug event"
    HANG = "hang"
    BAD_SYSTEM_CALL = "system call"
    TERMINATED = "terminated"
    RESOURCE = "resource limit"
    HARDWARE = "hardware error"
    REQUESTED = "requested dump"
    NONE = "no event"
    OTHER = "other"


class AccessKind(enum.Enum):
    """What an access was for."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    UNKNOWN = "access"


class Access(msgspec.Struct, frozen=True):
    """A memory access that failed.

    *address* is ``None`` where nothing tells it; *is_reported* says that the system reports it,
    rather than the operands of the instruction. *size* is in bytes, 0 when not known.
    """

    kind: AccessKind
    address: int | None
    is_reported: bool
    size: int = 0


class Fault(msgspec.Struct, frozen=True):
    """An event reduced to what every system can say. *name* is the system's own word for it
    (``c0000005``, ``SIGSEGV``); *detail* what the record adds (``SEGV_MAPERR``); *sender* the
    process that sent a signal, ``None`` where none did or nothing tells."""

    kind: FaultKind
    name: str
    detail: str = ""
    access: Access | None = None
    sender: Sender | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What happened, in one sentence, with the observations that it rests on.

    *problem_class* is a stable word such as ``NULL_POINTER_WRITE``, the first part of the bucket.
    """

    problem_class: str
    summary: str
    confidence: Confidence
    evidence: tuple[str, ...] = ()


class Blame(msgspec.Struct, frozen=True):
    """The frame that the bucket names, and the rule that chose it."""

    frame: StackFrame
    rule: str


class Recursion(msgspec.Struct, frozen=True):
    """A cycle of calls at the top of a stack: names of its functions, how often it was seen in the
    *frames* that were walked, and whether the walk stopped before its end."""

    functions: tuple[str, ...]
    repeats: int
    frames: int
    is_cut: bool


class ThreadWait(msgspec.Struct, frozen=True):
    """What a thread does: *waits_for* is ``""`` where it runs, or where no name tells (then
    *is_known* is false), *where* the innermost place in the program's own code, ``""`` where none
    was seen."""

    thread: ThreadInfo
    waits_for: str
    is_known: bool
    where: str


class Analysis(msgspec.Struct, frozen=True):
    """The whole answer of ``!analyze``.

    *frames* are those that were walked, innermost first, inlined calls among them; *is_cut* says
    that the stack goes on. *managed_frames* lie in just-in-time compiled code of a runtime, which
    is not decoded. *is_hang*: waiting threads were judged, not an event; *waits* says who waits for
    what, of the first 512 threads. *bucket* names the failure, *bucket_rule* how it came about.
    """

    fault: Fault
    verdict: Verdict
    thread: ThreadInfo | None
    record: ExceptionRecord | None
    registers: Mapping[str, int]
    frames: Sequence[StackFrame]
    is_cut: bool
    blame: Blame | None
    recursion: Recursion | None
    managed_frames: int
    managed_runtime: str
    is_stored: bool
    is_hang: bool
    waits: tuple[ThreadWait, ...]
    bucket: str
    bucket_rule: str
    bucket_hash: str

    @property
    def is_of_event(self) -> bool:
        """Return whether registers and stack are those that the event stored."""
        return self.is_stored and not self.is_hang
