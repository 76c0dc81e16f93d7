"""A frame as call frame rules see it: what they and their expressions ask for, and the registers of
the caller that they give."""

from __future__ import annotations

from collections.abc import Mapping

from polydbg.base.errors import MemoryReadError
from polydbg.formats.dwarf.cfi_rules import FrameRules, RegisterRule, RuleKind
from polydbg.formats.dwarf.expression import (
    Encoding,
    Environment,
    ValueUnknownError,
    evaluate_address,
)
from polydbg.memory.space import AddressSpace
from polydbg.unwind.arm_rules import low_vectors
from polydbg.unwind.method import X86, Callee, Convention
from polydbg.unwind.processors import Processor, processor

_X86_ESP, _X86_EBP = 4, 5


def caller_registers(rules: FrameRules, callee: Callee, memory: AddressSpace) -> dict[str, int]:
    """Return the registers of the caller that *rules*, in force at *callee*, give: pc (0 where the
    stack ends) and sp, and of the others those that are known.

    :raises FormatError: a rule's expression is damaged.
    :raises MemoryReadError: where pc or sp was saved is not in the dump.
    :raises ValueUnknownError: pc or sp needs a register that is not known.
    """
    return _Frame(rules, callee, memory).caller_registers()


def frame_address(rules: FrameRules, callee: Callee, memory: AddressSpace) -> int:
    """Return the canonical frame address (CFA) that *rules* give. Errors as above."""
    return _Frame(rules, callee, memory).call_frame_cfa()


class _Frame(Environment):
    """The callee's frame, of which rules and their expressions ask."""

    def __init__(self, rules: FrameRules, callee: Callee, memory: AddressSpace) -> None:
        self._rules = rules
        self._names: Convention = callee.convention
        self._processor: Processor = processor(callee.convention.machine)
        self._registers: Mapping[str, int] = callee.registers
        if callee.is_first and callee.convention.machine in ("arm64", "arm"):
            self._registers = {**callee.registers, **low_vectors(callee.registers)}
        self._memory = memory
        self._mask = (1 << 8 * callee.convention.size) - 1
        self._encoding = Encoding(rules.address_size, callee.convention.order)
        self._cfa = self._frame_address()

    # -- what expressions ask --------------------------------------------------------------

    def register(self, number: int) -> int:
        name = self._name(number)
        value = self._registers.get(name)
        if value is None:
            raise ValueUnknownError(f"unwinding needs {name}, which is not known")
        return value

    def read(self, address: int, size: int) -> bytes:
        return self._memory.read(address & self._mask, size)

    def call_frame_cfa(self) -> int:
        return self._cfa

    # -- rules -----------------------------------------------------------------------------

    def caller_registers(self) -> dict[str, int]:
        """Return the registers of the caller, with pc and sp."""
        names, known = self._names, self._processor
        found = {name: value for name, value in self._registers.items() if name in known.preserved}
        found[names.sp] = self._cfa - known.sp_bias & self._mask
        column = self._rules.return_register
        for number, rule in self._rules.registers.items():
            name = self._name(number)
            if number == column and not self._rules.is_signal_frame:
                continue  # the caller's own is lost: it was overwritten by this call
            try:
                value = self._value(rule, number)
            except (MemoryReadError, ValueUnknownError):
                if name == names.sp:
                    raise
                value = None
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        found[names.pc] = self._return_address()
        return found

    def _return_address(self) -> int:
        column = self._rules.return_register
        rule = self._rules.registers.get(column)
        if rule is None:
            if not self._names.lr:
                raise ValueUnknownError("no rule for the return address")
            rule = RegisterRule(RuleKind.SAME)
        value = self._value(rule, column)
        if not value:
            return 0
        if self._rules.is_signal_frame:
            return value & self._mask
        return value + self._processor.return_offset & self._mask

    def _frame_address(self) -> int:
        rule = self._rules.cfa
        if rule.expression is None:
            return self.register(rule.register) + rule.offset & self._mask
        return evaluate_address(rule.expression, self, self._encoding) & self._mask

    def _value(self, rule: RegisterRule, number: int) -> int | None:
        """Return the caller's register *number* by its rule, ``None`` where it is lost."""
        kind = rule.kind
        if kind is RuleKind.OFFSET:
            return self._saved(self._cfa + rule.value, number)
        if kind is RuleKind.VAL_OFFSET:
            return self._cfa + rule.value & self._mask
        if kind is RuleKind.REGISTER:
            return self.register(rule.value)
        if kind is RuleKind.SAME:
            return self.register(number)
        if kind is RuleKind.UNDEFINED:
            return None
        where = evaluate_address(rule.expression, self, self._encoding, (self._cfa,))
        return self._saved(where, number) if kind is RuleKind.EXPRESSION else where & self._mask

    def _saved(self, address: int, number: int) -> int:
        size = self._processor.wide.get(self._name(number), self._names.size)
        data = self._memory.read(address & self._mask, size)
        return int.from_bytes(data, self._names.order)

    def _name(self, number: int) -> str:
        if self._names is X86 and self._rules.entry_register == _X86_EBP:
            # Darwin, and GCC without -g for Windows, have the two the other way round.
            number = {_X86_ESP: _X86_EBP, _X86_EBP: _X86_ESP}.get(number, number)
        return self._processor.names.get(number, f"register {number}")
