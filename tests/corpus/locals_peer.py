"""Variables of frames as numbers: gdb's, by a script in it, and ours, taken apart in the same way.

A value is a list of its leaves: (path, number), the path of member names and indexes. Of arrays the
first elements count.
"""

from __future__ import annotations

import json
import math
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from polydbg.base.errors import DebuggerError
from polydbg.engine.frame_view import frame_view
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame
from polydbg.engine.variables import named_value, scope_of
from polydbg.targets.target import ThreadInfo
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    Encoding,
    EnumType,
    PointerType,
    ScalarType,
    VoidType,
)
from polydbg.types.source import Scope
from polydbg.types.value import Value

SCRIPT = r"""
import gdb, json, math
MAX_LEAVES, MAX_ELEMENTS, MAX_FRAMES = 48, 4, %d

def leaves(value, path, found):
    if len(found) >= MAX_LEAVES:
        return
    t = value.type.strip_typedefs()
    code = t.code
    if code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        for field in t.fields():
            if field.is_base_class or not hasattr(field, 'bitpos') or not field.name:
                continue
            leaves(value[field], path + '.' + field.name, found)
    elif code == gdb.TYPE_CODE_ARRAY:
        low, high = t.range()
        for index in range(low, min(high + 1, low + MAX_ELEMENTS)):
            leaves(value[index], path + '[%%d]' %% index, found)
    else:
        found.append([path, leaf(value, t, code)])

def leaf(value, t, code):
    try:
        if value.is_optimized_out:
            return 'optimized out'
        if code == gdb.TYPE_CODE_FLT:
            number = float(value)
            return number if math.isfinite(number) else repr(number)
        if code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
            return int(value.referenced_value().address)
        if code == gdb.TYPE_CODE_INT and t.sizeof > 8:
            return 'skipped'
        if code == gdb.TYPE_CODE_PTR:
            return int(value)
        if code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL,
                    gdb.TYPE_CODE_ENUM):
            return int(value)
        return 'skipped'
    except (gdb.error, gdb.MemoryError) as error:
        return 'error: ' + str(error)

def variables(frame):
    found = []
    try:
        block = frame.block()
    except RuntimeError:
        return None
    while block is not None and not block.is_global and not block.is_static:
        for symbol in block:
            if not (symbol.is_variable or symbol.is_argument):
                continue
            entry = [symbol.name, symbol.is_argument]
            try:
                value, parts = symbol.value(frame), []
                leaves(value, '', parts)
            except (gdb.error, gdb.MemoryError) as error:
                parts = [['', 'error: ' + str(error)]]
            found.append(entry + [parts])
        if block.function is not None:
            break
        block = block.superblock
    return found

def evaluated(name):
    try:
        parts = []
        leaves(gdb.parse_and_eval(name), '', parts)
    except (gdb.error, gdb.MemoryError) as error:
        parts = [['', 'error: ' + str(error)]]
    return parts

out = []
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frames, frame = [], gdb.newest_frame()
    while frame is not None and len(frames) < MAX_FRAMES:
        inline = frame.type() == gdb.INLINE_FRAME
        try:
            if frame.type() != gdb.TAILCALL_FRAME:
                frames.append([frame.pc(), frame.name(), inline, variables(frame)])
            frame = frame.older()
        except gdb.error:
            break
    out.append([thread.ptid[1], frames])
print('JSON' + json.dumps([out, {name: evaluated(name) for name in %r}]))
"""

_MAX_LEAVES, _MAX_ELEMENTS = 48, 4


Leaves = list[tuple[str, int | float | str]]
Listed = list[tuple[str, bool, Leaves]]
"""Name, whether it is a parameter, value."""


class PeerFrame(NamedTuple):
    """A frame as gdb has it: *variables* are (name, is parameter, leaves)."""

    pc: int
    name: str | None
    is_inline: bool
    variables: Listed | None


class PeerState(NamedTuple):
    """What gdb says of a process: the frames of its threads by id, and variables by name."""

    threads: dict[int, list[PeerFrame]]
    variables: dict[str, Leaves]


def gdb_states(
    arguments: list[str], script: Path, names: Sequence[str] = (), limit: int = 64
) -> list[PeerState]:
    """Return the frames and the variables called *names* as gdb with *arguments* has them, each
    time that these run *script*, and at the end."""
    script.write_text(SCRIPT % (limit, tuple(names)))
    command = ["gdb", "-nx", "-batch", "-iex", "set auto-load off"]
    command += ["-iex", "set debuginfod enabled off"]
    command += ["-iex", "set print frame-arguments none", *arguments, "-x", str(script)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL
    )
    found = [_state(line[4:]) for line in done.stdout.splitlines() if line.startswith("JSON")]
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return found


def _state(text: str) -> PeerState:
    threads, variables = json.loads(text)
    return PeerState(
        {thread: [PeerFrame(*each) for each in frames] for thread, frames in threads},
        {name: [(path, value) for path, value in leaves] for name, leaves in variables.items()},
    )


def our_variables(
    system: System, thread: ThreadInfo, frame: StackFrame
) -> tuple[Scope | None, Listed]:
    """Return the scope of *frame* and its variables as gdb's are given."""
    scope = scope_of(system, frame)
    found = []
    view = frame_view(system, frame, thread)
    for variable in scope.variables if scope is not None else ():
        value = named_value(system, variable, view).value
        found.append((variable.name, variable.kind.value == "param", leaves_of(value)))
    return scope, found


def leaves_of(value: Value) -> Leaves:
    """Return the leaves of a value."""
    found: Leaves = []
    _leaves(value, "", found)
    return found


def _leaves(value: Value, path: str, found: Leaves) -> None:
    if len(found) >= _MAX_LEAVES:
        return
    kind = value.type.bare
    if isinstance(kind, CompoundType):
        for member in kind.members:
            if member.name and member.kind.value == "field":
                _leaves(value.member(member), f"{path}.{member.name}", found)
    elif isinstance(kind, ArrayType):
        for index in range(min(kind.count or 0, _MAX_ELEMENTS)):
            _leaves(value.element(index), f"{path}[{index}]", found)
    else:
        found.append((path, _leaf(value)))


def _leaf(value: Value) -> int | float | str:
    kind = value.type.bare
    if isinstance(kind, VoidType):
        return "skipped"
    try:
        bits, size = value.bits(), 8 * (value.type.size or 0)
    except DebuggerError as error:
        return f"unknown: {error.message}"
    if value.bit_field is not None:
        size = value.bit_field[1]
    if isinstance(kind, EnumType):
        kind = kind.underlying.bare
    if isinstance(kind, PointerType):
        return bits
    if not isinstance(kind, ScalarType):
        return "skipped"
    if kind.encoding is Encoding.FLOAT:
        if size not in (32, 64):
            return "skipped"
        number = float(_float(bits, size))
        return number if math.isfinite(number) else repr(number)
    signed = (Encoding.SIGNED, Encoding.SIGNED_CHAR)
    is_signed = kind.encoding in signed or (
        kind.encoding is Encoding.CHAR and value.around.model.char_is_signed
    )
    if is_signed and size and bits >> (size - 1):
        bits -= 1 << size
    return bits


def _float(bits: int, size: int) -> float:
    code, width = ("f", 4) if size == 32 else ("d", 8)
    found: float = struct.unpack(f"<{code}", bits.to_bytes(width, "little"))[0]
    return found
