"""Turns capstone's text of ARM64 instructions into WinDbg's.

Differences: no blank after commas, immediates in upper-case hex (``#0x9E0``, single digits
without prefix), targets of branches and of ``adr``/``adrp`` as symbol and address.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from polydbg.base.text import address_text

Symbolizer = Callable[[int], str | None]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IMMEDIATE = re.compile(r"#(-?)(0x[0-9a-f]+|[0-9]+)(?![\w.])")
_TARGET = re.compile(r"#-?(?:0x[0-9a-f]+|[0-9]+)")
_TARGET_LAST = _words("b bl cbz cbnz tbz tbnz adr adrp")


class Arm64Text:
    """The rewriter for AArch64."""

    def address(self, value: int) -> str:
        """Return an address as in the first column: 16 digits with a backtick."""
        return address_text(value)

    def rewrite(
        self,
        data: bytes,
        address: int,
        mnemonic: str,
        operands: str,
        symbolize: Symbolizer | None,
    ) -> tuple[str, str]:
        """Return WinDbg's mnemonic and operands for capstone's of the instruction *data*."""
        del data, address
        if not operands:
            return mnemonic, ""
        parts = operands.split(", ")
        target = ""
        branch = mnemonic in _TARGET_LAST or mnemonic.startswith(("b.", "bc."))
        if branch and _TARGET.fullmatch(parts[-1]):  # not the vector form of adr
            value = int(parts.pop().lstrip("#"), 0) & 0xFFFFFFFFFFFFFFFF
            name = symbolize(value) if symbolize is not None else None
            target = f"{name} ({self.address(value)})" if name else self.address(value)
        texts = [immediates_as_hex(part) for part in parts]
        if target:
            texts.append(target)
        return mnemonic.replace("b.", "b", 1) if mnemonic.startswith("b.") else mnemonic, ",".join(
            texts
        )


def immediates_as_hex(text: str) -> str:
    """Return *text* with its immediates in the engine's notation: ``#0x9E0``, ``#5``."""
    return _IMMEDIATE.sub(_immediate, text)


def _immediate(match: re.Match[str]) -> str:
    value = int(match.group(2), 0)
    text = str(value) if value < 10 else f"0x{value:X}"
    return f"#{match.group(1)}{text}"
