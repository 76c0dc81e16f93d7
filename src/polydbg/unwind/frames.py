"""Frames: one activation of a function each, with how it was found."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec


class FrameTrust(enum.Enum):
    """How a frame was found, from certain to guessed."""

    CONTEXT = "context"  # the registers of the thread itself
    UNWIND_INFO = "unwind info"  # the callee's unwind tables
    CFI = "call frame info"  # the callee's rules in a symbol file (STACK CFI, .eh_frame)
    SIGNAL_FRAME = "signal frame"  # what a signal interrupted: the system stored its registers
    FRAME_DATA = "frame data"  # the x86 callee's layout in a symbol file (FPO, STACK WIN)
    INSTRUCTIONS = "instructions"  # the callee's own code, decoded: x86 prologs, epilogs; stubs
    LEAF = "leaf"  # the callee is a leaf: an image with tables has none for it
    WILD_CALL = "wild call"  # the callee is no known code: the return address was on top
    NO_MODULE = "no module"  # call frame rules led to an address where no module has code
    CALL_SITE = "call site rules"  # tables that hold at calls alone, elsewhere (.ARM.exidx)
    LINK_REGISTER = "link register"  # lr looked like the return address (ARM64, ARM)
    FRAME_POINTER = "frame pointer"  # the callee's frame pointer looked sane
    SCAN = "scan"  # a word on the stack looked like a return address

    @property
    def is_guess(self) -> bool:
        """Return whether no table says so: this frame and all that follow may be wrong."""
        return self in (
            FrameTrust.WILD_CALL,
            FrameTrust.NO_MODULE,
            FrameTrust.CALL_SITE,
            FrameTrust.LINK_REGISTER,
            FrameTrust.FRAME_POINTER,
            FrameTrust.SCAN,
        )


class Frame(msgspec.Struct, frozen=True):
    """One frame of a stack, innermost first. Addresses are absolute.

    *sp* is the stack pointer in this frame: what ``k`` prints as Child-SP. *return_address* is 0
    at the end of the stack and ``None`` when it is not known; *caller_sp* likewise ``None``.
    *registers* holds what is known in this frame: volatile registers are absent in callers.
    *is_return_address* says that *pc* follows a call, so that look-ups must use
    :attr:`lookup_pc`. *machine_frame* says that this frame's caller was interrupted, not calling.
    *note* is ``""`` or a line on why the walk ends here or what is doubtful. *follows_guess*: a
    frame nearer to the top was a guess, so this one may be wrong however it was found.
    *arguments_size* is how many bytes on top of the stack are arguments of the function that this
    one called, as far as a method said so (x86).
    """

    pc: int
    sp: int
    return_address: int | None
    registers: Mapping[str, int]
    trust: FrameTrust
    is_return_address: bool
    caller_sp: int | None
    machine_frame: bool
    note: str
    follows_guess: bool = False
    arguments_size: int = 0

    @property
    def is_whole(self) -> bool:
        """Return whether *registers* are all that the processor had: the thread's own, or those
        that were stored when a signal interrupted it."""
        return self.trust in (FrameTrust.CONTEXT, FrameTrust.SIGNAL_FRAME)

    @property
    def lookup_pc(self) -> int:
        """Return the address to look up: inside the call for a return address.

        A call that never returns may be the last instruction of its function; the return address
        then lies in the next one, or in another line of the same.
        """
        return self.pc - 1 if self.is_return_address and self.pc else self.pc
