"""How long a name of the Itanium scheme becomes when it is demangled, before that is done.

A name refers to its own parts (``S1_`` is the third one), and a part can refer to those before it:
twenty parts of ten letters that each name the one before them twice make megabytes (0.1 s), thirty
fill the memory. Source: Itanium C++ ABI, "Mangling".
"""

from __future__ import annotations

import re

_REFERENCE = re.compile(r"[ST][0-9A-Z]*_")
_FEW_REFERENCES = 36  # three in each of twelve parts make 12 MB, about the most they can
_MAX_EXPANDED = 64 << 20
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOKEN = re.compile(
    r"S(?P<part>[0-9A-Z]*)_|(?P<argument>T[0-9A-Z]*_)|S[a-z]|(?P<length>[1-9][0-9]{0,4})"
    r"|(?P<open>Ul|[INJFLZ])|(?P<close>E)|(?P<other>X|D[tTOwv])|[CD].|A[0-9]*_|Ut[0-9]*_"
    r"|_[0-9]|__[0-9]+_|.",
    re.DOTALL,
)
_DIGITS = re.compile(r"[0-9]*")
_LAMBDA_NUMBER = re.compile(r"[0-9]*_")


class _Group:
    """What stands between an *opening* letter and its ``E``: *size* of its text in the end,
    *highest* number of a part in it, and the *last* size that was added."""

    __slots__ = ("highest", "last", "opening", "size")

    def __init__(self, opening: str) -> None:
        self.opening = opening
        self.size = self.last = 0
        self.highest = -1

    def add(self, size: int, highest: int = -1) -> None:
        self.size += size
        self.last = size
        self.highest = max(self.highest, highest)


def expands_too_far(name: str) -> bool:
    """Tell whether the text of *name* might fill 64 MB: estimated from above, but for names with
    few references, and yes for what is not understood."""
    if len(_REFERENCE.findall(name)) <= _FEW_REFERENCES:
        return False
    stack = [_Group("")]
    # A part with reference n comes after part n: by its highest one, the largest part.
    parts: dict[int, int] = {}
    argument = 0  # template arguments are complete before the first reference to one
    position = name.find("_Z") + 2
    while position < len(name):
        token = _TOKEN.match(name, position)
        if token is None or token["other"]:
            return True
        position = token.end()
        if token["length"] and stack[-1].opening == "L" and stack[-1].size:
            position = _end(_DIGITS, name, token.start())  # the value of a literal
        elif token["length"]:
            size = int(token["length"])
            position += size
            parts[-1] = max(parts.get(-1, 0), size)
            stack[-1].add(size)
        elif token["part"] is not None:
            number = _number(token["part"])
            sizes = (size for highest, size in parts.items() if highest < number)
            stack[-1].add(max(sizes, default=1), number)
        elif token["argument"]:
            argument = argument or max(parts.values(), default=1)
            stack[-1].add(argument)
        elif token["open"]:
            stack.append(_Group(token["open"]))
        elif token["close"]:
            if len(stack) == 1:
                return True
            group = stack.pop()
            whole = group.size + (stack[-1].last if group.opening == "I" else 0)
            parts[group.highest] = max(parts.get(group.highest, 0), whole)
            stack[-1].add(group.size, group.highest)
            stack[-1].last = whole
            if group.opening == "Ul":
                position = _end(_LAMBDA_NUMBER, name, position)
        else:
            stack[-1].add(16)  # the longest word that a few letters stand for
        if stack[-1].size > _MAX_EXPANDED:
            return True
    return len(stack) > 1


def _end(pattern: re.Pattern[str], name: str, position: int) -> int:
    found = pattern.match(name, position)
    return found.end() if found is not None else position


def _number(digits: str) -> int:
    """Return the number of a part: ``S_`` is 0, ``S0_`` 1."""
    number = 0
    for digit in digits:
        number = number * 36 + _LETTERS.index(digit)
    return number + 1 if digits else 0
