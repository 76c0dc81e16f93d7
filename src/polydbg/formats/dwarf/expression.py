"""DWARF expressions: where a variable is, what a frame's address is.

One machine serves call frame information and the locations of variables. What an expression asks
for (registers, memory, other entries) it gets from an :class:`Environment`; the answer is a list of
pieces. Sources: DWARF 2 to 5, section 2.5, 2.6 and 7.7; GCC's ``DW_OP_GNU_...``.
"""

from __future__ import annotations

import enum
from typing import Final, NoReturn

import msgspec

from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.dwarf import expression_values as values
from polydbg.formats.dwarf.expression_values import BaseType, Value
from polydbg.formats.dwarf.reading import sleb128, uleb128, unsigned
from polydbg.memory.space import ByteOrder

MAX_STEPS: Final = 10_000
"""Operations of one expression, with those it calls; loops are legal."""

_MAX_STACK = 256
_MAX_CALLS = 16
_MAX_BLOCK = 1 << 16

_ADDR, _DEREF, _CONST1U, _CONSTU, _CONSTS = 0x03, 0x06, 0x08, 0x10, 0x11
_DUP, _DROP, _OVER, _PICK, _SWAP, _ROT, _XDEREF = 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18
_PLUS_UCONST, _BRA, _SKIP = 0x23, 0x28, 0x2F
_LIT0, _REG0, _BREG0, _REGX, _FBREG, _BREGX = 0x30, 0x50, 0x70, 0x90, 0x91, 0x92
_PIECE, _DEREF_SIZE, _XDEREF_SIZE, _NOP = 0x93, 0x94, 0x95, 0x96
_PUSH_OBJECT_ADDRESS, _CALL2, _CALL4, _CALL_REF, _FORM_TLS_ADDRESS = 0x97, 0x98, 0x99, 0x9A, 0x9B
_CALL_FRAME_CFA, _BIT_PIECE, _IMPLICIT_VALUE, _STACK_VALUE = 0x9C, 0x9D, 0x9E, 0x9F
_IMPLICIT_POINTER, _ADDRX, _CONSTX, _ENTRY_VALUE = 0xA0, 0xA1, 0xA2, 0xA3
_CONST_TYPE, _REGVAL_TYPE, _DEREF_TYPE, _XDEREF_TYPE = 0xA4, 0xA5, 0xA6, 0xA7
_CONVERT, _REINTERPRET = 0xA8, 0xA9
_PARAMETER_REF, _VARIABLE_VALUE = 0xFA, 0xFD

#: GNU's numbers from before DWARF 5 had the operation, and ``GNU_uninit``, which changes nothing.
_SAME_AS: Final = {
    0xE0: _FORM_TLS_ADDRESS,
    0xF0: _NOP,
    0xF2: _IMPLICIT_POINTER,
    0xF3: _ENTRY_VALUE,
    0xF4: _CONST_TYPE,
    0xF5: _REGVAL_TYPE,
    0xF6: _DEREF_TYPE,
    0xF7: _CONVERT,
    0xF9: _REINTERPRET,
    0xFB: _ADDRX,
    0xFC: _CONSTX,
}


class ValueUnknownError(DebuggerError):
    """An expression needs what is not known here; the message says what."""

    identifier = "value.unknown"


class PlaceKind(enum.Enum):
    """Where a piece of an object is."""

    MEMORY = "memory"  # at address value
    REGISTER = "register"  # in register number value
    VALUE = "value"  # nowhere, but it is value
    BYTES = "bytes"  # nowhere, but its bytes are data
    POINTER = "pointer"  # it points to what the entry at value has, offset bytes on
    NOWHERE = "nowhere"  # optimised away


class Piece(msgspec.Struct, frozen=True):
    """A piece of an object, see :class:`PlaceKind`.

    *bit_size* is its size in bits, ``None`` for the whole object. *bit_offset* counts from the
    place's least significant bit for registers and values, else from its first bit. *size* is how
    many bytes a ``VALUE`` had on the stack; *offset* is that of a ``POINTER``.
    """

    kind: PlaceKind
    value: int = 0
    data: bytes = b""
    size: int = 0
    offset: int = 0
    bit_size: int | None = None
    bit_offset: int = 0


class Encoding(msgspec.Struct, frozen=True):
    """How an expression is written: widths in bytes of addresses and of offsets of sections, and
    the version of its unit (before 3, references were as wide as addresses)."""

    address_size: int = 8
    order: ByteOrder = "little"
    offset_size: int = 4
    version: int = 5


