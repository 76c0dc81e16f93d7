"""``.fnent``: a function's entry in the unwind table of its image; ``.fnret`` is refused."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import address_text
from polydbg.commands.call_frame_rows import call_frame_items
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, ShownItem
from polydbg.commands.registry import command
from polydbg.engine.modules import Module
from polydbg.formats.pe.header import DIRECTORY_EXCEPTION
from polydbg.formats.pe.pdata import (
    FLAG_EXCEPTION_HANDLER,
    FLAG_TERMINATION_HANDLER,
    MAX_CHAIN,
    MAX_FUNCTIONS,
    RuntimeFunction,
    UnwindCode,
    UnwindInfo,
    UnwindOp,
    read_unwind_info,
    resolve_indirect,
)
from polydbg.images.pe import PeImage
from polydbg.unwind.amd64_rules import REGISTERS

_ROW_SIZE = 12
_VECTOR_OPS = (UnwindOp.SAVE_XMM128, UnwindOp.SAVE_XMM128_FAR)
_OFFSET_OPS = (UnwindOp.SAVE_NONVOL, UnwindOp.SAVE_NONVOL_FAR, *_VECTOR_OPS)


class FunctionEntry(Item, frozen=True):
    """A row of the function table. *begin*, *end*, *unwind_info* are RVAs; *address* is where the
    row lies in memory."""

    address: Hex
    begin: Hex
    end: Hex
    unwind_info: Hex

    def text(self) -> str:
        return "\n".join(
            (
                f"BeginAddress      = {address_text(self.begin)}",
                f"EndAddress        = {address_text(self.end)}",
                f"UnwindInfoAddress = {address_text(self.unwind_info)}",
            )
        )


class UnwindInformation(ShownItem, frozen=True):
    """The unwind information of a function; *codes* as in the rows."""

    address: Hex
    size: int
    version: int
    flags: int
    prolog_size: int
    handler: Hex | None
    handler_name: str
    codes: tuple[str, ...]


class _Place(msgspec.Struct, frozen=True):
    """Where an unwind row was found."""

    module: Module
    image: PeImage


@command(
    ".fnent",
    summary="Show the unwind table entry of the function at an address: of x64 images of Windows, "
    "or the rules of DWARF call frame information.",
    syntax=".fnent [address]",
    example=".fnent @rip    offsets in hex; the operations that k undoes",
    family="disassemble",
)
def function_entry(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    address = ctx.evaluate("@$ip") if cursor.at_end else ctx.expression(cursor)
    module = system.modules.at(address)
    image = system.modules.pe_image(module) if module else None
    if module is not None and (image is None or not _has_row(image, address - module.base)):
        found = call_frame_items(ctx, module, address)
        if found is not None:
            yield from found
            return
    missing = CommandError(
        f"No function entry for {address_text(address, system.pointer_size)}",
        identifier="unwind.no-entry",
        hint=_why_missing(ctx, module, image),
    )
    if module is None or image is None or image.machine != "amd64":
        raise missing
    row = image.function_at(address - module.base)
    if row is None:
        raise missing
    place = _Place(module, image)
    entry = _entry(place, row)
    shown = address_text(entry.address, system.pointer_size)
    yield Heading(value=f"Debugger function entry {shown} for:")
    yield from ctx.run(f"ln {address:#x}")
    yield Heading(value="")
    yield entry
    yield Heading(value="")
    yield from _unwind_information(ctx, place, row)


def _has_row(image: PeImage, rva: int) -> bool:
    return image.machine == "amd64" and image.function_at(rva) is not None


def _why_missing(ctx: CommandContext, module: Module | None, image: PeImage | None) -> str:
    if module is None:
        return "the address is in no module"
    if image is None and ctx.system.modules.image(module) is not None:
        return f"the call frame information of {module.name} has no entry for it, or is not there"
    if image is None:
        return f"no image of {module.name}: .exepath+ FOLDER says where to look for it"
    if image.machine != "amd64":
        return "polydbg reads the function tables of x64 images"
    if not image.has_unwind_table:
        return f"{module.name} has no function table"
    return "a leaf function, which needs no entry, or no code"


def _entry(place: _Place, row: RuntimeFunction) -> FunctionEntry:
    return FunctionEntry(
        address=place.module.base + _row_rva(place.image, row),
        begin=row.begin,
        end=row.end,
        unwind_info=row.unwind_rva,
    )


def _row_rva(image: PeImage, row: RuntimeFunction) -> int:
    """Return the RVA of *row* in the table, found by where its function begins."""
    table = image.directories[DIRECTORY_EXCEPTION]
    low, high = 0, min(table.size // _ROW_SIZE, MAX_FUNCTIONS)
    while high - low > 1:
        middle = (low + high) // 2
        begin = int.from_bytes(image.read(table.rva + middle * _ROW_SIZE, 4), "little")
        low, high = (middle, high) if begin <= row.begin else (low, middle)
    return table.rva + low * _ROW_SIZE


def _unwind_information(ctx: CommandContext, place: _Place, row: RuntimeFunction) -> Iterator[Item]:
    """Yield the unwind information of *row* and of the rows that it is chained to.

    :raises FormatError: it is damaged.
    """
    for number in range(MAX_CHAIN):
        row = resolve_indirect(place.image.space, row)
        info = read_unwind_info(place.image.space, row.unwind_rva)
        if number:
            yield Heading(value="\nChained info:")
            yield _entry(place, row)
            yield Heading(value="")
        yield _information(ctx, place, row.unwind_rva, info)
        if info.chained is None:
            return
        row = info.chained


def _information(
    ctx: CommandContext, place: _Place, rva: int, info: UnwindInfo
) -> UnwindInformation:
    count = place.image.read(rva, 4)[2]
    base = place.module.base
    size = 4 + 2 * count
    lines = [
        f"Unwind info at {address_text(base + rva)}, {size:x} bytes",
        f"  version {info.version}, flags {info.flags:x}, prolog {info.prolog_size:x}, "
        f"codes {count:x}",
    ]
    if info.frame_register:
        name = REGISTERS[info.frame_register]
        lines.append(f"  frame reg {name}, frame offs {info.frame_offset:x}h")
    handler, name = None, ""
    if info.flags & (FLAG_EXCEPTION_HANDLER | FLAG_TERMINATION_HANDLER) and info.handler_rva:
        handler = base + info.handler_rva
        name = ctx.system.modules.place(handler).text
        lines.append(f"  handler routine: {name} ({address_text(handler)})")
        lines[-1] += _handler_data(place.image, rva, count)
    codes = _codes(info, count)
    return UnwindInformation(
        address=base + rva,
        size=size,
        version=info.version,
        flags=info.flags,
        prolog_size=info.prolog_size,
        handler=handler,
        handler_name=name,
        codes=tuple(code.strip() for code in codes),
        shown="\n".join(lines + codes),
    )


def _handler_data(image: PeImage, rva: int, count: int) -> str:
    """Return the first word of the handler's own data, which is behind its RVA."""
    try:
        data = image.read(rva + 4 + 2 * (count + (count & 1)) + 4, 4)
    except DebuggerError:
        return ""
    return f", data {int.from_bytes(data, 'little'):x}"


def _codes(info: UnwindInfo, count: int) -> list[str]:
    """Return a row for each operation, numbered by its first slot."""
    slot = max(0, count - sum(code.slots for code in info.codes))
    lines = [
        f"  epilog at {distance:x} before the end, {info.epilog_size:x} bytes"
        for distance in info.epilogs
    ]
    for code in info.codes:
        head = f"  {slot:02x}: offs {code.prolog_offset:x}, unwind op {int(code.op):x}"
        lines.append(f"{head}, op info {code.info:x}\tUWOP_{code.op.name}{_operands(code)}.")
        slot += code.slots
    return lines


def _operands(code: UnwindCode) -> str:
    if code.op is UnwindOp.PUSH_NONVOL:
        return f" reg: {REGISTERS[code.info]}"
    if code.op is UnwindOp.ALLOC_LARGE:
        return f" FrameOffset: {code.value:x}"
    if code.op in _OFFSET_OPS:
        name = f"xmm{code.info}" if code.op in _VECTOR_OPS else REGISTERS[code.info]
        return f" FrameOffset: {code.value:x} reg: {name}"
    return ""
