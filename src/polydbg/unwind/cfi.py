"""Callers by call frame rules of symbol files: ``STACK CFI`` of Breakpad, on every processor.

Source: Breakpad, "Symbol files". The rules give the address of the frame (``.cfa``), the return
address (``.ra``) and the registers that were saved. A register without a rule was not touched if
functions must preserve it, and is unknown otherwise.

Some writers of these files lose that the return address of a thread's first function is undefined:
its rules then lead to what lies at the stack's end. So an address outside known code is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from polydbg.base.errors import UnwindError
from polydbg.base.text import address_text
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext, code_address
from polydbg.unwind.postfix import Value, evaluate

_STACK_SIZE: Final = 0x800000
"""How far above the stack pointer an address is taken for one of the stack: Linux's usual limit."""
_CFA, _RA, _UNDEFINED = ".cfa", ".ra", ".undef"


class CallFrameRules:
    """Finds the rules of the callee's address and evaluates them."""

    def __init__(self, preserved: frozenset[str], aliases: Mapping[str, str]) -> None:
        """Take the registers that every system's functions preserve, and what else symbol files
        call registers (without the ``$`` of x86)."""
        self._preserved = preserved
        self._aliases = aliases

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        found = context.cfi_at(callee.lookup_pc)
        if found is None:
            return None
        names = callee.convention
        variables = self._variables(callee.registers)
        if _CFA not in found.rules:
            raise UnwindError("call frame rules lack .cfa")
        variables[_CFA] = evaluate(found.rules[_CFA], variables, context.memory, names.size)
        # An undefined return address marks the first function of a thread.
        ra = found.rules.get(_RA, _UNDEFINED)
        is_end = ra.strip() == _UNDEFINED
        variables[_RA] = 0 if is_end else evaluate(ra, variables, context.memory, names.size)
        registers: dict[str, Value] = {
            name: value for name, value in callee.registers.items() if name in self._preserved
        }
        registers |= {names.sp: variables[_CFA], names.pc: variables[_RA]}
        for written, rule in found.rules.items():
            if written not in (_CFA, _RA):
                value = evaluate(rule, variables, context.memory, names.size)
                registers[self._name(written)] = value
        for name in (names.pc, names.sp):
            value = registers[name]
            if not isinstance(value, int):
                raise value
        known = {name: value for name, value in registers.items() if isinstance(value, int)}
        return Caller(
            known, trust_of(callee, code_address(context, names, known[names.pc]), context)
        )

    def _name(self, written: str) -> str:
        name = written.removeprefix("$")
        return self._aliases.get(name, name)

    def _variables(self, registers: Mapping[str, int]) -> dict[str, Value]:
        """Return the registers by every name that rules may use."""
        variables: dict[str, Value] = {}
        for name, value in registers.items():
            variables[name] = variables[f"${name}"] = value
        for alias, name in self._aliases.items():
            if name in registers:
                variables[alias] = registers[name]
        return variables


def trust_of(callee: Callee, address: int, context: UnwindContext) -> FrameTrust:
    """Return how sure it is that the callee returns to *address*.

    :raises UnwindError: it is on the stack.
    """
    # A call that does not return may be the last of the code.
    if not address or context.is_code(address) or context.is_code(address - 1):
        return FrameTrust.CFI
    if callee.sp <= address < callee.sp + _STACK_SIZE:
        raise UnwindError(
            f"call frame rules lead to {address_text(address, callee.convention.size)}, "
            "which is on the stack"
        )
    return FrameTrust.NO_MODULE


CFI_AMD64: Final = CallFrameRules(
    frozenset(("rbx", "rbp", "r12", "r13", "r14", "r15")),  # rsi and rdi: Windows only
    {},
)
CFI_X86: Final = CallFrameRules(frozenset(("ebx", "ebp", "esi", "edi")), {})
CFI_ARM64: Final = CallFrameRules(
    frozenset((*(f"x{number}" for number in range(19, 29)), "fp")), {"x29": "fp", "x30": "lr"}
)
CFI_ARM: Final = CallFrameRules(
    frozenset(f"r{number}" for number in range(4, 12)),
    {"fp": "r11", "ip": "r12", "r13": "sp", "r14": "lr", "r15": "pc"},
)
