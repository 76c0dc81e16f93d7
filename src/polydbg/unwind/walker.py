"""Walks a stack: asks each method in turn for the caller, and knows when to stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Final

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import MemoryReadError, UnwindError
from polydbg.base.text import address_text
from polydbg.memory.space import ByteOrder
from polydbg.unwind.entry import EntryPoint
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.method import (
    AMD64,
    ARM,
    ARM64,
    X86,
    Callee,
    Caller,
    Convention,
    NotUnwoundError,
    UnwindContext,
    UnwindMethod,
    code_address,
)
from polydbg.unwind.processors import GROWS_UP, convention_of, processor
from polydbg.unwind.scan import StackScan
from polydbg.unwind.signal_frames import SignalFrame, is_signal_return

MAX_FRAMES: Final = 4096
"""Longer stacks are endless recursion or damage."""

_MAX_STACK: Final = 1 << 24
"""Bytes above a stack pointer that are taken for the same stack."""

NOTHING_FOUND: Final = "no unwind information and no return address on the stack"


@cache
def _methods(convention: Convention) -> tuple[UnwindMethod, ...]:
    """Return the methods of a processor in order; those of others are not imported."""
    from polydbg.unwind.dwarf_cfi import DwarfCfi

    dwarf = SignalFrame(), EntryPoint(), DwarfCfi()
    if convention is ARM64 or convention is ARM:
        from polydbg.unwind.arm_frames import ArmFramePointer, LinkRegister
        from polydbg.unwind.cfi import CFI_ARM, CFI_ARM64
        from polydbg.unwind.pe_arm import PeArm

        rules = CFI_ARM64 if convention is ARM64 else CFI_ARM
        guesses = (LinkRegister(), ArmFramePointer(), LinkRegister(is_last=True))
        if convention is ARM64:
            return (PeArm(convention.machine), *dwarf, rules, *guesses)
        from polydbg.unwind.arm_exidx import ArmExceptionTables

        return (PeArm(convention.machine), *dwarf, rules, ArmExceptionTables(), *guesses)
    if convention is not AMD64 and convention is not X86:
        return (*dwarf, *_guesses(convention))
    from polydbg.unwind.cfi import CFI_AMD64, CFI_X86
    from polydbg.unwind.frame_pointer import FramePointer
    from polydbg.unwind.wild_call import JumpStub, WildCall

    if convention is AMD64:
        from polydbg.unwind.amd64_rules import PRESERVED
        from polydbg.unwind.pe_amd64 import PeAmd64

        stub = JumpStub(PRESERVED)
        return WildCall(PRESERVED), PeAmd64(), *dwarf, CFI_AMD64, stub, FramePointer()
    from polydbg.unwind.x86_code import PRESERVED as PRESERVED_X86
    from polydbg.unwind.x86_frames import X86Frames

    # Call frame information holds everywhere; code is decoded where there is none.
    stub = JumpStub(PRESERVED_X86)
    return WildCall(PRESERVED_X86), *dwarf, X86Frames(), CFI_X86, stub, FramePointer()


def _guesses(convention: Convention) -> tuple[UnwindMethod, ...]:
    """Return what may be tried without tables on processors besides x86 and ARM."""
    from polydbg.unwind.arm_frames import LinkRegister
    from polydbg.unwind.back_chain import BackChain, RegisterWindow
    from polydbg.unwind.wild_call import WildCall

    if not convention.lr:
        return WildCall(processor(convention.machine).preserved), BackChain()
    chain = RegisterWindow() if convention.machine.startswith("sparc") else BackChain()
    return LinkRegister(), chain, LinkRegister(is_last=True)


def walk(
    context: UnwindContext,
    registers: Mapping[str, int],
    limit: int,
    cancel: CancelToken | None = None,
    machine: str = "",
    origin: Frame | None = None,
) -> Iterator[Frame]:
    """Yield at most *limit* frames, innermost first; the first has *registers* themselves, which
    are those of *origin*, a frame that was found before, or else all that the processor had.

    *registers* are named in lower case (``rip`` or ``eip``, ...); without pc or sp there is no
    frame. What cannot be unwound ends the walk: the last frame's *note* says why.
    """
    convention = convention_of(registers, machine, context.byte_order)
    if convention is None:
        return
    callee = Callee(dict(registers), False, True, convention)
    trust, follows_guess = FrameTrust.CONTEXT, False
    if origin is not None:
        callee = _resumed(origin, callee.registers, convention)
        trust, follows_guess = origin.trust, origin.follows_guess
    yield from _walk(context, callee, limit, cancel, trust, follows_guess)


def callers_of(
    context: UnwindContext, frame: Frame, limit: int, machine: str = ""
) -> Iterator[Frame]:
    """Yield at most *limit* callers of a *frame* that :func:`walk` found on *machine*."""
    callee = callee_of(frame, machine, context.byte_order)
    if callee is not None:
        walked = _walk(context, callee, limit + 1, None, frame.trust, frame.follows_guess)
        yield from islice(walked, 1, None)


def callee_of(frame: Frame, machine: str, order: ByteOrder) -> Callee | None:
    """Return *frame* as methods see it, ``None`` for a processor that is not known."""
    convention = convention_of(frame.registers, machine, order)
    return _resumed(frame, frame.registers, convention) if convention is not None else None


def _resumed(frame: Frame, registers: Mapping[str, int], convention: Convention) -> Callee:
    """Return *frame* as a callee with these *registers*."""
    return Callee(
        registers, frame.is_return_address, frame.is_whole, convention, frame.arguments_size
    )


def _walk(
    context: UnwindContext,
    callee: Callee,
    limit: int,
    cancel: CancelToken | None,
    trust: FrameTrust,
    follows_guess: bool,
) -> Iterator[Frame]:
    """Yield *callee* as a frame, found as *trust* says, and its callers."""
    convention = callee.convention
    # The last resort keeps what it has learnt of words on this stack.
    methods = _methods(convention)
    if convention.machine not in GROWS_UP:
        methods = (*methods, StackScan())
    seen: set[tuple[int, int]] = set()
    is_doubtful = trust.is_guess or follows_guess
    for _ in range(min(limit, MAX_FRAMES)):
        if cancel is not None:
            cancel.check()
        seen.add((callee.pc, callee.sp))
        caller, note = _caller_of(callee, context, methods, is_doubtful)
        if caller is not None:
            reason = _reason_to_stop(callee, caller, seen)
            note = note or reason or ""
            yield _frame(callee, caller, trust, note, follows_guess)
            # A call to nowhere may be what was interrupted.
            is_whole = caller.trust is FrameTrust.SIGNAL_FRAME
            if reason is not None or (caller.registers[convention.pc] == 0 and not is_whole):
                return
            trust, follows_guess = caller.trust, is_doubtful
            is_doubtful |= trust.is_guess
            called = not caller.machine_frame and not is_signal_return(
                context, convention, caller.registers[convention.pc]
            )
            callee = Callee(caller.registers, called, is_whole, convention, caller.arguments_size)
        else:
            yield _frame(callee, None, trust, note, follows_guess)
            return


def _caller_of(
    callee: Callee, context: UnwindContext, methods: Sequence[UnwindMethod], is_doubtful: bool
) -> tuple[Caller | None, str]:
    """Return the caller and a note; without a caller the note says why there is none.

    A callee that *is_doubtful*, for there was a guess, and whose tables lead out of all code is no
    frame: the next method is asked.
    """
    note = ""
    for method in methods:
        try:
            caller = method.caller_of(callee, context)
        except MemoryReadError as error:
            address = address_text(error.address, callee.convention.size)
            note = f"stack memory at {address} is not in the dump"
            if 0 <= error.address - callee.sp < _MAX_STACK:
                return None, note
            # A register led away from this stack: it was overwritten, but the stack may be whole.
        except NotUnwoundError as error:
            return None, error.message
        except UnwindError as error:
            note = error.message
            continue
        if caller is None:
            continue
        caller = _at_code_address(caller, callee.convention, context)
        pc = caller.registers[callee.convention.pc]
        if is_doubtful and pc and not caller.machine_frame and not _is_code(context, pc):
            continue
        return caller, note
    if not note and not context.memory.read_some(callee.sp, callee.convention.size):
        address = address_text(callee.sp, callee.convention.size)
        note = f"stack memory at {address} is not in the dump"
    return None, note or NOTHING_FOUND


def _is_code(context: UnwindContext, address: int) -> bool:
    """Tell whether a call may return to *address*: one that does not may be the last of the
    code."""
    return context.is_code(address) or context.is_code(address - 1)


def _at_code_address(caller: Caller, names: Convention, context: UnwindContext) -> Caller:
    """Return *caller* with the address that its pc leads to, see :func:`code_address`."""
    pc = caller.registers[names.pc]
    address = code_address(context, names, pc)
    if address == pc or caller.has_code_address:
        return caller
    return msgspec.structs.replace(caller, registers={**caller.registers, names.pc: address})


def _reason_to_stop(callee: Callee, caller: Caller, seen: set[tuple[int, int]]) -> str | None:
    pc, sp = caller.registers[callee.convention.pc], caller.registers[callee.convention.sp]
    if pc == 0:
        return None
    if sp == callee.sp and callee.convention.lr and not callee.is_return_address:
        # It has nothing on the stack yet: its return address is in lr, which may be its own
        # address where a call that never returns stands before it.
        return None
    if (pc, sp) in seen:
        return "the stack repeats itself"
    # An interrupted frame may stand on another stack.
    rises = sp < callee.sp if callee.convention.machine in GROWS_UP else sp > callee.sp
    if not rises and not caller.machine_frame:
        return "the stack pointer does not rise"
    return None


def _frame(
    callee: Callee, caller: Caller | None, trust: FrameTrust, note: str, follows_guess: bool
) -> Frame:
    names = callee.convention
    return Frame(
        pc=callee.pc,
        sp=callee.sp,
        return_address=caller.registers[names.pc] if caller else None,
        registers=callee.registers,
        trust=trust,
        is_return_address=callee.is_return_address,
        caller_sp=caller.registers[names.sp] if caller else None,
        machine_frame=caller.machine_frame if caller else False,
        note=note,
        follows_guess=follows_guess,
        arguments_size=callee.arguments_size,
    )
