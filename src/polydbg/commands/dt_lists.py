"""``dt -l``: the elements of a linked list, from one to the next until it ends."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.dt_display import RULE, Display
from polydbg.commands.output import Item, Notice, Text
from polydbg.types.members import follow, path_to
from polydbg.types.model import CompoundType, Member, PointerType, Type, VoidType
from polydbg.types.place import in_memory
from polydbg.types.value import Value

MAX_SEEN = 1 << 20
"""Elements remembered to see where a list runs in a circle; longer ones are ended."""


def follow_list(ctx: CommandContext, display: Display, start: Value, link: str) -> Iterator[Item]:
    """Yield the elements of a list whose first is *start*, or what *start* points to; *link* leads
    from one to the next: a pointer, also one within a member (``entry.Flink``).

    :raises CommandError: there is no such pointer, which shows after the first element.
    """
    yield from _element(ctx, display, start, link)
    value = start.target() if isinstance(start.type.bare, PointerType) else start
    path = _path(ctx, value.type, link)
    back = _way_back(value.type, path)
    seen = {value.place.address}
    while True:
        ctx.cancel.check()
        try:
            following = follow(value, path).bits()
        except DebuggerError as error:
            yield Notice(
                identifier="types.broken-list", value=f"the list breaks off: {error.message}"
            )
            return
        if not following:
            return
        address = following - back
        if address in seen or len(seen) >= MAX_SEEN:
            yield Notice(identifier="types.circular-list", value=_ending(ctx, address, seen))
            return
        seen.add(address)
        value = Value(value.type, in_memory(address), start.around)
        yield from _element(ctx, display, value, link)


def _element(ctx: CommandContext, display: Display, value: Value, link: str) -> Iterator[Item]:
    address = value.address
    where = "<no address>" if address is None else address_text(address, ctx.system.pointer_size)
    yield display.heading(value.type, address, f"{sanitise_line(link)} at 0x{where}", "link")
    yield Text(value=RULE)
    yield from display.value(value)
    yield Text(value="")


def _ending(ctx: CommandContext, address: int, seen: set[int]) -> str:
    if address in seen:
        return f"the list goes on at 0x{address_text(address, ctx.system.pointer_size)} again"
    return f"the list has more than {MAX_SEEN} elements"


def _path(ctx: CommandContext, element: Type, link: str) -> tuple[Member, ...]:
    """Return the members to go through from an element to the pointer.

    :raises CommandError: there is none.
    """
    path: tuple[Member, ...] = ()
    type_ = ctx.system.types.completed(element, ctx.cancel)
    for name in link.split("."):
        step = path_to(type_, name)
        if step is None:
            raise CommandError(
                "Cannot find specified field members.",
                identifier="types.no-such-field",
                hint=f"-l, behind the name, takes the next pointer; there is no {name}",
            )
        path, type_ = path + step, step[-1].type
    bare = type_.bare
    if isinstance(bare, CompoundType):  # `-l Links` of a _LIST_ENTRY: its first pointer
        first = next(
            (each for each in bare.members if isinstance(each.type.bare, PointerType)), None
        )
        if first is not None:
            path, bare = (*path, first), first.type.bare
    leads_on = isinstance(bare, PointerType) and isinstance(
        bare.target.bare, (CompoundType, VoidType)
    )
    if not leads_on:
        raise CommandError(
            f"'{sanitise_line(link)}' is no pointer to follow",
            identifier="types.no-list",
            hint="-l takes the pointer to the next element, such as next or entry.Flink",
        )
    return path


def _way_back(element: Type, path: tuple[Member, ...]) -> int:
    """Return how far into an element its link points: 0 where links point to whole elements, the
    offset of the member where they point to such members (``_LIST_ENTRY``)."""
    pointer = path[-1].type.bare
    target = pointer.target.bare if isinstance(pointer, PointerType) else None
    if target is None or target is element.bare or target.name == element.bare.name:
        return 0
    offset = 0
    for member in path[:-1]:
        offset += member.offset
        if member.type.bare is target or member.type.bare.name == target.name:
            return offset
    return 0
