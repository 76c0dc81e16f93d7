"""Verdicts on programs that ended themselves, or that another process ended: what the names on the
stack say, completed by what the run-time libraries left in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from polydbg.engine.analysis.model import Confidence, Verdict
from polydbg.unwind.frames import FrameTrust

if TYPE_CHECKING:
    from polydbg.engine.analysis.causes import Case
    from polydbg.engine.analysis.last_words import Ending
    from polydbg.engine.analysis.runtime import EndReason
    from polydbg.engine.analysis.thrown_itanium import ThrownObject
    from polydbg.engine.stack import StackFrame

_FAULT_SIGNALS: Final = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS")
_CALLERS: Final = 3
"""How many callers of a run-time's function may say more than itself."""
_RETURN_FROM_HANDLER: Final = ("__restore_rt", "__restore", "__kernel_rt_sigreturn", "_sigtramp")
_NOEXCEPT: Final = ("__cxa_call_terminate", "__clang_call_terminate", "__gxx_personality_v0")
_THROWS: Final = (
    *("__cxa_throw", "__cxa_rethrow", "std::rethrow_exception", "_Unwind_RaiseException"),
    *("_Unwind_Resume", *_NOEXCEPT),
)
_THREADS: Final = ("std::thread::~thread", "std::thread::operator=", "std::jthread::~jthread")
_AROUND: Final = 12
"""How many frames from the one that ended the program on belong to a throw."""


def named_reason(frames: Sequence[StackFrame]) -> tuple[EndReason, StackFrame] | None:
    """Return why the program ended itself, by the most telling name on the stack."""
    from polydbg.engine.analysis.runtime import TELLING, end_reason

    found: tuple[EndReason, StackFrame] | None = None
    last = len(frames)
    for index, row in enumerate(frames):
        if index > last:
            break
        reason = end_reason(row.place.symbol)
        if reason is None or (found is not None and reason.rank <= found[0].rank):
            continue
        if reason.rank >= TELLING and (found is None or found[0].rank < TELLING):
            last = index + _CALLERS
        found = reason, row
    return found


def is_guessed(case: Case, row: StackFrame) -> bool:
    """Tell whether the stack down to *row* is partly a guess."""
    return any(each.trust.is_guess for each in case.frames[: row.number + 1])


def by_name(case: Case, reason: EndReason, row: StackFrame) -> Verdict:
    """Return the verdict that the run-time's function in *row* ended the program for *reason*."""
    guessed = is_guessed(case, row)
    evidence = [f"{row.place.base_text} is on the stack"]
    if guessed:
        evidence.append("the stack down to it is partly a guess")
    sure = Confidence.POSSIBLE if guessed else Confidence.CERTAIN
    found = Verdict(reason.problem_class, reason.words, sure, tuple(evidence))
    if reason.problem_class == "CPP_TERMINATE":
        return _terminate(case, found, row)
    if reason.problem_class == "RUST_PANIC":
        return _panic(case, found)
    if reason.problem_class == "ASSERTION":
        return _assertion(case, found, row)
    if reason.problem_class == "STACK_OVERFLOW" and case.recursion is not None:
        from polydbg.engine.analysis.causes import recursion_verdict

        whole = recursion_verdict(case.recursion, sure)
        return msgspec.structs.replace(whole, evidence=(*whole.evidence, *evidence))
    return found


def aborted(case: Case) -> Verdict:
    """Return the verdict on a program that aborted: as its library noted, else by the stack."""
    sent = _sent_by_another(case)
    if sent is not None:
        return sent
    from polydbg.engine.analysis.last_words import abort_message, message_in_memory
    from polydbg.engine.analysis.runtime import TELLING

    reason = named_reason(case.frames)
    noted = abort_message(case.scene.system, case.scene.cancel)
    if noted is not None:
        return _as_noted(case, noted, reason)
    if reason is not None and reason[0].rank >= TELLING:
        return by_name(case, *reason)
    if case.fault.detail == "SI_USER":
        words = "the program sent itself the signal (kill)"
        return Verdict("ABORT", words, Confidence.CERTAIN, tuple(_sender_words(case)))
    if case.fault.name == "SIGABRT":
        noted = message_in_memory(case.scene.system, case.scene.cancel)
        if noted is not None:
            words = f'a page of memory is as glibc leaves its last message: "{noted.text}"'
            return Verdict(noted.problem_class, noted.words, Confidence.LIKELY, (words,))
    verdict = Verdict(
        "ABORT",
        "the program ended itself",
        Confidence.LIKELY,
        ("no function on the stack says why",),
    )
    if reason is not None:
        verdict = by_name(case, *reason)
    return _with_hints(case, verdict)


