"""Verdicts on all events but failed memory accesses: what the record, the instruction and the
names on the stack say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from polydbg.arch.disassembly import Instruction
from polydbg.arch.disassembly_operands import register_value
from polydbg.engine.analysis.ended import aborted, by_name, is_guessed, named_reason, terminated
from polydbg.engine.analysis.location import Scene
from polydbg.engine.analysis.model import Confidence, Fault, FaultKind, Recursion, Verdict
from polydbg.engine.analysis.traps import LONGEST, trap_of
from polydbg.engine.stack import StackFrame
from polydbg.targets.crash_report import CrashReport, crash_report
from polydbg.targets.target import ExceptionRecord

if TYPE_CHECKING:
    from polydbg.formats.minidump.foreign import BreakpadAssertion

_STACK_FAIL_FAST = (0, 2)
_FAIL_FAST_WORDS = {
    0: "a function found its stack cookie overwritten: a stack buffer overrun",
    2: "a function found its stack cookie overwritten: a stack buffer overrun",
    3: "a doubly linked list was found corrupt",
    5: "a function got an argument that must not be",
    7: "the program ended itself with abort",
    8: "an index was out of range",
    10: "control flow guard stopped a call to an address that is no function",
    14: "a reference count was found wrong",
    25: "a delay-loaded module could not be protected",
    35: "an exception came where none may come, in a heap",
    57: "a return address did not match the shadow stack",
}
_PRIVILEGED_NAMES = """
    hlt cli sti in out ins insb insd outs outsb outsd lgdt lidt lldt ltr lmsw clts invd wbinvd
    invlpg rdmsr wrmsr rdpmc swapgs sysret sysexit iretq xsetbv
