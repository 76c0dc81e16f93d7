"""Tables behind computed jumps of x86 and x64, as compilers make them for ``switch``.

The shapes: 32-bit offsets from a base that ``lea`` loads (the table itself with Clang and GCC,
the image's base with Visual C++), and full addresses. A table has as many entries as the check of
the index before the jump lets through, and ends at the latest where an entry does not lead into
the function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from polydbg.arch.disassembly import Disassembler, Instruction
from polydbg.base.errors import DebuggerError
from polydbg.memory.space import AddressSpace

MAX_ENTRIES = 4096

# Operands in the engine's notation: [rdx+rax*4+1500h], [eax*4+401000h]; [00000001`40002007],
# ds:[00401000h].
_INDEXED = re.compile(
    r"\[(?:(?P<base>[a-z]\w+)\+)?[a-z]\w+\*(?P<scale>[48])"
    r"(?:(?P<sign>[+-])(?P<offset>[0-9A-F]+)h?)?\]"
)
_FIXED = re.compile(r"\[(?:([0-9a-f]{8})`([0-9a-f]{8})|([0-9A-F]{8})h)\]$")
# jmp through a register with REX.W: by the x64 calling convention the mark of an epilog's end.
_TAIL_CALL = re.compile(b"[\x48\x49]\xff[\xe0-\xe7]", re.DOTALL)
_LIMIT = re.compile(r",([0-9A-F]+)h?$")


class _Table(msgspec.Struct, frozen=True):
    """*size* is that of an entry in bytes; *base* is added to each."""

    address: int
    size: int
    base: int


def jump_targets(
    memory: AddressSpace,
    decoder: Disassembler,
    history: Sequence[Instruction],
    others: Iterable[Instruction],
    image_base: int,
    is_inside: Callable[[int], bool],
    step: Callable[[int], None],
) -> list[int] | None:
    """Return where the computed jump at the end of *history* can lead.

    *others* is what is known of the rest of the function. ``None``: out of the function, through
    a pointer at a fixed address (an import) or as a tail call. ``[]``: not known.
    """
    if decoder.unit != 1:
        return []
    # Without names, so that the operands are numbers.
    bare = [_bare(decoder, row) for row in history]
    if _FIXED.search(bare[-1].operands):
        return None
    if decoder.arch == "amd64" and _TAIL_CALL.match(bare[-1].data):
        return None

    def loaded(place: int, register: str) -> int | None:
        for row in reversed(bare[:place]):
            if row.operands.startswith(f"{register},"):
                return _fixed_address(row)
        # Loaded in another block: nowhere else but there, or it is not known.
        loads = {
            _fixed_address(_bare(decoder, row))
            for row in others
            if row.mnemonic == "lea" and row.operands.startswith(f"{register},")
        }
        return loads.pop() if len(loads) == 1 else image_base or None

    table = _find(bare, decoder.pointer_size, loaded)
    if table is None:
        return []
    return _read(memory, table, _bound(bare), decoder.pointer_size, is_inside, step)


def _bare(decoder: Disassembler, row: Instruction) -> Instruction:
    return decoder.decode_one(row.data, row.address) or row


def _fixed_address(row: Instruction) -> int | None:
    """Return the address that ``lea`` of a fixed one loads, ``None`` for other instructions."""
    fixed = _FIXED.search(row.operands)
    if row.mnemonic != "lea" or fixed is None:
        return None
    return int(fixed[3] or fixed[1] + fixed[2], 16)


def _find(
    history: Sequence[Instruction],
    pointer_size: int,
    loaded: Callable[[int, str], int | None],
) -> _Table | None:
    """Return the table that the last indexed read before the jump reads."""
    for place in range(len(history) - 1, -1, -1):
        row = history[place]
        found = _INDEXED.search(row.operands)
        if row.mnemonic == "lea" or found is None:
            continue
        scale = int(found["scale"])
        offset = int(found["offset"] or "0", 16) * (-1 if found["sign"] == "-" else 1)
        if found["base"] is None:
            return _Table(offset, scale, 0) if scale == pointer_size else None
        base = loaded(place, found["base"])
        if base is None:
            return None
        return _Table(base + offset, scale, base if scale == 4 else 0)
    return None


def _bound(history: Sequence[Instruction]) -> int:
    """Return how many entries the check of the index lets through: ``cmp eax,8; ja``."""
    for place in range(len(history) - 1, 0, -1):
        check, jump = history[place - 1], history[place]
        if jump.mnemonic not in ("ja", "jae"):
            continue
        found = _LIMIT.search(check.operands) if check.mnemonic in ("cmp", "sub") else None
        limit = int(found[1], 16) + (jump.mnemonic == "ja") if found else 0
        return limit if 0 < limit < MAX_ENTRIES else MAX_ENTRIES
    return MAX_ENTRIES


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
