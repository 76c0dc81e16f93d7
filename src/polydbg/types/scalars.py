"""Scalars from bytes, and the three texts that one scalar has: in ``??`` and ``dv``, in ``dx``, in
``dt``.

Sources: IEEE 754-2019; Intel SDM volume 1, 4.2 (80-bit floats); the PowerPC ELF ABIs (a
double-double is the sum of its halves). The texts are those of the engine's transcripts.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from polydbg.base.text import address_text
from polydbg.types.data_model import LongDouble
from polydbg.types.model import Encoding, EnumType, PointerType, ScalarType, Type
from polydbg.types.place import ValueUnavailableError

if TYPE_CHECKING:
    from polydbg.memory.space import ByteOrder
    from polydbg.types.data_model import DataModel
    from polydbg.types.value import Value

Number = int | float | complex

_NARROW = {2: "e", 4: "f", 8: "d"}
QUAD_NAMES = ("float128", "ieee128", "f128")
_DIGITS = 20
"""Significant digits of floats, zeros at the end left out."""


# -- numbers -----------------------------------------------------------------------------------


def number_of(value: Value) -> Number:
    """Return the number that a scalar, enumeration or pointer holds: an ``int`` for all but floats
    (``float``, the nearest one to a longer format) and complex numbers (``complex``).

    :raises ValueUnavailableError: it is no such type, its format is not known, or it is nowhere.
    :raises MemoryReadError: a byte of it is not in the target's memory.
    """
    type_ = value.type.bare
    if isinstance(type_, ScalarType):
        if type_.encoding is Encoding.FLOAT:
            return _as_float(_exact(value.bytes(type_.size), type_, value.around.model))
        if type_.encoding is Encoding.COMPLEX:
            return complex(*(_as_float(each) for each in _halves(value, type_)))
        if type_.encoding is Encoding.DECIMAL:
            raise ValueUnavailableError("decimal floating point is not read")
    elif not isinstance(type_, (EnumType, PointerType)):
        raise ValueUnavailableError("the type is not that of a number")
    bits = value.bits()
    return as_signed(bits, width_of(value)) if is_signed(type_, value.around.model) else bits


def width_of(value: Value) -> int:
    """Return how many bits *value* has, 0 where its type has no size."""
    return value.bit_field[1] if value.bit_field is not None else 8 * (value.type.size or 0)


def as_signed(bits: int, width: int) -> int:
    """Return the *width* bits of *bits* as a two's complement number."""
    return bits - (1 << width) if width and bits >> (width - 1) & 1 else bits


def is_signed(type_: Type, model: DataModel) -> bool:
    """Tell whether the integers of *type_* have a sign, characters and enumerations included."""
    bare = type_.bare
    if isinstance(bare, EnumType):
        bare = bare.underlying.bare
    if not isinstance(bare, ScalarType):
        return False
    if bare.encoding is Encoding.CHAR:
        return model.char_is_signed
    if bare.encoding is Encoding.WIDE_CHAR:
        return model.wchar_is_signed
    return bare.encoding in (Encoding.SIGNED, Encoding.SIGNED_CHAR)


def exact_number_of(value: Value) -> tuple[int, int] | float:
    """Return the number of a float exactly, as ``(mantissa, exponent)`` for mantissa *
    2**exponent where a ``float`` might not hold it. Errors are those of :func:`number_of`."""
    type_ = _scalar(value)
    return _exact(value.bytes(type_.size), type_, value.around.model)


# -- floats ------------------------------------------------------------------------------------


def float_of(data: bytes, name: str, model: DataModel) -> float:
    """Return the number in *data*, a binary float of that many bytes whose type is called *name*;
    the nearest ``float`` where the format is longer.

    :raises ValueUnavailableError: no format has that size.
    """
    return _as_float(_exact(data, ScalarType(name, len(data), Encoding.FLOAT), model))


_Exact = tuple[int, int] | float
"""``(mantissa, exponent)`` for mantissa * 2**exponent, or a ``float``."""


def _exact(data: bytes, type_: ScalarType, model: DataModel) -> _Exact:
    size, order = len(data), model.order
    letter = _NARROW.get(size)
    if letter is not None:
        if size == 2 and type_.name.endswith(("bf16", "bfloat16")):
            data, letter = (b"\0\0" + data if order == "little" else data + b"\0\0"), "f"
        number: float = struct.unpack((">" if order == "big" else "<") + letter, data)[0]
        return number
    if size in (10, 12):
        return _x87(data, order)
    if size != 16:
        raise ValueUnavailableError(f"no floating-point format has {size} bytes")
    if type_.name.lower().strip("_").endswith(QUAD_NAMES):
        return _quad(data, order)
    if model.long_double is LongDouble.QUAD:
        return _quad(data, order)
    if model.long_double is LongDouble.DOUBLE_DOUBLE:
        return _double_double(data, order)
    return _x87(data, order)  # gcc's under Windows too