"""
PRIVILEGED = frozenset(_PRIVILEGED_NAMES.split())
"""Instructions of x86 and x64 that only the system may execute, by default."""
_BREAKPOINTS = ("int", "int3", "int1", "brk", "bkpt", "udf", "hlt", "???")
_ASSERTIONS = {
    1: ("INVALID_PARAMETER", "a function of the C library got an invalid argument"),
    2: ("PURE_VIRTUAL_CALL", "a pure virtual function was called"),
}
_FLOAT_WORDS = {
    "EXC_ARM_FP_DZ": "a floating-point number was divided by zero",
    "FPE_FLTDIV": "a floating-point number was divided by zero",
    "FPE_FLTOVF": "the result of a floating-point operation is too large",
    "FPE_FLTUND": "the result of a floating-point operation is too small",
    "FPE_FLTRES": "the result of a floating-point operation is not exact",
    "FPE_FLTINV": "a floating-point operation has no result: not a number, or infinities",
    "FPE_FLTSUB": "a subscript of a floating-point operation was out of range",
}
_MAX_MESSAGES = 4
_MANY_FRAMES = 64
"""A stack that is used up by fewer calls than these has large frames besides."""
_ANNOTATIONS = (
    *("exceptionname", "exceptionreason", "abort_message", "abort-message", "assertion"),
    *("assert", "panic", "fatal", "fatal_message", "lasterror"),
)
"""Names under which programs note why they end, in lower case."""


class Case(msgspec.Struct, frozen=True):
    """What a verdict may look at. *instruction* is the one at the fault, ``None`` if absent."""

    scene: Scene
    fault: Fault
    record: ExceptionRecord
    frames: Sequence[StackFrame]
    recursion: Recursion | None
    instruction: Instruction | None

    @property
    def where(self) -> str:
        return self.frames[0].place.text if self.frames else "an unknown place"


def judge_event(case: Case) -> Verdict:
    """Return the verdict on an event that is no failed access."""
    report = crash_report(case.scene.system.target)
    if report is not None and report.assertion is not None:
        return _reported_assertion(report.assertion)
    verdict = _JUDGES.get(case.fault.kind, _other)(case)
    messages = [] if report is None else _messages(report)
    return msgspec.structs.replace(verdict, evidence=(*verdict.evidence, *messages))


def _reported_assertion(record: BreakpadAssertion) -> Verdict:
    """Return what Breakpad's handler of the C library's failures wrote into the dump."""
    problem, words = _ASSERTIONS.get(record.kind, ("ASSERTION", "an assertion failed"))
    parts = [f"the crash reporter recorded: {record.expression or 'no expression'}"]
    if record.function:
        parts.append(f"in {record.function}")
    if record.file:
        parts.append(f"at {record.file}:{record.line}")
    return Verdict(problem, words, Confidence.CERTAIN, (" ".join(parts),))


def _messages(report: CrashReport) -> list[str]:
    """Return the last words of the program: exceptions and messages that the reporter noted, what
    libraries of macOS left."""
    texts: list[str] = []
    info = report.crashpad_info
    if info is not None:
        noted = [info.annotations, *(module.simple_annotations for module in info.modules)]
        objects = [item for module in info.modules for item in module.objects]
        pairs = [pair for each in noted for pair in each.items()]
        pairs += [
            (item.name, item.value.decode("utf-8", "replace")) for item in objects if item.kind == 1
        ]
        for name, text in pairs:
            if name.lower() in _ANNOTATIONS and text and len(texts) < _MAX_MESSAGES:
                texts.append(f"the crash reporter noted {name}: {text}")
    for record in report.macos_crash_info:
        for text in (record.message, record.message2):
            if text and len(texts) < _MAX_MESSAGES:
                texts.append(f"{record.module_path or 'a library'} says: {text}")
    return texts


def recursion_verdict(recursion: Recursion, confidence: Confidence) -> Verdict:
    """Return the verdict on a stack that calls used up."""
    at_least = "at least " if recursion.is_cut else ""
    names = " -> ".join(recursion.functions[:6])
    if len(recursion.functions) > 6:
        names += f" -> ... ({len(recursion.functions)} functions)"
    return Verdict(
        "STACK_OVERFLOW",
        f"the stack is used up by endless or too deep recursion: {names}",
        confidence,
        (
            f"the cycle repeats {at_least}{recursion.repeats} times in the "
            f"{recursion.frames} frames that were walked",
        ),
    )


def _stack_overflow(case: Case) -> Verdict:
    if case.recursion is not None:
        # The stack is used up for certain; by which functions only as far as the frames are.
        doubtful = any(row.trust.is_guess for row in case.frames)
        doubtful |= case.recursion.frames < _MANY_FRAMES  # what is below may have used more
        confidence = Confidence.LIKELY if doubtful else Confidence.CERTAIN
        return recursion_verdict(case.recursion, confidence)
    text = case.scene.instruction
    is_access = not text or bool(case.scene.operands) or "[" in text
    return Verdict(
        "STACK_OVERFLOW",
        "the stack is used up",
        Confidence.CERTAIN if is_access else Confidence.LIKELY,
        ("the frames that were walked show no cycle: a large frame, or a very long one",),
    )


def _divide(case: Case) -> Verdict:
    divisor = _divisor(case)
    text = case.scene.instruction
    said = case.fault.name != "SIGFPE" or case.fault.detail == "FPE_INTDIV"
    if divisor is None and not said:
        is_none = f"`{text}` at {case.where} is no division of integers"
        return Verdict(
            "ARITHMETIC_FAULT",
            "an arithmetic operation failed, or a process sent the signal",
            Confidence.POSSIBLE,
            (is_none if text else "the record does not say which; the code is not in the dump",),
        )
    if divisor is None:
        is_x86 = case.scene.system.machine in ("amd64", "x86")  # ARM64 has a trap for it
        is_other = bool(text) and is_x86 and text.split()[0] not in ("div", "idiv", "aam")
        return Verdict(
            "INTEGER_DIVIDE_BY_ZERO",
            "an integer was divided by zero, or the quotient does not fit",
            Confidence.POSSIBLE if is_other else Confidence.LIKELY,
            (f"`{text}`" + (" is no division" if is_other else ""),) if text else (),
        )
    name, value = divisor
    if value == 0:
        return Verdict(
            "INTEGER_DIVIDE_BY_ZERO",
            "an integer was divided by zero",
            Confidence.CERTAIN,
            (f"`{text}`: the divisor {name} is 0",),
        )
    return Verdict(
        "INTEGER_DIVIDE_OVERFLOW",
        "the quotient of a division does not fit",
        Confidence.CERTAIN,
        (f"`{text}`: the divisor {name} is {value:#x}, not 0",),
    )


def _divisor(case: Case) -> tuple[str, int] | None:
    """Return name and value of what an x86 ``div`` or ``idiv`` divides by."""
    instruction, scene = case.instruction, case.scene
    if instruction is None or instruction.mnemonic.split()[-1] not in ("div", "idiv"):
        return None
    # Some listings spell the dividend out: `idiv eax,ecx`.
    operand = instruction.operands.rsplit(",", 1)[-1].strip()
    value = register_value(operand, scene.registers)
    if value is not None:
        return operand, value
    for access in scene.operands:
        size = access.size or 4
        data = scene.system.memory.read_some(access.address, size)
        if len(data) == size:
            return f"[{access.expression}]", int.from_bytes(data, "little")
    return None


def _illegal(case: Case) -> Verdict:
    text = case.scene.instruction
    if not text:
        return Verdict(
            "ILLEGAL_INSTRUCTION",
            "an instruction that the processor does not know was executed",
            Confidence.LIKELY,
            ("the code there is not in the dump",),
        )
    name = text.split()[0]
    if name in ("ud2", "ud1", "ud0", "udf", "brk", "bkpt"):
        reason = named_reason(case.frames[:8])
        if reason is not None:
            return by_name(case, *reason)
        if (trap := _trap(case)) is not None:
            return trap
        return Verdict(
            "ILLEGAL_INSTRUCTION",
            "a trap that the compiler put into the code was reached: a failed check, or code "
            "that must not be reached",
            Confidence.LIKELY,
            (f"`{text}` at {case.where}",),
        )
    if name == "???":
        words = (
            "bytes that are no instruction were executed: control went astray, or the code "
            "was overwritten"
        )
    else:
        words = "the processor refused an instruction: one of a newer processor, or a broken jump"
    return Verdict(
        "ILLEGAL_INSTRUCTION", words, Confidence.POSSIBLE, (f"`{text}` at {case.where}",)
    )


def _trap(case: Case) -> Verdict | None:
    scene = case.scene
    trap = trap_of(scene.system.memory.read_some(scene.pc, LONGEST), scene.system.machine)
    if trap is None:
        return None
    evidence = f"`{scene.instruction}` at {case.where}"
    return Verdict(trap.problem_class, trap.words, Confidence.LIKELY, (evidence,))


def privileged(case: Case) -> Verdict:
    """Return the verdict on an instruction that programs may not execute."""
    text = case.scene.instruction
    is_it = not text or text.split()[0] in PRIVILEGED
    return Verdict(
        "PRIVILEGED_INSTRUCTION",
        "an instruction was executed that only the system may execute",
        Confidence.CERTAIN if is_it else Confidence.LIKELY,
        (f"`{text}` at {case.where}",) if text else (),
    )


def _breakpoint(case: Case) -> Verdict:
    reason = named_reason(case.frames)
    if reason is not None:
        return by_name(case, *reason)
    names = {row.place.symbol for row in case.frames}
    if case.record.code == 0xC0000420:
        return Verdict(
            "ASSERTION",
            "an assertion of the program failed",
            Confidence.CERTAIN,
            (f"the event is an assertion failure at {case.where}",),
        )
    if "DbgUiRemoteBreakin" in names:
        return Verdict(
            "BREAKPOINT",
            "a debugger broke in: no crash",
            Confidence.CERTAIN,
            ("the thread of the event is the debugger's own (DbgUiRemoteBreakin)",),
        )
    if (trap := _trap(case)) is not None:
        return trap
    text = case.scene.instruction
    is_there = text.split()[0] in _BREAKPOINTS if text else True
    at = "at"
    if not is_there:  # signals and the debugger's services (int 2Dh) come behind the instruction
        before = case.scene.system.memory.read_some(max(0, case.scene.pc - 3), 3)
        found = "int 3" if before[-1:] == b"\xcc" else "int 2Dh" if b"\xcd\x2d" in before else ""
        if found:
            text, is_there, at = found, True, "before"
    evidence = f"`{text}` {at} {case.where}" if text else f"the thread was at {case.where}"
    if not is_there:
        return Verdict(
            "BREAKPOINT",
            "an event for a debugger, without a breakpoint instruction: a process sent it, or a "
            "breakpoint was removed since",
            Confidence.POSSIBLE,
            (evidence,),
        )
    return Verdict(
        "BREAKPOINT",
        "a breakpoint instruction was reached: an assertion, a debugger's break, or a snapshot "
        "that the program took of itself",
        Confidence.LIKELY,
        (evidence,),
    )


def _fail_fast(case: Case) -> Verdict:
    code = case.record.parameters[0] if case.record.parameters else None
    name = case.fault.detail
    evidence = [f"fail fast code {code:#x}, {name}"] if code is not None else []
    suffix = name if name.startswith("FAST_FAIL_") else ""
    problem = suffix.replace("FAST_FAIL_", "FAIL_FAST_") or "FAIL_FAST"
    reason = named_reason(case.frames) if code == 7 else None
    if reason is not None:
        evidence.append(f"{reason[1].place.base_text} is on the stack")
    if reason is not None and not is_guessed(case, reason[1]):
        words = reason[0].words
    else:
        known = "" if code is None else _FAIL_FAST_WORDS.get(code, "")
        words = known or "the program ended itself (fail fast)"
    if code in _STACK_FAIL_FAST:
        problem = "STACK_BUFFER_OVERRUN"
    return Verdict(problem, words, Confidence.CERTAIN, tuple(evidence))


def _cxx(case: Case) -> Verdict:
    from polydbg.engine.analysis.thrown import thrown_object

    thrown = thrown_object(case.scene.system, case.record)
    if thrown is None:
        return Verdict(
            "CPP_EXCEPTION",
            "a C++ exception was thrown",
            Confidence.CERTAIN,
            ("the dump does not hold what tells its type",),
        )
    what = f', what() is "{thrown.what}"' if thrown.what else ""
    evidence = [f"the object is at {case.scene.address_text(thrown.object)}"]
    if len(thrown.types) > 1:
        evidence.append(f"it can be caught as {', '.join(thrown.types[1:])} too")
    return Verdict(
        "CPP_EXCEPTION",
        f"a C++ exception of type {thrown.types[0]} was thrown{what}",
        Confidence.CERTAIN,
        tuple(evidence),
    )


def _fixed(problem: str, words: str, confidence: Confidence = Confidence.CERTAIN) -> _Judge:
    def judge(case: Case) -> Verdict:
        evidence = f"{case.fault.name} {case.fault.detail}".strip()
        return Verdict(problem, words, confidence, (f"{evidence} at {case.where}",))

    return judge


def _float(case: Case) -> Verdict:
    words = _FLOAT_WORDS.get(case.fault.detail, "a floating-point operation failed")
    return _fixed("FLOAT_FAULT", words)(case)


def _other(case: Case) -> Verdict:
    record = case.record
    names = {row.place.symbol for row in case.frames[:6] if not row.trust.is_guess}
    evidence = []
    if record.parameters:
        shown = ", ".join(f"{value:#x}" for value in record.parameters)
        evidence.append(f"its parameters are {shown}")
    if "RaiseException" in names or record.code >> 29 & 1:
        return Verdict(
            "APPLICATION_FAULT",
            f"the program raised its own exception {case.fault.name}",
            Confidence.CERTAIN if "RaiseException" in names else Confidence.LIKELY,
            tuple(evidence),
        )
    from polydbg.base.error_codes import ntstatus_meaning

    meaning = ntstatus_meaning(record.code).name if len(case.fault.name) == 8 else ""
    words = f"the program stopped with {case.fault.name} {case.fault.detail or meaning}".strip()
    return Verdict(
        "APPLICATION_FAULT",
        words,
        Confidence.UNKNOWN,
        tuple(evidence),
    )


_Judge = Callable[[Case], Verdict]
_JUDGES: dict[FaultKind, _Judge] = {
    FaultKind.STACK_OVERFLOW: _stack_overflow,
    FaultKind.DIVIDE: _divide,
    FaultKind.ILLEGAL: _illegal,
    FaultKind.PRIVILEGED: privileged,
    FaultKind.BREAKPOINT: _breakpoint,
    FaultKind.ABORT: aborted,
    FaultKind.FAIL_FAST: _fail_fast,
    FaultKind.CXX_THROW: _cxx,
    FaultKind.OVERFLOW: _fixed(
        "INTEGER_OVERFLOW", "the result of an integer operation did not fit"
    ),
    FaultKind.FLOATING_POINT: _float,
    FaultKind.MISALIGNED: _fixed("DATATYPE_MISALIGNMENT", "data was accessed at a crooked address"),
    FaultKind.SINGLE_STEP: _fixed("SINGLE_STEP", "a debugger's step or a data breakpoint"),
    FaultKind.HEAP_CORRUPTION: _fixed(
        "HEAP_CORRUPTION",
        "the heap found its own data overwritten: the damage is older than this stack",
    ),
    FaultKind.INVALID_HANDLE: _fixed("INVALID_HANDLE", "a closed or wrong handle was used"),
    FaultKind.OBJECTIVE_C_THROW: _fixed(
        "OBJC_EXCEPTION", "an Objective-C exception was not caught"
    ),
    FaultKind.MANAGED: _fixed(
        "CLR_EXCEPTION", "a managed exception was thrown; managed frames are not decoded"
    ),
    FaultKind.DEBUG_OUTPUT: _fixed("DEBUG_EVENT", "an event for a debugger: no crash"),
    FaultKind.BAD_SYSTEM_CALL: _fixed(
        "BAD_SYSTEM_CALL", "a system call was refused, by a filter or because there is none"
    ),
    FaultKind.TERMINATED: terminated,
    FaultKind.HARDWARE: _fixed("HARDWARE_ERROR", "the hardware reports damaged memory"),
    FaultKind.RESOURCE: _fixed("RESOURCE_LIMIT", "a limit of the system was exceeded"),
    FaultKind.REQUESTED: _fixed("DUMP_REQUESTED", "the dump was asked for: no crash"),
}
