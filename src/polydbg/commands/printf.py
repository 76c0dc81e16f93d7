"""``.printf``: text with values by a format, as C's function of that name and then some."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import ClassVar

from polydbg.base.errors import CommandError, MemoryReadError
from polydbg.base.text import address_text, sanitise
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item
from polydbg.commands.registry import command
from polydbg.engine.target_strings import counted_string, terminated_string
from polydbg.expr.numbers import to_signed

MAX_WIDTH = 1000
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "", "b": "", "0": ""}
_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<length>I64|I32|I|ll|l|h)?"
    r"(?P<kind>msa|msu|ma|mu|ly|[diuoxXcCpNyYafegGEsS%])?"
)
_STRINGS = {
    "ma": (terminated_string, False), "mu": (terminated_string, True),
    "msa": (counted_string, False), "msu": (counted_string, True),
}  # fmt: skip
_TAG = re.compile(r"</?(?:b|i|u|col|link|exec|altlink)\b[^<>]*>|<\?[^<>]*\?>")


class Printed(Item, frozen=True):
    """What ``.printf`` prints; it ends its line only where the format says so."""

    ends_line: ClassVar[bool] = False

    value: str

    def text(self) -> str:
        return self.value


@command(
    ".printf",
    summary="Print values by a format.",
    syntax='.printf [/D] "format", expression, ...    %d %i %u %x %X %o %c %p %N, %I64x, %f %e %g, '
    "%y (symbol), %ly (with its line), %ma %mu %msa %msu (strings of the target)",
    example='.printf "%y calls with %d\\n", @rip, @ecx',
    family="control",
)
def printf(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    is_markup = False
    while option := cursor.match(r"[ \t]*/(D|o[dDeEnpPsvwW]*)(?=[ \t])"):
        is_markup |= option[1] == "D"
    cursor.skip_blanks()
    found = cursor.match(r'"((?:[^"\\]|\\.)*)"')
    if found is None:
        cursor.position += 1
        raise cursor.error("Quotes required", hint='.printf "%d\\n", @eax')
    text = _unescaped(found[1])
    shown: list[str] = []
    error: CommandError | None = None
    try:
        for part in _parts(ctx, cursor, text):
            shown.append(part)
    except CommandError as failure:
        error = failure
    value = "".join(shown)
    if value:
        yield Printed(value=sanitise(_TAG.sub("", value) if is_markup else value))
    if error is not None:
        raise error


def _unescaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        return _ESCAPES.get(found[2], found[2])

    return re.sub(r"\\(?:x([0-9a-fA-F]{1,2})|(.))", character, text)


def _parts(ctx: CommandContext, cursor: Cursor, text: str) -> Iterator[str]:
    at = 0
    for found in _CONVERSION.finditer(text):
        yield text[at : found.start()]
        at = found.end()
        kind = found["kind"]
        if kind is None:
            raise CommandError(
                "Unknown format control character", identifier="printf.format",
                hint=".help .printf lists them",
            )  # fmt: skip
        if kind == "%":
            yield "%"
            continue
        if not cursor.match(r"[ \t]*,"):
            raise cursor.error("Comma expected", hint=f"a value for {found.group()} is missing")
        yield _aligned(found, _converted(ctx, found, ctx.expression(cursor)))
    yield text[at:]


def _converted(ctx: CommandContext, found: re.Match[str], value: int) -> str:
    kind = found["kind"]
    if kind in _STRINGS:
        read, wide = _STRINGS[kind]
        try:
            return read(ctx.system, value, wide=wide)
        except MemoryReadError:
            return "<Win32 error 0n30>"  # the engine's: the read failed
    if kind in "sSaY":
        raise CommandError("Unsupported format type", identifier="printf.format",
                           hint="%ma and %mu print strings of the target")  # fmt: skip
    if kind in ("y", "ly"):
        return _symbol(ctx, value, with_line=kind == "ly")
    if kind in "pN":
        digits = 2 * ctx.system.pointer_size if kind == "p" else 16
        return f"{value:0{digits}x}" if kind == "p" else f"{value:0{digits}X}"
    if kind in "cC":
        return chr(value & 0xFF) if kind == "c" else chr(value & 0xFFFF)
    if kind in "fegGE":
        number = struct.unpack("<d", struct.pack("<Q", value & (1 << 64) - 1))[0]
        precision = min(int(found["precision"] or 6), MAX_WIDTH)
        return f"{number:{'+' if '+' in found['flags'] else ''}.{precision}{kind}}"
    return _integer(found, value)


def _integer(found: re.Match[str], value: int) -> str:
    """Return a whole number: of 32 bits, unless the format says 64."""
    kind, flags = found["kind"], found["flags"]
    bits = {"I64": 64, "ll": 64, "h": 16}.get(found["length"] or "", 32)
    value &= (1 << bits) - 1
    sign = ""
    if kind in "di":
        signed = to_signed(value << 64 - bits & (1 << 64) - 1) >> 64 - bits
        sign = "-" if signed < 0 else "+" if "+" in flags else " " if " " in flags else ""
        digits = str(abs(signed))
    else:
        digits = {"u": f"{value}", "x": f"{value:x}", "X": f"{value:X}", "o": f"{value:o}"}[kind]
        if "#" in flags and kind in "xX" and value:
            sign = f"0{kind}"
    if found["precision"] is not None:
        digits = digits.rjust(min(int(found["precision"] or 0), MAX_WIDTH), "0")
    elif "0" in flags and "-" not in flags:
        digits = digits.rjust(min(int(found["width"] or 0), MAX_WIDTH) - len(sign), "0")
    return sign + digits


def _aligned(found: re.Match[str], text: str) -> str:
    width = min(int(found["width"] or 0), MAX_WIDTH)
    if found["kind"] in _STRINGS and found["precision"]:
        text = text[: int(found["precision"])]
    return text.ljust(width) if "-" in found["flags"] else text.rjust(width)


def _symbol(ctx: CommandContext, address: int, *, with_line: bool) -> str:
    system = ctx.system
    shown = address_text(address, system.pointer_size)
    place = system.modules.place(address)
    text = f"{place.text} ({shown})" if place.module or place.unloaded else shown
    row = system.modules.line_at(address) if with_line else None
    return f"{text} [{row.file} @ {row.line}]" if row is not None else text
