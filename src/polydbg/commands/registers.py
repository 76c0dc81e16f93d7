"""``r``, ``rM``, ``rm`` and the letters after ``r``: registers."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from polydbg.arch.registers import AMD64_PARTS, FLAGS, X86_PARTS, sub_register
from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registers_text import (
    FLOAT_MASK,
    VALID_MASK,
    XMM_MASK,
    YMM_INTEGER_MASK,
    YMM_MASK,
    hex_or_unknown,
)
from polydbg.commands.registry import command
from polydbg.commands.stop_display import registers_and_instruction
from polydbg.commands.values import READ_ONLY_HINT
from polydbg.engine.evaluation import register_value
from polydbg.expr.formats import format_float

_LETTER_MASKS = {"F": FLOAT_MASK, "X": XMM_MASK, "Y": YMM_MASK, "YI": YMM_INTEGER_MASK}
_MASK_HELP = (
    (1, "Integer state (32-bit) or"),
    (2, "Integer state (64-bit), 64-bit takes precedence"),
    (4, "Floating-point state"),
    (8, "Segment registers"),
    (0x10, "MMX registers"),
    (0x20, "Debug registers and, in kernel, CR4"),
    (0x40, "SSE XMM registers"),
    (0x200, "AVX YMM registers"),
    (0x400, "AVX YMM Integer registers"),
    (0x800, "AVX XMM Integer registers"),
)
_MASK_NAMES = {2: "Integer state (64-bit)", 1: "Integer state (32-bit)"} | {
    bit: text for bit, text in _MASK_HELP if bit > 2
}
_NAME = re.compile(r"@?(\$?[A-Za-z][\w.]*)")
_TYPE = re.compile(r":(\d*)(ib|ub|iw|uw|id|ud|iq|uq|f|d)\b")


class RegisterValue(ShownItem, frozen=True):
    """One register asked for by name; *value* is ``None`` when the context does not have it."""

    name: str
    value: Hex | None


class RegisterValues(Item, frozen=True):
    """Registers asked for by name, on one line."""

    values: tuple[RegisterValue, ...]

    def text(self) -> str:
        return " ".join(v.text() for v in self.values)


def _last_context(ctx: CommandContext) -> Iterator[Item]:
    if ctx.session.has_target and ctx.system.scope.context is not None:
        yield Heading(value="Last set context:")


@command(
    "r",
    summary="Show registers, set pseudo-registers.",
    syntax="r [reg[:type][, ...]] | r $tN = expr | rF | rX | rY | rYI",
    example="r rax,rip    two registers; r xmm0:4f as floats; r $t0 = @rsp+8",
    family="registers",
)
def registers(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    letters = cursor.match(r"(YI|[FXY])(?=[\s;]|$)")
    if letters:
        mask = _LETTER_MASKS[letters.group(1)]
        yield from _last_context(ctx)
        yield from registers_and_instruction(ctx, ctx.system.scope_registers(), mask)
        return
    cursor.skip_blanks()
    if alias := cursor.match(r"\$\.u([0-9])\s*(=)?"):
        yield from _fixed_alias(ctx, cursor, int(alias.group(1)), bool(alias.group(2)))
        return
    if cursor.at_end:
        yield from _last_context(ctx)
        yield from registers_and_instruction(ctx, ctx.system.scope_registers())
        return
    yield from _named(ctx, cursor)


def _fixed_alias(ctx: CommandContext, cursor: Cursor, index: int, is_set: bool) -> Iterator[Item]:
    if is_set:
        ctx.session.fixed_aliases[index] = cursor.rest().strip('"')
        foreign = ctx.session.aliases.foreign_fixed
        (foreign.add if ctx.flow.foreign else foreign.discard)(index)
    else:
        yield Text(value=f'$u{index}="{ctx.session.fixed_aliases[index]}"')


def _named(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if not _starts_pseudo_assignment(cursor):
        yield from _last_context(ctx)
    values: list[RegisterValue] = []
    while True:
        cursor.skip_blanks()
        match = cursor.match(_NAME.pattern)
        if not match:
            cursor.position += 1
            raise cursor.error("Bad register error")
        name = match.group(1)
        view = cursor.match(_TYPE.pattern)
        cursor.skip_blanks()
        if cursor.peek() == "=":
            cursor.position += 1
            _assign(ctx, cursor, name)
        else:
            values.append(_value_of(ctx, cursor, name, view))
        cursor.skip_blanks()
        if not cursor.take(","):
            if cursor.at_end:
                break
            if not _NAME.match(cursor.text, cursor.position):
                cursor.position += 1
                raise cursor.error("Syntax error")
    if values:
        yield RegisterValues(values=tuple(values))


def _starts_pseudo_assignment(cursor: Cursor) -> bool:
    return re.compile(r"@?\$t\d+\s*=").match(cursor.text, cursor.position) is not None


def _assign(ctx: CommandContext, cursor: Cursor, name: str) -> None:
    """Set ``$tN``, or a register in the overlay. :raises CommandError: neither is possible."""
    lower = name.lower()
    if re.fullmatch(r"\$t(1?\d)", lower):
        ctx.session.evaluator.user_registers[int(lower[2:])] = ctx.expression(cursor)
        return
    system = ctx.system
    end = cursor.text.find(";", cursor.position)
    cursor.position = len(cursor.text) if end < 0 else end
    if system.overlay is None or system.thread is None:
        raise cursor.error("Bad register error", hint=READ_ONLY_HINT)
    current = dict(system.scope_registers())
    part = sub_register(lower, current)
    parent = part.parent if part is not None else lower
    if parent not in current:
        raise cursor.error("Bad register error")
    start = cursor.text.rfind("=", 0, cursor.position) + 1
    value = ctx.evaluate(cursor.text[start : cursor.position])
    if part is not None:
        value = part.insert(current[parent], value)
    if system.scope.context is not None:
        system.scope.context = {**current, parent: value}
    else:
        system.register_overlay.setdefault(system.thread.id, {})[parent] = value


def _value_of(
    ctx: CommandContext, cursor: Cursor, name: str, view: re.Match[str] | None
) -> RegisterValue:
    lower = name.lower()
    registers = ctx.system.scope_registers()
    if lower.startswith("$"):
        value = ctx.session.evaluator.pseudo_register(lower)
        if value is None:
            raise _bad_register(cursor)
        width = 2 * ctx.system.pointer_size
        return RegisterValue(name=lower, value=value, shown=f"{lower}={value:0{width}x}")
    value = register_value(registers, lower)
    machine = ctx.system.machine
    if value is None and lower not in _NAMES.get(machine, ()):
        raise _bad_register(cursor)
    shown = _shown(lower, value, view, sub_register(lower, registers) is not None, machine)
    return RegisterValue(name=lower, value=value, shown=f"{lower}={shown}")


def _bad_register(cursor: Cursor) -> CommandError:
    end = cursor.text.find(";", cursor.position)
    cursor.position = len(cursor.text) if end < 0 else end
    return cursor.error("Bad register error")


_OTHER_NAMES = "efl cs ds es fs gs ss dr0 dr1 dr2 dr3 dr6 dr7 mxcsr fpcw fpsw fptw"


def _names(general: str, parts: Iterable[str], vectors: int) -> frozenset[str]:
    """Return the names of all registers; *vectors* is how many XMM and YMM ones there are."""
    return frozenset(
        [
            *general.split(),
            *_OTHER_NAMES.split(),
            *parts,
            *FLAGS,
            *(f"{prefix}{i}" for prefix in ("xmm", "ymm") for i in range(vectors)),
            *(f"st{i}" for i in range(8)),
        ]
    )


_NAMES = {
    "amd64": _names(
        "rax rbx rcx rdx rsi rdi rsp rbp rip r8 r9 r10 r11 r12 r13 r14 r15", AMD64_PARTS, 16
    ),
    "x86": _names("eax ebx ecx edx esi edi esp ebp eip", X86_PARTS, 8),
}
"""What ``r NAME`` knows even where a context does not hold it."""

_DIGITS = {"efl": 8, "mxcsr": 8} | dict.fromkeys(("cs", "ds", "es", "fs", "gs", "ss"), 4)


def _shown(
    name: str, value: int | None, view: re.Match[str] | None, is_part: bool, machine: str
) -> str:
    if is_part or name in FLAGS:
        return "?" if value is None else f"{value:x}"
    size = 16 if name.startswith("xmm") else 32 if name.startswith("ymm") else 8
    if view or size > 8:
        if value is None:
            return "?"
        count, kind = (view.group(1), view.group(2)) if view else ("4", "f")
        return _elements(value, size, kind, int(count) if count else None)
    return hex_or_unknown(value, _DIGITS.get(name, 16 if "64" in machine else 8))


def _elements(value: int, size: int, kind: str, count: int | None) -> str:
    """Return the elements of a register, the highest first, each in its own width."""
    width = {"b": 1, "w": 2, "d": 4, "q": 8}[kind[-1]] if len(kind) == 2 else 4
    if kind == "d":
        width = 8
    total = max(1, min(count or size // width, 32))
    data = value.to_bytes(max(size, width * total), "little")[: width * total]
    if kind == "f":
        floats = struct.unpack(f"<{total}f", data)
        return " ".join(f"{format_float(f):>12}" for f in reversed(floats))
    if kind == "d":
        doubles = struct.unpack(f"<{total}d", data)
        return " ".join(f"{format_float(f):>22}" for f in reversed(doubles))
    numbers = [
        int.from_bytes(data[i * width : (i + 1) * width], "little", signed=kind[0] == "i")
        for i in range(total)
    ]
    if kind[0] == "i":
        return " ".join(str(n) for n in reversed(numbers))
    return " ".join(f"{n:0{2 * width}x}" for n in reversed(numbers))


def _checked_mask(mask: int) -> tuple[int, int]:
    return mask & VALID_MASK, mask & ~VALID_MASK


@command(
    "rM",
    summary="Show the registers of a mask once.",
    syntax="rM mask",
    example="rM 48    XMM and segment registers; rm ? lists the bits",
    family="registers",
)
def registers_by_mask(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _last_context(ctx)
    mask, invalid = _checked_mask(ctx.expression(cursor))
    if invalid:
        yield Notice(identifier="registers.invalid-mask", value=f"Ignored invalid bits {invalid:x}")
    yield from registers_and_instruction(ctx, ctx.system.scope_registers(), mask)


@command(
    "rm",
    summary="Show or set which registers r prints.",
    syntax="rm [mask | ?]",
    example="rm a    integers and segments, as at the start",
    family="registers",
)
def register_mask(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _last_context(ctx)
    settings = ctx.session.settings
    if cursor.at_end:
        yield Text(value=f"Register output mask is {settings.register_mask:x}:")
        for bit, name in sorted(_MASK_NAMES.items()):
            if settings.register_mask & bit:
                yield Text(value=f"{bit:8x} - {name}")
    elif cursor.take("?"):
        for bit, name in _MASK_HELP:
            yield Text(value=f"{bit:8x} - {name}")
    else:
        settings.register_mask, invalid = _checked_mask(ctx.expression(cursor))
        if invalid:
            yield Notice(
                identifier="registers.invalid-mask", value=f"Ignored invalid bits {invalid:x}"
            )
