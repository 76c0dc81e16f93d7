"""Callers of x86 functions by their layouts (frame data, FPO) and their own code.

x86 has no unwind tables: symbols say how a function's frame looks once its prolog is done, and the
bytes of prolog and epilog say the rest. Sources: Breakpad, "Symbol files" (``STACK WIN``);
Windows SDK, ``FPO_DATA``.

Layouts that count from esp do not know what the function has pushed for a call that it is making.
So the slot that they name must hold a return address, best one whose call leads to this very
function; if it does not, the words above it are searched, and what is found is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from polydbg.base.errors import MemoryReadError, UnwindError
from polydbg.base.text import address_text
from polydbg.symbols.frame_info import WinFrame
from polydbg.unwind.calls import calls, code_at, may_return_to
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext
from polydbg.unwind.postfix import Value, run_program, words_of
from polydbg.unwind.x86_code import (
    MAX_EPILOG,
    MAX_PROLOG,
    PRESERVED,
    Prolog,
    decode_epilog,
    decode_prolog,
)

_MASK: Final = 0xFFFFFFFF
_SEARCHED_WORDS: Final = 8
"""How far above its slot a return address is searched: pushed arguments, alignment of locals."""

_MAX_DISTANCE: Final = 0x100000

_NUMBERED: Final = {"$20": "$ebx", "$21": "$esp", "$22": "$ebp", "$23": "$esi", "$24": "$edi"}
"""Registers as frame data of Microsoft's compilers names them: by CodeView number."""


class _Slot(msgspec.Struct, frozen=True):
    """Where the return address lies, and whether that is sure."""

    address: int
    is_sure: bool


class _Position(msgspec.Struct, frozen=True):
    """Where in its function the callee stands.

    *prolog* is what was executed of the prolog, when that tells everything, else ``None``. *depth*
    is how many bytes lie between esp and the return address, but for pushed arguments. *is_sure*
    says that the layout holds here.
    """

    prolog: Prolog | None
    depth: int
    is_sure: bool = True


class X86Frames:
    """Finds the layout of the callee, else decodes its code."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        found = context.win_frame_at(callee.lookup_pc)
        if not callee.is_return_address:
            caller = _from_epilog(callee, context, found)
            if caller is not None:
                return caller
        if found is None:
            return _from_code(callee, context)
        start = found[0] + found[1].rva
        position = _position(callee, context, start, found[1])
        if position.prolog is not None:
            caller = _from_prolog(callee, context, position.prolog, FrameTrust.FRAME_DATA)
            if caller is not None:
                return msgspec.structs.replace(caller, arguments_size=found[1].parameters_size)
        if found[1].program:
            return _from_program(callee, context, found[1], position)
        return _from_sizes(callee, context, start, found[1], position)


def _position(callee: Callee, context: UnwindContext, start: int, layout: WinFrame) -> _Position:
    """Return where the callee stands in the layout that begins at *start*; a call lies behind its
    prolog."""
    counted = layout.locals_size + layout.saved_size
    end = start + layout.prolog_size
    is_inside = callee.lookup_pc < end
    limit = _before_call(callee, context) if is_inside else end
    function = context.function_at(callee.lookup_pc)
    if function is not None:
        prolog = _prolog_between(context, function[0], limit)
        if prolog is not None and prolog.is_whole:
            # Compilers leave sizes out (LLVM: locals), or make room behind the prolog.
            depth = max(prolog.depth, counted)
            if is_inside:
                return _Position(prolog, depth)
            return _Position(None, depth, not _may_have_left(callee, context, layout, depth))
    if not is_inside:
        return _Position(None, counted, not _may_have_left(callee, context, layout, counted))
    whole = _prolog_between(context, start, end)
    done = _prolog_between(context, start, limit)
    if done is None:
        return _Position(None, counted, is_sure=False)
    if _begins_function(start, layout, function, whole):
        return _Position(done if done.is_whole else None, counted, done.frame_depth is not None)
    # A later record of the function describes the frame as it is at the record's start.
    return _Position(None, counted + done.depth, _counts_from_ebp(layout) or done.is_whole)


def _counts_from_ebp(layout: WinFrame) -> bool:
    return words_of(layout.program)[1:2] == ["$ebp"]


def _before_call(callee: Callee, context: UnwindContext) -> int:
    """Return where the callee stands: prologs call helpers that set up frames of handlers or probe
    the stack; such a return address lies behind five bytes of call."""
    is_call = callee.is_return_address and code_at(context, callee.pc - 5, 1) == b"\xe8"
    return callee.pc - 5 if is_call else callee.pc


def _may_have_left(callee: Callee, context: UnwindContext, layout: WinFrame, depth: int) -> bool:
    """Return whether an epilog may have run that cannot be seen: its code is not at hand, and what
    looks like a return address lies nearer than the layout says (on top, where ebp counts: only
    once it is the caller's is the layout wrong)."""
    if callee.is_return_address or code_at(context, callee.pc, 1):
        return False
    depth = 4 if _counts_from_ebp(layout) else depth
    data = context.memory.read_some(callee.sp, min(max(depth, 4), MAX_EPILOG))
    words = (int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) - 3, 4))
    return any(may_return_to(context, word) for word in words)


