"""The fields that ``dt`` is asked for: ``id``, ``items[1].price``, ``flags.``; ``-y``."""

from __future__ import annotations

import re

import msgspec

from polydbg.base.wildcards import compile_wildcard, is_wildcard

_STEP = re.compile(r"(?P<name>[^.\[\]]+?)(?:\[(?P<index>\d{1,18})\])?(?:->|\.|\Z)")
MAX_STEPS = 64


class Step(msgspec.Struct, frozen=True):
    """A name on the way to a field, and the element wanted of an array."""

    name: str
    index: int | None = None


class Field(msgspec.Struct, frozen=True):
    """A field as it was asked for in *text*: the *steps* that lead there, the first one next.
    *opened* is how many levels below it are wanted (dots at the end); with *is_prefix* names need
    only begin like the steps."""

    text: str
    steps: tuple[Step, ...]
    opened: int = 0
    is_prefix: bool = False

    def matches(self, name: str) -> bool:
        """Tell whether a member of that name is the next step."""
        wanted = self.steps[0].name
        if self.is_prefix:
            return name.lower().startswith(wanted.lower())
        if is_wildcard(wanted):
            return compile_wildcard(wanted, symbols=False).fullmatch(name) is not None
        return name == wanted

    @property
    def is_last(self) -> bool:
        return len(self.steps) == 1

    def behind(self) -> Field:
        """Return what is asked for of the member that the first step found."""
        return msgspec.structs.replace(self, steps=self.steps[1:])


def field_of(text: str, *, is_prefix: bool) -> Field | None:
    """Return the field that *text* asks for, ``None`` where it is not spelled like one."""
    path = text.rstrip(".")
    opened = len(text) - len(path)
    steps: list[Step] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) >= MAX_STEPS:
            return None
        index = found["index"]
        steps.append(Step(found["name"], int(index) if index is not None else None))
        at = found.end()
    if not steps:
        return None
    return Field(text, tuple(steps), min(opened, MAX_STEPS), is_prefix)
