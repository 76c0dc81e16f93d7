"""The tree of a C++ expression. Nodes know where in the text they stand: ``text[start:end]``.

Trees depend on nothing but the text and on which of its names are types, so they are kept and
evaluated again. Languages that extend C++ (``dx``, NatVis) add node classes of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from fractions import Fraction


class Node(msgspec.Struct, frozen=True):
    """Base of all nodes."""

    start: int
    end: int


class IntegerNode(Node, frozen=True):
    """``42``, ``0x2aUL``: *suffix* in lower case; *is_decimal* because C gives decimal literals
    other types than hexadecimal ones."""

    value: int
    suffix: str = ""
    is_decimal: bool = True


class FloatNode(Node, frozen=True):
    """``1.5``, ``1e3f``; *suffix* is ``""``, ``f`` or ``l``, whose values are exact."""

    value: float | Fraction
    suffix: str = ""


class CharacterNode(Node, frozen=True):
    """``'a'``, ``'ab'``: *codes* are its characters'; *prefix* is ``""``, ``L``, ``u8``, ``u`` or
    ``U``."""

    codes: tuple[int, ...]
    prefix: str = ""


class StringNode(Node, frozen=True):
    """``"text"``; *prefix* as for characters."""

    value: str
    prefix: str = ""


class BoolNode(Node, frozen=True):
    """``true`` or ``false``."""

    value: bool


class NullNode(Node, frozen=True):
    """``nullptr``."""


class NameNode(Node, frozen=True):
    """A name with whatever qualifies it: ``x``, ``this``, ``app!geo::Box<int>::count``, ``::x``,
    ``x@1``. What it means is found when it is evaluated; it may be a type's."""

    name: str


class RegisterNode(Node, frozen=True):
    """``@rax``; *name* is without the ``@``."""

    name: str


class PseudoRegisterNode(Node, frozen=True):
    """``@$t0``, ``@$curprocess``; *name* starts with ``$``."""

    name: str


class MasmNode(Node, frozen=True):
    """``@@masm(text)``."""

    text: str


class MemberNode(Node, frozen=True):
    """``object.name`` or, with *is_arrow*, ``object->name``; *name* may be qualified. The operator
    stands at *operator*."""

    object: Node
    name: str
    is_arrow: bool
    operator: int


class IndexNode(Node, frozen=True):
    """``object[index]``; C++ takes one of the *arguments*. It ends with the bracket."""

    object: Node
    arguments: tuple[Node, ...]


class CallNode(Node, frozen=True):
    """``function(arguments)``. In C++ only a conversion, ``T(e)``, where the function is a type's
    name."""

    function: Node
    arguments: tuple[Node, ...]


class UnaryNode(Node, frozen=True):
    """``-x``: *symbol* is one of ``+ - ! ~ * & ++ --``."""

    symbol: str
    operand: Node


class PostfixNode(Node, frozen=True):
    """``x++`` or ``x--``."""

    symbol: str
    operand: Node


class BinaryNode(Node, frozen=True):
    """``left SYMBOL right``: arithmetic, comparison, logic, ``,``, ``.*`` and ``->*``."""

    symbol: str
    left: Node
    right: Node


class AssignmentNode(Node, frozen=True):
    """``target = value`` or ``target += value``: *symbol* is ``=`` or the operator before it."""

    symbol: str
    target: Node
    value: Node


class ConditionalNode(Node, frozen=True):
    """``condition ? positive : negative``."""

    condition: Node
    positive: Node
    negative: Node


class TypeStep(msgspec.Struct, frozen=True):
    """What a declarator adds to a type.

    *kind* is ``*``, ``&``, ``&&``, ``[]`` (*count* elements, ``None``: not said), ``()`` (a
    function of *parameters*), ``::*`` (a pointer to a member of the class *owner*) or a qualifier.
    """

    kind: str
    count: int | None = None
    parameters: tuple[TypeNode, ...] = ()
    owner: str = ""


class TypeNode(Node, frozen=True):
    """A type as it is written: ``const app!Box<int> *[3]``.

    *name* is the type's without ``struct`` and its like; for the arithmetic types of the language
    (*is_builtin*) one of the spellings of :data:`~polydbg.expr.cpp.type_names.BUILTIN`. *steps* are
    applied to it from the first to the last.
    """

    name: str
    steps: tuple[TypeStep, ...] = ()
    is_builtin: bool = False


class CastNode(Node, frozen=True):
    """A conversion; *style* is ``""`` for ``(T)e`` and ``T(e)``, or ``static_cast`` and its
    like."""

    style: str
    type: TypeNode
    operand: Node


class SizeofNode(Node, frozen=True):
    """``sizeof e`` or ``sizeof(T)``; a lone name is a :class:`NameNode` though it may be a
    type's."""

    operand: Node


class MacroNode(Node, frozen=True):
    """``#FIELD_OFFSET(T, f)`` and its like. *arguments* are types where the macro takes types, and
    :class:`NameNode` for fields (``a.b[2]`` is a member of an index and so on)."""

    name: str
    arguments: tuple[Node, ...]
