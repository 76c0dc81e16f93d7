"""Rows of ``ArrayItems`` and ``IndexListItems``: any of them can be reached at once."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.engine.views.display import chosen
from polydbg.engine.views.environment import ViewError
from polydbg.engine.views.scope import ViewScope
from polydbg.engine.views.words import read_specifiers
from polydbg.formats.natvis.model import ArrayItems, Choices, IndexListItems
from polydbg.types.model import ArrayType, PointerType
from polydbg.types.naming import spelled_for_model
from polydbg.types.presentation import Child
from polydbg.types.value import Value

MAX_RANK = 16
_PAGE = 12


def row(name: str, value: Value, specifiers: str = "") -> Child:
    """Return the row of a value, with a path that people can type where it lies in memory."""
    address, path = value.address, ""
    if address is not None and value.type.bare.name:
        path = f"(*(({spelled_for_model(value.type)} *){address:#x}))"
    return Child(name, value, specifiers=specifiers, path=path)


def failure(name: str, error: DebuggerError) -> Child:
    """Return the row that says why there is none."""
    return Child(name, text=f"<{sanitise_line(error.message)}>")


def size_of(scope: ViewScope, sizes: Choices) -> int:
    """Return the size that applies, 0 where none does. :raises DebuggerError: it cannot be told."""
    found = chosen(scope, sizes)
    size = scope.number(found.expression) if found is not None else 0
    if size < 0:
        raise ViewError(f"the size is negative: {size}")
    return size


def with_number(scope: ViewScope, specifiers: str) -> str:
    """Return *specifiers* with the number in place of an expression for the count: who shows the
    row does not know the names in it."""
    count = read_specifiers(specifiers).count
    return specifiers.replace(f"[{count}]", f"[{scope.number(count)}]", 1) if count else specifiers


class Array:
    """The elements of ``ArrayItems``."""

    def __init__(self, scope: ViewScope, part: ArrayItems) -> None:
        self._scope = scope
        self._part = part
        rank = scope.number(part.rank) if part.rank else 1
        if not 0 < rank <= MAX_RANK:
            raise ViewError(f"an array of {rank} dimensions")
        self._sizes = [self._of(part.sizes, index) for index in range(rank)]
        self.total = 1
        for size in self._sizes:
            self.total *= size

    def _of(self, choices: Choices, index: int) -> int:
        return size_of(self._scope.with_index(index), choices)

    def _name(self, at: int, lower: list[int]) -> str:
        """Return ``[1,2]`` for the element *at* in memory."""
        order = range(len(self._sizes))
        indexes = [0] * len(self._sizes)
        for each in reversed(order) if self._part.is_forward else order:
            at, indexes[each] = divmod(at, self._sizes[each] or 1)
        return "[" + ",".join(str(each + low) for each, low in zip(indexes, lower)) + "]"

    def _lower_bounds(self) -> list[int]:
        bounds: list[int] = []
        for index in range(len(self._sizes)):
            scope = self._scope.with_index(index)
            found = chosen(scope, self._part.lower_bounds)
            bounds.append(scope.number(found.expression) if found is not None else 0)
        return bounds

    def rows(self, skip: int) -> Iterator[Child]:
        """Yield the elements from *skip* on, up to the first that memory does not have."""
        if skip >= self.total:
            return
        found = chosen(self._scope, self._part.pointers)
        if found is None:
            return
        pointer = self._scope.evaluate(found.expression)
        bare = pointer.type.bare
        if not isinstance(bare, (ArrayType, PointerType)):
            raise ViewError("ValuePointer is no pointer")
        is_array = isinstance(bare, ArrayType)
        if isinstance(bare, PointerType) and bare.target.size is None:
            raise ViewError("ValuePointer points to what has no size")
        page, lower = -1, self._lower_bounds()
        for index in range(skip, self.total):
            self._scope.environment.begin_row()
            self._scope.environment.step()
            name = self._name(index, lower)
            value = pointer.element(index) if is_array else pointer.target(index)
            if value.address is not None and value.address >> _PAGE != page:
                try:
                    value.around.memory.read(value.address, 1)
                except MemoryReadError as error:
                    yield failure(name, error)
                    return
                page = value.address >> _PAGE
            yield row(name, value, found.specifiers)


def indexed_rows(scope: ViewScope, part: IndexListItems, skip: int) -> Iterator[Child]:
    """Yield what the expression of ``IndexListItems`` gives for each ``$i``, up to the first
    failure."""
    for index in range(skip, size_of(scope, part.sizes)):
        scope.environment.begin_row()
        inner = scope.with_index(index)
        name = f"[{index}]"
        try:
            found = chosen(inner, part.values)
            if found is None:
                continue
            value = inner.evaluate(found.expression)
            specifiers = with_number(inner, found.specifiers)
        except DebuggerError as error:
            yield failure(name, error)
            return
        yield row(name, value, specifiers)
