"""The MASM expression evaluator: what ``?``, addresses, counts and conditions are written in.

Every value is a 64-bit unsigned integer and every symbol is its address (command-language
reference, section 5). Parsing and evaluating are one pass, because what a word means (number,
symbol, register; template arguments or a comparison) depends on what the target has.

Errors are WinDbg's: ``TEXT at 'REST'``, where REST runs from the token that failed, or for
failures of an operation from the last token of its operand, to the end of the text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from polydbg.base.errors import ExpressionError, MemoryReadError
from polydbg.expr import functions, lexer
from polydbg.expr import program as programs
from polydbg.expr.context import (
    CppEvaluation,
    EvaluationContext,
    ExtraCharacterError,
    HasByteOrder,
    PhysicalMemory,
    SignExtendsLiterals,
)
from polydbg.expr.numbers import MASK64, parse_number, to_signed
from polydbg.expr.pratt import Operator, read_expression
from polydbg.expr.program import Op, Program, Step

MAX_TEXT = 16384
"""Longest expression, in characters."""

MAX_DEPTH = 100
"""Deepest nesting of parentheses and unary operators."""

MAX_SWITCHES = 16
"""How many ``@@`` a nested evaluator may meet; each level starts with fresh limits."""

_X86_NAMES = frozenset(("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "eip", "efl"))
_MEMORY_SIZES = {"by": 1, "wo": 2, "dwo": 4, "qwo": 8, "poi": 0}
_WORD_OPERATORS: dict[str, Callable[[int], int]] = {
    "not": lambda value: int(value == 0),
    "hi": lambda value: value >> 16 & 0xFFFF,
    "low": lambda value: value & 0xFFFF,
}
_SIGN_OPERATORS: dict[str, Callable[[int], int]] = {
    "+": lambda value: value,
    "-": lambda value: -value & MASK64,
    "~": lambda value: int(value == 0),
}
_GROUPS = {"(": ")", "[": "]"}
_OTHER_EVALUATOR = re.compile(r"@@[ \t]*(c\+\+|masm)?[ \t]*(?=\()", re.IGNORECASE)
_CLASS_JOINT = re.compile(r"(?<=\w)__(?=\w)")

_BINARY: dict[str, Callable[[int, int], int]] = {
    "*": operator.mul,
    "/": operator.floordiv,
    "%": operator.mod,
    "mod": operator.mod,
    "+": operator.add,
    "-": operator.sub,
    "<<": lambda left, right: left << right if right < 64 else 0,
    ">>": lambda left, right: left >> min(right, 64),
    ">>>": lambda left, right: to_signed(left) >> min(right, 64),
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "&": operator.and_,
    "and": operator.and_,
    "^": operator.xor,
    "xor": operator.xor,
    "|": operator.or_,
    "or": operator.or_,
}


_DIVISIONS = frozenset(("/", "%", "mod"))


def evaluate(text: str, context: EvaluationContext) -> int:
    """Return the value of the whole of *text* as a 64-bit unsigned integer.

    :raises ExpressionError: *text* is not an expression, or something in it has no value;
        :class:`~polydbg.expr.context.ExtraCharacterError` when text follows the expression.
    """
    value, position = evaluate_prefix(text, 0, context)
    position = lexer.skip_blanks(text, position, len(text))
    if position < len(text):
        raise ExtraCharacterError(position, value)
    return value


def evaluate_prefix(
    text: str, position: int, context: EvaluationContext, *, end: int | None = None
) -> tuple[int, int]:
    """Evaluate the expression that starts at *position*; return its value and where it ends.

    It ends before what cannot continue it: a word after a blank, a comma, a semicolon, a quote,
    or *end* (the end of *text* by default).

    :raises ExpressionError: as :func:`evaluate`.
    """
    stop = len(text) if end is None else end
    key = programs.key_of(text, position, stop, context)
    program = programs.kept(key)
    if program is not None:
        value = program.run(context)
        if value is not None:
            return value, program.end
    evaluator = _Evaluator(text, position, stop, context)
    value = evaluator.expression()
    if evaluator.steps is not None:
        programs.keep(key, Program(tuple(evaluator.steps), evaluator.position))
    return value, evaluator.position


def _register_step(name: str) -> Step:
    return Step(Op.PSEUDO_REGISTER if name.startswith("$") else Op.REGISTER, name=name)


class _Evaluator:
    """One pass over one expression. ``last`` is where the token read last begins; ``steps`` is what
    was done, ``None`` where it would not be the same the next time."""

    def __init__(self, text: str, start: int, end: int, context: EvaluationContext) -> None:
        self.text = text
        self.position = start
        self.end = end
        self.context = context
        self.last = start
        self.steps: list[Step] | None = []
        self._limit = start + MAX_TEXT
        self._depth = 0

    # Errors

    def error(
        self, what: str, at: int, identifier: str | None = None, *, hint: str = ""
    ) -> ExpressionError:
        """Return ``WHAT at 'REST'`` with the rest of the text from *at* on."""
        return ExpressionError(
            f"{what} at '{self._rest(at)}'", column=at, hint=hint, identifier=identifier
        )

    def missing(self, at: int) -> ExpressionError:
        is_arrow = self.text.startswith("->", at - 1)
        return ExpressionError(
            f"Numeric expression missing from '{self._rest(at)}'",
            column=at,
            hint=f"members are C++: ?? {self.text[: self.end].strip()}" if is_arrow else "",
        )

    def unresolved(self, at: int, name: str) -> ExpressionError:
        if "." in name:
            hint = f"members are C++: ?? {name}"
        else:
            hint = f"x *!*{name}* searches the symbols" if name.isidentifier() else ""
        return self.error("Couldn't resolve error", at, "expression.unresolved", hint=hint)

    def _rest(self, at: int) -> str:
        return self.text[at : self.end] or "<EOL>"

    # Binary operators

    def expression(self) -> int:
        """Evaluate operands joined by binary operators, from ``position`` on."""
        return read_expression(self)

    def operator(self) -> Operator | None:
        """Return the binary operator at ``position``, if there is one."""
        at = lexer.skip_blanks(self.text, self.position, self.end)
        return lexer.binary_operator(self.text, at, self.end)

    def take(self, operator: Operator) -> None:
        self._advance(operator.end - len(operator.text), operator.end)

    def combine(self, operator: Operator, left: int, right: int) -> int:
        symbol = operator.text
        if symbol in _DIVISIONS and right == 0:
            raise self.error("Operand error", self.last, "expression.operand")
        operation = _BINARY[symbol]
        self._did(Step(Op.DIVIDE if symbol in _DIVISIONS else Op.BINARY, function=operation))
        return int(operation(left, right)) & MASK64

    def _did(self, step: Step) -> None:
        if self.steps is not None:
            self.steps.append(step)

    def _advance(self, start: int, end: int) -> None:
        if end > self._limit:
            raise self.error("Overflow error", start, "expression.too-long")
        self.last = start
        self.position = end

    # Operands

    def operand(self) -> int:
        """Evaluate one operand with the unary operators before it."""
        at = lexer.skip_blanks(self.text, self.position, self.end)
        if at >= self.end:
            raise self.missing(at)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error("Overflow error", at, "expression.too-deep")
        char = self.text[at]
        if char in _SIGN_OPERATORS:
            self._advance(at, at + 1)
            value = _SIGN_OPERATORS[char](self.operand())
            self._did(Step(Op.UNARY, function=_SIGN_OPERATORS[char]))
        elif char in _GROUPS:
            value = self._group(at, _GROUPS[char])
        elif char == "@":
            value = self._at_sign(at)
        elif char == "'":
            value = self._character(at)
        elif char == "`" and not self._is_quoted_name(at):
            value = self._source_line(at)
        else:
            value = self._word(at)
        self._depth -= 1
        return value

    def _group(self, at: int, closer: str) -> int:
        self._advance(at, at + 1)
        value = self.expression()
        self.expect(closer)
        return value

    def expect(self, char: str) -> None:
        """Read *char*, or fail with a syntax error."""
        at = lexer.skip_blanks(self.text, self.position, self.end)
        if at >= self.end or self.text[at] != char:
            raise self.error("Syntax error", at)
        self._advance(at, at + 1)

    def _character(self, at: int) -> int:
        """Evaluate ``'ab'``: up to 8 bytes, the first one highest."""
        close = self.text.find("'", at + 1, self.end)
        data = self.text[at + 1 : max(close, at + 1)].encode("utf-8", "surrogatepass")
        if close < 0 or not 0 < len(data) <= 8:
            raise self.error("Syntax error", at)
        self._advance(at, close + 1)
        value = int.from_bytes(data, "big")
        self._did(Step(Op.CONSTANT, value))
        return value

    def _is_quoted_name(self, at: int) -> bool:
        """Tell `` `anonymous namespace'::f `` from `` `file.c:12` ``."""
        close = self.text.find("'", at, self.end)
        return close > 0 and self.text.startswith("::", close + 1) and self._tick(at) < 0

    def _tick(self, at: int) -> int:
        return self.text.find("`", at + 1, self.end)

    def _source_line(self, at: int) -> int:
        self.steps = None
        close = self._tick(at)
        if close < 0:
            raise self.error("Syntax error", at)
        value = self.context.source_line(self.text[at + 1 : close])
        if value is None:
            raise self.error("Couldn't resolve error", at, "expression.unresolved")
        self._advance(at, close + 1)
        return value & MASK64

    # What starts with @

    def _at_sign(self, at: int) -> int:
        other = _OTHER_EVALUATOR.match(self.text, at, self.end)
        if other is not None:
            return self._other_evaluator(at, other)
        if self.text.startswith('@!"', at):
            close = self.text.find('"', at + 3, self.end)
            if close < 0:
                raise self.error("Syntax error", at)
            self.steps = None
            value = self.context.symbol(self.text[at + 3 : close])
            if value is None:
                raise self.error("Couldn't resolve error", at, "expression.unresolved")
            self._advance(at, close + 1)
            return value & MASK64
        end = lexer.register_end(self.text, at + 1, self.end)
        name = self.text[at + 1 : end]
        value = self._register(name)
        if value is None:
            raise self.error("Bad register error", at, "expression.bad-register")
        self._did(_register_step(name))
        self._advance(at, end)
        return value & MASK64

    def _register(self, name: str) -> int | None:
        if not name:
            return None
        if name.startswith("$"):
            return self.context.pseudo_register(name)
        return self.context.register(name)

    def _other_evaluator(self, at: int, match: re.Match[str]) -> int:
        """Evaluate ``@@(...)`` and ``@@c++(...)`` as C++, ``@@masm(...)`` here."""
        if (match.group(1) or "").lower() == "masm":
            return self._group(match.end(), ")")
        self.steps = None
        close = lexer.matching_parenthesis(self.text, match.end(), self.end)
        if close is None:
            raise self.error("Syntax error", at)
        if self.text.count("@@", at, close) > MAX_SWITCHES:
            raise self.error("Overflow error", at, "expression.too-deep")
        if not isinstance(self.context, CppEvaluation):
            raise ExpressionError(
                f"The C++ evaluator needs type information, not available at '{self._rest(at)}'",
                hint="Write the expression in MASM syntax: a symbol is its address, poi() reads.",
                identifier="expression.cpp-unavailable",
            )
        whole = self.text[: self.end]
        value, end = self.context.evaluate_cpp(whole, match.end() + 1, end=close, blamed=at)
        if lexer.skip_blanks(self.text, end, close) < close:
            raise self.error("Syntax error", end)
        self._advance(close, close + 1)
        return value & MASK64

    # Words: numbers, operators, symbols, registers

    def _word(self, at: int) -> int:
        if self.text[at] == "." and not self._is_name_character(at + 1):
            value = self.context.pseudo_register("$ip")
            if value is None:
                raise self.error("Bad register error", at, "expression.bad-register")
            self._did(_register_step("$ip"))
            self._advance(at, at + 1)
            return value & MASK64
        name = lexer.name_at(self.text, at, self.end)
        if name is None:
            raise self.missing(at)
        shortest = self.text[at : name.ends[0]]
        if name.is_plain:
            number = self._number(shortest, at, name.ends[0])
            if number is not None:
                return number
            value = self._word_operator(shortest.lower(), at, name.ends[0])
            if value is not None:
                return value
        elif shortest.lower() in functions.FUNCTIONS or shortest.lower() in functions.PHYSICAL:
            return self._dollar_operator(shortest.lower(), at, name.ends[0])
        return self._name(name)

    def _is_name_character(self, at: int) -> bool:
        return at < self.end and (self.text[at].isalnum() or self.text[at] in "_.$?@")

    def _number(self, word: str, at: int, end: int) -> int | None:
        value = parse_number(word, self.context.radix)
        if value is None:
            return None
        if value > MASK64:
            raise self.error("Overflow error", at, "expression.overflow")
        self._advance(at, end)
        if 0x8000_0000 <= value <= 0xFFFF_FFFF and "`" not in word:
            context = self.context
            if isinstance(context, SignExtendsLiterals) and context.sign_extends_literals:
                value = to_signed(value, 32) & MASK64
        self._did(Step(Op.CONSTANT, value))
        return value

    def _word_operator(self, word: str, at: int, end: int) -> int | None:
        if word in _WORD_OPERATORS:
            self._advance(at, end)
            value = _WORD_OPERATORS[word](self.operand())
            self._did(Step(Op.UNARY, function=_WORD_OPERATORS[word]))
            return value
        size = _MEMORY_SIZES.get(word)
        if size is None:
            return None
        self._advance(at, end)
        address = self.operand()
        self._did(Step(Op.READ, size))
        return self.read(self.context.read_memory, address, size or self.context.pointer_size)

    def read(self, reader: Callable[[int, int], bytes], address: int, size: int) -> int:
        """Return the value that *reader* finds at *address*."""
        order = self.context.byte_order if isinstance(self.context, HasByteOrder) else "little"
        try:
            return int.from_bytes(reader(address, size), order)
        except MemoryReadError as error:
            failure = self.error("Memory access error", self.last, "expression.memory")
            raise failure from error

    def _dollar_operator(self, word: str, at: int, end: int) -> int:
        self.steps = None
        self._advance(at, end)
        if word in functions.FUNCTIONS:
            return functions.FUNCTIONS[word](self) & MASK64
        size = functions.PHYSICAL[word] or self.context.pointer_size
        address = self.operand()
        if not isinstance(self.context, PhysicalMemory):
            raise self.error("Memory access error", self.last, "expression.memory")
        return self.read(self.context.read_physical, address, size)

    def _name(self, name: lexer.Name) -> int:
        """Evaluate a symbol (longest reading first) or a register."""
        at = name.start
        word = self.text[at : name.ends[0]]
        ends = name.ends
        if name.is_plain:
            word = word.partition("`")[0]
            ends = (at + len(word), *ends[1:])
        if word[:1].isdigit() and "!" not in self.text[at : ends[-1]]:
            raise self.error("Syntax error", at)
        if self.text.startswith("!", ends[-1]) and not self.text.startswith("=", ends[-1] + 1):
            raise self.error("Syntax error", at)
        value = self._early_register(word)
        if value is not None:
            self._did(_register_step(word))
            self._advance(at, ends[0])
            return value & MASK64
        self.steps = None  # another time there may be a symbol of that name, or none
        for end in reversed(ends):
            value = self._symbol(self.text[at:end])
            if value is not None:
                self._advance(at, end)
                return value & MASK64
        value = self._register(word)
        if value is None:
            raise self.unresolved(at, self.text[at : ends[-1]])
        self._advance(at, ends[0])
        return value & MASK64

    def _early_register(self, word: str) -> int | None:
        """Return what outranks symbols: the usual x86 registers and pseudo-registers."""
        if word.lower() in _X86_NAMES:
            return self.context.register(word.lower())
        if word.startswith("$") and not word.startswith("$!"):
            return self.context.pseudo_register(word)
        return None

    def _symbol(self, name: str) -> int | None:
        if name.startswith("!"):
            name = name[1:]
        value = self.context.symbol(name)
        if value is None and _CLASS_JOINT.search(name):
            value = self.context.symbol(_CLASS_JOINT.sub("::", name))
        return value
