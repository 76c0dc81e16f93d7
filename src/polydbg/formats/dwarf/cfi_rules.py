"""Call frame rules, and the programs that make them.

Sources: DWARF 5 section 6.4; LSB Core, "DWARF Extensions" (``DW_CFA_GNU_...``); Arm, "DWARF for
the Arm 64-bit Architecture" (``negate_ra_state``); the SPARC ABI's register windows for
``GNU_window_save``, which is the same number.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.reading import sleb128, uleb128, unsigned
from polydbg.memory.space import ByteOrder

MAX_PROGRAM: Final = 1 << 18
"""Bytes of instructions of one function: what compilers write has a few thousand at most."""

_MAX_RULES = 256
_MAX_REMEMBERED = 64
_MAX_REGISTER = 0xFFFF

# The upper two bits of an instruction, then the other numbers.
_ADVANCE, _OFFSET, _RESTORE = 0x40, 0x80, 0xC0
_SET_LOC, _RESTORE_EXTENDED = 0x01, 0x06
_REMEMBER_STATE, _RESTORE_STATE = 0x0A, 0x0B
_NEGATE_RA_STATE_WITH_PC, _GNU_WINDOW_SAVE = 0x2C, 0x2D
_FIXED_ADVANCES = {0x02: 1, 0x03: 2, 0x04: 4, 0x1D: 8}  # advance_loc1 2 4, MIPS_advance_loc8
_NOP = 0


class RuleKind(enum.Enum):
    """How a caller's register is found; *value* and *expression* are those of the rule."""

    UNDEFINED = "undefined"  # not at all
    SAME = "same value"  # the callee has not changed it
    OFFSET = "offset"  # in memory at CFA + value
    VAL_OFFSET = "val offset"  # it is CFA + value
    REGISTER = "register"  # the callee has it in register number value
    EXPRESSION = "expression"  # in memory where the expression says
    VAL_EXPRESSION = "val expression"  # it is what the expression says


class RegisterRule(msgspec.Struct, frozen=True):
    """How one register of the caller is found, see :class:`RuleKind`."""

    kind: RuleKind
    value: int = 0
    expression: bytes = b""


class CfaRule(msgspec.Struct, frozen=True):
    """The canonical frame address: *register* plus *offset*, or where *expression* is not
    ``None`` what that says."""

    register: int
    offset: int
    expression: bytes | None = None


class FrameRules(msgspec.Struct, frozen=True):
    """How to find the caller's registers while pc is from *start* up to *end* (addresses as the
    table's reader gives them, for CFI of images RVAs).

    *registers* maps DWARF register numbers to rules; for the others the ABI says whether functions
    preserve them. *return_register* is the number of the column of the return address.
    *is_signal_frame*: the caller was interrupted, it did not call. *ra_signed*: the return address
    carries an ARM64 pointer authentication code, made with key B where *uses_key_b*. Addresses
    in memory and in expressions have *address_size* bytes. *entry_register* is what the CFA counts
    from when a function is entered: the stack pointer, whatever number it has.
    """

    start: int
    end: int
    cfa: CfaRule
    registers: Mapping[int, RegisterRule]
    return_register: int
    is_signal_frame: bool
    ra_signed: bool
    uses_key_b: bool
    address_size: int
    entry_register: int


class Factors(msgspec.Struct, frozen=True):
    """What programs of a CIE are read with: *code* and *data* are the alignment factors, in bytes;
    *set_location* reads the operand of ``DW_CFA_set_loc`` at a position. *is_sparc* decides what
    0x2D means."""

    code: int
    data: int
    order: ByteOrder
    address_size: int
    set_location: Callable[[bytes, int], tuple[int, int]]
    is_sparc: bool = False


UNDEFINED: Final = RegisterRule(RuleKind.UNDEFINED)
SAME: Final = RegisterRule(RuleKind.SAME)


