"""Unwind rules of x64 code: small values, found by address, executed on registers and memory.

A rule undoes what the code did so far: the whole prolog in a function's body, the executed part
inside the prolog, what is left to do inside an epilog. It ends by popping the return address,
unless a machine frame stood there. Source: Microsoft, "x64 exception handling", "Unwind
procedure".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from polydbg.base.errors import UnwindError
from polydbg.formats.pe.pdata import UnwindInfo, UnwindOp
from polydbg.memory.space import AddressSpace

REGISTERS: Final = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *(f"r{number}" for number in range(8, 16)),
)
"""Integer registers by their number in unwind codes and in instructions."""

_PRESERVED_INTEGERS = ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")

PRESERVED: Final = frozenset((*_PRESERVED_INTEGERS, *(f"xmm{number}" for number in range(6, 16))))
"""What a function must give back unchanged; nothing else of a caller is known."""

_MASK = 0xFFFFFFFFFFFFFFFF


class Step(enum.Enum):
    """What a step of a rule does; *a* and *b* are its operands."""

    BASE_FROM_SP = enum.auto()  # base = rsp
    BASE_FROM_REGISTER = enum.auto()  # base = register a - b
    SP_FROM_BASE = enum.auto()  # rsp = base
    SP_FROM_REGISTER = enum.auto()  # rsp = register a + b
    ADD = enum.auto()  # rsp += a
    POP = enum.auto()  # register a = [rsp], rsp += 8
    LOAD = enum.auto()  # register a = [base + b]
    LOAD_XMM = enum.auto()  # xmm a = [base + b]
    MACHINE_FRAME = enum.auto()  # rip, cs, eflags, rsp, ss at rsp + a


class Place(enum.Enum):
    """Where in its function a rule holds."""

    LEAF = "leaf"
    PROLOG = "prolog"
    BODY = "body"
    EPILOG = "epilog"


class Rule(msgspec.Struct, frozen=True):
    """How to get from one instruction's registers to those of its function's caller."""

    place: Place
    steps: tuple[tuple[Step, int, int], ...]

    @property
    def has_machine_frame(self) -> bool:
        return any(step is Step.MACHINE_FRAME for step, _, _ in self.steps)

    def describe(self) -> list[str]:
        """Return the rule in words, a step a line (for diagnostics)."""
        lines = [_words(step, a, b) for step, a, b in self.steps]
        return lines if self.has_machine_frame else [*lines, "rip = [rsp], rsp += 8"]


def _words(step: Step, a: int, b: int) -> str:
    match step:
        case Step.BASE_FROM_SP:
            return "base = rsp"
        case Step.BASE_FROM_REGISTER:
            return f"base = {REGISTERS[a]} - {b:x}h"
        case Step.SP_FROM_BASE:
            return "rsp = base"
        case Step.SP_FROM_REGISTER:
            return f"rsp = {REGISTERS[a]} + {b & _MASK:x}h"
        case Step.ADD:
            return f"rsp += {a:x}h"
        case Step.POP:
            return f"{REGISTERS[a]} = [rsp], rsp += 8"
        case Step.LOAD:
            return f"{REGISTERS[a]} = [base + {b:x}h]"
        case Step.LOAD_XMM:
            return f"xmm{a} = [base + {b:x}h]"
        case Step.MACHINE_FRAME:
            return f"rip = [rsp + {a:x}h], rsp = [rsp + {a + 24:x}h]"


LEAF_RULE: Final = Rule(Place.LEAF, ())


def rule_from_info(chain: tuple[UnwindInfo, ...], position: int | None) -> Rule:
    """Return the rule at *position*, bytes from the function's start; ``None`` for its body.

    *chain* begins with the information of the function or fragment; *position* is about that
    alone: what it is chained to has run its whole prolog.
    """
    first = chain[0]
    if position is not None and not 0 <= position < first.prolog_size:
        position = None
    steps: list[tuple[Step, int, int]] = []
    for index, info in enumerate(chain):
        steps.extend(_undo(info, position if index == 0 else None))
        if any(step is Step.MACHINE_FRAME for step, _, _ in steps):
            break
    return Rule(Place.BODY if position is None else Place.PROLOG, tuple(steps))


def _undo(info: UnwindInfo, position: int | None) -> list[tuple[Step, int, int]]:
    codes = [code for code in info.codes if position is None or code.prolog_offset <= position]
    steps: list[tuple[Step, int, int]] = []
    large = [code for code in codes if code.op is UnwindOp.SET_FPREG_LARGE]
    is_set = large or any(code.op is UnwindOp.SET_FPREG for code in codes)
    if info.frame_register and (position is None or is_set):
        # SET_FPREG_LARGE (CLR only) has its offset in the code, in units of 16.
        offset = large[0].value * 16 if large else info.frame_offset
        steps.append((Step.BASE_FROM_REGISTER, info.frame_register, offset))
    else:
        steps.append((Step.BASE_FROM_SP, 0, 0))
    for code in codes:
        match code.op:
            case UnwindOp.PUSH_NONVOL:
                steps.append((Step.POP, code.info, 0))
            case UnwindOp.ALLOC_LARGE | UnwindOp.ALLOC_SMALL:
                steps.append((Step.ADD, code.value, 0))
            case UnwindOp.SET_FPREG | UnwindOp.SET_FPREG_LARGE:
                steps.append((Step.SP_FROM_BASE, 0, 0))
            case UnwindOp.SAVE_NONVOL | UnwindOp.SAVE_NONVOL_FAR:
                steps.append((Step.LOAD, code.info, code.value))
            case UnwindOp.SAVE_XMM128 | UnwindOp.SAVE_XMM128_FAR:
                steps.append((Step.LOAD_XMM, code.info, code.value))
            case UnwindOp.PUSH_MACHFRAME:
                steps.append((Step.MACHINE_FRAME, 8 if code.info & 1 else 0, 0))
                break
            case UnwindOp.EPILOG | UnwindOp.SPARE:
                pass  # no effect on the undoing of the prolog
    return steps


def execute(rule: Rule, registers: Mapping[str, int], memory: AddressSpace) -> dict[str, int]:
    """Return the registers of the caller: what it must find unchanged, where known, and all that
    a machine frame's function saved.

    :raises UnwindError: the rule needs a register that is not known.
    :raises MemoryReadError: the rule needs stack memory that is not there.
    """
    known = {name: value for name, value in registers.items() if name in PRESERVED}
    sp = registers["rsp"]
    base = sp
    restored: dict[str, int] = {}

    def value_of(number: int) -> int:
        name = REGISTERS[number]
        if name == "rsp":
            return sp
        found = restored.get(name, registers.get(name))
        if found is None:
            raise UnwindError(f"unwinding needs {name}, which is not known")
        return found

    for step, a, b in rule.steps:
        match step:
            case Step.BASE_FROM_SP:
                base = sp
            case Step.BASE_FROM_REGISTER:
                base = value_of(a) - b & _MASK
            case Step.SP_FROM_BASE:
                sp = base
            case Step.SP_FROM_REGISTER:
                sp = value_of(a) + b & _MASK
            case Step.ADD:
                sp = sp + a & _MASK
            case Step.POP:
                restored[REGISTERS[a]] = _quad(memory, sp)
                sp = sp + 8 & _MASK
            case Step.LOAD:
                restored[REGISTERS[a]] = _quad(memory, base + b & _MASK)
            case Step.LOAD_XMM:
                data = memory.read(base + b & _MASK, 16)
                restored[f"xmm{a}"] = int.from_bytes(data, "little")
            case Step.MACHINE_FRAME:
                rip, rsp = _quad(memory, sp + a & _MASK), _quad(memory, sp + a + 24 & _MASK)
                return {**known, **restored, "rip": rip, "rsp": rsp}
    known.update((name, value) for name, value in restored.items() if name in PRESERVED)
    known["rip"] = _quad(memory, sp)
    known["rsp"] = sp + 8 & _MASK
    return known


def _quad(memory: AddressSpace, address: int) -> int:
    return int.from_bytes(memory.read(address, 8), "little")