def _x87(data: bytes, order: ByteOrder) -> _Exact:
    # Only x86 has the format; 68000s pad theirs between exponent and mantissa.
    if order == "big":
        head = int.from_bytes(data[:2], "big")
        mantissa = int.from_bytes(data[-8:], "big")
    else:
        mantissa = int.from_bytes(data[:8], "little")
        head = int.from_bytes(data[8:10], "little")
    sign, exponent = (-1 if head >> 15 else 1), head & 0x7FFF
    if exponent == 0x7FFF:
        return sign * math.inf if mantissa == 1 << 63 else math.nan
    if exponent and not mantissa >> 63:
        return math.nan  # an encoding that processors refuse
    return _scaled(sign, mantissa, max(exponent, 1) - 16383 - 63)


def _quad(data: bytes, order: ByteOrder) -> _Exact:
    bits = int.from_bytes(data, order)
    sign, exponent = (-1 if bits >> 127 else 1), bits >> 112 & 0x7FFF
    fraction = bits & (1 << 112) - 1
    if exponent == 0x7FFF:
        return math.nan if fraction else sign * math.inf
    mantissa = fraction | (1 << 112 if exponent else 0)
    return _scaled(sign, mantissa, max(exponent, 1) - 16383 - 112)


def _double_double(data: bytes, order: ByteOrder) -> _Exact:
    high, low = struct.unpack(">dd" if order == "big" else "<dd", data)
    if not math.isfinite(high) or not math.isfinite(low) or not low:
        return float(high)
    parts = (float(high).as_integer_ratio(), float(low).as_integer_ratio())
    shift = max(denominator.bit_length() - 1 for _, denominator in parts)
    mantissa = sum(
        numerator << shift + 1 - denominator.bit_length() for numerator, denominator in parts
    )
    return _scaled(-1 if mantissa < 0 else 1, abs(mantissa), -shift)


def _scaled(sign: int, mantissa: int, exponent: int) -> _Exact:
    return (sign * mantissa, exponent) if mantissa else math.copysign(0.0, sign)


def _as_float(exact: _Exact) -> float:
    if isinstance(exact, float):
        return exact
    mantissa, exponent = exact
    try:
        if exponent >= 0:
            return float(mantissa << exponent)
        return mantissa / (1 << -exponent)  # rounds once, to the nearest
    except OverflowError:
        return math.copysign(math.inf, mantissa)


def _float_words(exact: _Exact) -> str:
    if isinstance(exact, float):
        return f"{exact:.{_DIGITS}g}"
    import decimal

    mantissa, exponent = exact
    context = decimal.Context(prec=_DIGITS, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
    number, power = decimal.Decimal(mantissa), decimal.Decimal(1 << abs(exponent))
    if exponent >= 0:
        rounded = context.multiply(number, power)
    else:
        rounded = context.divide(number, power)
    return _general(f"{rounded:.{_DIGITS - 1}e}")


def _general(scientific: str) -> str:
    """Return a number in C's ``%g``, from the same digits with an exponent (``1.250e-7``)."""
    digits, _, exponent = scientific.partition("e")
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    power = int(exponent)
    digits = digits.replace(".", "").rstrip("0")
    if not -4 <= power < _DIGITS:
        point = "." if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}{digits[1:]}e{power:+03}"
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole, rest = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def _halves(value: Value, type_: ScalarType) -> tuple[_Exact, _Exact]:
    half = type_.size // 2
    data, part = value.bytes(type_.size), ScalarType(type_.name, half, Encoding.FLOAT)
    model = value.around.model
    return _exact(data[:half], part, model), _exact(data[half : 2 * half], part, model)


def _real_words(value: Value, type_: ScalarType) -> str:
    if type_.encoding is Encoding.FLOAT:
        return _float_words(_exact(value.bytes(type_.size), type_, value.around.model))
    real, imaginary = (_float_words(each) for each in _halves(value, type_))
    return f"{real}{'' if imaginary.startswith('-') else '+'}{imaginary}i"


# -- texts -------------------------------------------------------------------------------------