def _prolog_between(context: UnwindContext, start: int, end: int) -> Prolog | None:
    """Return what the code between two addresses does, ``None`` when it is not at hand."""
    if not 0 <= end - start <= MAX_PROLOG:
        return None
    code = code_at(context, start, end - start)
    return decode_prolog(code) if len(code) == end - start else None


def _begins_function(
    start: int, layout: WinFrame, function: tuple[int, int] | None, prolog: Prolog | None
) -> bool:
    if function is not None:
        return function[0] == start
    counted = layout.locals_size + layout.saved_size
    return prolog is not None and (prolog.frame_depth is not None or prolog.depth == counted)


def _from_epilog(
    callee: Callee, context: UnwindContext, found: tuple[int, WinFrame] | None
) -> Caller | None:
    """Return the caller when the next instructions are the end of a function."""
    function = context.function_at(callee.pc)
    layout = found[1] if found is not None else None
    # A layout's own bounds are those of a part of the function, perhaps.
    bounds = function or ((found[0] + found[1].rva, found[1].code_size) if found else None)

    def leaves(distance: int) -> bool:
        target = callee.pc + distance
        return bounds is not None and not bounds[0] <= target < sum(bounds)

    epilog = decode_epilog(code_at(context, callee.pc, MAX_EPILOG), leaves)
    if epilog is None:
        return None
    places = {"eip": (epilog.base, epilog.offset)}
    places |= {name: (base, offset) for name, base, offset in epilog.restored}
    registers = {name: value for name, value in callee.registers.items() if name in PRESERVED}
    for name, (base, offset) in places.items():
        if base not in callee.registers:
            return None
        registers[name] = _word(context, callee.registers[base] + offset)
    trust = FrameTrust.INSTRUCTIONS
    if epilog.is_jump_only or (epilog.is_jump and function is None):
        leads_here = calls(context, registers["eip"], function[0]) if function else None
        if not may_return_to(context, registers["eip"]):
            return None
        trust = FrameTrust.INSTRUCTIONS if leads_here else FrameTrust.SCAN
    elif registers["eip"] and not may_return_to(context, registers["eip"]):
        return None
    kept = {name: registers[name] for name in registers if name in PRESERVED or name == "eip"}
    kept["esp"] = callee.registers[epilog.base] + epilog.offset + 4 & _MASK
    size = layout.parameters_size if layout is not None else epilog.arguments_size
    return Caller(kept, trust, arguments_size=size)


