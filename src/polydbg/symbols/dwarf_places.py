"""Where variables are, by their DWARF expressions: evaluated in one frame.

The file's answer becomes a :class:`~polydbg.types.place.Place`; what the frame does not know, or
the compiler kept nowhere, is a place of kind NOWHERE that says why. Sources: DWARF 5 sections 2.5,
2.6 and 4.1 (``DW_AT_const_value``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.expression import (
    Encoding,
    Environment,
    Piece,
    PlaceKind,
    ValueUnknownError,
    evaluate,
    evaluate_address,
    evaluate_value,
)
from polydbg.formats.dwarf.expression_values import (
    BaseType,
    Value,
    from_bytes,
    make,
    to_bytes,
)
from polydbg.formats.dwarf.location_lists import expression_at
from polydbg.formats.dwarf.names import find, name_of
from polydbg.formats.dwarf.reading import sleb128, uleb128
from polydbg.formats.dwarf.unit import Die, Unit
from polydbg.memory.space import ByteOrder
from polydbg.symbols.dwarf_call_sites import Call, Expression, FrameCode
from polydbg.symbols.dwarf_types import size_of
from polydbg.types.place import (
    OPTIMIZED_OUT,
    Place,
    PlacePiece,
    ValueUnavailableError,
    constant,
    in_memory,
    in_pieces,
    in_register,
    nowhere,
)
from polydbg.types.place import PlaceKind as WhereKind
from polydbg.types.source import FrameView

_MAX_DEPTH = 64
"""How many callers are gone to for one value, and variables that lead to others."""
_MAX_EVALUATIONS = 128
"""How many expressions in all one place may take."""
_REG0, _BREG0, _REGX, _BREGX = 0x50, 0x70, 0x90, 0x92
_REGVAL_TYPES = (0xA5, 0xF5)
_DEREF = b"\x06"
_WIDTHS = (("zmm", 64), ("ymm", 32), ("xmm", 16), ("st", 16), ("v", 16), ("q", 16))

_FLOAT, _DOUBLE = 4, 8

Size = Callable[[], int | None]


class PlaceFinder:
    """Finds the places of one module's variables; RVA 0 is address *base* of the file."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._left = 0

    def place(self, die: Die, view: FrameView | None, code: FrameCode | None, size: Size) -> Place:
        """Return where the variable of the entry *die* is: in the frame of *code*, or, where that
        is ``None``, of a global variable, in the thread of *view*; *size* is that of its type.

        :raises FormatError: the file is damaged there.
        """
        self._left = _MAX_EVALUATIONS
        try:
            return self.place_within(die, view, code, size)
        except (ValueUnavailableError, ValueUnknownError, MemoryReadError) as error:
            return nowhere(error.message)

    def number(self, die: Die, attribute: int, code: FrameCode) -> int | None:
        """Return the number that an attribute of *die* is in the frame of *code*: by its
        expression, or the variable that it refers to; ``None`` without one.

        :raises DebuggerError: it is not known, or the file is damaged.
        """
        self._left = _MAX_EVALUATIONS
        found = die.attributes.get(attribute)
        if found is None:
            return None
        frame = _FrameOfCode(self, die.unit, code.view, code, code.calls.base)
        form, value = found
        if isinstance(value, bytes):
            return evaluate_address(value, frame, encoding_of(die.unit))
        place = die.unit.reference(form, value)
        variable = place[0].die(place[1]) if place is not None else None
        return frame.value_of(variable) if variable is not None else None

    def count(self) -> None:
        """Count an evaluation. :raises ValueUnavailableError: there were too many."""
        self._left -= 1
        if self._left < 0:
            raise ValueUnavailableError("the value depends on too many others")

    def place_within(
        self, die: Die, view: FrameView | None, code: FrameCode | None, size: Size
    ) -> Place:
        owner = find(die, c.AT_LOCATION)
        fixed = find(die, c.AT_CONST_VALUE)
        if c.AT_CONST_VALUE in die.attributes:
            owner = None
        if owner is None:
            return _constant(fixed, size) if fixed is not None else OPTIMIZED_OUT
        expression = location_of(owner, code.address if code is not None else None)
        if not expression:
            return OPTIMIZED_OUT
        self.count()
        base = code.calls.base if code is not None else self._base
        frame = _FrameOfCode(self, owner.unit, view, code, base)
        return frame.place(evaluate(expression, frame, encoding_of(owner.unit)), size)