def _with_hints(case: Case, verdict: Verdict) -> Verdict:
    """Add what words of the stack alone lead to: the text with which a library may have ended the
    program, an exception that may not have been caught."""
    from polydbg.arch.registers import stack_pointer
    from polydbg.engine.analysis.last_words import text_on_stack
    from polydbg.engine.analysis.thrown_itanium import shown_text, thrown_objects

    if case.fault.name != "SIGABRT":
        return verdict
    system, hints = case.scene.system, []
    sp = stack_pointer(case.scene.registers)
    found = text_on_stack(system, sp) if sp is not None else None
    if found is not None:
        hints.append(f'the stack holds a pointer to the text "{found.text}": it may be why, or old')
    for thrown in thrown_objects(system, case.frames[:_AROUND], case.scene.cancel)[:1]:
        text = shown_text(thrown)
        what = f"{thrown.types[0]}, {text}," if text else thrown.types[0]
        hints.append(f"an exception of type {what} was in flight or handled: it may be why")
    return msgspec.structs.replace(verdict, evidence=(*verdict.evidence, *hints))


def _as_noted(case: Case, noted: Ending, reason: tuple[EndReason, StackFrame] | None) -> Verdict:
    """Return the verdict by the library's own note: its signal follows at once."""
    evidence = [f'the C library noted: "{noted.text}"']
    if reason is not None and reason[0].problem_class == noted.problem_class:
        evidence.append(f"{reason[1].place.base_text} is on the stack")
    sure = Confidence.CERTAIN if case.fault.name == "SIGABRT" else Confidence.LIKELY
    return Verdict(noted.problem_class, noted.words, sure, tuple(evidence))


def _sender_words(case: Case) -> list[str]:
    """Return who sent the signal, as the record says."""
    sender = case.fault.sender
    if sender is None:
        return []
    who = f"process 0n{sender.process_id} of user 0n{sender.user_id}"
    if sender.process_id == case.scene.system.target.process_id:
        who = "the process itself"
    elif not sender.process_id:
        who = "the kernel, or a process that this one cannot see"
    return [f"{case.fault.name} ({case.fault.detail}) came from {who}"]


def _is_foreign(case: Case) -> bool:
    sender, own = case.fault.sender, case.scene.system.target.process_id
    return sender is not None and own is not None and sender.process_id != own


def _sent_by_another(case: Case) -> Verdict | None:
    """Return the verdict on a signal of another process. That a thread is in the function that
    sends signals says more than numbers: a core that a debugger wrote from outside of a container
    numbers the process in another way than its own record."""
    if not _is_foreign(case):
        return None
    if case.fault.detail in ("SI_TKILL", "SI_LWP") and named_reason(case.frames[:_AROUND]):
        return None
    sender = case.fault.sender
    words = f"another process sent {case.fault.name}"
    if sender is not None and sender.process_id:
        words = f"process 0n{sender.process_id} sent {case.fault.name}"
    return Verdict(
        "TERMINATED",
        f"{words}: no fault of this program's code",
        Confidence.CERTAIN,
        (*_sender_words(case), f"the thread was at {case.where}"),
    )


def terminated(case: Case) -> Verdict:
    """Return the verdict on a signal that a process sent, or that is no fault."""
    if (sent := _sent_by_another(case)) is not None:
        return sent
    at = f"{case.fault.name} {case.fault.detail}".strip() + f" at {case.where}"
    evidence = (*(_sender_words(case) or [at]), *_interrupted(case))
    if case.fault.name in _FAULT_SIGNALS:
        words = "a process sent the signal, or the program to itself (raise)"
        if case.fault.sender is not None:
            words = "the program sent itself the signal"
        return Verdict(
            "TERMINATED",
            f"{words}: no instruction failed, unless a handler sent an earlier fault on",
            Confidence.LIKELY,
            evidence,
        )
    return Verdict(
        "TERMINATED",
        "something that was not a fault ended the program, from outside or by its own request",
        Confidence.CERTAIN,
        evidence,
    )


