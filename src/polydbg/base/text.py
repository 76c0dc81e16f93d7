"""The one sanitiser: strings from files and targets, made harmless for a terminal."""

from __future__ import annotations

import re

# C0 except tab and newline, DEL, C1, and what can reorder or hide text (bidi controls, zero-width
# characters, line and paragraph separators, the byte-order mark, unpaired surrogates).
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_UNSAFE_IN_LINE = re.compile(_UNSAFE.pattern[:-1] + "\t\n]")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def sanitise(text: str) -> str:
    """Return *text* with control, bidi and escape characters as ``\\xNN``; lines stay."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def sanitise_line(text: str) -> str:
    """Return *text* fit to stand inside one line: newlines and tabs are escaped too."""
    return text if text.isprintable() and text.isascii() else _UNSAFE_IN_LINE.sub(_escape, text)


def address_text(value: int, pointer_size: int = 8) -> str:
    """Return an address as WinDbg prints it: ``00007ff6`1b401570``, or 8 digits.

    One that 32 bits do not hold, sign-extended or not, is shown whole in 32-bit sessions too: the
    64-bit side of a WOW64 process has such.
    """
    value &= 0xFFFFFFFFFFFFFFFF
    if pointer_size == 4 and (value < 1 << 32 or value >= 0xFFFFFFFF80000000):
        return f"{value & 0xFFFFFFFF:08x}"
    return f"{value >> 32:08x}`{value & 0xFFFFFFFF:08x}"


def size_text(size: int) -> str:
    """Return a size in bytes for people: ``812 bytes``, ``40.1 MB`` (of 1024 x 1024 bytes)."""
    if size < 1024:
        return f"{size} bytes"
    value, unit = size / 1024, "KB"
    for larger in ("MB", "GB", "TB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}"
