"""The methods of strings, and ``ToDisplayString`` of any object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from polydbg.engine.model.objects import DataObject, Method, ModelError, TextObject
from polydbg.expr.dx.specifiers import PLAIN, read_specifiers

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext

MAX_TEXT = 1 << 16
"""Longest string that a method makes, and the greatest position in one, in characters."""

MAX_JOINED_TEXT = MAX_TEXT * 16
"""Longest string that ``+`` and ``Replace`` make: one that is doubled often fills the memory."""


class _Call:
    """A method called on the text *value* with *arguments*."""

    def __init__(
        self, context: ModelContext, value: str, arguments: tuple[DataObject, ...]
    ) -> None:
        self.context = context
        self.value = value
        self._arguments = arguments

    def text(self, index: int = 0, default: str | None = None) -> str:
        """Return an argument that is a string. :raises ModelError: it is none."""
        if index >= len(self._arguments) and default is not None:
            return default
        found = self.context.as_text(self._arguments[index])
        if found is None:
            raise ModelError("a string is needed", identifier="model.no-text")
        return found

    def number(self, index: int, default: int = MAX_TEXT) -> int:
        """Return an argument that is a position or a length. :raises ModelError: it is none."""
        if index >= len(self._arguments):
            return default
        found = self.context.integer(self._arguments[index])
        if not 0 <= found <= MAX_TEXT:
            raise ModelError("the number is out of range", identifier="model.range")
        return found


def _padded(call: _Call, *, left: bool) -> str:
    width, fill = call.number(0), call.text(1, " ")[:1] or " "
    return call.value.rjust(width, fill) if left else call.value.ljust(width, fill)


def _removed(call: _Call) -> str:
    start = call.number(0)
    return call.value[:start] + call.value[start + call.number(1) :]


def _replaced(call: _Call) -> str:
    wanted, other = call.text(), call.text(1)
    if len(call.value) * max(len(other), 1) > MAX_JOINED_TEXT:
        raise ModelError("the string would be too long", identifier="model.range")
    return call.value.replace(wanted, other) if wanted else call.value


def _substring(call: _Call) -> str:
    start = call.number(0)
    return call.value[start : start + call.number(1)]


_METHODS: tuple[tuple[str, str, int, int, Callable[[_Call], str | bool | int]], ...] = (
    ("Contains(OtherString)", "whether the string contains another", 1, 1,
     lambda call: call.text() in call.value),
    ("EndsWith(OtherString)", "whether the string ends with another", 1, 1,
     lambda call: call.value.endswith(call.text())),
    ("StartsWith(OtherString)", "whether the string starts with another", 1, 1,
     lambda call: call.value.startswith(call.text())),
    ("IndexOf(OtherString)", "where another string is first in the string, or -1", 1, 1,
     lambda call: call.value.find(call.text())),
    ("LastIndexOf(OtherString)", "where another string is last in the string, or -1", 1, 1,
     lambda call: call.value.rfind(call.text())),
    ("PadLeft(TotalWidth, [Character])", "the string with characters in front of it", 1, 2,
     lambda call: _padded(call, left=True)),
    ("PadRight(TotalWidth, [Character])", "the string with characters behind it", 1, 2,
     lambda call: _padded(call, left=False)),
    ("Remove(StartPos, [Length])", "the string without a part of it", 1, 2, _removed),
    ("Replace(OldString, NewString)", "the string with another one for each that is equal to one",
     2, 2, _replaced),
    ("Substring(StartPos, [Length])", "a part of the string", 1, 2, _substring),
    ("ToLower()", "the string in lower case", 0, 0, lambda call: call.value.lower()),
    ("ToUpper()", "the string in upper case", 0, 0, lambda call: call.value.upper()),
)  # fmt: skip
"""Signature, what the method returns, how many arguments it takes at least and at most."""


def text_methods(context: ModelContext, text: TextObject) -> Mapping[str, Method]:
    """Return the methods of *text* by name."""
    made = (
        Method(signature, f"Method which returns {words}", _bound(context, text, do), low, high)
        for signature, words, low, high, do in _METHODS
    )
    return {each.name: each for each in made}


def _bound(
    context: ModelContext, text: TextObject, do: Callable[[_Call], str | bool | int]
) -> Callable[[tuple[DataObject, ...]], DataObject]:
    def call(arguments: tuple[DataObject, ...]) -> DataObject:
        found = do(_Call(context, text.value, arguments))
        if isinstance(found, str):
            return context.text(found[:MAX_TEXT])
        if isinstance(found, bool):
            return context.truth_value(found)
        return context.scalar(found, "long long")

    return call


def to_display_string(context: ModelContext, object_: DataObject) -> Method:
    """Return the method that makes an object's value into a string."""

    def call(arguments: tuple[DataObject, ...]) -> DataObject:
        asked = context.as_text(arguments[0]) if arguments else ""
        how = read_specifiers(f",{asked}") if asked else PLAIN
        return context.text(object_.words(how) or "")

    return Method(
        "ToDisplayString([FormatSpecifier])",
        "Method which converts the object to its display string representation according to an "
        "optional format specifier",
        call,
        0,
        1,
    )
