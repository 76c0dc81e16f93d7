"""WinDbg's wildcards as regular expressions.

``*`` any characters, ``?`` one, ``[a-f0]`` one of a set, ``#`` none or more of the character or
set before it, ``+`` one or more of it, ``\\`` takes the meaning from ``# ? [ ] * +``. A leading
``_`` of a symbol pattern stands for any number of underscores. Patterns are anchored at both ends
and ignore case. Source: the debugger's documentation, "String Wildcard Syntax".
"""

from __future__ import annotations

import functools
import re

_SPECIAL = frozenset("#?[]*+")


def _set(pattern: str, start: int) -> tuple[str, int]:
    """Return the regex of the set that opens at *start*, and where the pattern goes on."""
    end = pattern.find("]", start + 1)
    if end < 0:
        return re.escape("["), start + 1
    body = pattern[start + 1 : end]
    if not body:
        return "(?!)", end + 1
    parts, index = [], 0
    while index < len(body):
        first = body[index]
        # A hyphen between two characters is a range; it cannot be listed by itself.
        if index + 2 < len(body) and body[index + 1] == "-":
            low, high = sorted((first, body[index + 2]))
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
            index += 3
        else:
            if first != "-":
                parts.append(re.escape(first))
            index += 1
    return ("[" + "".join(parts) + "]" if parts else "(?!)"), end + 1


def _translate(pattern: str, symbols: bool) -> str:
    pieces: list[str] = []
    index = 0
    if symbols and pattern.startswith("_"):
        pieces.append("_*")
        index = len(pattern) - len(pattern.lstrip("_"))
    repeatable = False
    while index < len(pattern):
        char = pattern[index]
        if char == "\\" and index + 1 < len(pattern) and pattern[index + 1] in _SPECIAL:
            pieces.append(re.escape(pattern[index + 1]))
            index, repeatable = index + 2, True
        elif char == "*":
            if not pieces or pieces[-1] != ".*":
                pieces.append(".*")
            index, repeatable = index + 1, False
        elif char == "?":
            pieces.append(".")
            index, repeatable = index + 1, True
        elif char == "[":
            piece, index = _set(pattern, index)
            pieces.append(piece)
            repeatable = True
        elif char in "#+" and repeatable:
            # Possessive where no backtracking can help would be faster; names are short.
            pieces.append("*" if char == "#" else "+")
            index, repeatable = index + 1, False
        else:
            pieces.append(re.escape(char))
            index, repeatable = index + 1, True
    return "".join(pieces)


@functools.lru_cache(maxsize=64)
def compile_wildcard(
    pattern: str, *, symbols: bool = True, ignore_case: bool = True
) -> re.Pattern[str]:
    """Return a regex for ``fullmatch``. *symbols*: a leading ``_`` is any number of them."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.compile(_translate(pattern, symbols), flags)


def is_wildcard(pattern: str) -> bool:
    """Tell whether *pattern* has any wildcard (an escaped character counts: it must be read)."""
    return any(char in _SPECIAL or char == "\\" for char in pattern)


def escape_wildcards(name: str) -> str:
    """Return the pattern that matches just *name*, but for case and leading underscores."""
    return "".join("\\" + char if char in _SPECIAL else char for char in name)


def literals_of(pattern: str) -> list[str]:
    """Return runs of characters that every match contains, in order: to find candidates by."""
    runs: list[str] = []
    run = ""
    index = 0
    body = pattern.lstrip("_") if pattern.startswith("_") else pattern
    while index < len(body):
        char = body[index]
        if char == "\\" and index + 1 < len(body) and body[index + 1] in _SPECIAL:
            index += 1
            char = body[index]
        elif char == "[":
            end = body.find("]", index + 1)
            runs.append(run)
            run = ""
            index = end if end >= 0 else len(body)
            index += 1
            continue
        elif char in "*?":
            runs.append(run)
            run = ""
            index += 1
            continue
        elif char in "#+":
            runs.append(run[:-1] if char == "#" else run)
            run = ""
            index += 1
            continue
        run += char
        index += 1
    runs.append(run)
    return [each for each in runs if each]