class RuleMachine:
    """Runs instructions up to the row that holds for one address."""

    def __init__(
        self, factors: Factors, start: int, wanted: int, initial: RuleMachine | None = None
    ) -> None:
        """Begin with the row at *start*; stop before the first row behind *wanted*. *initial* has
        run the instructions of the CIE: its rules are those that ``restore`` goes back to."""
        self._factors = factors
        self._wanted = wanted
        self.start = start
        self.end: int | None = None
        self.cfa: CfaRule = CfaRule(0, 0) if initial is None else initial.cfa
        self.has_cfa: bool = initial is not None and initial.has_cfa
        self.is_signed: bool = initial is not None and initial.is_signed
        self._initial: dict[int, RegisterRule] = {} if initial is None else initial.rules
        self.rules: dict[int, RegisterRule] = dict(self._initial)
        self._remembered: list[tuple[CfaRule, dict[int, RegisterRule], bool]] = []

    def run(self, program: bytes) -> None:
        """Run *program* until it ends or the next row begins behind the address.

        :raises FormatError: an unknown instruction, or operands that make no sense.
        """
        if len(program) > MAX_PROGRAM:
            raise FormatError(f"call frame instructions of {len(program)} bytes")
        position, size = 0, len(program)
        while position < size:
            opcode = program[position]
            position += 1
            low = opcode & 0x3F
            if opcode >= _RESTORE:
                self._restore(low)
            elif opcode >= _OFFSET:
                value, position = uleb128(program, position)
                self._set(low, RegisterRule(RuleKind.OFFSET, self._scaled(value)))
            elif opcode >= _ADVANCE:
                if self._advance(self.start + low * self._factors.code):
                    return
            elif opcode in _FIXED_ADVANCES or opcode == _SET_LOC:
                location, position = self._location(opcode, program, position)
                if self._advance(location):
                    return
            else:
                position = self._step(opcode, program, position)

    def _location(self, opcode: int, program: bytes, position: int) -> tuple[int, int]:
        if opcode == _SET_LOC:
            return self._factors.set_location(program, position)
        size = _FIXED_ADVANCES[opcode]
        delta = unsigned(program, position, size, self._factors.order) * self._factors.code
        return self.start + delta, position + size

    def _advance(self, location: int) -> bool:
        """Begin a row at *location*; return whether it is behind the address that is wanted."""
        if location > self._wanted:
            self.end = location
            return True
        self.start = location
        return False

    def _step(self, opcode: int, program: bytes, position: int) -> int:
        if opcode == _NOP:
            return position
        handler = _HANDLERS.get(opcode)
        if handler is not None:
            return handler(self, program, position)
        if opcode == _RESTORE_EXTENDED:
            number, position = uleb128(program, position)
            self._restore(number)
        elif opcode == _REMEMBER_STATE:
            if len(self._remembered) >= _MAX_REMEMBERED:
                raise FormatError("call frame instructions remember too much")
            self._remembered.append((self.cfa, dict(self.rules), self.is_signed))
        elif opcode == _RESTORE_STATE:
            if not self._remembered:
                raise FormatError("call frame instructions restore what was never remembered")
            self.cfa, self.rules, self.is_signed = self._remembered.pop()
        elif opcode in (_GNU_WINDOW_SAVE, _NEGATE_RA_STATE_WITH_PC):
            if self._factors.is_sparc:
                self._save_window()
            else:
                self.is_signed = not self.is_signed
        else:
            raise FormatError(f"unknown call frame instruction {opcode:#x}", offset=position)
        return position

    def _save_window(self) -> None:
        """The caller's out registers are this window's in registers; its locals and ins are at the
        CFA."""
        for number in range(8, 16):
            self._set(number, RegisterRule(RuleKind.REGISTER, number + 16))
        for number in range(16, 32):
            offset = (number - 16) * self._factors.address_size
            self._set(number, RegisterRule(RuleKind.OFFSET, offset))

    def _scaled(self, value: int) -> int:
        return value * self._factors.data

    def _set(self, number: int, rule: RegisterRule) -> None:
        if number > _MAX_REGISTER or len(self.rules) >= _MAX_RULES:
            raise FormatError(f"too many call frame rules, or register {number}")
        self.rules[number] = rule

    def _restore(self, number: int) -> None:
        rule = self._initial.get(number)
        if rule is not None:
            self._set(number, rule)
        else:
            self.rules.pop(number, None)

    # -- instructions with operands: each returns the position after them -------------------

    def _plain(self, rule: RegisterRule, program: bytes, position: int) -> int:
        number, position = uleb128(program, position)
        self._set(number, rule)
        return position

    def _register(self, program: bytes, position: int) -> int:
        number, position = uleb128(program, position)
        other, position = uleb128(program, position)
        self._set(number, RegisterRule(RuleKind.REGISTER, other))
        return position

    def _offset(self, kind: RuleKind, is_signed: bool, program: bytes, position: int) -> int:
        number, position = uleb128(program, position)
        value, position = (sleb128 if is_signed else uleb128)(program, position)
        self._set(number, RegisterRule(kind, self._scaled(value)))
        return position

    def _negative_offset(self, program: bytes, position: int) -> int:
        number, position = uleb128(program, position)
        value, position = uleb128(program, position)
        self._set(number, RegisterRule(RuleKind.OFFSET, -self._scaled(value)))
        return position

    def _expression(self, kind: RuleKind, program: bytes, position: int) -> int:
        number, position = uleb128(program, position)
        block, position = _block(program, position)
        self._set(number, RegisterRule(kind, 0, block))
        return position

    def _def_cfa(self, is_signed: bool, program: bytes, position: int) -> int:
        number, position = uleb128(program, position)
        offset, position = self._cfa_operand(is_signed, program, position)
        return self._set_cfa(CfaRule(number, offset), position)

    def _def_cfa_in_space(self, is_signed: bool, program: bytes, position: int) -> int:
        position = self._def_cfa(is_signed, program, position)
        return uleb128(program, position)[1]  # the address space

    def _def_cfa_register(self, program: bytes, position: int) -> int:
        number, position = uleb128(program, position)
        return self._set_cfa(CfaRule(number, self.cfa.offset), position)

    def _def_cfa_offset(self, is_signed: bool, program: bytes, position: int) -> int:
        offset, position = self._cfa_operand(is_signed, program, position)
        return self._set_cfa(CfaRule(self.cfa.register, offset), position)

    def _def_cfa_expression(self, program: bytes, position: int) -> int:
        block, position = _block(program, position)
        return self._set_cfa(CfaRule(0, 0, block), position)

    def _cfa_operand(self, is_signed: bool, program: bytes, position: int) -> tuple[int, int]:
        if not is_signed:
            return uleb128(program, position)
        value, position = sleb128(program, position)
        return self._scaled(value), position

    def _set_cfa(self, rule: CfaRule, position: int) -> int:
        self.cfa, self.has_cfa = rule, True
        return position

    def _arguments_size(self, program: bytes, position: int) -> int:
        # For landing pads: how much the caller pushed, which CFA offsets count already.
        return uleb128(program, position)[1]


