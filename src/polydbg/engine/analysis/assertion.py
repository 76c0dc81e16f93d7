"""The text of an assertion from the call of the function that reports it: where the C library notes
no message (musl, the BSDs), the constants that the caller passed stand in its code.

Facts: the calling convention of the System V ABI for AMD64; ``__assert_fail`` of musl and glibc,
``__assert`` and ``__assert13`` of the BSDs, ``__assert_rtn`` of macOS by their public prototypes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.code import decoder_at
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame

_ORDERS: Final = {
    "__assert_fail": "expression file line function",
    "__GI___assert_fail": "expression file line function",
    "__assert": "function file line expression",
    "__assert13": "file line function expression",
    "__assert2": "file line function expression",
    "__assert_rtn": "function file line expression",
}
_REGISTERS: Final = ("rdi", "rsi", "rdx", "rcx")
_ADDRESS: Final = re.compile(r"\[([0-9a-fA-F`]+)\]$")
_NUMBER: Final = re.compile(r"([0-9][0-9a-fA-F]*)h?$|([0-9a-fA-F]{8}`[0-9a-fA-F]{8})$")
_ENDS_BLOCK: Final = re.compile(r"(?:j\w+|call|ret\w*|loop\w*|int\d?|ud\d)$")
_INSTRUCTIONS: Final = 8
_CODE: Final = 128
_MAX_CODE: Final = 0x4000
_MAX_TEXT: Final = 512


def asserted(system: System, row: StackFrame, caller: StackFrame) -> str:
    """Return ``x > 0, file a.c, line 5`` of the assertion that the function in *row* reports for
    *caller*, as much as the instructions before the call pass as constants; ``""`` for nothing."""
    order = _ORDERS.get(row.place.symbol)
    if order is None or system.machine != "amd64":
        return ""
    start = caller.frame.pc - caller.place.displacement if caller.place.symbol else None
    constants = _constants(system, caller.frame.pc, start)
    values = dict(zip(order.split(), (constants.get(at) for at in range(4)), strict=True))
    expression, file, line = values["expression"], values["file"], values["line"]
    parts = [_text(system, expression)]
    if (name := _text(system, file)) and parts[0]:
        parts.append(f"file {name}")
        if line is not None and 0 < line < 1 << 24:
            parts.append(f"line {line}")
    return ", ".join(filter(None, parts))


def _constants(system: System, end: int, start: int | None) -> dict[int, int]:
    """Return the constants that the instructions up to the call that ends at *end* load into the
    registers of arguments, by number; those before a jump are of another path. *start* is where the
    function begins, if that is known."""
    size = _CODE if start is None or not _CODE < end - start <= _MAX_CODE else end - start
    data = system.memory.read_some(end - size, size)
    try:
        rows = decoder_at(system, end).backwards(data, end, _INSTRUCTIONS + 1, anchor=start)
    except DebuggerError:
        return {}
    if len(data) < size or not rows or rows[-1].mnemonic.split()[-1:] != ["call"]:
        return {}
    known: dict[str, int] = {}
    for row in rows[:-1]:
        name = row.mnemonic.split()[-1]
        if _ENDS_BLOCK.match(name):
            known.clear()
            continue
        target, _, source = row.operands.partition(",")
        value = _constant(name, source, known)
        known.pop(_wide(target), None)
        if value is not None:
            known[_wide(target)] = value
    return {at: known[name] for at, name in enumerate(_REGISTERS) if name in known}


def _constant(name: str, source: str, known: Mapping[str, int]) -> int | None:
    """Return what ``lea`` or ``mov`` loads from *source*, ``None`` where it is no constant."""
    if name == "lea" and (match := _ADDRESS.match(source)):
        return int(match[1].replace("`", ""), 16)
    if name == "mov" and _wide(source) in known:
        return known[_wide(source)]
    if name == "mov" and (match := _NUMBER.match(source)):
        return int((match[1] or match[2]).replace("`", ""), 16)
    return None


def _wide(register: str) -> str:
    """Return ``rdi`` for ``edi``."""
    return f"r{register[1:]}" if register[:1] == "e" and len(register) == 3 else register


def _text(system: System, address: int | None) -> str:
    if not address:
        return ""
    data, end, _ = system.memory.read_some(address, _MAX_TEXT).partition(b"\0")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    return sanitise_line(text) if end and text.isprintable() else ""
