"""``!list``: runs commands for each element of a linked list, found by its type."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import CommandError, MemoryReadError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, Text
from polydbg.commands.registry import command
from polydbg.engine.cpp_scope import CppScope
from polydbg.types.model import CompoundType, Member, MemberKind, PointerType, Type

MAX_ELEMENTS = 1 << 20
"""More than this a list has only where memory is damaged in a way that no circle shows."""
_MAX_DEPTH = 32
_HINT = '!list -t MODULE!TYPE.FIELD -x "COMMANDS" [-a "ARGUMENTS"] [-e] [-m N] ADDRESS'


class _Options(msgspec.Struct):
    link: str = ""
    commands: str = "dp"
    arguments: str = ""
    is_echoed: bool = False
    most: int = MAX_ELEMENTS
    start: int | None = None


class Link(msgspec.Struct, frozen=True):
    """Where the pointer to the next element lies in one: *offset* bytes behind its start; *back* is
    what to take off the pointer to get to the next one's start. *size* is the pointer's."""

    offset: int
    back: int
    size: int


@command(
    "!list",
    summary="Run commands for each element of a linked list. @$extret is the element's address; "
    "where the commands do not use it, it stands behind them, before -a's arguments. -t names the "
    "pointer to the next element; one that points to the links in there instead of its start is "
    "followed by its type. -e echoes the commands, -m ends after so many. It ends at a null "
    "pointer and where the list comes back to an element.",
    syntax='!list -t [module!]type.field[.field] -x "commands" [-a "arguments"] [-e] [-m count] '
    'address | !list "the same with \\" for quotes"',
    example='!list -t heapdata!node.next -x "dt heapdata!node @$extret" poi(heapdata!g_list)',
    family="control",
)
def list_walk(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.skip_blanks()
    quoted = cursor.command_string()
    options = _options(ctx, cursor if quoted is None else Cursor(quoted))
    if options is None:
        yield Text(value=_HINT)
        return
    if not options.link or options.start is None:
        raise cursor.error("Syntax error", hint=_HINT)
    link = _link(ctx, options.link)
    line = options.commands
    if "$extret" not in line.lower():
        line = f"{line} @$extret {options.arguments}".rstrip()
    elif options.arguments:
        line = f"{line} {options.arguments}"
    evaluator = ctx.session.evaluator
    kept = evaluator.last_returned
    try:
        for address in _elements(ctx, link, options):
            evaluator.last_returned = address
            if options.is_echoed:
                yield Text(value=line)
            yield from ctx.run(line)
            yield Text(value="")
    finally:
        evaluator.last_returned = kept


def _options(ctx: CommandContext, cursor: Cursor) -> _Options | None:
    """Read the arguments, ``None`` for ``-h``. :raises CommandError: they are not whole."""
    options = _Options()
    while not cursor.at_end:
        if cursor.match(r"-[h?](?=\s|;|$)"):
            cursor.rest()
            return None
        if cursor.match(r"-e(?=\s|;|$)"):
            options.is_echoed = True
        elif cursor.match(r"-m(?=\s|\d)"):
            # A word: as an expression it would take the next option for a subtraction.
            options.most = min(ctx.evaluate(cursor.word()), MAX_ELEMENTS)
        elif cursor.match(r"-t(?=\s)"):
            options.link = cursor.string_or_word()
        elif found := cursor.match(r"-([xa])(?=[\s\"])"):
            cursor.skip_blanks()
            quoted = cursor.command_string()
            text = cursor.word() if quoted is None else quoted
            if found[1] == "x":
                options.commands = text
            else:
                options.arguments = text
        elif options.start is None and cursor.peek() != "-":
            options.start = ctx.expression(cursor)
        else:
            cursor.position += 1
            raise cursor.error("Syntax error", hint=_HINT)
    return options


def _elements(ctx: CommandContext, link: Link, options: _Options) -> Iterator[int]:
    """Yield the address of each element.

    :raises CommandError: the pointer to the next one cannot be read, or leads back into the list.
    """
    system = ctx.system
    mask = (1 << 8 * link.size) - 1
    address = first = options.start or 0
    seen: set[int] = set()
    while address and len(seen) < options.most:
        ctx.cancel.check()
        seen.add(address)
        yield address
        try:
            data = system.memory.read(address + link.offset, link.size)
        except MemoryReadError as error:
            raise CommandError(
                f"Cannot read next element at {address + link.offset:#x}",
                identifier="memory.absent",
            ) from error
        following = int.from_bytes(data, system.byte_order)
        address = following - link.back & mask if following else 0
        if address == first:
            return
        if address in seen:
            raise CommandError(
                f"the list does not come back to its start, but to {address:#x}, "
                f"after {len(seen)} elements",
                identifier="list.circle",
            )


def _link(ctx: CommandContext, text: str) -> Link:
    """Find ``[mod!]type.field.field``. :raises CommandError: there is none, or no pointer."""
    type_name, *fields = _split_fields(text)
    here = CppScope(ctx.session).module
    found = ctx.system.types.named(type_name, ctx.cancel, here)
    if found is None:
        raise CommandError(
            f"Couldn't resolve type {type_name}", identifier="type.unknown",
            hint="dt MODULE!* lists the types of a module",
        )  # fmt: skip
    owner = ctx.system.types.completed(found[1], ctx.cancel)
    if not fields:
        raise CommandError("-t takes a type and its field", identifier="list.no-field", hint=_HINT)
    offset, part = 0, owner
    holders: list[tuple[Type, int]] = [(owner, 0)]
    for name in fields:
        inner = _field(part, name)
        if inner is None:
            raise CommandError(
                f"Type does not have given member error at '{name}'", identifier="type.no-member",
                hint=f"dt {type_name} shows its members",
            )  # fmt: skip
        offset += inner[0]
        part = inner[1]
        holders.append((part, offset))
    pointer = part.bare
    if not isinstance(pointer, PointerType):
        raise CommandError(f"{text} is no pointer", identifier="list.no-pointer", hint=_HINT)
    back = _back(pointer, holders[:-1])
    return Link(offset, back, pointer.size)


def _split_fields(text: str) -> list[str]:
    """Split at the dots that stand in no template's arguments."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character == "<") - (character == ">")
        if character == "." and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _back(pointer: PointerType, holders: list[tuple[Type, int]]) -> int:
    """Return how far behind an element's start the pointer to it points: where it points to the
    type of a part of the element that holds it, it is that part's."""
    target = pointer.target.bare
    for holder, offset in reversed(holders):
        bare = holder.bare
        if bare is target or (bare.name and bare.name == target.name):
            return offset
    return 0


def _field(owner: Type, name: str, depth: int = 0) -> tuple[int, Type] | None:
    """Return offset and type of a member of *owner*, of its bases and of its parts without a name
    too."""
    compound = owner.bare
    if depth > _MAX_DEPTH or not isinstance(compound, CompoundType):
        return None
    for member in compound.members:
        if member.name == name and member.kind in (MemberKind.FIELD, MemberKind.VTABLE):
            return member.offset, member.type
    for member in compound.members:
        if _is_transparent(member) and (found := _field(member.type, name, depth + 1)):
            return member.offset + found[0], found[1]
    return None


def _is_transparent(member: Member) -> bool:
    return member.kind is MemberKind.BASE or (member.kind is MemberKind.FIELD and not member.name)