class Environment:
    """What an expression may ask. Each method raises :class:`ValueUnknownError`, or what reading
    memory raises; those for what the user of expressions does not have stay as they are."""

    def register(self, number: int) -> int:
        """Return register *number* (DWARF's) of the frame."""
        _unknown(f"register {number}")

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes of memory."""
        _unknown("memory")

    def frame_base(self) -> int:
        """Return what ``DW_AT_frame_base`` of the function says."""
        _unknown("the frame base")

    def call_frame_cfa(self) -> int:
        """Return the canonical frame address."""
        _unknown("the frame address")

    def loaded_address(self, address: int) -> int:
        """Return where an address of the file (``DW_OP_addr``) is in memory."""
        return address

    def indexed(self, index: int) -> int:
        """Return entry *index* of the unit's ``.debug_addr``, as it stands in the file."""
        _unknown("the table of addresses")

    def called(self, reference: int, is_local: bool) -> bytes:
        """Return the location expression of the entry at *reference*, of the unit where
        *is_local*, else of the section; ``b""`` where it has none."""
        _unknown("the expression of another entry")

    def thread_address(self, offset: int) -> int:
        """Return the address of the thread's own variable at *offset* of the module's block."""
        _unknown("the thread's own memory")

    def object_address(self) -> int:
        """Return the address of the object whose part is looked for."""
        _unknown("the object's address")

    def entry_value(self, expression: bytes) -> Value:
        """Return what *expression* was when the function was entered."""
        _unknown("a value at the function's entry")

    def entry_of(self, reference: int, is_local: bool) -> Value:
        """Return the value of the variable, or that of the parameter at the call, whose entry is at
        *reference*."""
        _unknown("the value of another entry")

    def base_type(self, reference: int) -> BaseType:
        """Return the base type whose entry is at *reference* of the unit."""
        _unknown("a base type")


def _unknown(what: str) -> NoReturn:
    raise ValueUnknownError(f"the expression needs {what}, which is not known")


def evaluate(
    expression: bytes, environment: Environment, encoding: Encoding, initial: tuple[int, ...] = ()
) -> tuple[Piece, ...]:
    """Return the pieces of what a location expression describes, the first bits first.

    :param initial: addresses on the stack at the start.
    :raises FormatError: the expression makes no sense, or does not end.
    :raises ValueUnknownError: it needs what the environment does not know.
    """
    machine = _Machine(environment, encoding, initial)
    machine.run(expression)
    return machine.answer()


def evaluate_address(
    expression: bytes, environment: Environment, encoding: Encoding, initial: tuple[int, ...] = ()
) -> int:
    """Return the number that an expression leaves on the stack, as call frame rules mean it.

    Arguments and errors are those of :func:`evaluate`.
    """
    pieces = evaluate(expression, environment, encoding, initial)
    if len(pieces) != 1 or pieces[0].kind not in (PlaceKind.MEMORY, PlaceKind.VALUE):
        raise FormatError("a DWARF expression has no number where one is needed")
    return pieces[0].value


def evaluate_value(expression: bytes, environment: Environment, encoding: Encoding) -> Value:
    """Return the value that an expression leaves on the stack, with its type. Arguments and errors
    are those of :func:`evaluate`."""
    machine = _Machine(environment, encoding, ())
    machine.run(expression)
    return machine.value()


