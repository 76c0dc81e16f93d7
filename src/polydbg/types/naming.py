"""How types are spelled: the one place for ``??`` and ``dv``, for ``dx``, and for ``dt``.

Names of scalars, classes and enumerations are those of the debug information; what is put around
them differs. Shapes are those of the engine (its transcripts): ``struct leaf *[4]`` in ``??`` is
``leaf * [4]`` in ``dx`` and ``leaf*[]`` in ``dt``. Qualifiers are dropped everywhere.
"""

from __future__ import annotations

import re

import msgspec

from polydbg.types.model import (
    MAX_CHAIN,
    ArrayType,
    CompoundType,
    Encoding,
    EnumType,
    FunctionType,
    MemberPointerType,
    PointerType,
    QualifiedType,
    ScalarType,
    Type,
    TypedefType,
    VoidType,
)

UNNAMED = "<unnamed-tag>"
UNKNOWN = "<unknown>"
FUNCTION = "<function>"

_MAX_NESTING = 8
"""How deep functions may take functions as parameters before they are spelled ``...``."""
_MAX_PARAMETERS = 256

_INT64 = re.compile(r"\bint64\Z")
"""What ``??`` calls ``int64`` has two underscores in ``dx``."""

_ENCODING_WORDS = {
    Encoding.CHAR: "Char",
    Encoding.SIGNED_CHAR: "Char",
    Encoding.UNSIGNED_CHAR: "UChar",
    Encoding.WIDE_CHAR: "Wchar",
    Encoding.BOOL: "Bool",
    Encoding.FLOAT: "Float",
    Encoding.COMPLEX: "Complex",
    Encoding.DECIMAL: "Decimal",
}


class _Style(msgspec.Struct, frozen=True):
    """What stands between the parts of a name."""

    keyword: bool  # "struct " in front of classes
    prototypes: bool  # functions with result and parameters
    counts: bool  # the counts of arrays
    references: bool  # told from pointers
    blank: str  # before the first star
    inner: str  # between stars, and between a star and a bracket


_BRIEF = _Style(keyword=True, prototypes=False, counts=True, references=True, blank=" ", inner="")
_MODEL = _Style(keyword=False, prototypes=True, counts=True, references=True, blank=" ", inner=" ")
_TIGHT = _Style(keyword=False, prototypes=False, counts=False, references=False, blank="", inner="")


def spelled(type_: Type) -> str:
    """Return the name as ``??``, ``dv /t`` and ``x /t`` print it: ``struct Node *``,
    ``class app::Box``, ``int [2][3]``, ``void *[2]``, ``<function> *``; enumerations bare."""
    return _spelled(type_, _BRIEF, 0)


def spelled_for_model(type_: Type) -> str:
    """Return the name as ``dx`` prints it: ``Node *``, ``leaf * [4]``, ``double &``,
    ``int __cdecl(char *)``, ``int (__cdecl*)(char *)``."""
    return _spelled(type_, _MODEL, 0)


def spelled_tightly(type_: Type) -> str:
    """Return the name as ``dt`` prints it for variables and parameters: ``Node*``, also for
    references, and ``char[]``."""
    return _spelled(type_, _TIGHT, 0)


def keyword_of(type_: Type) -> str:
    """Return ``struct ``, ``class ``, ``union `` or ``""``: what ``??`` puts before the name."""
    return f"{type_.keyword} " if isinstance(type_, CompoundType) and type_.keyword else ""


def named(type_: Type) -> str:
    """Return the name alone, words for types without one."""
    if type_.name:
        return type_.name
    return UNNAMED if isinstance(type_, (CompoundType, EnumType)) else UNKNOWN


def _spelled(type_: Type, style: _Style, depth: int) -> str:
    declarator = ""
    for _ in range(MAX_CHAIN):
        if isinstance(type_, QualifiedType):
            type_ = type_.target
        elif isinstance(type_, PointerType) and not type_.name:
            star = type_.kind.value if style.references else "*"
            declarator = star + _after_star(declarator, style)
            type_ = type_.target
        elif isinstance(type_, ArrayType):
            declarator = _in_parentheses(declarator) + _brackets(type_, style)
            type_ = type_.element
        elif isinstance(type_, MemberPointerType):
            owner = named(type_.owner.bare)
            declarator = f"{owner}::*{_after_star(declarator, style)}"
            type_ = type_.target
        elif isinstance(type_, FunctionType):
            if not style.prototypes:
                return _joined(FUNCTION, declarator, style)
            declarator = _prototype(type_, declarator, style, depth)
            type_ = type_.result
        else:
            return _joined(_base(type_, style), declarator, style)
    return UNKNOWN


def _base(type_: Type, style: _Style) -> str:
    if isinstance(type_, (TypedefType, VoidType)):
        return type_.name
    name = (keyword_of(type_) if style.keyword else "") + named(type_)
    if style is _MODEL and isinstance(type_, ScalarType):
        return _INT64.sub("__int64", name)
    return name


def _joined(base: str, declarator: str, style: _Style) -> str:
    if not declarator:
        return base
    # The owner of a member pointer always stands apart.
    return base + (style.blank if declarator[0] in "*&[(" else " ") + declarator


def _after_star(declarator: str, style: _Style) -> str:
    return style.inner + declarator if declarator[:1] in ("*", "&", "[") else declarator


def _in_parentheses(declarator: str) -> str:
    return f"({declarator})" if declarator[:1] in ("*", "&") else declarator


def _brackets(array: ArrayType, style: _Style) -> str:
    return f"[{array.count}]" if style.counts and array.count is not None else "[]"


def _prototype(function: FunctionType, declarator: str, style: _Style, depth: int) -> str:
    """Return a function's convention and parameters around *declarator*."""
    if depth >= _MAX_NESTING:
        parameters = "..."
    else:
        texts = [_spelled(each, style, depth + 1) for each in function.parameters[:_MAX_PARAMETERS]]
        if function.is_variadic or len(function.parameters) > _MAX_PARAMETERS:
            texts.append("...")
        parameters = ",".join(texts) or ("void" if function.is_prototyped else "")
    name = function.convention
    if declarator:
        blank = " " if name and declarator[0] not in "*&" else ""
        name = f"({name}{blank}{declarator})"
    return f"{name}({parameters})"


def scalar_word(scalar: ScalarType) -> str:
    """Return what ``dt`` calls a scalar: ``Int4B``, ``Uint8B``, ``Char``, ``Float``. It comes from
    size and encoding, so all debug information gets the same words."""
    word = _ENCODING_WORDS.get(scalar.encoding)
    if word is not None:
        return word
    if scalar.encoding is Encoding.UTF:
        return "Wchar" if scalar.size > 1 else "Char"
    return f"{'Int' if scalar.encoding is Encoding.SIGNED else 'Uint'}{scalar.size}B"
