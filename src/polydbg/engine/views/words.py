"""Values as text within display strings, by NatVis' format specifiers.

Without specifiers a value is as ``dx`` prints it. Source: Microsoft's "Format specifiers for C++ in
the Visual Studio debugger".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.engine.views.environment import ViewError
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    Encoding,
    EnumType,
    FunctionType,
    PointerType,
    ScalarType,
)
from polydbg.types.place import in_memory
from polydbg.types.scalars import dx_words, number_of, width_of
from polydbg.types.strings import MAX_STRING, character_type, characters_at
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.views.scope import ViewScope
    from polydbg.engine.views.view_set import ViewSet

MAX_TEXT = 4096
"""Longest display string, in characters; longer ones are cut, with ``...``."""

UNKNOWN = "{...}"
_MAX_ELEMENTS = 8
_VIEW = re.compile(r"view\(([\w ]*)\)")
_RADIX = re.compile(r"(?:nvo)?([xXhHdob])(b)?")
_STRINGS = re.compile(r"(sub|su|s8b|s8|s32b|s32|sb|s|bstr)")
_UNITS = {
    "s": ScalarType("char", 1, Encoding.CHAR),
    "s8": ScalarType("char8_t", 1, Encoding.UTF),
    "su": ScalarType("char16_t", 2, Encoding.UTF),
    "bstr": ScalarType("char16_t", 2, Encoding.UTF),
    "s32": ScalarType("char32_t", 4, Encoding.UTF),
}


class Specifiers(msgspec.Struct, frozen=True):
    """Format specifiers, apart: the expression for a count, the name of a view, the rest."""

    count: str = ""
    view: str = ""
    is_raw: bool = False
    string: str = ""
    radix: str = ""
    no_address: bool = False
    enum_name: bool = False
    number_only: bool = False
    is_character: bool = False


def read_specifiers(text: str) -> Specifiers:
    """Return what stands behind the comma of an expression."""
    text, count = text.strip(), ""
    if text.startswith("["):
        depth = 0
        for index, char in enumerate(text):
            depth += (char in "[(") - (char in "])")
            if depth == 0:
                count, text = text[1:index], text[index + 1 :]
                break
    elif match := re.match(r"\d+", text):
        count, text = match.group(), text[match.end() :]
    view = _VIEW.search(text)
    text = _VIEW.sub("", text).replace(",", " ")
    words = {"na", "nd", "nr", "en"} & set(re.findall(r"na|nd|nr|en", text))
    rest = re.sub(r"na|nd|nr|en|!", " ", text).strip()
    string = _STRINGS.fullmatch(rest)
    radix = _RADIX.fullmatch(rest)
    return Specifiers(
        count=count,
        view=view[1].strip() if view is not None else "",
        is_raw="!" in text,
        string=string[1] if string is not None else "",
        radix=radix[1] + (radix[2] or "") if radix is not None else "",
        no_address="na" in words,
        enum_name="en" in words,
        number_only=rest.startswith("nvo"),
        is_character=rest == "c",
    )


def words_of(views: ViewSet, value: Value, text: str = "", scope: ViewScope | None = None) -> str:
    """Return *value* as a display string shows it, by the specifiers *text*; a count in them is an
    expression of *scope*.

    :raises DebuggerError: the value cannot be told.
    """
    specifiers = read_specifiers(text) if text else Specifiers()
    for _ in range(_MAX_ELEMENTS):
        bare = value.type.bare
        if not isinstance(bare, PointerType) or not bare.is_reference:
            break
        value = value.target()
    count = None
    if specifiers.count:
        count = scope.number(specifiers.count) if scope is not None else int(specifiers.count, 0)
        if count < 0:
            raise ViewError(f"a length is negative: {count}")
    if specifiers.string:
        return _string(value, specifiers.string, count)
    if count is not None:
        return _elements(views, value, count, specifiers)
    return _plain(views, value, specifiers)


def _plain(views: ViewSet, value: Value, specifiers: Specifiers) -> str:
    bare = value.type.bare
    if isinstance(bare, ScalarType):
        return _scalar(value, bare, specifiers)
    if isinstance(bare, EnumType):
        return _enumeration(value, bare, specifiers)
    if isinstance(bare, PointerType):
        return _pointer(views, value, bare, specifiers)
    if isinstance(bare, ArrayType):
        unit = character_type(bare.element)
        if unit is not None and value.address is not None:
            return _quoted(value, value.address, unit, bare.count, "s")
        return _elements(views, value, bare.count or 0, specifiers)
    if isinstance(bare, CompoundType):
        shown = None if specifiers.is_raw else views.display(value, specifiers.view)
        return UNKNOWN if shown is None else shown
    if isinstance(bare, FunctionType):
        return f"{value.address or 0:#x}"
    return f"{value.bits():#x}"


def _scalar(value: Value, bare: ScalarType, specifiers: Specifiers) -> str:
    if specifiers.is_character:
        value = value.as_type(_UNITS["s"]) if bare.size == 1 else value
        return dx_words(value)
    if not specifiers.radix or bare.encoding in (Encoding.FLOAT, Encoding.COMPLEX):
        if specifiers.number_only and bare.encoding.is_character:
            return str(number_of(value))
        return dx_words(value)
    return _in_radix(value, specifiers.radix)


def _in_radix(value: Value, radix: str) -> str:
    kind, bits, width = radix[0], value.bits(), width_of(value)
    bare_digits = radix.endswith("b") and len(radix) > 1
    if kind == "d":
        return str(int(number_of(value).real))
    if kind == "o":
        return f"0{bits:o}"
    if kind == "b":
        return f"{'' if bare_digits else '0b'}{bits:0{width}b}"
    digits = f"{bits:0{(width + 3) // 4}{'X' if kind in 'XH' else 'x'}}"
    return digits if bare_digits else f"0x{digits}"


def _enumeration(value: Value, bare: EnumType, specifiers: Specifiers) -> str:
    number = number_of(value)
    name = next((each.name for each in bare.enumerators if each.value == number), "")
    if not name or specifiers.number_only:
        return f"{number}"
    shown = sanitise_line(name)
    return shown if specifiers.enum_name else f"{shown} ({number})"


def _pointer(views: ViewSet, value: Value, bare: PointerType, specifiers: Specifiers) -> str:
    address = value.bits()
    shown = "" if specifiers.no_address else f"{address:#x}"
    unit = character_type(bare.target)
    if not address or specifiers.number_only:
        return f"{address:#x}"
    if unit is not None:
        try:
            text = _quoted(value, address, unit, None, "s")
        except MemoryReadError:
            return f"{address:#x}"
        return f"{shown} {text}".strip()
    target = bare.target.bare
    if isinstance(target, CompoundType) and not specifiers.is_raw:
        try:
            inner = views.display(value.target(), specifiers.view)
        except DebuggerError:
            inner = None
        if inner is not None:
            return f"{shown} {inner}".strip()
    elif specifiers.no_address:
        return words_of(views, value.target())
    return shown or UNKNOWN


def _elements(views: ViewSet, value: Value, count: int, specifiers: Specifiers) -> str:
    """Return the first elements of an array in braces."""
    shown: list[str] = []
    is_array = isinstance(value.type.bare, ArrayType)
    for index in range(min(count, _MAX_ELEMENTS)):
        each = value.element(index) if is_array else value.target(index)
        shown.append(_plain(views, each, specifiers))
    if count > _MAX_ELEMENTS:
        shown.append("...")
    return "{" + ", ".join(shown) + "}"


# -- strings -------------------------------------------------------------------------------------


def _string(value: Value, kind: str, count: int | None) -> str:
    """Return the characters at a pointer or in an array, quoted but for ``sb`` and its like."""
    bare = value.type.bare
    address = value.bits() if isinstance(bare, PointerType) else value.address
    element = bare.target if isinstance(bare, PointerType) else None
    if isinstance(bare, ArrayType):
        element = bare.element
        count = bare.count if count is None else count
    own = character_type(element) if element is not None else None
    unit = _UNITS.get(kind.removesuffix("b") if kind != "bstr" else kind, _UNITS["s"])
    if own is not None and own.size == unit.size:
        unit = own
    if address is None:
        from polydbg.types.strings import characters_in

        return f'"{characters_in(value.bytes(), unit, value.around.model)}"'
    if not address and not count:
        return "<NULL>" if count is None else '""'
    return _quoted(value, address, unit, count, kind)


def _quoted(value: Value, address: int, unit: ScalarType, count: int | None, kind: str) -> str:
    around = value.around
    if count is None or isinstance(value.type.bare, ArrayType):
        text = characters_at(around.memory, address, unit, around.model, count)
    else:
        text = counted(value, address, unit, count)
    return text if kind.endswith("b") else f'"{text}"'


def counted(value: Value, address: int, unit: ScalarType, count: int) -> str:
    """Return *count* characters at *address*, zeros among them too, ``...`` behind the
    first :data:`~polydbg.types.strings.MAX_STRING`.

    :raises MemoryReadError: one of these is not in the target's memory.
    """
    around, width = value.around, unit.size
    data = Value(value.type, in_memory(address), around).bytes(min(count, MAX_STRING) * width)
    order = "be" if around.model.order == "big" else "le"
    codec = {1: "utf-8", 2: f"utf-16-{order}", 4: f"utf-32-{order}"}.get(width, "utf-8")
    if width == 1 and around.model.is_microsoft and unit.encoding is not Encoding.UTF:
        codec = "latin-1"
    text = data.decode(codec, "backslashreplace")
    return sanitise_line(text) + ("..." if count > MAX_STRING else "")
