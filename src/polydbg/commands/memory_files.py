"""``c`` compares memory; ``.writemem`` and ``.readmem`` copy it to and from files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.overlay import write_memory
from polydbg.commands.registry import command
from polydbg.commands.values import (
    READ_ONLY_HINT,
    absent_error,
    read_byte_range,
    read_other_address,
)

_COMPARED_AT_ONCE = 0x10000
_COPIED_AT_ONCE = 1 << 20
_BLOCK = 0x800  # bytes for which one dot is printed
_MOST_DOTS = 0x100


class Difference(ShownItem, frozen=True):
    """A byte that differs between two ranges."""

    address: Hex
    value: Hex
    other_address: Hex
    other_value: Hex


@command(
    "c",
    summary="Compare two ranges of memory; equal ones print nothing.",
    syntax="c range address",
    example="c @rsp L20 @rsp+20",
    family="memory",
)
def compare(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    found = read_byte_range(ctx, cursor)
    other = read_other_address(ctx, cursor)
    for at in range(0, found.size, _COMPARED_AT_ONCE):
        ctx.cancel.check()
        size = min(_COMPARED_AT_ONCE, found.size - at)
        left = system.memory.read_some(found.start + at, size)
        right = system.memory.read_some(other + at, size)
        same = min(len(left), len(right))
        if left[:same] != right[:same]:
            for i in range(same):
                if left[i] != right[i]:
                    yield _difference(
                        system.pointer_size, found.start + at + i, left[i], other + at + i, right[i]
                    )
        if same < size:
            absent = (found.start if len(left) == same else other) + at + same
            raise absent_error(ctx, cursor, absent)


def _difference(size: int, address: int, value: int, other: int, other_value: int) -> Difference:
    return Difference(
        address=address,
        value=value,
        other_address=other,
        other_value=other_value,
        shown=f"{address_text(address, size)}  {value:02x} - "
        f"{address_text(other, size)}  {other_value:02x}",
    )


@command(
    ".writemem",
    summary="Write a range of memory to a file.",
    syntax=".writemem file range",
    example='.writemem "out.bin" @rsp L100',
    family="memory",
)
def write_file(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    path = _path(cursor)
    found = ctx.range(cursor, element_size=1, default_count=None)
    _protect_dumps(ctx, path)
    try:
        with path.open("wb") as file:
            for at in range(0, found.size, _COPIED_AT_ONCE):
                ctx.progress("writing", at, found.size)
                size = min(_COPIED_AT_ONCE, found.size - at)
                data = ctx.system.memory.read_some(found.start + at, size)
                file.write(data)
                if len(data) < size:
                    raise _incomplete(ctx, "read", found.start + at + len(data), "file")
    except OSError as error:
        raise _file_error(path, error) from error
    yield Text(value=f"Writing {found.size:x} bytes{_dots(found.size)}")


@command(
    ".readmem",
    summary="Read a file into a range of memory, in the scratch copy of .overlay.",
    syntax=".readmem file range",
    example='.overlay on; .writemem "out.bin" @rsp L100; .readmem "out.bin" @rsp L100',
    family="memory",
)
def read_file(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    path = _path(cursor)
    found = ctx.range(cursor, element_size=1, default_count=None)
    if ctx.system.overlay is None:
        raise _incomplete(ctx, "write", found.start, "load")
    try:
        with path.open("rb") as file:
            for at in range(0, found.size, _COPIED_AT_ONCE):
                ctx.progress("reading", at, found.size)
                data = file.read(min(_COPIED_AT_ONCE, found.size - at))
                if not data:
                    raise CommandError(
                        f"{sanitise_line(str(path))} ends after {at:x} bytes",
                        identifier="memory.file-short",
                    )
                write_memory(ctx, cursor, found.start + at, data)
    except OSError as error:
        raise _file_error(path, error) from error
    yield Text(value=f"Reading {found.size:x} bytes{_dots(found.size)}")


def _path(cursor: Cursor) -> Path:
    text = cursor.string_or_word().rstrip(",")
    if not text:
        raise cursor.error("Non-empty string required", hint="give the name of a file")
    if "\0" in text:
        raise cursor.error("Syntax error")
    return Path(text)


def _protect_dumps(ctx: CommandContext, path: Path) -> None:
    """:raises CommandError: *path* is one of the open dumps, which must stay as it is."""
    for system in ctx.session.systems:
        try:
            same = os.path.samefile(path, system.target.path)
        except OSError:
            continue
        if same:
            raise CommandError(
                f"{sanitise_line(str(path))} is the dump that is open",
                identifier="memory.file-in-use",
                hint="choose another name",
            )


def _incomplete(ctx: CommandContext, verb: str, address: int, what: str) -> CommandError:
    hint = "that address is not in the dump"
    if verb == "write":
        hint = READ_ONLY_HINT
    at = address_text(address, ctx.system.pointer_size)
    return CommandError(
        f"Unable to {verb} memory at {at}, {what} is incomplete",
        identifier="memory.absent" if verb == "read" else "memory.read-only",
        hint=hint,
    )


def _file_error(path: Path, error: OSError) -> CommandError:
    return CommandError(
        f"Unable to open {sanitise_line(str(path))}: {error.strerror or error}",
        identifier="memory.file",
    )


def _dots(size: int) -> str:
    """Return a dot for each block of 0x800 bytes, as WinDbg prints; at most 0x100 of them."""
    return "." * min(-(-size // _BLOCK), _MOST_DOTS)
