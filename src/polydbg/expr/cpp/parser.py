"""Reads C++ expressions into trees (:mod:`polydbg.expr.cpp.nodes`).

What a text means depends on which of its names are types: ``(a)-1`` and ``a<b>(c)`` read in two
ways. Only then the parser asks, and remembers what it was told, so that a tree can be used again
wherever the answers are the same. Other languages extend :class:`Parser`.
"""

from __future__ import annotations

import re
from typing import Protocol

from polydbg.base.errors import ExpressionError
from polydbg.expr import lexer
from polydbg.expr.cpp import tokens
from polydbg.expr.cpp.errors import cpp_error, rest_of, unexpected
from polydbg.expr.cpp.nodes import (
    AssignmentNode,
    BinaryNode,
    BoolNode,
    CallNode,
    CastNode,
    CharacterNode,
    ConditionalNode,
    FloatNode,
    IndexNode,
    IntegerNode,
    MacroNode,
    MasmNode,
    MemberNode,
    NameNode,
    Node,
    NullNode,
    PostfixNode,
    PseudoRegisterNode,
    RegisterNode,
    SizeofNode,
    StringNode,
    TypeNode,
    UnaryNode,
)
from polydbg.expr.cpp.type_names import STANDARD
from polydbg.expr.cpp.type_parser import TypeParser
from polydbg.expr.pratt import Operator, read_expression

MAX_TEXT = 16384
"""Longest expression, in characters."""

MAX_DEPTH = 60
"""Deepest nesting of parentheses and brackets."""

MAX_CHAIN = 120
"""How many prefixes, or suffixes such as ``->next``, one operand may have."""

CASTS = ("static_cast", "reinterpret_cast", "const_cast", "dynamic_cast")
MACROS = {
    "CONTAINING_RECORD": "etf",
    "FIELD_OFFSET": "tf",
    "RTL_CONTAINS_FIELD": "eef",
    "RTL_FIELD_SIZE": "tf",
    "RTL_NUMBER_OF": "e",
    "RTL_SIZEOF_THROUGH_FIELD": "tf",
}
"""What each macro takes: an expression, a type, a field."""

_PREFIX = re.compile(r"\+\+|--|[-+!~*&]")
_SUFFIX = re.compile(r"\+\+|--|->(?!\*)|\.(?![*.\d])|\[|\(")
_MACRO = re.compile(r"#(\w+)")
_OTHER_EVALUATOR = re.compile(r"@@[ \t]*(c\+\+|masm)?[ \t]*(?=\()", re.IGNORECASE)
_OPERAND_START = re.compile(r"[\w$'\"@#~`]|::|!(?!=)|\.\d")
_AMBIGUOUS_START = re.compile(r"\+|-(?!>)|\*(?!=)|&(?![&=])|\(")
_WORD = re.compile(r"[^\W\d]\w*")
_NOT_TEMPLATE = re.compile(r"&&|\|\||[<>=!]=|[;?\"]")
_AFTER_TEMPLATE = re.compile(r"\s*(?:[)>,\]&*](?!=)|::|\Z|\.(?!\d)|->)")


class Names(Protocol):
    """What tells types from variables; :class:`~polydbg.expr.cpp.context.CppContext` does."""

    def is_type_name(self, name: str) -> bool: ...

    def is_known(self, name: str) -> bool:
        """Say whether *name*, with template arguments, is that of anything."""
        ...


class NoNames:
    """No name is a type's."""

    def is_type_name(self, name: str) -> bool:
        return False

    def is_known(self, name: str) -> bool:
        return False


