"""Objects of the data model as rows: ``dx`` in WinDbg's shapes (command-language reference, 10.4).

A name is padded to 16, behind it ``: value`` where there is one and ``[Type: T]`` for native
objects; four blanks for each level.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.output import Hex, Item
from polydbg.engine.model.context import ModelContext
from polydbg.engine.model.evaluator import methods_of
from polydbg.engine.model.native import NativeObject
from polydbg.engine.model.objects import (
    UNAVAILABLE,
    DataObject,
    ErrorObject,
    Method,
    Part,
    Sequence,
    error_words,
)
from polydbg.expr.dx.specifiers import PLAIN, Specifiers
from polydbg.types.place import ValueUnavailableError

NAME_WIDTH = 16
MORE = "[...]"
MAX_SHOWN = 100
"""Elements of one object that are shown at once; ``-c`` shows those behind them."""

MAX_LEVELS = 32
"""Deepest recursion of ``-r``."""

MAX_ROWS = 100_000
"""Rows of one command: lists that lead back to themselves have no end."""


class ModelRow(Item, frozen=True):
    """An object of the data model: *value* in words, ``None`` where it has none; *type_name* is
    that of native objects. *path* is an expression that leads to it, ``""`` where none does.

    *offset* is that of a field in bytes, of a static member (*is_static*) its address; *bits* the
    highest and lowest bit of a bit field. *level* counts from 0, the object that was asked for.
    *kind* is ``native``, ``model``, ``error``, ``method`` or ``more``; *problem* says why a value
    is not available.
    """

    name: str
    value: str | None
    type_name: str
    path: str
    level: int
    kind: str
    offset: Hex | None = None
    bits: tuple[int, int] | None = None
    is_static: bool = False
    is_expandable: bool = False
    problem: str = ""

    def text(self) -> str:
        indent = "    " * self.level
        if self.kind == "method":
            return f"{indent}{self.name:<{NAME_WIDTH}} [{self.value}]"
        type_ = f" [Type: {self.type_name}]" if self.type_name else ""
        if not self.name:
            return indent + f"{self.value or ''}{type_}".lstrip()
        line = f"{indent}{self._bracket()}{self.name:<{NAME_WIDTH}}"
        value = f" : {self.value}" if self.value is not None else ""
        return f"{line}{value}{type_}"

    def _bracket(self) -> str:
        if self.offset is None:
            return ""
        if self.is_static:
            return f"[={self.offset:#x}] "
        if self.bits is None:
            return f"[+0x{self.offset:03x}] "
        return f"[+0x{self.offset:03x} ({self.bits[0]:2}:{self.bits[1]:2})] "


class RowOptions(msgspec.Struct, frozen=True):
    """*levels* below the object itself; *skip* elements left out at the first level (``-c``);
    *verbose* shows methods and hidden parts."""

    levels: int = 1
    skip: int = 0
    verbose: bool = False


class ModelRows:
    """Makes rows of objects. The first object keeps its format specifiers; parts have their own."""

    def __init__(self, context: ModelContext, options: RowOptions, cancel: CancelToken) -> None:
        self._context = context
        self._options = options
        self._cancel = cancel
        self._count = 0

    def rows(self, object_: DataObject, name: str, path: str, how: Specifiers) -> Iterator[Item]:
        """Yield the rows of an object that was asked for by *name*; *path* leads to it, ready to
        have ``.`` or ``[`` behind it.

        :raises DebuggerError: the object itself cannot be read.
        """
        if isinstance(object_, ErrorObject):
            raise object_.error
        if isinstance(object_, NativeObject):
            object_ = object_.seen_as(how)
        part = Part(name, lambda: object_, lambda parent: parent)
        try:
            words, problem = object_.words(how), ""
        except ValueUnavailableError as error:
            words, problem = UNAVAILABLE, error.message
        yield self._row(object_, part, path, how, 0, words, problem)
        yield from self._below(object_, path, how, 1)

    def _below(self, object_: DataObject, path: str, how: Specifiers, level: int) -> Iterator[Item]:
        """Yield the rows of the parts of an object, and of theirs."""
        if level > min(self._options.levels, MAX_LEVELS):
            return
        if isinstance(object_, NativeObject) and (problem := object_.problem(how)):
            yield _error_row(problem, level, "[view]")
        inner = _for_parts(how)
        elements = 0
        try:
            for part in self._parts(object_, how, self._options.skip if level == 1 else 0):
                self._cancel.check()
                elements += part.is_element
                if elements > self._limit(how) or self._count >= MAX_ROWS:
                    yield more_row(path, level)
                    break
                yield from self._part(part, path, inner, level)
        except DebuggerError as error:
            yield _error_row(error_words(error), level)
        if self._options.verbose:
            yield from self._methods(object_, path, level)

    def _parts(self, object_: DataObject, how: Specifiers, skip: int) -> Iterator[Part]:
        """Return the parts to show; behind *skip* elements there are elements only."""
        parts: Iterator[Part] | None = None
        if skip and isinstance(object_, NativeObject):
            parts = object_.elements_from(skip, how)
        if parts is None:
            parts = (
                each for each in object_.parts(how) if not each.is_hidden or self._options.verbose
            )
            parts = islice((each for each in parts if each.is_element or not skip), skip, None)
        return parts

    @staticmethod
    def _limit(how: Specifiers) -> int:
        return max(how.count, MAX_SHOWN) if how.count is not None else MAX_SHOWN

    def _part(self, part: Part, parent: str, how: Specifiers, level: int) -> Iterator[Item]:
        path = part.path_from(parent)
        object_, words, problem = _loaded(part, how)
        yield self._row(object_, part, path, how, level, words, problem)
        if not isinstance(object_, ErrorObject):
            yield from self._below(object_, path, how, level + 1)

    def _row(
        self,
        object_: DataObject,
        part: Part,
        path: str,
        how: Specifiers,
        level: int,
        words: str | None,
        problem: str = "",
    ) -> ModelRow:
        self._count += 1
        if isinstance(object_, Method):
            return method_row(object_, part.name, path, level)
        kind = "native" if isinstance(object_, NativeObject) else "model"
        return ModelRow(
            name=sanitise_line(part.name),
            value=words,
            type_name=object_.type_name,
            path=path + part.suffix if path else "",
            level=level,
            kind="error" if isinstance(object_, ErrorObject) else kind,
            offset=part.offset,
            bits=part.bits,
            is_static=part.is_static,
            problem=problem,
            is_expandable=_has_parts(object_, how),
        )

    def _methods(self, object_: DataObject, path: str, level: int) -> Iterator[Item]:
        for name, method in methods_of(self._context, object_).items():
            yield method_row(method, name, f"{path}.{name}", level)


def method_row(method: Method, name: str, path: str, level: int) -> ModelRow:
    """Return ``Name  [Signature - description]``."""
    return ModelRow(
        name=name,
        value=f"{method.signature} - {method.description}",
        type_name="",
        path=path,
        level=level,
        kind="method",
    )


def more_row(path: str, level: int) -> ModelRow:
    """Return the row that tells that there is more; *path* is that of the object."""
    return ModelRow(name=MORE, value=None, type_name="", path=path, level=level, kind="more")


def _error_row(words: str, level: int, name: str = "") -> ModelRow:
    return ModelRow(name=name, value=words, type_name="", path="", level=level, kind="error")


def _loaded(part: Part, how: Specifiers) -> tuple[DataObject, str | None, str]:
    """Return the object of a part, its value in words, and why that is not available. What is
    available no more is still of its type."""
    try:
        object_ = part.load()
        if isinstance(object_, NativeObject):
            object_ = object_.seen_as(how)
    except DebuggerError as error:
        object_ = ErrorObject(error)
        return object_, object_.words(), ""
    try:
        return object_, object_.words(how), ""
    except ValueUnavailableError as error:
        return object_, UNAVAILABLE, error.message
    except DebuggerError as error:
        object_ = ErrorObject(error)
        return object_, object_.words(), ""


def _has_parts(object_: DataObject, how: Specifiers) -> bool:
    if isinstance(object_, Sequence):
        return True  # its first element may be far to seek
    try:
        return next(iter(object_.parts(how)), None) is not None
    except DebuggerError:
        return False


def _for_parts(how: Specifiers) -> Specifiers:
    """Return the specifiers that the parts of an object have: its base, and what is left aside."""
    if how is PLAIN:
        return how
    return Specifiers(
        base=how.base, is_static=how.is_static, is_raw=how.is_raw, names_only=how.names_only
    )
