"""Zero-terminated strings of any character type, as the debugger shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydbg.base.errors import MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.types.model import Encoding, ScalarType, Type

if TYPE_CHECKING:
    from polydbg.types.data_model import DataModel
    from polydbg.types.value import Memory

MAX_STRING = 512
"""Characters of a string that are shown at most."""

_MAX_UNPRINTABLE = 3
_WIDTHS = (1, 2, 4)
_BLOCK = 256


def character_type(type_: Type) -> ScalarType | None:
    """Return what stands behind typedefs where arrays of it and pointers to it are texts, else
    ``None``. Characters have 1, 2 or 4 bytes: what claims another size is none."""
    bare = type_.bare
    if isinstance(bare, ScalarType) and bare.encoding.is_character and bare.size in _WIDTHS:
        return bare
    return None


def characters_at(
    memory: Memory, address: int, unit: ScalarType, model: DataModel, count: int | None = None
) -> str:
    """Return the text of the zero-terminated string of *unit* characters at *address*, at most
    *count* of them (``None``: no array ends it), ``...`` behind one longer than :data:`MAX_STRING`.

    A string ends where memory does. :raises MemoryReadError: its first character is not there.
    """
    width = max(unit.size, 1)
    limit = MAX_STRING if count is None else min(count, MAX_STRING)
    data = bytearray()
    while len(data) < limit * width:
        step = min(limit * width - len(data), _BLOCK - (address + len(data)) % _BLOCK)
        try:
            block = memory.read(address + len(data), step)
        except MemoryReadError as error:
            block = _up_to(memory, address + len(data), error.address)
            data += block
            if len(data) < width:
                raise
            break
        data += block
        if _end(data, width) is not None:
            break
    return characters_in(bytes(data), unit, model, is_cut=count is None or count > limit)


def _up_to(memory: Memory, address: int, missing: int) -> bytes:
    """Return the bytes from *address* on to the first *missing* one."""
    if missing <= address:
        return b""
    try:
        return memory.read(address, missing - address)
    except MemoryReadError:
        return b""


def characters_in(data: bytes, unit: ScalarType, model: DataModel, *, is_cut: bool = False) -> str:
    """Return the text of the *unit* characters in *data* up to a zero, ``?`` for what cannot be
    printed; *is_cut* tells that a string without a zero goes on behind *data*."""
    width = max(unit.size, 1)
    end = _end(data, width)
    more = is_cut and end is None and len(data) >= MAX_STRING * width
    decoded = _decoded(data[:end] if end is not None else data, unit, model)
    text, is_whole = _printable(decoded)
    return f"{text}..." if more and is_whole else text


def _end(data: bytes | bytearray, width: int) -> int | None:
    if width == 1:
        at = data.find(0)
        return at if at >= 0 else None
    zero = bytes(width)
    return next(
        (at for at in range(0, len(data) - width + 1, width) if data[at : at + width] == zero), None
    )


def _decoded(data: bytes, unit: ScalarType, model: DataModel) -> str:
    order = "be" if model.order == "big" else "le"
    if unit.size == 2:
        return data[: len(data) & ~1].decode(f"utf-16-{order}", "replace")
    if unit.size == 4:
        return data[: len(data) & ~3].decode(f"utf-32-{order}", "replace")
    if model.is_microsoft and unit.encoding is not Encoding.UTF:
        return data.decode("latin-1")
    return data.decode("utf-8", "replace")


def _printable(text: str) -> tuple[str, bool]:
    """Return *text* with ``?`` for what is not printable, and whether that is all of it.

    The engine takes three such characters in a row as a sign that there is no text, and stops.
    """
    if text.isprintable() and "\ufffd" not in text:
        return sanitise_line(text), True
    shown: list[str] = []
    bad = 0
    for char in text:
        bad = 0 if char.isprintable() and char != "\ufffd" else bad + 1
        shown.append("?" if bad else char)
        if bad == _MAX_UNPRINTABLE:
            return sanitise_line("".join(shown)), False
    return sanitise_line("".join(shown)), True
