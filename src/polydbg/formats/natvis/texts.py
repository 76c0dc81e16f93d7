"""The texts in NatVis elements: expressions with their format, and display strings.

Source: Microsoft's "Format specifiers for C++ in the Visual Studio debugger".
"""

from __future__ import annotations

import re

from polydbg.formats.natvis.model import Formatted, Pieces

_WORD = re.compile(
    r"view\([\w; ]*\)|sub|su|s8b|s8|s32b|s32|sb|s|bstr|hv|hr|wc|wm|nvoxb|nvoXb|nvoX|nvox|nvo|xb"
    r"|Xb|Hb|hb|bb|en|na|nd|nr|!|[xXhHdobceEfgGp]|[0-9]+"
)
_OPENING, _CLOSING = "([{", ")]}"
MAX_PIECES = 512


def is_specifiers(text: str) -> bool:
    """Tell whether *text* is what may stand behind the comma of an expression."""
    text = text.strip()
    if not text:
        return False
    if text.startswith("["):
        end = _bracket_end(text)
        if end is None:
            return False
        text = text[end + 1 :].strip()
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return False
        at = match.end()
        while at < len(text) and text[at] == " ":
            at += 1
    return True


def _bracket_end(text: str) -> int | None:
    """Return where the bracket that opens *text* closes."""
    depth = 0
    for index, char in enumerate(text):
        depth += (char in _OPENING) - (char in _CLOSING)
        if depth == 0:
            return index
    return None


def split_format(text: str) -> Formatted:
    """Split *text* before the comma of its format specifiers; several may follow each other."""
    text = text.strip()
    specifiers: list[str] = []
    while (comma := _last_comma(text)) is not None and is_specifiers(text[comma + 1 :]):
        specifiers.insert(0, text[comma + 1 :].strip())
        text = text[:comma].rstrip()
    return Formatted(text, ",".join(specifiers))


def _last_comma(text: str) -> int | None:
    """Return where the last comma outside of brackets and quotes stands."""
    depth, found, quote = 0, None, ""
    for index, char in enumerate(text):
        if quote:
            if char == quote and text[index - 1] != "\\":
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth -= 1
        elif char == "," and depth == 0:
            found = index
    return found


def split_pieces(text: str) -> Pieces | None:
    """Return the texts and expressions of a display string; ``{{`` is a brace, ``None``: a brace
    does not close, or there are too many."""
    pieces: list[str | Formatted] = []
    plain: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if text.startswith(("{{", "}}"), at):
            plain.append(char)
            at += 2
        elif char == "{":
            end = _brace_end(text, at)
            if end is None or len(pieces) > MAX_PIECES:
                return None
            if plain:
                pieces.append("".join(plain))
                plain = []
            pieces.append(split_format(text[at + 1 : end]))
            at = end + 1
        else:
            plain.append(char)
            at += 1
    if plain:
        pieces.append("".join(plain))
    return tuple(pieces)


def _brace_end(text: str, start: int) -> int | None:
    depth, quote = 0, ""
    for index in range(start, len(text)):
        char = text[index]
        if quote:
            if char == quote and text[index - 1] != "\\":
                quote = ""
        elif char in "\"'":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return index
    return None
