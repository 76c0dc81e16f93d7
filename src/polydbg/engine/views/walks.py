"""Rows of ``LinkedListItems`` and ``TreeItems``: found from node to node, circles and all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from polydbg.base.errors import DebuggerError
from polydbg.engine.views.arrays import failure, row, size_of, with_number
from polydbg.engine.views.display import text_of
from polydbg.engine.views.environment import ViewError
from polydbg.engine.views.scope import ViewScope
from polydbg.formats.natvis.model import Formatted, LinkedListItems, Pieces, TreeItems
from polydbg.types.model import CompoundType, MemberKind, PointerType, Type
from polydbg.types.place import in_memory
from polydbg.types.presentation import Child
from polydbg.types.value import Value

MAX_NODES = 1 << 20
"""How many nodes of one list or tree are visited."""

MAX_HEIGHT = 1 << 14
"""How high a tree may be."""

CYCLE = "<cycle>"
_MEMBERS = re.compile(r"\w+(?:\.\w+)*\Z")


class _Link:
    """A pointer in each node to another one. Where it is a member of a class without virtual bases,
    it is read where it was in the first node, without evaluating the expression again."""

    def __init__(self, scope: ViewScope, text: str) -> None:
        self._scope = scope
        self._text = text
        self._is_member = _MEMBERS.match(text) is not None
        self._known: dict[Type, tuple[int, PointerType]] = {}

    def follow(self, node: Value) -> Value | None:
        """Return the node that *node*'s pointer leads to, ``None`` for a null pointer.

        :raises DebuggerError: the pointer cannot be told.
        """
        around, address = node.around, node.address
        size = around.model.pointer_size
        known = self._known.get(node.type.bare)
        if known is not None and address is not None:
            self._scope.environment.step()
            data = around.memory.read(address + known[0], size)
            target = int.from_bytes(data, around.model.order)
            return Value(known[1].target, in_memory(target), around) if target else None
        pointer = self._scope.within(node).evaluate(self._text)
        if self._is_member and _has_fixed_layout(node.type):
            self._learn(node, pointer)
        return pointed(pointer)

    def pass_over(self, node: Value, rows: _Rows, most: int, seen: set[int | None]) -> Value | None:
        """Return the node that comes after those that are to be skipped, at most *most* rows from
        the list's start; nothing is evaluated. It ends at nodes of another class, at *seen* ones,
        and where this link is no member.

        :raises DebuggerError: a pointer cannot be read.
        """
        known, address = self._known.get(node.type.bare), node.address
        if known is None or known[1].target.bare is not node.type.bare or address is None:
            return node
        offset, around = known[0], node.around
        read, size, order = around.memory.read, around.model.pointer_size, around.model.order
        while address and rows.count < most and address not in seen and len(seen) < MAX_NODES:
            if not rows.count & 255:
                self._scope.environment.begin_row()
                self._scope.environment.cancel.check()
            seen.add(address)
            rows.count += 1
            address = int.from_bytes(read(address + offset, size), order)
        return Value(node.type, in_memory(address), around) if address else None

    def _learn(self, node: Value, pointer: Value) -> None:
        bare, start, at = pointer.type.bare, node.address, pointer.address
        if not isinstance(bare, PointerType) or start is None or at is None:
            return
        if 0 <= at - start < (node.type.size or 0):
            self._known[node.type.bare] = at - start, bare


def _has_fixed_layout(type_: Type, depth: int = 0) -> bool:
    bare = type_.bare
    if not isinstance(bare, CompoundType) or depth > MAX_HEIGHT.bit_length():
        return False
    return all(
        each.kind is MemberKind.BASE and _has_fixed_layout(each.type, depth + 1)
        for each in bare.bases
    ) and not any(each.kind is MemberKind.STATIC for each in bare.members)


def pointed(pointer: Value) -> Value | None:
    """Return what a pointer leads to, ``None`` for a null one.

    :raises DebuggerError: it is no pointer, or cannot be read.
    """
    if not isinstance(pointer.type.bare, PointerType):
        raise ViewError("what should lead to a node is no pointer")
    return pointer.target() if pointer.bits() else None


class _Rows:
    """Makes the rows of nodes."""

    def __init__(self, scope: ViewScope, value: Formatted, name: Pieces, skip: int) -> None:
        self._scope, self._value, self._name = scope, value, name
        self.skip = skip
        self.count = 0

    def of(self, node: Value) -> Child | None:
        """Return the row of the next node, ``None`` while rows are skipped."""
        number = self.count
        self.count += 1
        if number < self.skip:
            return None
        self._scope.environment.begin_row()
        scope = self._scope.within(node).with_index(number)
        name = f"[{number}]"
        try:
            if self._name:
                name = text_of(scope, self._name)
            value = scope.evaluate(self._value.expression)
            return row(name, value, with_number(scope, self._value.specifiers))
        except DebuggerError as error:
            return failure(name, error)

    def end(self, words: str) -> Child:
        return Child(f"[{self.count}]", text=words)


def list_rows(scope: ViewScope, part: LinkedListItems, skip: int) -> Iterator[Child]:
    """Yield the rows of a list: up to its size, a null pointer, or where it began."""
    size = size_of(scope, part.sizes) if part.sizes else None
    rows, link = _Rows(scope, part.value, part.value_name, skip), _Link(scope, part.next)
    seen: set[int | None] = set()
    first: int | None = None
    try:
        node = pointed(scope.evaluate(part.head))
        while node is not None and rows.count != size:
            scope.environment.begin_row()
            if node.address in seen:
                if size is not None or node.address != first:
                    yield rows.end(CYCLE)
                return
            if len(seen) >= MAX_NODES:
                yield rows.end(f"<more than {MAX_NODES} nodes>")
                return
            first = node.address if not seen else first
            seen.add(node.address)
            found = rows.of(node)
            if found is not None:
                yield found
            if rows.count != size:
                node = link.follow(node)
            if node is not None and rows.count < skip:
                node = link.pass_over(node, rows, skip if size is None else min(skip, size), seen)
    except DebuggerError as error:
        yield failure(f"[{rows.count}]", error)
        return
    if size is not None and rows.count < size:
        yield rows.end(f"<the list ends after {rows.count} of {size} nodes>")


def tree_rows(scope: ViewScope, part: TreeItems, skip: int) -> Iterator[Child]:
    """Yield the rows of a tree in order."""
    size = size_of(scope, part.sizes) if part.sizes else None
    rows = _Rows(scope, part.value, part.value_name, skip)
    left, right = _Link(scope, part.left), _Link(scope, part.right)
    seen: set[int | None] = set()
    stack: list[Value] = []
    try:
        node = pointed(scope.evaluate(part.head)) if size != 0 else None
        while rows.count != size:
            scope.environment.begin_row()
            while node is not None and _is_node(scope, part, node):
                if node.address in seen:
                    yield rows.end(CYCLE)
                    return
                if len(seen) >= MAX_NODES or len(stack) >= MAX_HEIGHT:
                    yield rows.end(f"<more than {MAX_NODES} nodes, or too high>")
                    return
                seen.add(node.address)
                stack.append(node)
                node = left.follow(node)
            if not stack:
                break
            node = stack.pop()
            found = rows.of(node)
            if found is not None:
                yield found
            node = right.follow(node)
    except DebuggerError as error:
        yield failure(f"[{rows.count}]", error)
        return
    if size is not None and rows.count < size:
        yield rows.end(f"<the tree ends after {rows.count} of {size} nodes>")


def _is_node(scope: ViewScope, part: TreeItems, node: Value) -> bool:
    return not part.value_condition or scope.within(node).holds(part.value_condition)