def _from_code(callee: Callee, context: UnwindContext) -> Caller | None:
    """Return the caller by the prolog of a function that has no layout."""
    function = context.function_at(callee.lookup_pc)
    if function is None:
        return None
    size = callee.pc - function[0]
    code = code_at(context, function[0], min(size, MAX_PROLOG))
    prolog = decode_prolog(code)
    is_exact = not callee.is_return_address and prolog.is_whole and len(code) == size
    if not is_exact and not prolog.is_standard:
        return None
    caller = _from_prolog(callee, context, prolog, FrameTrust.INSTRUCTIONS)
    if caller is None or is_exact:
        return caller
    # What the function saved later, or changed without saving, is not known.
    known = {"eip", "esp", *(name for name, _ in prolog.saved)}
    registers = {name: value for name, value in caller.registers.items() if name in known}
    return Caller(registers, caller.trust)


def _from_prolog(
    callee: Callee, context: UnwindContext, prolog: Prolog, trust: FrameTrust
) -> Caller | None:
    """Return the caller, ``None`` when the return address is none."""
    if prolog.frame_depth is None:
        slot = callee.sp + prolog.depth
    elif "ebp" in callee.registers:
        slot = callee.registers["ebp"] + prolog.frame_depth
    else:
        return None
    address = _word(context, slot)
    if address and not may_return_to(context, address):
        return None
    registers = {name: value for name, value in callee.registers.items() if name in PRESERVED}
    registers |= {name: _word(context, slot - depth) for name, depth in prolog.saved}
    registers |= {"eip": address, "esp": slot + 4 & _MASK}
    return Caller(registers, trust)


def _from_program(
    callee: Callee, context: UnwindContext, layout: WinFrame, position: _Position
) -> Caller:
    variables, is_sure = _run(callee, context, layout, position)
    address = _needed(variables, "$eip")
    if address and not may_return_to(context, address):
        raise UnwindError(
            f"frame data leads to {address_text(address, 4)}, which is no return address"
        )
    registers = {"eip": address, "esp": _needed(variables, "$esp")}
    for name in PRESERVED:
        value = variables.get(f"${name}")
        if isinstance(value, int):
            registers[name] = value
    trust = FrameTrust.FRAME_DATA if is_sure else FrameTrust.SCAN
    return Caller(registers, trust, arguments_size=layout.parameters_size)


def _run(
    callee: Callee, context: UnwindContext, layout: WinFrame, position: _Position
) -> tuple[dict[str, Value], bool]:
    """Return the variables that the layout's program leaves, and whether they are sure."""
    variables: dict[str, Value] = {
        f"${name}": value
        for name, value in callee.registers.items()
        if name in PRESERVED or name in ("eip", "esp")
    }
    variables[".cbParams"] = layout.parameters_size
    variables[".cbLocals"] = layout.locals_size
    variables[".cbSavedRegs"] = layout.saved_size
    is_sure = position.is_sure
    if ".raSearch" in layout.program:
        slot = _search(callee, context, position.depth, is_aligned="@" in layout.program)
        variables[".raSearch"] = variables[".raSearchStart"] = slot.address
        is_sure = is_sure and slot.is_sure
    program = " ".join(_NUMBERED.get(word, word) for word in words_of(layout.program))
    run_program(program, variables, context.memory, callee.convention.size)
    return variables, is_sure


def virtual_frame(callee: Callee, context: UnwindContext) -> int:
    """Return what PDB calls the virtual frame: ``$T0`` of the program of the callee's layout, and
    where that is a plain FPO record the slot of the return address.

    :raises UnwindError: there is no layout, or nothing is sure of it here.
    :raises MemoryReadError: the stack is not in memory.
    """
    found = context.win_frame_at(callee.lookup_pc)
    if found is None:
        raise UnwindError("the symbols have no frame layout of this function")
    start, layout = found[0] + found[1].rva, found[1]
    position = _position(callee, context, start, layout)
    if position.prolog is not None:
        raise UnwindError("the function's prolog is not done")
    if not layout.program:
        slot = _search(callee, context, position.depth)
        value, is_sure = slot.address, position.is_sure and slot.is_sure
    else:
        variables, is_sure = _run(callee, context, layout, position)
        value = _needed(variables, "$T0")
    if not is_sure:
        raise UnwindError("it is not sure that the frame's layout holds here")
    return value


