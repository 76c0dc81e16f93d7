"""What a way to find the caller gets and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.images.image import Image
from polydbg.memory.space import AddressSpace, ByteOrder
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.unwind.frames import FrameTrust

if TYPE_CHECKING:
    from polydbg.images.call_frames import CallFrames


class NotUnwoundError(DebuggerError):
    """The frame is of a kind that no method here goes on from; the message says which."""

    identifier = "unwind.kind"


class UnwindContext(Protocol):
    """What the unwinder may ask about the target."""

    @property
    def memory(self) -> AddressSpace: ...

    @property
    def address_mask(self) -> int:
        """Return the bits of a pointer that are its address where the dump says so, else 0: the
        others may be a pointer authentication code (ARM64)."""
        ...

    @property
    def byte_order(self) -> ByteOrder:
        """Return the order of the bytes in memory."""
        ...

    def image_at(self, address: int) -> tuple[int, Image] | None:
        """Return base and image of the module at *address*, ``None`` when there is none, or
        neither its file nor its headers are at hand."""
        ...

    def is_code(self, address: int) -> bool:
        """Return whether a known module has code at *address*; one whose image is not at hand
        counts as code from end to end."""
        ...

    def is_data(self, address: int) -> bool:
        """Return whether the symbols say that *address* is in data: what :meth:`is_code` cannot
        see without the image. It may look symbols up, so it is for the few likely addresses."""
        ...

    def cfi_at(self, address: int) -> CfiRules | None:
        """Return the call frame rules that the symbols have for *address*."""
        ...

    def call_frames_at(self, address: int) -> tuple[int, CallFrames] | None:
        """Return base and DWARF call frame tables of the module at *address*."""
        ...

    def win_frame_at(self, address: int) -> tuple[int, WinFrame] | None:
        """Return the module's base and the x86 frame layout that its symbols have there."""
        ...

    def function_at(self, address: int) -> tuple[int, int] | None:
        """Return start and size in bytes of the function that the symbols have at *address*,
        ``None`` where they have none or do not know its size."""
        ...


class Convention(msgspec.Struct, frozen=True):
    """Names of the registers that every method needs, and the width of a pointer in bytes.

    *lr* is the register that calls leave the return address in, ``""`` where they push it.
    *order* is that of the bytes in memory; *pc_bits* are the bits of a return address that are its
    address.
    """

    pc: str
    sp: str
    fp: str
    size: int
    machine: str
    lr: str = ""
    order: ByteOrder = "little"
    pc_bits: int = (1 << 64) - 1


AMD64 = Convention("rip", "rsp", "rbp", 8, "amd64")
X86 = Convention("eip", "esp", "ebp", 4, "x86")
ARM64 = Convention("pc", "sp", "fp", 8, "arm64", "lr")
ARM = Convention("pc", "sp", "r11", 4, "arm", "lr", pc_bits=0xFFFFFFFE)

_ADDRESS_BITS = 48
_SIGN_BIT = 55  # of an ARM64 address: which half of the address space it is in


def code_address(context: UnwindContext, convention: Convention, value: int) -> int:
    """Return where a return address leads: without the bits that say how the code is to be run
    (ARM's Thumb bit), and without the pointer authentication code that ARM64 code may have put in
    its upper bits."""
    if convention is not ARM64:
        return value & convention.pc_bits
    mask = context.address_mask
    if not mask & 1:
        mask = (1 << _ADDRESS_BITS) - 1
    if value >> _SIGN_BIT & 1:
        return value | ~mask & 0xFFFFFFFFFFFFFFFF
    return value & mask


class Callee(msgspec.Struct, frozen=True):
    """The frame whose caller is wanted. *is_first* for the thread's own registers,
    and for those that were all stored when a signal interrupted it.

    *arguments_size* is how many bytes on top of its stack are arguments of the function that it
    called, as far as a method said so (x86 only: frame layouts do not count them).
    """

    registers: Mapping[str, int]
    is_return_address: bool
    is_first: bool
    convention: Convention
    arguments_size: int = 0

    @property
    def pc(self) -> int:
        return self.registers[self.convention.pc]

    @property
    def sp(self) -> int:
        return self.registers[self.convention.sp]

    @property
    def lookup_pc(self) -> int:
        """Return the address to look up, see :attr:`polydbg.unwind.frames.Frame.lookup_pc`."""
        return self.pc - 1 if self.is_return_address and self.pc else self.pc


class Caller(msgspec.Struct, frozen=True):
    """The caller's registers, unknown ones absent. *machine_frame*: it did not call, but was
    interrupted, so its pc is exact and all that was saved of it is in *registers*.
    *arguments_size* as in :class:`Callee`. *has_code_address*: pc is an address as it stands, from
    which nothing is to be taken away."""

    registers: Mapping[str, int]
    trust: FrameTrust
    machine_frame: bool = False
    arguments_size: int = 0
    has_code_address: bool = False


class UnwindMethod(Protocol):
    """One way to find a caller: unwind tables, frame pointer, scan."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        """Return the caller, ``None`` to let the next method try.

        :raises UnwindError: there are rules for this address but they do not make sense.
        :raises NotUnwoundError: no other method may try either.
        :raises MemoryReadError: the rules are known, but the stack is not in memory.
        """
        ...