def location_of(owner: Die, address: int | None) -> bytes | None:
    """Return the location of the entry *owner* that holds at *address* of the file, ``None`` for
    none; a list of them needs an address."""
    form, value = owner.attributes[c.AT_LOCATION]
    if isinstance(value, int) and address is None:
        return None
    return expression_at(owner.unit, form, value, address or 0)


def encoding_of(unit: Unit) -> Encoding:
    """Return how the expressions of *unit* are written."""
    header = unit.header
    return Encoding(header.address_size, unit.section.order, header.offset_size, header.version)


def _constant(owner: Die, size: Size) -> Place:
    """Return the place of a variable that has only a value."""
    form, value = owner.attributes[c.AT_CONST_VALUE]
    width = size()
    if isinstance(value, bytes):
        return constant(value + b"\0" if form in _STRINGS else value)
    if form in _STRINGS:
        return constant((owner.string(c.AT_CONST_VALUE) or b"") + b"\0")
    if form in (c.FORM_ADDR, c.FORM_ADDRX) or not width:
        return nowhere("the form of its value is not known")
    number = value & (1 << 8 * width) - 1
    return constant(number.to_bytes(width, owner.unit.section.order))


_STRINGS = frozenset({c.FORM_STRING, c.FORM_STRP, c.FORM_LINE_STRP, c.FORM_STRX, c.FORM_STRX1})