def _block(program: bytes, position: int) -> tuple[bytes, int]:
    size, position = uleb128(program, position)
    if position + size > len(program):
        raise FormatError("a call frame expression ends early", offset=position)
    return program[position : position + size], position + size


_Handler = Callable[[RuleMachine, bytes, int], int]


def _handlers() -> dict[int, _Handler]:
    m, kind = RuleMachine, RuleKind

    def offset(which: RuleKind, is_signed: bool) -> _Handler:
        return lambda machine, data, at: machine._offset(which, is_signed, data, at)

    def expression(which: RuleKind) -> _Handler:
        return lambda machine, data, at: machine._expression(which, data, at)

    def plain(rule: RegisterRule) -> _Handler:
        return lambda machine, data, at: machine._plain(rule, data, at)

    return {
        0x05: offset(kind.OFFSET, False),
        0x07: plain(UNDEFINED),
        0x08: plain(SAME),
        0x09: m._register,
        0x0C: lambda machine, data, at: machine._def_cfa(False, data, at),
        0x0D: m._def_cfa_register,
        0x0E: lambda machine, data, at: machine._def_cfa_offset(False, data, at),
        0x0F: m._def_cfa_expression,
        0x10: expression(kind.EXPRESSION),
        0x11: offset(kind.OFFSET, True),
        0x12: lambda machine, data, at: machine._def_cfa(True, data, at),
        0x13: lambda machine, data, at: machine._def_cfa_offset(True, data, at),
        0x14: offset(kind.VAL_OFFSET, False),
        0x15: offset(kind.VAL_OFFSET, True),
        0x16: expression(kind.VAL_EXPRESSION),
        0x2E: m._arguments_size,
        0x2F: m._negative_offset,
        0x30: lambda machine, data, at: machine._def_cfa_in_space(False, data, at),
        0x31: lambda machine, data, at: machine._def_cfa_in_space(True, data, at),
    }


_HANDLERS: Final = _handlers()