class _Machine:
    """The stack, and the pieces so far."""

    def __init__(
        self, environment: Environment, encoding: Encoding, initial: tuple[int, ...]
    ) -> None:
        self._environment = environment
        self._encoding = encoding
        self._order = encoding.order
        self._generic = BaseType(encoding.address_size)
        self._stack = [values.make(number, self._generic) for number in initial]
        self._pieces: list[Piece] = []
        self._place: Piece | None = None
        self._steps = 0
        self._calls = 0
        self._data = b""
        self._at = 0

    def answer(self) -> tuple[Piece, ...]:
        if not self._pieces:
            return (self._take_place(),)
        if self._place is not None:
            raise FormatError("a DWARF expression goes on behind its last piece")
        return tuple(self._pieces)

    def value(self) -> Value:
        if self._pieces or self._place is not None:
            raise FormatError("a DWARF expression has no number where one is needed")
        return self._pop()

    def run(self, expression: bytes) -> None:
        outer = self._data, self._at
        self._data, self._at = expression, 0
        while self._at < len(expression):
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise FormatError("a DWARF expression does not end")
            opcode = expression[self._at]
            self._at += 1
            self._step(_SAME_AS.get(opcode, opcode))
            if len(self._stack) > _MAX_STACK:
                raise FormatError("a DWARF expression needs too much")
        self._data, self._at = outer

    # -- operands and the stack ------------------------------------------------------------

    def _uleb(self) -> int:
        value, self._at = uleb128(self._data, self._at)
        return value

    def _sleb(self) -> int:
        value, self._at = sleb128(self._data, self._at)
        return value

    def _fixed(self, size: int, is_signed: bool = False) -> int:
        value = unsigned(self._data, self._at, size, self._order)
        self._at += size
        return values.signed(value, 8 * size) if is_signed else value

    def _block(self, size: int) -> bytes:
        if size > _MAX_BLOCK or self._at + size > len(self._data):
            raise FormatError("a block in a DWARF expression ends early", offset=self._at)
        self._at += size
        return self._data[self._at - size : self._at]

    def _push(self, number: int) -> None:
        self._stack.append(values.make(number, self._generic))

    def _pop(self) -> Value:
        if not self._stack:
            raise FormatError("a DWARF expression lacks an operand", offset=self._at)
        return self._stack.pop()

    def _peek(self, depth: int) -> Value:
        if depth >= len(self._stack):
            raise FormatError("a DWARF expression lacks an operand", offset=self._at)
        return self._stack[-1 - depth]

    # -- operations ------------------------------------------------------------------------

    def _step(self, opcode: int) -> None:
        if opcode in values.BINARY:
            right = self._pop()
            self._stack.append(values.binary(opcode, self._pop(), right, self._generic))
        elif opcode in values.UNARY:
            self._stack.append(values.unary(opcode, self._pop()))
        elif _LIT0 <= opcode < _REG0:
            self._push(opcode - _LIT0)
        elif _REG0 <= opcode < _BREG0:
            self._place = Piece(PlaceKind.REGISTER, opcode - _REG0)
        elif _BREG0 <= opcode < _REGX:
            self._push(self._environment.register(opcode - _BREG0) + self._sleb())
        elif _CONST1U <= opcode < _CONSTU:
            order, is_signed = divmod(opcode - _CONST1U, 2)
            self._push(self._fixed(1 << order, bool(is_signed)))
        elif not self._stack_step(opcode) and not self._place_step(opcode):
            self._context_step(opcode)

    def _stack_step(self, opcode: int) -> bool:
        """Do an operation on the stack, or a jump; return whether it is one."""
        stack = self._stack
        if opcode == _NOP:
            pass
        elif opcode == _DUP:
            stack.append(self._peek(0))
        elif opcode == _DROP:
            self._pop()
        elif opcode == _OVER:
            stack.append(self._peek(1))
        elif opcode == _PICK:
            stack.append(self._peek(self._fixed(1)))
        elif opcode == _SWAP:
            self._rotate(2)
        elif opcode == _ROT:
            self._rotate(3)
        elif opcode == _CONSTU:
            self._push(self._uleb())
        elif opcode == _CONSTS:
            self._push(self._sleb())
        elif opcode == _PLUS_UCONST:
            top = self._pop()
            stack.append(values.make(top.number + self._uleb(), top.type))
        elif opcode in (_SKIP, _BRA):
            distance = self._fixed(2, True)
            if opcode == _SKIP or self._pop().number != 0:
                self._jump(distance)
        else:
            return False
        return True

    def _rotate(self, count: int) -> None:
        """Move the top of the stack below the next *count* - 1 values."""
        self._peek(count - 1)
        top = self._stack.pop()
        self._stack.insert(len(self._stack) - count + 1, top)

    def _jump(self, distance: int) -> None:
        target = self._at + distance
        if not 0 <= target <= len(self._data):
            raise FormatError("a DWARF expression jumps out of itself", offset=self._at)
        self._at = target

    def _place_step(self, opcode: int) -> bool:
        """Do an operation that says where something is; return whether it is one."""
        if opcode == _REGX:
            self._place = Piece(PlaceKind.REGISTER, self._uleb())
        elif opcode == _IMPLICIT_VALUE:
            self._place = Piece(PlaceKind.BYTES, data=self._block(self._uleb()))
        elif opcode == _STACK_VALUE:
            self._place = self._stack_value()
        elif opcode == _IMPLICIT_POINTER:
            reference = self._fixed(self._reference_size())
            self._place = Piece(PlaceKind.POINTER, reference, offset=self._sleb())
        elif opcode == _PIECE:
            self._end_piece(self._uleb() * 8, 0)
        elif opcode == _BIT_PIECE:
            bit_size = self._uleb()
            self._end_piece(bit_size, self._uleb())
        else:
            return False
        return True

    def _reference_size(self) -> int:
        encoding = self._encoding
        return encoding.address_size if encoding.version < 3 else encoding.offset_size

    def _stack_value(self) -> Piece:
        top = self._pop()
        if isinstance(top.number, float):
            return Piece(PlaceKind.BYTES, data=values.to_bytes(top, self._order))
        return Piece(PlaceKind.VALUE, top.bits, size=top.type.size)

    def _take_place(self) -> Piece:
        """Return where the expression so far leads to, and forget it."""
        place, self._place = self._place, None
        if place is None:
            place = Piece(PlaceKind.NOWHERE)
            if self._stack:
                place = Piece(PlaceKind.MEMORY, self._pop().bits)
        return place

    def _end_piece(self, bit_size: int, bit_offset: int) -> None:
        if len(self._pieces) >= _MAX_STACK:
            raise FormatError("a DWARF expression has too many pieces")
        self._pieces.append(
            msgspec.structs.replace(self._take_place(), bit_size=bit_size, bit_offset=bit_offset)
        )

    def _context_step(self, opcode: int) -> None:
        """Do an operation that asks the environment."""
        environment = self._environment
        if opcode == _ADDR:
            self._push(environment.loaded_address(self._fixed(self._encoding.address_size)))
        elif opcode == _ADDRX:
            self._push(environment.loaded_address(environment.indexed(self._uleb())))
        elif opcode == _CONSTX:
            self._push(environment.indexed(self._uleb()))
        elif opcode == _FBREG:
            self._push(environment.frame_base() + self._sleb())
        elif opcode == _BREGX:
            number = self._uleb()
            self._push(environment.register(number) + self._sleb())
        elif opcode == _CALL_FRAME_CFA:
            self._push(environment.call_frame_cfa())
        elif opcode == _PUSH_OBJECT_ADDRESS:
            self._push(environment.object_address())
        elif opcode == _FORM_TLS_ADDRESS:
            self._push(environment.thread_address(self._pop().bits))
        elif opcode == _ENTRY_VALUE:
            self._stack.append(environment.entry_value(self._block(self._uleb())))
        elif opcode in (_PARAMETER_REF, _VARIABLE_VALUE):
            is_local = opcode == _PARAMETER_REF
            size = 4 if is_local else self._reference_size()
            self._stack.append(environment.entry_of(self._fixed(size), is_local))
        elif opcode in (_CALL2, _CALL4, _CALL_REF):
            sizes = {_CALL2: 2, _CALL4: 4}
            reference = self._fixed(sizes.get(opcode) or self._reference_size())
            self._call(environment.called(reference, opcode != _CALL_REF))
        else:
            self._typed_step(opcode)

    def _call(self, expression: bytes) -> None:
        if self._calls >= _MAX_CALLS:
            raise FormatError("DWARF expressions call each other without end")
        self._calls += 1
        self.run(expression)
        self._calls -= 1

    def _typed_step(self, opcode: int) -> None:
        """Do an operation with a type, or a read from memory."""
        if opcode == _DEREF:
            self._load(self._generic.size, self._generic)
        elif opcode == _DEREF_SIZE:
            self._load(self._fixed(1), self._generic)
        elif opcode == _DEREF_TYPE:
            size = self._fixed(1)
            self._load(size, self._type(self._uleb()))
        elif opcode == _CONST_TYPE:
            kind = self._type(self._uleb())
            block = self._block(self._fixed(1))
            self._stack.append(values.from_bytes(block, kind, self._order))
        elif opcode == _REGVAL_TYPE:
            number = self._uleb()
            self._push_register(number, self._type(self._uleb()))
        elif opcode == _CONVERT:
            kind = self._type(self._uleb())
            self._stack.append(values.make(self._pop().number, kind))
        elif opcode == _REINTERPRET:
            kind = self._type(self._uleb())
            data = values.to_bytes(self._pop(), self._order)
            if len(data) != kind.size:
                raise FormatError("a DWARF expression takes a value for one of another size")
            self._stack.append(values.from_bytes(data, kind, self._order))
        elif opcode in (_XDEREF, _XDEREF_SIZE, _XDEREF_TYPE):
            raise FormatError("a DWARF expression with address spaces", offset=self._at)
        else:
            raise FormatError(f"unknown DWARF operation {opcode:#x}", offset=self._at)

    def _load(self, size: int, kind: BaseType) -> None:
        address = self._pop().bits
        if not 0 < size <= values.MAX_SIZE:
            raise FormatError(f"a DWARF expression reads {size} bytes", offset=self._at)
        data = self._environment.read(address, size)
        self._stack.append(values.from_bytes(data, kind, self._order))

    def _push_register(self, number: int, kind: BaseType) -> None:
        bits = self._environment.register(number) & (1 << kind.bits) - 1
        data = bits.to_bytes(kind.size, self._order)
        self._stack.append(values.from_bytes(data, kind, self._order))

    def _type(self, reference: int) -> BaseType:
        kind = self._environment.base_type(reference) if reference else self._generic
        if not 0 < kind.size <= values.MAX_SIZE:
            raise FormatError(f"a base type of {kind.size} bytes")
        return kind