def _needed(variables: Mapping[str, Value], name: str) -> int:
    value = variables.get(name)
    if value is None:
        raise UnwindError(f"frame data does not tell {name[1:]}")
    if not isinstance(value, int):
        raise value
    return value


def _from_sizes(
    callee: Callee, context: UnwindContext, start: int, layout: WinFrame, position: _Position
) -> Caller:
    """Return the caller by a plain FPO record, which has only sizes."""
    slot = _search(callee, context, position.depth)
    registers = {"eip": _word(context, slot.address), "esp": slot.address + 4 & _MASK}
    registers |= _saved_by_sizes(callee, context, start, layout, slot.address)
    is_sure = position.is_sure and slot.is_sure
    trust = FrameTrust.FRAME_DATA if is_sure else FrameTrust.SCAN
    return Caller(registers, trust, arguments_size=layout.parameters_size)


def _saved_by_sizes(
    callee: Callee, context: UnwindContext, start: int, layout: WinFrame, slot: int
) -> dict[str, int]:
    """Return the caller's registers: an FPO record tells how many were saved, the prolog which."""
    kept = {name: value for name, value in callee.registers.items() if name in PRESERVED}
    if not layout.saved_size:
        return kept
    prolog = decode_prolog(code_at(context, start, layout.prolog_size))
    if len(prolog.saved) * 4 == layout.saved_size:
        return kept | {name: _word(context, slot - depth) for name, depth in prolog.saved}
    if not layout.uses_frame_pointer:
        return {"ebp": kept["ebp"]} if "ebp" in kept else {}
    # Breakpad, "Symbol files": ebx comes first where it is saved, too. That is not sure, so only a
    # value that can be a frame pointer is believed.
    depth = layout.locals_size + (8 if layout.saved_size >= 8 else 4)
    ebp = _word(context, slot - depth)
    return {"ebp": ebp} if ebp % 4 == 0 and 0 < ebp - slot < _MAX_DISTANCE else {}


def _search(
    callee: Callee, context: UnwindContext, depth: int, *, is_aligned: bool = False
) -> _Slot:
    """Return where the return address lies: in the slot that the sizes name, else above it. Where
    the frame *is_aligned* the slot may be lower than the return address."""
    start = callee.sp + callee.arguments_size + depth & _MASK
    data = context.memory.read_some(start, _SEARCHED_WORDS * 4)
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) - 3, 4)]
    if not words:
        raise MemoryReadError(start)
    function = context.function_at(callee.lookup_pc)
    likely: int | None = None
    for number, word in enumerate(words):
        if not may_return_to(context, word):
            continue
        leads_here = calls(context, word, function[0]) if function is not None else None
        may_lead_here = leads_here is None and not is_aligned and _is_inside_code(context, word)
        if leads_here:
            return _Slot(start + number * 4, number == 0)
        if number == 0 and may_lead_here:
            # A pushed value can look like it, too: then the real one follows.
            others = () if callee.is_return_address else words[1:]
            return _Slot(start, not any(may_return_to(context, other) for other in others))
        if likely is None:
            likely = start + number * 4
    if likely is None:
        where = address_text(start, 4)
        raise UnwindError(f"the frame's layout leads to {where}, where no return address is")
    return _Slot(likely, False)


def _is_inside_code(context: UnwindContext, address: int) -> bool:
    """Return whether there is evidence of code at *address*: the bytes, or a function that it is
    not the start of. A module of which nothing is known has tables and pointers, too."""
    if code_at(context, address - 1, 1):
        return True
    function = context.function_at(address)
    return function is not None and function[0] != address


def _word(context: UnwindContext, address: int) -> int:
    return int.from_bytes(context.memory.read(address & _MASK, 4), "little")
