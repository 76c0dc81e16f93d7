"""``.overlay`` and the commands that write memory: ``e*``, ``f``, ``m``.

A dump is a snapshot: it cannot be written. With ``.overlay on`` edits go to a scratch copy over it,
which every command then reads; the file stays as it is and the prompt says so. Memory that the dump
does not hold cannot be edited either.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterator

from polydbg.base.errors import CommandError, MemoryReadError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, Text
from polydbg.commands.registry import command
from polydbg.commands.values import (
    READ_ONLY_HINT,
    absent_error,
    read_byte_range,
    read_other_address,
    read_values,
)
from polydbg.memory.overlay import Overlay

_CHUNK = 1 << 20
_NUMBERS = {"b": 1, "w": 2, "d": 4, "q": 8, "p": 0}
_FLOATS = {"f": "<f", "D": "<d"}
_STRINGS = {
    "a": ("utf-8", b""),
    "za": ("utf-8", b"\0"),
    "u": ("utf-16-le", b""),
    "zu": ("utf-16-le", b"\0\0"),
}
_WHAT = {
    "b": "bytes",
    "w": "words of 2 bytes",
    "d": "words of 4 bytes",
    "q": "words of 8 bytes",
    "p": "words of the size of a pointer",
    "f": "floats of 4 bytes",
    "D": "floats of 8 bytes",
    "a": "an ASCII string",
    "za": "an ASCII string and its NUL",
    "u": "a UTF-16 string",
    "zu": "a UTF-16 string and its NUL",
}


def write_memory(ctx: CommandContext, cursor: Cursor, address: int, data: bytes) -> None:
    """Write *data* at *address* of the scratch copy.

    :raises CommandError: there is none, or the dump has no memory there.
    """
    system = ctx.system
    if system.overlay is None:
        raise CommandError(
            "Memory access error",
            caret=cursor.position - 1,
            hint=READ_ONLY_HINT,
            identifier="memory.read-only",
        )
    for at in range(0, len(data), _CHUNK):
        ctx.cancel.check()
        piece = data[at : at + _CHUNK]
        try:
            system.memory.read(address + at, len(piece))
        except MemoryReadError as error:
            raise absent_error(ctx, cursor, error.address) from None
    for at in range(0, len(data), _CHUNK):
        ctx.cancel.check()
        system.overlay.write(address + at, data[at : at + _CHUNK])


@command(
    ".overlay",
    summary="Make a scratch copy over the dump that can be edited, or drop it.",
    syntax=".overlay [on | off]",
    example=".overlay on    then eb, ed, ea, f, m and r rax=1 work; the dump file never changes",
    family="memory",
)
def overlay(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    word = cursor.word().lower()
    if word == "on":
        if system.overlay is None:
            system.overlay = system.memory.overlay = Overlay()
        yield Text(value="Overlay is on: edits go to a scratch copy, the dump stays as it is")
    elif word == "off":
        dropped = _edits(ctx)
        system.overlay = system.memory.overlay = None
        system.register_overlay.clear()
        yield Text(value=f"Overlay is off, edits dropped: {dropped}")
    elif word:
        raise cursor.error("Syntax error", hint=".overlay on or .overlay off")
    elif system.overlay is None:
        yield Text(value="Overlay is off")
    else:
        yield Text(value=f"Overlay is on, edits so far: {_edits(ctx)}")


def _edits(ctx: CommandContext) -> str:
    system = ctx.system
    count = system.overlay.count if system.overlay is not None else 0
    registers = sum(len(names) for names in system.register_overlay.values())
    return f"0n{count} bytes, 0n{registers} registers"


def _enter(ctx: CommandContext, cursor: Cursor, letters: str) -> Iterator[Item]:
    """Run ``e`` with *letters*: an address, then values."""
    system = ctx.system
    system.memory_view.entry = letters
    if cursor.at_end:
        raise CommandError("Numeric expression missing from '<EOL>'")
    address = ctx.expression(cursor)
    cursor.skip_blanks()
    cursor.take(",")
    if cursor.at_end:
        raise cursor.error(
            "Syntax error", hint=f"give the values on the same line: e{letters} ADDRESS VALUE ..."
        )
    if letters in _STRINGS:
        encoding, end = _STRINGS[letters]
        data = cursor.string_or_word().encode(encoding, "surrogatepass") + end
    elif letters in _FLOATS:
        data = _read_floats(cursor, _FLOATS[letters])
    else:
        data = read_values(ctx, cursor, _NUMBERS[letters] or system.pointer_size)
    write_memory(ctx, cursor, address, data)
    yield from ()


def _read_floats(cursor: Cursor, code: str) -> bytes:
    out = b""
    while not cursor.at_end:
        try:
            out += struct.pack(code, float(cursor.word()))
        except (ValueError, OverflowError):
            raise cursor.error("Syntax error", hint="values are decimal: 1.5 -2e10") from None
    return out


def _declare() -> None:
    for letters, what in _WHAT.items():
        name = f"e{letters}"
        value = '"text"' if letters in _STRINGS else "1.5" if letters in _FLOATS else "12 34"
        command(
            name,
            summary=f"Write {what} to the scratch copy of .overlay.",
            syntax=f"{name} address {'string' if letters in _STRINGS else 'value ...'}",
            example=f".overlay on; {name} @rsp {value}",
            family="memory",
        )(functools.partial(_enter, letters=letters))


_declare()


@command(
    "e",
    summary="Write as the last e* command did; bytes at first.",
    syntax="e address value ...",
    example=".overlay on; e @rsp 12",
    family="memory",
)
def enter_again(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if re.match(r"[A-Za-z]", cursor.peek()):
        cursor.position += 1
        raise cursor.error("Syntax error", hint="see .help for the letters after e")
    yield from _enter(ctx, cursor, ctx.system.memory_view.entry)


@command(
    "f",
    summary="Fill a range of the scratch copy of .overlay with a pattern of bytes.",
    syntax="f range value ...",
    example=".overlay on; f @rsp L20 0",
    family="memory",
)
def fill(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    found = read_byte_range(ctx, cursor)
    pattern = read_values(ctx, cursor, 1)
    if not pattern:
        raise cursor.error("Syntax error", hint="give the bytes to fill with")
    repeated = pattern * (min(found.size, _CHUNK) // len(pattern) + 1)
    whole = len(repeated) // len(pattern) * len(pattern)
    for at in range(0, found.size, whole):
        write_memory(ctx, cursor, found.start + at, repeated[: min(whole, found.size - at)])
    yield Text(value=f"Filled {found.size:#x} bytes")


@command(
    "m",
    summary="Copy a range of memory to another place of the scratch copy of .overlay.",
    syntax="m range address",
    example=".overlay on; m @rsp L20 @rsp+20    overlapping ranges are copied as they were",
    family="memory",
)
def move(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    found = read_byte_range(ctx, cursor)
    target = read_other_address(ctx, cursor)
    try:
        data = ctx.system.memory.read(found.start, found.size)
    except MemoryReadError as error:
        raise absent_error(ctx, cursor, error.address) from None
    write_memory(ctx, cursor, target, data)
    yield from ()