class Parser:
    """One pass over one expression from *position* to *end* of *text*.

    With *commas* a comma joins expressions at the outermost level, else it ends the expression.
    """

    def __init__(
        self,
        text: str,
        position: int = 0,
        end: int | None = None,
        *,
        names: Names | None = None,
        commas: bool = True,
    ) -> None:
        self.text = text
        self.position = position
        self.end = len(text) if end is None else end
        self.names = names if names is not None else NoNames()
        self.types = TypeParser(text, self.end)
        self._commas = commas
        self._depth = 0
        self._middles: list[Node] = []
        if self.end - position > MAX_TEXT:
            raise self.too_deep(position)

    # -- reading ---------------------------------------------------------------------------

    def expression(self, commas: bool | None = None) -> Node:
        """Read an expression; *commas* as for the class, ``None``: as outside."""
        outside = self._commas
        if commas is not None:
            self._commas = commas
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.too_deep(self.position)
        node = read_expression(self)
        self._depth -= 1
        self._commas = outside
        return node

    def skip(self) -> int:
        """Skip blanks, and a comment with all that follows it; return the position."""
        self.position = lexer.skip_blanks(self.text, self.position, self.end)
        if self.text.startswith("//", self.position):
            self.position = self.end
        return self.position

    def accept(self, symbol: str) -> bool:
        """Read *symbol* if it comes next."""
        at = self.skip()
        if not self.text.startswith(symbol, at, self.end):
            return False
        self.position = at + len(symbol)
        return True

    def expect(self, symbol: str) -> None:
        """Read *symbol*, or fail."""
        if not self.accept(symbol):
            raise self.unexpected(self.position)

    def unexpected(self, at: int) -> ExpressionError:
        return unexpected(self.text, at)

    def too_deep(self, at: int) -> ExpressionError:
        return cpp_error(
            f"Overflow error at '{rest_of(self.text, at)}'",
            at,
            hint="the expression is too long or nests too deep",
            identifier="expression.too-deep",
        )

    # -- operators between operands --------------------------------------------------------

    def operator(self) -> Operator | None:
        found = tokens.operator_at(self.text, self.skip(), self.end)
        if found is not None and found.text == "," and not self._commas:
            return None
        return found

    def take(self, operator: Operator) -> None:
        self.position = operator.end
        if operator.text == "?":
            self._middles.append(self.expression(commas=True))
            self.expect(":")

    def combine(self, operator: Operator, left: Node, right: Node) -> Node:
        symbol = operator.text
        if symbol == "?":
            return ConditionalNode(left.start, right.end, left, self._middles.pop(), right)
        if symbol in tokens.ASSIGNMENTS:
            return AssignmentNode(left.start, right.end, symbol[:-1] or "=", left, right)
        return BinaryNode(left.start, right.end, symbol, left, right)

    # -- operands --------------------------------------------------------------------------

    def operand(self) -> Node:
        """Read an operand with its prefixes and suffixes."""
        prefixes: list[tuple[int, str | TypeNode]] = []
        while True:
            at = self.skip()
            if prefixes and prefixes[-1][1] == "sizeof" and self.text.startswith("(", at):
                break  # parentheses behind sizeof are its own: no cast
            prefix = self._prefix(at)
            if prefix is None:
                break
            prefixes.append((at, prefix))
            if len(prefixes) > MAX_CHAIN:
                raise self.too_deep(at)
        node = self.suffixes(self.primary(at))
        for start, prefix in reversed(prefixes):
            if isinstance(prefix, TypeNode):
                node = CastNode(start, node.end, "", prefix, node)
            elif prefix == "sizeof":
                node = SizeofNode(start, node.end, node)
            else:
                node = UnaryNode(start, node.end, prefix, node)
        return node

    def _prefix(self, at: int) -> str | TypeNode | None:
        """Read a prefix operator or the type of a cast; ``None``: the operand itself comes."""
        match = _PREFIX.match(self.text, at, self.end)
        if match is not None:
            self.position = match.end()
            return match.group()
        if self.text.startswith("(", at):
            return self._cast_type(at)
        if self.text.startswith("sizeof", at) and self._word(at) == "sizeof":
            self.position = at + len("sizeof")
            if self._sized_type() is None:
                return "sizeof"
            self.position = at
        return None

    def _cast_type(self, at: int) -> TypeNode | None:
        """Read ``(T)`` of a cast, if it is one."""
        found = self.types.parse(at + 1)
        if found is None:
            return None
        close = lexer.skip_blanks(self.text, found.end, self.end)
        if not self.text.startswith(")", close):
            return None
        after = lexer.skip_blanks(self.text, close + 1, self.end)
        if self.types.is_plain(found) and not self._is_cast(found, after):
            return None
        if self.types.is_indexed(found) and not self.names.is_type_name(found.name):
            return None
        self.position = close + 1
        return found

    def _is_cast(self, found: TypeNode, after: int) -> bool:
        """Say whether ``(name)`` is a cast, given what follows it."""
        if _OPERAND_START.match(self.text, after, self.end):
            return True
        if not _AMBIGUOUS_START.match(self.text, after, self.end):
            return False
        return found.name in STANDARD or self.names.is_type_name(found.name)

    def _sized_type(self) -> TypeNode | None:
        """Return the type in the parentheses behind ``sizeof`` with where these end as its end,
        ``None`` if it is an expression's."""
        at = self.skip()
        if not self.text.startswith("(", at):
            return None
        found = self.types.parse(at + 1)
        if found is None or self.types.is_plain(found):
            return None
        if self.types.is_indexed(found) and not self.names.is_type_name(found.name):
            return None
        close = lexer.skip_blanks(self.text, found.end, self.end)
        if not self.text.startswith(")", close):
            return None
        self.position = close + 1
        return found

    def suffixes(self, node: Node) -> Node:
        """Read what may follow an operand: members, indexes, calls, ``++``."""
        for _ in range(MAX_CHAIN):
            at = self.skip()
            match = _SUFFIX.match(self.text, at, self.end)
            if match is None:
                return node
            symbol = match.group()
            self.position = match.end()
            if symbol in (".", "->"):
                name = self._member_name()
                node = MemberNode(node.start, self.position, node, name, symbol == "->", at)
            elif symbol in ("[", "("):
                arguments = self.arguments("]" if symbol == "[" else ")")
                if symbol == "[" and not arguments:
                    raise self.unexpected(self.position - 1)
                kind = IndexNode if symbol == "[" else CallNode
                node = kind(node.start, self.position, node, arguments)
            else:
                node = PostfixNode(node.start, self.position, symbol, node)
        raise self.too_deep(self.position)

    def arguments(self, closer: str) -> tuple[Node, ...]:
        """Read expressions between commas, up to *closer* and with it."""
        found: list[Node] = []
        if self.accept(closer):
            return ()
        while True:
            found.append(self.expression(commas=False))
            if self.accept(closer):
                return tuple(found)
            self.expect(",")

    def _member_name(self) -> str:
        at = self.skip()
        start = at + 1 if self.text.startswith("~", at) else at
        end = self.name_end(start)
        if end is None:
            raise self.unexpected(at)
        self.position = end
        return self.text[at:end]

    def primary(self, at: int) -> Node:
        """Read what has neither prefixes nor suffixes."""
        text, end = self.text, self.end
        if at >= end:
            raise self.unexpected(at)
        char = text[at]
        if char == "(" and not text.startswith("(anonymous namespace)", at):
            self.position = at + 1
            node = self.expression(commas=True)
            self.expect(")")
            return node
        if char == "@":
            return self._at_sign(at)
        if char == "#":
            return self._macro(at)
        number = tokens.number_at(text, at, end)
        if number is not None:
            self.position = number.end
            if isinstance(number.value, int):
                return IntegerNode(at, number.end, number.value, number.suffix, number.is_decimal)
            return FloatNode(at, number.end, number.value, number.suffix)
        quoted = tokens.quoted_at(text, at, end)
        if quoted is not None:
            return self._quoted(at, quoted)
        return self.word(at)

    def _quoted(self, at: int, quoted: tokens.Quoted) -> Node:
        self.position = quoted.end
        if quoted.quote == '"':
            value = "".join(map(chr, (code & 0xFFFF for code in quoted.codes)))
            return StringNode(at, quoted.end, value, quoted.prefix)
        if not 0 < len(quoted.codes) <= (1 if quoted.prefix else 4):
            raise self.unexpected(at)
        return CharacterNode(at, quoted.end, quoted.codes, quoted.prefix)

    def word(self, at: int) -> Node:
        """Read a name or what is spelled like one."""
        word = self._word(at)
        if word in ("true", "false"):
            self.position = at + len(word)
            return BoolNode(at, self.position, word == "true")
        if word == "nullptr":
            self.position = at + len(word)
            return NullNode(at, self.position)
        if word == "sizeof":
            self.position = at + len(word)
            type_ = self._sized_type()
            if type_ is None:
                raise self.unexpected(at)
            return SizeofNode(at, self.position, type_)
        if word in CASTS:
            return self._named_cast(at, word)
        built_in = self.types.builtin(at)
        if built_in is not None:
            return self._functional_cast(at, built_in)
        end = self.name_end(at)
        if end is None:
            raise self.unexpected(at)
        self.position = end
        return NameNode(at, end, self.text[at:end])

    def _named_cast(self, at: int, style: str) -> Node:
        self.position = at + len(style)
        self.expect("<")
        found = self.types.parse(self.skip())
        if found is None:
            raise self.unexpected(self.position)
        self.position = found.end
        self.expect(">")
        self.expect("(")
        operand = self.expression(commas=True)
        self.expect(")")
        return CastNode(at, self.position, style, found, operand)

    def _functional_cast(self, at: int, type_: TypeNode) -> Node:
        """Read ``int(e)``; ``unsigned int(e)`` as well, though C++ has it not."""
        self.position = type_.end
        self.expect("(")
        operand = self.expression(commas=True)
        self.expect(")")
        return CastNode(at, self.position, "", type_, operand)

    def _word(self, at: int) -> str:
        match = _WORD.match(self.text, at, self.end)
        return match.group() if match is not None else ""

    # -- names -----------------------------------------------------------------------------

    def name_end(self, at: int) -> int | None:
        """Return where the name at *at* ends: with what looks like template arguments if these are
        nothing else, or if such a name is known."""
        ends = tokens.name_ends(self.text, at, self.end)
        for end in reversed(ends[1:]):
            name = self.text[at:end]
            if _NOT_TEMPLATE.search(name[ends[0] - at :]) and not name.endswith(("=", "&&", "||")):
                continue
            if _AFTER_TEMPLATE.match(self.text[end : self.end]) or self.names.is_known(name):
                return end
        return self._without_number(at, ends[0]) if ends else None

    def _without_number(self, at: int, end: int) -> int:
        """Leave the number out of ``x@1`` where there is no second ``x``."""
        bare, mark, _ = self.text[at:end].rpartition("@")
        if not mark or not bare or self.names.is_known(self.text[at:end]):
            return end
        return at + len(bare)

    # -- what starts with @ or # -----------------------------------------------------------

    def _at_sign(self, at: int) -> Node:
        other = _OTHER_EVALUATOR.match(self.text, at, self.end)
        if other is not None:
            return self._other_evaluator(at, other)
        end = lexer.register_end(self.text, at + 1, self.end)
        name = self.text[at + 1 : end]
        if not name:
            raise self.unexpected(at)
        self.position = end
        kind = PseudoRegisterNode if name.startswith("$") else RegisterNode
        return kind(at, end, name)

    def _other_evaluator(self, at: int, match: re.Match[str]) -> Node:
        """Read ``@@(...)`` and ``@@masm(...)``, or ``@@c++(...)``, which is as parentheses."""
        if (match.group(1) or "").lower() == "c++":
            return self.primary(match.end())
        close = lexer.matching_parenthesis(self.text, match.end(), self.end)
        if close is None:
            raise self.unexpected(at)
        self.position = close + 1
        return MasmNode(at, close + 1, self.text[match.end() + 1 : close])

    def _macro(self, at: int) -> Node:
        match = _MACRO.match(self.text, at, self.end)
        kinds = MACROS.get(match[1].upper()) if match is not None else None
        if match is None or kinds is None:
            raise self.unexpected(at)
        self.position = match.end()
        arguments: list[Node] = []
        for index, kind in enumerate(kinds):
            self.expect("," if index else "(")
            if kind == "t":
                found = self.types.parse(self.skip())
                if found is None:
                    raise self.unexpected(self.position)
                self.position = found.end
                arguments.append(found)
            else:
                arguments.append(self.expression(commas=False))
        self.expect(")")
        return MacroNode(at, self.position, match[1].upper(), tuple(arguments))