def interrupted_frame(frames: Sequence[StackFrame]) -> StackFrame | None:
    """Return the frame that a signal interrupted whose handler is still running, ``None`` without
    one: the one below the function that returns from handlers."""
    for index, row in enumerate(frames):
        if row.trust is FrameTrust.SIGNAL_FRAME:
            return row
        if row.place.symbol in _RETURN_FROM_HANDLER and index + 1 < len(frames):
            return frames[index + 1]
    return None


def _interrupted(case: Case) -> list[str]:
    row = interrupted_frame(case.frames)
    if row is None:
        return []
    return [f"a handler of a signal sent it: an earlier signal came at {row.place.text}"]


# -- C++ -------------------------------------------------------------------------------------


def _terminate(case: Case, verdict: Verdict, row: StackFrame) -> Verdict:
    """Complete what ``std::terminate`` in *row* says: by its callers, and the exception."""
    around = case.frames[row.number : row.number + _AROUND]
    names = [each.place.symbol for each in around]
    throwing = [index for index, name in enumerate(names) if name in _THROWS]
    if not throwing:
        words = verdict.summary
        if any(name in _THREADS for name in names[:4]):
            words = "a std::thread was destroyed or replaced that nobody had joined or detached"
        elif _are_known(around[:2]):
            words = "the program called std::terminate; no exception led there"
        return msgspec.structs.replace(verdict, summary=words)
    from polydbg.engine.analysis.thrown_itanium import shown_text, thrown_objects

    first = case.frames[: row.number + throwing[-1] + 1]
    objects = thrown_objects(case.scene.system, first, case.scene.cancel)
    left = "left a function that may not throw" if set(names) & set(_NOEXCEPT) else "was not caught"
    if not objects:
        words = f"an exception {left}: std::terminate ended the program"
        if "__cxa_rethrow" in names:
            words = "an exception was thrown on and not caught, or there was none to throw on"
        return msgspec.structs.replace(verdict, summary=words)
    thrown = objects[0]
    text = shown_text(thrown)
    words = f"an exception of type {thrown.types[0]} {left}" + (f", {text}" if text else "")
    evidence = (*verdict.evidence, *_exception_words(case, objects))
    sure = verdict.confidence
    if len(objects) > 1 and sure is Confidence.CERTAIN:
        sure = Confidence.LIKELY
    return msgspec.structs.replace(verdict, summary=words, evidence=evidence, confidence=sure)


def _are_known(rows: Sequence[StackFrame]) -> bool:
    return all(row.place.symbol and not row.trust.is_guess for row in rows)


def _exception_words(case: Case, objects: Sequence[ThrownObject]) -> list[str]:
    thrown = objects[0]
    words = [f"the object is at {case.scene.address_text(thrown.address)}"]
    if len(thrown.types) > 1:
        words.append(f"it can be caught as {', '.join(thrown.types[1:])} too")
    others = ", ".join(dict.fromkeys(each.types[0] for each in objects[1:]))
    if others:
        words.append(f"other exceptions were in flight or handled: {others}")
    return words


def _assertion(case: Case, verdict: Verdict, row: StackFrame) -> Verdict:
    """Add what the caller of the function that reports assertions passed to it."""
    from polydbg.engine.analysis.assertion import asserted

    rest = case.frames[row.number + 1 : row.number + 2]
    text = asserted(case.scene.system, row, rest[0]) if rest else ""
    if not text:
        return verdict
    evidence = (*verdict.evidence, f"the code before the call passes: {text}")
    return msgspec.structs.replace(verdict, evidence=evidence)


# -- Rust ------------------------------------------------------------------------------------


def _panic(case: Case, verdict: Verdict) -> Verdict:
    from polydbg.engine.analysis.rust_panic import find_panic

    panic = find_panic(case.scene.system, case.frames)
    if panic is None:
        return verdict
    summary, evidence = verdict.summary, list(verdict.evidence)
    if panic.place:
        which = "the panic" if panic.is_only else "this panic, or one before it,"
        evidence.append(f"{which} was raised at {panic.place}")
    if panic.message:
        summary = f'{verdict.summary}: "{panic.message}"'
        evidence.append("the message is that of the panic's payload on the stack")
    return msgspec.structs.replace(verdict, summary=summary, evidence=tuple(evidence))
