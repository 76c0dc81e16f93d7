"""``.fnent`` by DWARF call frame information: what it says at every instruction of a function.

The rows are worded as ``llvm-dwarfdump --eh-frame`` does: ``CFA=rsp+16: rip=[CFA-8]``.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import DebuggerError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem
from polydbg.engine.modules import Module
from polydbg.formats.dwarf.cfi import CallFrameTable, Fde
from polydbg.formats.dwarf.cfi_rules import FrameRules, RegisterRule, RuleKind
from polydbg.images.call_frames import TableFrames
from polydbg.unwind.processors import processor

_MAX_ROWS = 1024


class CallFrameEntry(ShownItem, frozen=True):
    """A function's entry: from *begin* up to *end*. *return_register* is the column of the return
    address; *is_signal_frame* of code that the system runs when a signal comes."""

    begin: Hex
    end: Hex
    return_register: str
    is_signal_frame: bool


class CallFrameRow(ShownItem, frozen=True):
    """The rules from *address* on: where the frame is (*cfa*), where the caller's registers are."""

    address: Hex
    cfa: str
    registers: dict[str, str]


def call_frame_items(ctx: CommandContext, module: Module, address: int) -> Iterator[Item] | None:
    """Return the entry of the function at *address*, ``None`` where no table has one."""
    frames = ctx.system.modules.call_frames(module)
    if not isinstance(frames, TableFrames):
        return None
    for table in frames.tables:
        try:
            fde = table.fde_at(address - module.base)
        except DebuggerError:
            continue
        if fde is not None:
            return _items(ctx, module, table, fde)
    return None


def _items(ctx: CommandContext, module: Module, table: CallFrameTable, fde: Fde) -> Iterator[Item]:
    size = ctx.system.pointer_size
    names = register_names(ctx.system.machine)
    column = _name(names, fde.cie.return_register)
    begin, end = module.base + fde.start, module.base + fde.end
    yield Heading(value=f"Call frame information of {module.name} for:")
    yield from ctx.run(f"ln {begin:#x}")
    lines = [
        "",
        f"BeginAddress      = {address_text(begin, size)}",
        f"EndAddress        = {address_text(end, size)}",
        f"ReturnAddress     = {column}",
    ]
    if fde.cie.is_signal_frame:
        lines.append("SignalFrame       = yes")
    yield CallFrameEntry(
        begin=begin,
        end=end,
        return_register=column,
        is_signal_frame=fde.cie.is_signal_frame,
        shown="\n".join([*lines, ""]),
    )
    rva = fde.start
    for _ in range(_MAX_ROWS):
        ctx.cancel.check()
        rules = table.run(fde, rva)
        yield _row(module.base + rva, size, rules, names)
        if not rva < rules.end < fde.end:
            return
        rva = rules.end
    yield Notice(identifier="unwind.rows-left-out", value=f"only {_MAX_ROWS} rows are shown")


def register_names(machine: str) -> dict[int, str]:
    """Return the registers of *machine* by DWARF number, empty for one that is not known."""
    try:
        return dict(processor(machine).names)
    except KeyError:
        return {}


def _name(names: dict[int, str], number: int) -> str:
    return names.get(number, f"reg{number}")


def _row(address: int, size: int, rules: FrameRules, names: dict[int, str]) -> CallFrameRow:
    cfa = _sum(_name(names, rules.cfa.register), rules.cfa.offset)
    if rules.cfa.expression is not None:
        cfa = f"DW_CFA_expression {rules.cfa.expression.hex(' ')}"
    registers = {
        _name(names, number): _rule(rule, names) for number, rule in sorted(rules.registers.items())
    }
    listed = ", ".join(f"{name}={rule}" for name, rule in registers.items())
    shown = f"  {address_text(address, size)}: CFA={cfa}" + (f": {listed}" if listed else "")
    if rules.ra_signed:
        shown += " (the return address is signed)"
    return CallFrameRow(address=address, cfa=cfa, registers=registers, shown=shown)


def _sum(base: str, offset: int) -> str:
    return f"{base}{offset:+d}" if offset else base


def _rule(rule: RegisterRule, names: dict[int, str]) -> str:
    if rule.kind is RuleKind.OFFSET:
        return f"[{_sum('CFA', rule.value)}]"
    if rule.kind is RuleKind.VAL_OFFSET:
        return _sum("CFA", rule.value)
    if rule.kind is RuleKind.REGISTER:
        return _name(names, rule.value)
    if rule.kind is RuleKind.EXPRESSION:
        return f"[{rule.expression.hex(' ')}]"
    if rule.kind is RuleKind.VAL_EXPRESSION:
        return rule.expression.hex(" ")
    return "same" if rule.kind is RuleKind.SAME else "undefined"
