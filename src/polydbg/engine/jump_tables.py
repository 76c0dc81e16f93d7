"""Tables behind computed jumps of x86 and x64, as compilers make them for ``switch``.

The shapes: 32-bit offsets from a base that ``lea`` loads (the table itself with Clang and GCC,
the image's base with Visual C++), and full addresses. A table has as many entries as the check of
the index before the jump lets through, and ends at the latest where an entry does not lead into
the function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from polydbg.arch.disassembly import Disassembler, Instruction
from polydbg.base.errors import DebuggerError
from polydbg.memory.space import AddressSpace

MAX_ENTRIES = 4096
_REGISTER, _IMMEDIATE, _MEMORY = 1, 2, 3  # X86_OP_REG and so on


@dataclass(frozen=True, slots=True)
class _Table:
    """*size* is that of an entry in bytes; *base* is added to each."""

    address: int
    size: int
    base: int


def jump_targets(
    memory: AddressSpace,
    decoder: Disassembler,
    history: Sequence[Instruction],
    image_base: int,
    is_inside: Callable[[int], bool],
    step: Callable[[int], None],
) -> list[int] | None:
    """Return where the computed jump at the end of *history* can lead.

    ``None``: out of the function, through a pointer at a fixed address (an import). ``[]``: not
    known.
    """
    if decoder.arch == "arm64":
        return []
    decoded = [_decode(decoder, row) for row in history]
    jump = decoded[-1]
    if jump is None or len(jump.operands) != 1:
        return []
    operand = jump.operands[0]
    if operand.type == _MEMORY and not operand.mem.index and _is_fixed(jump, operand):
        return None
    table = _find(decoder, history, decoded, image_base)
    if table is None:
        return []
    return _read(memory, table, _bound(decoded), decoder.pointer_size, is_inside, step)


def _bound(decoded: Sequence[Any]) -> int:
    """Return how many entries the check of the index lets through: ``cmp eax,8; ja``."""
    for place in range(len(decoded) - 1, 0, -1):
        check, jump = decoded[place - 1], decoded[place]
        if check is None or jump is None or jump.mnemonic not in ("ja", "jae"):
            continue
        if check.mnemonic in ("cmp", "sub") and check.operands[1].type == _IMMEDIATE:
            limit = int(check.operands[1].imm) + (jump.mnemonic == "ja")
            return limit if 0 < limit < MAX_ENTRIES else MAX_ENTRIES
        break
    return MAX_ENTRIES


def _decode(decoder: Disassembler, row: Instruction) -> Any:
    return next(iter(decoder.engine(detail=True).disasm(row.data, row.address, 1)), None)


def _is_fixed(decoded: Any, operand: Any) -> bool:
    base = decoded.reg_name(operand.mem.base) or ""
    return base in ("", "rip", "eip")


def _find(
    decoder: Disassembler,
    history: Sequence[Instruction],
    decoded: Sequence[Any],
    image_base: int,
) -> _Table | None:
    """Return the table that the last indexed read before the jump reads."""
    pointer = decoder.pointer_size
    for place in range(len(decoded) - 1, -1, -1):
        row = decoded[place]
        if row is None or row.mnemonic == "lea":
            continue
        for operand in row.operands:
            if operand.type != _MEMORY or operand.mem.scale not in (4, 8) or not operand.mem.index:
                continue
            base = row.reg_name(operand.mem.base) or ""
            offset = int(operand.mem.disp)
            if not base:
                address = offset & ((1 << 8 * pointer) - 1)
                return _Table(address, pointer, 0) if operand.mem.scale == pointer else None
            start = _loaded(history[:place], decoded[:place], base, image_base)
            if start is None:
                return None
            if operand.mem.scale == 8:
                return _Table(start + offset, 8, 0)
            return _Table(start + offset, 4, start)
    return None


def _loaded(
    history: Sequence[Instruction], decoded: Sequence[Any], register: str, image_base: int
) -> int | None:
    """Return the fixed address in *register*: what the last ``lea`` loaded.

    A compiler may load it long before; the image's base is the usual value then, but a guess.
    """
    for row, item in zip(reversed(history), reversed(decoded), strict=True):
        if item is None or len(item.operands) != 2 or item.operands[0].type != _REGISTER:
            continue
        if item.reg_name(item.operands[0].reg) != register:
            continue
        source = item.operands[1]
        if item.mnemonic != "lea" or item.reg_name(source.mem.base) != "rip":
            return None
        return row.end + int(source.mem.disp)
    return image_base or None


def _read(
    memory: AddressSpace,
    table: _Table,
    count: int,
    pointer_size: int,
    is_inside: Callable[[int], bool],
    step: Callable[[int], None],
) -> list[int]:
    mask = (1 << 8 * pointer_size) - 1
    found: dict[int, None] = {}
    for index in range(count):
        if index % 64 == 0:
            step(index)
        try:
            data = memory.read((table.address + index * table.size) & mask, table.size)
        except DebuggerError:
            break
        entry = int.from_bytes(data, "little", signed=table.size == 4 and pointer_size == 8)
        target = (table.base + entry) & mask
        if not is_inside(target):
            break
        found[target] = None
    return list(found)