def scalar_words(value: Value) -> str:
    """Return a scalar as ``??`` and ``dv`` print it: ``0n-7``, ``0x2a``, ``0n65 'A'``, ``true``,
    ``0.125``; what is unsigned and below 10 plain.

    Errors are those of :func:`number_of`.
    """
    type_ = _scalar(value)
    if type_.encoding in (Encoding.FLOAT, Encoding.COMPLEX):
        return _real_words(value, type_)
    number = int(number_of(value).real)
    if type_.encoding is Encoding.BOOL:
        return "true" if number else "false"
    if type_.encoding.is_character:
        shown = _shown_number(number, value)
        return f"{shown} '{character_words(value.bits(), type_, value.around.model)}'"
    if is_signed(type_, value.around.model):
        return f"0n{number}"
    return unsigned_words(number)


def dt_words(value: Value) -> str:
    """Return a scalar as ``dt`` prints it: ``0n-7``, ``0x2a``, ``65 'A'``, ``1`` for true; floats
    with a blank at the end.

    Errors are those of :func:`number_of`.
    """
    if value.bit_field is not None:
        return _bit_words(value.bits(), value.bit_field[1])
    type_ = _scalar(value)
    if type_.encoding in (Encoding.FLOAT, Encoding.COMPLEX):
        return f"{_real_words(value, type_)} "
    number = int(number_of(value).real)
    if type_.encoding is Encoding.BOOL:
        return f"{number}"
    if type_.encoding.is_character:
        plain = type_.encoding in (Encoding.CHAR, Encoding.SIGNED_CHAR) or not number
        shown = f"{number}" if plain else f"{number & _mask(value):#x}"
        return f"{shown} '{character_words(value.bits(), type_, value.around.model)}'"
    if is_signed(type_, value.around.model):
        return f"0n{number}"
    return _hex_words(number)


def dx_words(value: Value) -> str:
    """Return a scalar as ``dx`` prints it: ``-7``, ``0x2a``, ``65 'A'``, ``true``, ``0.125000``.

    Errors are those of :func:`number_of`.
    """
    type_ = _scalar(value)
    number = number_of(value)
    if isinstance(number, float):
        return f"{number:f}"
    if isinstance(number, complex):
        return f"{number.real:f}{number.imag:+f}i"
    if type_.encoding is Encoding.BOOL:
        return "true" if number else "false"
    if type_.encoding.is_character:
        if not number:
            return "0"
        unsigned = type_.encoding is Encoding.UNSIGNED_CHAR
        shown = f"{number:#x}" if unsigned else f"{number}"
        return f"{shown} '{character_words(value.bits(), type_, value.around.model)}'"
    return f"{number}" if is_signed(type_, value.around.model) else f"{number:#x}"


def unsigned_words(number: int) -> str:
    """Return an unsigned number as ``??`` prints it: plain below 10, in hex from there on."""
    return f"{number}" if number < 10 else _hex_words(number)


def _hex_words(number: int) -> str:
    if number < 1 << 32:
        return f"{number:#x}" if number else "0"
    return f"0x{address_text(number)}" if number < 1 << 64 else f"{number:#x}"


def _bit_words(bits: int, width: int) -> str:
    """Return a bit field as ``dt`` prints it: ``0y101``, from 5 bits on with the number."""
    shown = f"0y{bits:0{width}b}"
    if width < 5:
        return shown
    return f"{shown} ({bits:#x})" if bits else f"{shown} (0)"


def _shown_number(number: int, value: Value) -> str:
    type_ = _scalar(value)
    if type_.encoding in (Encoding.CHAR, Encoding.SIGNED_CHAR):
        return f"0n{number}"
    digits = 4 if type_.size == 1 else 2
    return f"{number & _mask(value):#0{digits}x}"


def _mask(value: Value) -> int:
    return (1 << width_of(value)) - 1


def _scalar(value: Value) -> ScalarType:
    type_ = value.type.bare
    if not isinstance(type_, ScalarType):
        raise ValueUnavailableError("the type is not that of a number")
    return type_


def character_words(code: int, type_: ScalarType, model: DataModel) -> str:
    """Return what stands between the quotes of a character: itself, ``""`` for one that cannot be
    printed, ``?`` for one that Windows' code page 1252 does not have."""
    if type_.size == 1:
        return chr(code) if 0x20 <= code < 0x7F else ""
    if not 0 <= code < 0x110000 or not chr(code).isprintable():
        return ""
    if model.is_microsoft and type_.encoding is Encoding.WIDE_CHAR and not _in_code_page(code):
        return "?"
    return chr(code)


def _in_code_page(code: int) -> bool:
    try:
        chr(code).encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True
