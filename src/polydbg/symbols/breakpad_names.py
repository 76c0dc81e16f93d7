"""Names in Breakpad symbol files: what the function is called, and what its parameters are.

Writers put down what their demangler says: ``main(int, char**)``, ``A::f<int>(int) const``, for
templates of the Itanium scheme and for what MSVC calls static with the type that is returned in
front, for Rust and Objective-C without parameters. Where the parts cannot be told apart for
certain, the name stays whole.
"""

from __future__ import annotations

import functools
import re

from polydbg.symbols.demangle import last_opening, undecorate

_LINKER_NAME = re.compile(r"\?|__?Z")
_SUFFIX = re.compile(
    r"(?: (?:const|volatile|noexcept|&&?|\[clone [^\]]*\]|\(\.[^()]*\))|\[abi:\w+\])+$"
)
_OPERATOR = re.compile(r"\boperator(?:\(\)|\[\]|<=>|->\*?|<<=?|>>=?|[<>]=?|,)?")
# What a name is of, and no type: "non-virtual thunk to ...", "closure #1 () in ..."
_OF_SOMETHING = frozenset(("to", "for", "thunk", "of", "in", "from", "witness"))
_OPEN = "<([{`"
_CLOSE = ">)]}'"
_MAX_NAME = 4096


@functools.lru_cache(maxsize=4096)
def split_name(stored: str) -> tuple[str, str | None]:
    """Return the name without parameters, and the parameter list in parentheses or ``None``."""
    if _LINKER_NAME.match(stored):
        stored = undecorate(stored)
    if "(" not in stored or len(stored) > _MAX_NAME:
        return stored, None
    whole = _SUFFIX.sub("", stored)
    if not whole.endswith(")"):
        return stored, None
    start = last_opening(whole)
    head = whole[:start].rstrip()
    if head.endswith("operator") and whole[start:] == "()":
        return stored, None  # operator() without parameters
    if start <= 0 or _is_no_name(head):
        return stored, None
    return _without_type(head), whole[start:]


def _is_no_name(head: str) -> bool:
    """Tell whether the parentheses after *head* belong to a type: that of a pointer to a function
    (``operator void (*)(int)``), or what a Swift function returns (``f(Int) -> ()``)."""
    if head.endswith(")"):
        return not head.endswith("operator()")
    return head.endswith("->") and not head.endswith("operator->")


def _without_type(head: str) -> str:
    """Return *head* without the type that the function returns."""
    if " " not in head:
        return head
    depth = start = index = 0
    while index < len(head):
        char = head[index]
        operator = _OPERATOR.match(head, index) if char == "o" else None
        if operator is not None:
            if depth == 0:
                break  # what follows, blanks too, is the operator's name
            index = operator.end()
            continue
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE and depth:
            depth -= 1
        elif char == " " and depth == 0:
            start = index + 1
        index += 1
    if depth and index == len(head):
        return head  # unbalanced: not understood
    return head if _OF_SOMETHING.intersection(head[:start].split(" ")) else head[start:]
