"""Code of a system as instructions, and where listings of it ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from polydbg.arch.disassembly import (
    ARCHITECTURES,
    LONGEST_INSTRUCTION,
    UNDECODABLE,
    Disassembler,
    Instruction,
    Symbolizer,
)
from polydbg.base.errors import UnsupportedOperation
from polydbg.memory.space import AddressSpace

if TYPE_CHECKING:
    from polydbg.engine.session import System

_THUMB_BIT = 0x20  # of cpsr
_FIRST_READ, _READ = 0x80, 0x1000
_MAX_HOLES = 64
_FAR_ANCHOR = 1 << 14  # bytes that can be decoded in a few hundredths of a second


_DISASSEMBLERS: dict[str, Disassembler] = {}


def disassembler(arch: str) -> Disassembler:
    """Return the one disassembler of *arch*.

    :raises UnsupportedOperation: there is none.
    """
    if arch not in _DISASSEMBLERS:
        if arch not in ARCHITECTURES:
            raise UnsupportedOperation(
                f"code of {arch} is not decoded by this version",
                hint="amd64, x86, arm64 and arm are; registers, memory and modules work",
            )
        _DISASSEMBLERS[arch] = Disassembler(arch)
    return _DISASSEMBLERS[arch]


def decoder_at(system: System, address: int) -> Disassembler:
    """Return the disassembler for the code at *address*: that of its module's image where a
    process has code of two processors, Thumb where ARM code is that.

    :raises UnsupportedOperation: there is none.
    """
    machine = system.machine_at(address)
    return disassembler("thumb" if machine == "arm" and is_thumb(system, address) else machine)


def is_thumb(system: System, address: int) -> bool:
    """Return whether ARM code at *address* is Thumb: bit 0 says so, the thread's state at its pc,
    the mapping symbols of an ELF image; Windows has nothing else, and for the rest the state of the
    current thread is the likeliest."""
    if address & 1:
        return True
    module = system.modules.at(address)
    if module is not None and address != system.pc:
        if (pe := system.modules.pe_image(module)) is not None and pe.machine == "arm":
            return True
        for file in (module.debug_file, system.modules.elf_image(module)):
            said = file.code_marks.is_thumb(address - module.base) if file is not None else None
            if said is not None:
                return said
    return bool(system.scope_registers().get("cpsr", 0) & _THUMB_BIT)


class CodeView(msgspec.Struct, eq=False):
    """What the commands that list code of one system remember.

    *next_address* is where the last listing ended, for as long as the program counter is
    *at_pc*: another thread or context begins anew. *pattern* is the last one searched for, and
    *search_address* where the next search begins.
    """

    next_address: int | None = None
    at_pc: int | None = None
    pattern: str = ""
    search_address: int | None = None

    def start(self, pc: int | None) -> int:
        """Return where a listing without an address begins."""
        if self.next_address is not None and self.at_pc == pc:
            return self.next_address
        return pc or 0

    def go_on_at(self, address: int, pc: int | None) -> None:
        self.next_address, self.at_pc = address, pc


def instructions(
    memory: AddressSpace,
    decoder: Disassembler,
    address: int,
    symbolize: Symbolizer | None = None,
) -> Iterator[Instruction]:
    """Yield the instructions from *address* on, without end but that of the address space.

    Where nothing can be read, every address is an instruction without data.
    """
    limit = 1 << 8 * decoder.pointer_size
    size, step = _FIRST_READ, decoder.unit
    address -= address % step  # bit 0 of the address of a Thumb function says that it is one
    while address < limit:
        data = memory.read_some(address, min(size, limit - address))
        if not data:
            yield Instruction(address, b"", UNDECODABLE, "", step)
            address += step
            continue
        # The last instruction may be cut off by the end of what was read.
        certain = len(data) if len(data) < size else len(data) - LONGEST_INSTRUCTION
        done = 0
        for instruction in decoder.decode(data, address, symbolize):
            if done >= certain:
                break
            yield instruction
            done += len(instruction.data)
        address += done
        size = _READ


def readable_before(memory: AddressSpace, end: int, size: int) -> bytes:
    """Return the bytes that end at *end*: at most *size*, fewer where something is absent."""
    start = max(0, end - size)
    for _ in range(_MAX_HOLES):
        data = memory.read_some(start, end - start)
        if start + len(data) >= end:
            return data
        following = memory.next_readable(start + len(data) + (0 if data else 1))
        if following is None or following >= end:
            # A page may come from an image file, of which the dump's own ranges know nothing.
            following = (start + len(data) | 0xFFF) + 1
        start = max(following, start + 1)
        if start >= end:
            break
    return b""


def before(
    memory: AddressSpace,
    decoder: Disassembler,
    end: int,
    count: int,
    symbolize: Symbolizer,
    anchor: int | None,
) -> list[Instruction]:
    """Return up to *count* instructions that end at *end*; see :meth:`Disassembler.backwards`."""
    size = (count + 8) * LONGEST_INSTRUCTION
    if anchor is not None and end - anchor <= _FAR_ANCHOR:
        size = max(size, end - anchor)
    data = readable_before(memory, end, size)
    # Names only for what is shown: the way there can be long.
    found = decoder.backwards(data, end, count, None, anchor) if data else []
    return [decoder.decode_one(row.data, row.address, symbolize) or row for row in found]