class _FrameOfCode(Environment):
    """One frame, as expressions of *unit* ask for it."""

    def __init__(
        self,
        finder: PlaceFinder,
        unit: Unit,
        view: FrameView | None,
        code: FrameCode | None,
        base: int,
    ) -> None:
        self._finder = finder
        self._unit = unit
        self._view = view
        self._code = code
        self._base = base
        self._size = unit.header.address_size
        self._mask = (1 << 8 * self._size) - 1

    @property
    def _frame(self) -> FrameView:
        if self._view is None:
            raise ValueUnavailableError("there is no frame to find the variable in")
        return self._view

    @property
    def _own_code(self) -> FrameCode:
        if self._code is None:
            raise ValueUnavailableError("there is no frame of the function")
        if self._code.depth > _MAX_DEPTH:
            raise ValueUnavailableError("the value depends on too many others")
        return self._code

    # -- what expressions ask ----------------------------------------------------------------

    def register(self, number: int) -> int:
        if self._code is None:
            raise ValueUnavailableError("there is no frame of the function")
        return self._frame.register_by_number(number)[1]

    def read(self, address: int, size: int) -> bytes:
        return self._frame.memory.read(address & self._mask, size)

    def frame_base(self) -> int:
        code = self._own_code
        owner = find(code.function, c.AT_FRAME_BASE)
        if owner is None:
            raise ValueUnavailableError("the function has no frame base")
        form, value = owner.attributes[c.AT_FRAME_BASE]
        expression = expression_at(owner.unit, form, value, code.address)
        if not expression:
            raise ValueUnavailableError("the frame base is not described here")
        frame = _WithoutBase(self._finder, owner.unit, self._view, code, self._base)
        pieces = evaluate(expression, frame, encoding_of(owner.unit))
        first = pieces[0]
        if len(pieces) == 1 and first.kind is PlaceKind.REGISTER:
            return self.register(first.value)
        if len(pieces) != 1 or first.kind not in (PlaceKind.MEMORY, PlaceKind.VALUE):
            raise FormatError("a DWARF frame base is no address")
        return first.value

    def call_frame_cfa(self) -> int:
        return self._frame.cfa()

    def loaded_address(self, address: int) -> int:
        return self._frame.module_base + address - self._base & self._mask

    def indexed(self, index: int) -> int:
        found = self._unit.indexed_address(index)
        if found is None:
            raise ValueUnavailableError("the table of addresses is in a file that is not here")
        return found

    def called(self, reference: int, is_local: bool) -> bytes:
        owner = find(self._entry(reference, is_local), c.AT_LOCATION)
        if owner is None:
            return b""
        return location_of(owner, self._code.address if self._code is not None else None) or b""

    def thread_address(self, offset: int) -> int:
        return self._frame.thread_local(self._frame.module_base, offset)

    def entry_value(self, expression: bytes) -> Value:
        meant = _entry_of(expression)
        own = self._own_code
        call = own.calls.caller_of(own)
        location = _location_of_register(meant.register)
        found = own.calls.value_of_register(call.site, location, is_memory=meant.is_memory)
        kind = self.base_type(meant.type) if meant.type else BaseType(self._size)
        order = self._unit.section.order
        data = to_bytes(self._passed(call, found), order)
        if kind.is_float and len(data) != kind.size:
            raise ValueUnavailableError("what the caller passed is of another size")
        return from_bytes(data, kind, order)

    def entry_of(self, reference: int, is_local: bool) -> Value:
        entry = self._entry(reference, is_local)
        if not is_local:
            return make(self.value_of(entry), BaseType(self._size))
        own = self._own_code
        call = own.calls.caller_of(own)
        return self._passed(call, own.calls.value_of_parameter(call.site, entry))

    def _passed(self, call: Call, passed: Expression) -> Value:
        """Return what an expression of a call computes, in the caller's frame."""
        self._finder.count()
        unit, caller = call.site.unit, call.caller
        frame = _FrameOfCode(self._finder, unit, caller.view, caller, caller.calls.base)
        if call.target is not None:
            number = evaluate_address(call.target.expression, frame, encoding_of(unit))
            ranges = self._own_code.function.ranges()
            if not ranges or number & self._mask != self.loaded_address(ranges[0][0]):
                raise ValueUnavailableError("which function the caller called is not certain")
        return evaluate_value(passed.expression, frame, encoding_of(unit))

    def base_type(self, reference: int) -> BaseType:
        die = self._entry(reference, True)
        if die.tag != c.TAG_BASE_TYPE:
            raise FormatError("a DWARF expression takes another entry for a base type")
        return BaseType(die.number(c.AT_BYTE_SIZE) or 0, die.number(c.AT_ENCODING) or 0)

    # -- other frames and entries ------------------------------------------------------------

    def _entry(self, reference: int, is_local: bool) -> Die:
        form = c.FORM_REF4 if is_local else c.FORM_REF_ADDR
        place = self._unit.reference(form, reference)
        die = place[0].die(place[1]) if place is not None else None
        if die is None:
            raise FormatError("a DWARF expression names an entry that there is not")
        return die

    def value_of(self, die: Die) -> int:
        """Return the value of the variable of another entry as an unsigned number.

        :raises ValueUnavailableError: it is not known.
        :raises MemoryReadError: it is not in memory.
        """
        place = self._other_place(die)
        size = min(size_of(die) or self._size, self._size)
        if place.kind is WhereKind.MEMORY:
            data = self.read(place.address, size)
        else:
            big = self._unit.section.order == "big"
            data = place.data[-size:] if big else place.data[:size]
        if place.reason or len(data) < size:
            raise ValueUnavailableError(place.reason or "a variable's value is not known")
        return int.from_bytes(data, self._unit.section.order)

    def _other_place(self, die: Die) -> Place:
        own = self._own_code
        deeper = FrameCode(own.view, own.function, own.address, own.calls, own.depth + 1)
        return self._finder.place_within(die, self._view, deeper, lambda: size_of(die) or None)

    # -- from pieces to places ---------------------------------------------------------------

    def place(self, pieces: tuple[Piece, ...], size: Size) -> Place:
        """Return the place that *pieces* describe."""
        if len(pieces) == 1 and pieces[0].bit_size is None:
            return self._place_of(pieces[0], size())
        places = []
        for each in pieces:
            bits = each.bit_size or 0
            places.append(PlacePiece(self._part(each, bits), bits, each.bit_offset))
        return in_pieces(tuple(places))

    def _part(self, piece: Piece, bits: int) -> Place:
        if piece.bit_offset and self._unit.section.order == "big":
            return nowhere("bits of a register are not taken apart on this processor")
        try:
            return self._place_of(piece, (piece.bit_offset + bits + 7) // 8)
        except (ValueUnavailableError, ValueUnknownError) as error:
            return nowhere(error.message)

    def _place_of(self, piece: Piece, size: int | None) -> Place:
        if piece.kind is PlaceKind.MEMORY:
            return in_memory(piece.value & self._mask)
        if piece.kind is PlaceKind.REGISTER:
            name, value = self._frame.register_by_number(piece.value)
            width = max(_width_of(name, self._size), (value.bit_length() + 7) // 8)
            data = value.to_bytes(width, self._unit.section.order)
            if size == _FLOAT and width == _DOUBLE and name[:1] == "f" and name[1:].isdigit():
                data = _narrowed(self._frame.machine, data, self._unit.section.order)
            return in_register(name, data)
        if piece.kind is PlaceKind.VALUE:
            data = piece.value.to_bytes(piece.size, self._unit.section.order)
            is_cut = self._unit.section.order == "big" and size is not None and size < len(data)
            return constant(data[-size:] if is_cut and size else data)
        if piece.kind is PlaceKind.BYTES:
            return constant(piece.data)
        if piece.kind is PlaceKind.POINTER:
            return self._pointer(piece)
        return OPTIMIZED_OUT

    def _pointer(self, piece: Piece) -> Place:
        """Return the place of a pointer that was optimised away: its value is known where what it
        points to is in memory."""
        die = self._entry(piece.value, False)
        target = self._other_place(die)
        if target.kind is WhereKind.MEMORY:
            address = target.address + piece.offset & self._mask
            return constant(address.to_bytes(self._size, self._unit.section.order))
        name = name_of(die).plain.decode("utf-8", "replace") or "a variable"
        return nowhere(f"it points to {name}, which is in no memory")


class _WithoutBase(_FrameOfCode):
    """The frame while its base is computed."""

    def frame_base(self) -> int:
        raise FormatError("a DWARF frame base counts from itself")


class _Entry(msgspec.Struct, frozen=True):
    """A *register* whose value at the entry is meant: as of the base type at *type* of the unit (0:
    the generic one), or what it points to."""

    register: int
    type: int = 0
    is_memory: bool = False


def _entry_of(expression: bytes) -> _Entry:
    opcode = expression[0] if expression else 0
    if _REG0 <= opcode < _BREG0 and len(expression) == 1:
        return _Entry(opcode - _REG0)
    if opcode in (_REGX, *_REGVAL_TYPES):
        number, position = uleb128(expression, 1)
        kind = 0
        if opcode != _REGX:
            kind, position = uleb128(expression, position)
        if position == len(expression):
            return _Entry(number, kind)
    elif _BREG0 <= opcode < _REGX or opcode == _BREGX:
        number, position = opcode - _BREG0, 1
        if opcode == _BREGX:
            number, position = uleb128(expression, 1)
        offset, position = sleb128(expression, position)
        if not offset and expression[position:] in (b"", _DEREF):
            return _Entry(number, is_memory=expression[position:] == _DEREF)
    raise ValueUnavailableError("the value at the function's entry is of a form not known")


def _location_of_register(number: int) -> bytes:
    """Return how call sites name a register."""
    if number < _BREG0 - _REG0:
        return bytes((_REG0 + number,))
    leb = bytearray((_REGX,))
    while number >= 0x80:
        leb.append(number & 0x7F | 0x80)
        number >>= 7
    leb.append(number)
    return bytes(leb)


def _narrowed(machine: str, data: bytes, order: ByteOrder) -> bytes:
    """Return what a store of four bytes leaves of a floating-point register: on s390 its upper
    half; PowerPC and Alpha hold every number as a double.

    :raises ValueUnavailableError: the double is not one that was loaded from four bytes.
    """
    if machine.startswith("s390"):
        return data[:_FLOAT]
    if not machine.startswith(("ppc", "alpha")):
        return data
    mark = ">" if order == "big" else "<"
    try:
        (number,) = struct.unpack(mark + "d", data)
        narrow = struct.pack(mark + "f", number)
    except OverflowError:
        narrow = b""
    if not narrow or struct.pack(mark + "d", *struct.unpack(mark + "f", narrow)) != data:
        raise ValueUnavailableError("the register does not hold a number of four bytes")
    return narrow


def _width_of(register: str, word: int) -> int:
    for prefix, width in _WIDTHS:
        if register.startswith(prefix) and register[len(prefix) :].isdigit():
            return width
    is_float = register[:1] in "df" and register[1:].isdigit()
    return 8 if is_float else word
