"""The methods of strings, and ``ToDisplayString`` of any object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from polydbg.engine.model.objects import DataObject, Method, ModelError, TextObject
from polydbg.expr.dx.specifiers import PLAIN, read_specifiers

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext

MAX_TEXT = 1 << 16
"""Longest string that a method makes, in characters."""


def text_methods(context: ModelContext, text: TextObject) -> Mapping[str, Method]:
    """Return the methods of *text*."""
    value = text.value

    def other(arguments: tuple[DataObject, ...], index: int = 0) -> str:
        found = context.as_text(arguments[index])
        if found is None:
            raise ModelError("a string is needed", identifier="model.no-text")
        return found

    def number(arguments: tuple[DataObject, ...], index: int) -> int:
        found = context.integer(arguments[index])
        if not 0 <= found <= MAX_TEXT:
            raise ModelError("the number is out of range", identifier="model.range")
        return found

    def padded(arguments: tuple[DataObject, ...], justify: Callable[..., str]) -> DataObject:
        fill = other(arguments, 1) if len(arguments) > 1 else " "
        return context.text(justify(number(arguments, 0), fill[:1] or " "))

    def substring(arguments: tuple[DataObject, ...]) -> DataObject:
        start = number(arguments, 0)
        end = start + number(arguments, 1) if len(arguments) > 1 else len(value)
        return context.text(value[start:end])

    def removed(arguments: tuple[DataObject, ...]) -> DataObject:
        start = number(arguments, 0)
        end = start + number(arguments, 1) if len(arguments) > 1 else len(value)
        return context.text(value[:start] + value[end:])

    def replaced(arguments: tuple[DataObject, ...]) -> DataObject:
        wanted = other(arguments)
        made = value.replace(wanted, other(arguments, 1)) if wanted else value
        return context.text(made[:MAX_TEXT])

    truth, text_, signed = context.truth_value, context.text, "long long"
    methods = (
        Method("Contains(OtherString)", "Method which returns whether the string contains another",
               lambda a: truth(other(a) in value), 1, 1),
        Method("EndsWith(OtherString)", "Method which returns whether the string ends with another",
               lambda a: truth(value.endswith(other(a))), 1, 1),
        Method("StartsWith(OtherString)",
               "Method which returns whether the string starts with another",
               lambda a: truth(value.startswith(other(a))), 1, 1),
        Method("IndexOf(OtherString)",
               "Method which returns the index of the first occurrence of another string, or -1",
               lambda a: context.scalar(value.find(other(a)), signed), 1, 1),
        Method("LastIndexOf(OtherString)",
               "Method which returns the index of the last occurrence of another string, or -1",
               lambda a: context.scalar(value.rfind(other(a)), signed), 1, 1),
        Method("PadLeft(TotalWidth, [Character])", "Method which right aligns the string",
               lambda a: padded(a, value.rjust), 1, 2),
        Method("PadRight(TotalWidth, [Character])", "Method which left aligns the string",
               lambda a: padded(a, value.ljust), 1, 2),
        Method("Remove(StartPos, [Length])", "Method which removes a part of the string",
               removed, 1, 2),
        Method("Replace(OldString, NewString)", "Method which replaces all that equals a string",
               replaced, 2, 2),
        Method("Substring(StartPos, [Length])", "Method which returns a part of the string",
               substring, 1, 2),
        Method("ToLower()", "Method which returns the string in lower case",
               lambda a: text_(value.lower())),
        Method("ToUpper()", "Method which returns the string in upper case",
               lambda a: text_(value.upper()[:MAX_TEXT])),
    )  # fmt: skip
    return {each.name: each for each in methods}


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
