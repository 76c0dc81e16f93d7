"""The arithmetic types of the target's C, and the conversions between them.

Sources: the C++ standard, [conv.prom], [expr.arith.conv], [conv.rank]; names are those that the
engine prints (``int64`` where Microsoft's data model holds) or C's.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from polydbg.base.errors import ExpressionError
from polydbg.types.data_model import DataModel, LongDouble
from polydbg.types.model import Encoding, EnumType, ScalarType, Type
from polydbg.types.scalars import QUAD_NAMES, is_signed

if TYPE_CHECKING:
    from fractions import Fraction

    from polydbg.expr.cpp.long_floats import LongFormat

Number: TypeAlias = "int | float | Fraction"
"""Fractions are the numbers of a ``long double`` of more than 64 bits."""

_RANKS = {
    "bool": 0,
    "signed char": 1,
    "unsigned char": 1,
    "char": 1,
    "short": 2,
    "unsigned short": 2,
    "int": 3,
    "unsigned int": 3,
    "long": 4,
    "unsigned long": 4,
    "long long": 5,
    "unsigned long long": 5,
    "__int128": 6,
    "unsigned __int128": 6,
    "float": 7,
    "double": 8,
    "long double": 9,
}
_MICROSOFT_NAMES = {"long long": "int64", "unsigned long long": "unsigned int64"}
_MAX_KEPT = 4096


class OperandError(ExpressionError):
    """An operation cannot be done with its operands; the message has no position yet."""

    identifier = "expression.operand"


class ArithmeticType(ScalarType):
    """A type to calculate with.

    *rank* orders types as C's conversions do; *is_floating* stands above all integers. *promoted*
    is what operands of the type become.
    """

    promoted: ArithmeticType

    def __init__(
        self, name: str, size: int, encoding: Encoding, rank: int, *, is_signed: bool
    ) -> None:
        super().__init__(name, size, encoding)
        self.rank = rank
        self.is_signed = is_signed
        self.is_floating = encoding is Encoding.FLOAT
        self.long_format: LongFormat | None = None
        self.bits = 8 * size
        self._mask = (1 << self.bits) - 1
        self._sign = 1 << (self.bits - 1) if is_signed else 0
        self._low, self._high = -self._sign, self._mask - self._sign

    def converted(self, number: Number) -> Number:
        """Return *number* as this type holds it.

        :raises OperandError: a float is out of the range of an integer type.
        """
        if self.is_floating:
            return self._rounded(number)
        if not isinstance(number, int):
            if self.encoding is Encoding.BOOL:
                return int(number != 0)
            number = self._truncated(number)
        elif self.encoding is Encoding.BOOL:
            return int(number != 0)
        elif self._low <= number <= self._high:
            return number
        number &= self._mask
        return number - (self._sign << 1) if number & self._sign else number

    def _truncated(self, number: float | Fraction) -> int:
        if not self._low - 1 < number < self._high + 1:  # nor is it a NaN
            shown = f"{number:g}" if isinstance(number, float) else "that number"
            raise OperandError(
                "Overflow error",
                hint=f"{self.name} does not hold {shown}: C leaves open what comes of it",
                identifier="expression.overflow",
            )
        return int(number)

    def _rounded(self, number: Number) -> float | Fraction:
        if self.long_format is not None:
            from polydbg.expr.cpp.long_floats import rounded

            return rounded(number, self.long_format)
        try:
            number = float(number)
        except OverflowError:
            return math.inf if number > 0 else -math.inf
        if self.size != 4 or not math.isfinite(number):
            return number
        try:
            narrow: float = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            return math.copysign(math.inf, number)
        return narrow


class ArithmeticTypes:
    """The arithmetic types of one data model, by C's names."""

    def __init__(self, model: DataModel) -> None:
        self._model = model
        self._of: dict[tuple[str, int, Encoding], ArithmeticType] = {}
        sizes = {"bool": 1, "short": 2, "int": 4, "long": model.long_size, "long long": 8}
        self._named: dict[str, ArithmeticType] = {}
        for name, rank in _RANKS.items():
            self._named[name] = self._made(name, rank, sizes)
        for name, encoding, size in (
            ("wchar_t", Encoding.WIDE_CHAR, model.wchar_size),
            ("char8_t", Encoding.UTF, 1),
            ("char16_t", Encoding.UTF, 2),
            ("char32_t", Encoding.UTF, 4),
        ):
            signed = encoding is Encoding.WIDE_CHAR and model.wchar_is_signed
            # Their rank is that of the integer of their size.
            rank = {1: 1, 2: 2, 4: 3}[size]
            self._named[name] = ArithmeticType(name, size, encoding, rank, is_signed=signed)
        if model.long_double in (LongDouble.X87, LongDouble.QUAD):
            from polydbg.expr.cpp.long_floats import FORMATS

            self._named["long double"].long_format = FORMATS[model.long_double]
        self.int = self._named["int"]
        self.bool = self._named["bool"]
        for type_ in self._named.values():
            type_.promoted = self._promotion(type_)
        wide = "long" if model.long_size == model.pointer_size == 8 else "long long"
        self.difference = self._named[wide if model.pointer_size == 8 else "int"]
        self.sizes = self.unsigned(self.difference)
        self.signed_word = self._named["long" if model.long_size == 8 else "long long"]
        self.word = self.unsigned(self.signed_word)
        """What registers are: 64 bits."""

    def _made(self, name: str, rank: int, sizes: dict[str, int]) -> ArithmeticType:
        bare = name.removeprefix("unsigned ")
        shown = _MICROSOFT_NAMES.get(name, name) if self._model.is_microsoft else name
        signed = bare == name
        if name == "bool":
            return ArithmeticType(shown, 1, Encoding.BOOL, rank, is_signed=False)
        if bare.endswith("char"):
            encoding = {
                "char": Encoding.CHAR,
                "signed char": Encoding.SIGNED_CHAR,
                "unsigned char": Encoding.UNSIGNED_CHAR,
            }[name]
            signed = self._model.char_is_signed if name == "char" else name == "signed char"
            return ArithmeticType(shown, 1, encoding, rank, is_signed=signed)
        if rank >= _RANKS["float"]:
            size = {"float": 4, "double": 8}.get(name, self._long_double_size)
            return ArithmeticType(shown, size, Encoding.FLOAT, rank, is_signed=True)
        encoding = Encoding.SIGNED if signed else Encoding.UNSIGNED
        return ArithmeticType(shown, sizes.get(bare, 16), encoding, rank, is_signed=signed)

    @property
    def _long_double_size(self) -> int:
        if self._model.long_double is LongDouble.DOUBLE:
            return 8
        if self._model.long_double is LongDouble.X87 and self._model.pointer_size == 4:
            return 12
        return 16

    def _promotion(self, type_: ArithmeticType) -> ArithmeticType:
        if type_.is_floating or type_.rank > self.int.rank:
            return type_
        if type_.size < self.int.size or type_.is_signed:
            return self.int
        return self._named["unsigned int"]

    def named(self, name: str) -> ArithmeticType:
        """Return the type of that name, one of :data:`~polydbg.expr.cpp.type_names.BUILTIN`'s
        values but ``void``."""
        return self._named[name]

    def unsigned(self, type_: ArithmeticType) -> ArithmeticType:
        """Return the unsigned type of the same rank."""
        return next(
            each
            for name, each in self._named.items()
            if each.rank == type_.rank and name.startswith("unsigned")
        )

    def signed_of_size(self, size: int) -> ArithmeticType:
        """Return the signed integer type of 1, 2, 4 or 8 bytes."""
        return {1: self._named["signed char"], 2: self._named["short"], 4: self.int}.get(
            size, self.signed_word
        )

    def of(self, type_: Type) -> ArithmeticType | None:
        """Return what to calculate with for a scalar or an enumeration of the debug information;
        ``None`` for other types, and for numbers of formats that C's operators do not have."""
        if isinstance(type_, ArithmeticType):
            return type_
        bare = type_.bare
        if isinstance(bare, ArithmeticType):
            return bare
        if isinstance(bare, EnumType):
            bare = bare.underlying.bare
        if not isinstance(bare, ScalarType):
            return None
        key = (bare.name, bare.size, bare.encoding)
        found = self._of.get(key)
        if found is None:
            found = self._matching(bare)
            if found is None:
                return None
            if len(self._of) >= _MAX_KEPT:
                self._of.clear()
            self._of[key] = found
        return found

    def _matching(self, bare: ScalarType) -> ArithmeticType | None:
        """Return the type of C that *bare* is: by its words among those of its size and kind."""
        if bare.encoding in (Encoding.COMPLEX, Encoding.DECIMAL):
            return None
        if bare.encoding is Encoding.FLOAT and bare.size > 8 and not self._is_long_double(bare):
            return None
        signed = is_signed(bare, self._model)
        candidates = [
            each
            for each in self._named.values()
            if each.size == bare.size
            and each.is_floating == (bare.encoding is Encoding.FLOAT)
            and (each.is_floating or each.is_signed == signed)
            and (each.encoding is bare.encoding or not bare.encoding.is_character)
            and (each.encoding is Encoding.BOOL) == (bare.encoding is Encoding.BOOL)
        ]
        if not candidates:
            return self._odd(bare, signed=signed)
        rank = self._spelled_rank(bare.name)
        for each in candidates:
            if each.rank == rank and not bare.encoding.is_character:
                return each
        plain = [each for each in candidates if not each.encoding.is_character]
        return candidates[0] if bare.encoding.is_character or not plain else plain[0]

    def _is_long_double(self, bare: ScalarType) -> bool:
        """Say whether a wide float is of the format of ``long double``, and that one is known."""
        long_double = self._named["long double"]
        is_quad = bare.name.lower().strip("_").endswith(QUAD_NAMES)
        known = long_double.long_format is not None
        return known and (not is_quad or self._model.long_double is LongDouble.QUAD)

    def _spelled_rank(self, name: str) -> int | None:
        """Return the rank that the words of a type's name tell, where they do."""
        words = name.split()
        if "long" not in words:
            return _RANKS["long long"] if name.endswith("int64") else None
        if "double" in words:
            return _RANKS["long double"]
        return _RANKS["long long" if words.count("long") > 1 else "long"]

    def _odd(self, bare: ScalarType, *, signed: bool) -> ArithmeticType | None:
        """Return a type for sizes that C has not: 3 bytes, booleans of 4."""
        if bare.encoding is Encoding.FLOAT or not 0 < bare.size <= 16:
            return None
        if bare.encoding is Encoding.BOOL:
            made = ArithmeticType(bare.name, bare.size, Encoding.BOOL, 0, is_signed=False)
            made.promoted = self.int
            return made
        rank = 0 if bare.size < 4 else 5
        encoding = Encoding.SIGNED if signed else Encoding.UNSIGNED
        made = ArithmeticType(bare.name, bare.size, encoding, rank, is_signed=signed)
        made.promoted = self.int if bare.size < self.int.size else made
        return made

    def common(self, left: ArithmeticType, right: ArithmeticType) -> ArithmeticType:
        """Return the type that an operation on both is done in."""
        left, right = left.promoted, right.promoted
        if left is right:
            return left
        if left.is_floating or right.is_floating or left.is_signed == right.is_signed:
            return left if left.rank >= right.rank else right
        signed, unsigned = (left, right) if left.is_signed else (right, left)
        if unsigned.rank >= signed.rank:
            return unsigned
        return signed if signed.size > unsigned.size else self.unsigned(signed)


@lru_cache(maxsize=16)
def arithmetic_types(model: DataModel) -> ArithmeticTypes:
    """Return the arithmetic types of *model*."""
    return ArithmeticTypes(model)
