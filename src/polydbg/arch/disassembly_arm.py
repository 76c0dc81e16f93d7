"""Turns capstone's text of ARM and Thumb instructions into WinDbg's, and says where they lead.

As for ARM64: no blank after commas, upper-case hex, targets as symbol and address. Register lists
are ranges (``{r4-r7,lr}``) and the suffix of the wide form is left away. No dump at hand shows the
engine's own listing of such code: the shapes are those of listings that people publish.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from polydbg.arch.disassembly_arm64 import immediates_as_hex
from polydbg.base.text import address_text

Symbolizer = Callable[[int], str | None]

_NUMBERED = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12"}
_ALIAS = re.compile(r"\b(?:sb|sl|fp|ip)\b")
_LIST = re.compile(r"\{([^}]*)\}")
_TARGET = re.compile(r"#0x[0-9a-f]+|#[0-9]+")
_CONDITION = "(?:eq|ne|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|cs|cc)"
_DIRECT = re.compile(rf"(?:bl?|blx){_CONDITION}?|cbn?z")
_CALL = re.compile(rf"blx?{_CONDITION}?")
_BRANCH = re.compile(rf"b{_CONDITION}|cbn?z|bx{_CONDITION}")


class ArmText:
    """The rewriter for A32 and T32."""

    def address(self, value: int) -> str:
        """Return an address as in the first column: 8 digits."""
        return address_text(value, 4)

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
        name = mnemonic.removesuffix(".w")
        text = _ALIAS.sub(lambda match: _NUMBERED[match.group()], operands)
        target = ""
        head, _, last = text.rpartition(", ")
        if _DIRECT.fullmatch(name) and _TARGET.fullmatch(last):
            value = int(last[1:], 0) & 0xFFFFFFFF
            symbol = symbolize(value) if symbolize is not None else None
            target = f"{symbol} ({self.address(value)})" if symbol else self.address(value)
            text = head
        text = immediates_as_hex(_LIST.sub(_ranges, text).replace(", ", ","))
        return name, ",".join(part for part in (text, target) if part)


def _ranges(match: re.Match[str]) -> str:
    """Return a register list with ranges where three or more follow each other, or two."""
    shown: list[tuple[str, str]] = []
    for name in match.group(1).split(", "):
        if shown and _follows(shown[-1][1], name):
            shown[-1] = (shown[-1][0], name)
        else:
            shown.append((name, name))
    return "{" + ",".join(a if a == b else f"{a}-{b}" for a, b in shown) + "}"


def _follows(before: str, name: str) -> bool:
    if before[:1] != name[:1] or not before[1:].isdecimal() or not name[1:].isdecimal():
        return False
    return int(name[1:]) == int(before[1:]) + 1


def flow_of(mnemonic: str, operands: str) -> tuple[str, str]:
    """Return the kind of flow (as :class:`polydbg.arch.disassembly.FlowKind` names it) of an
    instruction in capstone's text, and the operand that says where it goes, ``""`` for none."""
    name = mnemonic.removesuffix(".w")
    last = operands.rpartition(", ")[2]
    if (name == "bx" and operands == "lr") or _loads_pc(name, operands):
        return "return", ""
    if name in ("b", "bx", "tbb", "tbh") or (name.startswith("mov") and operands[:3] == "pc,"):
        return "jump", last
    if name.startswith("ldr") and operands.startswith("pc,"):
        return "jump", ""
    if _BRANCH.fullmatch(name):
        return "branch", last
    if _CALL.fullmatch(name):
        return "call", last
    return ("stop", "") if name in ("udf", "trap") else ("next", "")


def _loads_pc(name: str, operands: str) -> bool:
    """Return whether a return address is taken off the stack into pc."""
    if name == "pop" or (name.startswith("ldm") and operands.startswith("sp!")):
        return "pc}" in operands
    return name == "ldr" and operands.startswith("pc, [sp], ")
