"""Variables of functions and inlined calls from DWARF, and where they are in a frame.

What is in scope at an address: the blocks that cover it from the inside out, then parameters and
locals as recorded, statics last. Concrete instances say where a variable is, the abstract one what
it is called and its type; of variables that the concrete one leaves out nothing is left. Source:
DWARF 5 sections 3.3, 3.5 and 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import msgspec

from polydbg.base.errors import FormatError
from polydbg.base.text import sanitise_line
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.names import find, name_of
from polydbg.formats.dwarf.tree import entries_below
from polydbg.formats.dwarf.unit import Die
from polydbg.symbols.dwarf_call_sites import CallSites, FrameCode
from polydbg.symbols.dwarf_dynamic import array_in_frame
from polydbg.symbols.dwarf_names import DwarfNames, address_of
from polydbg.symbols.dwarf_place_words import place_words
from polydbg.symbols.dwarf_places import PlaceFinder
from polydbg.symbols.dwarf_units import CodeUnit, CodeUnits
from polydbg.types.model import Type
from polydbg.types.place import Place, nowhere
from polydbg.types.source import FrameView, Scope, Variable, VariableKind

_VARIABLES = frozenset({c.TAG_FORMAL_PARAMETER, c.TAG_VARIABLE})
_MAX_KEPT = 64
_MAX_VARIABLES = 1 << 16
_MAX_ADDRESS = (1 << 64) - 1


class TypeBuilder(Protocol):
    """Makes types of entries."""

    def type_of(self, die: Die | None) -> Type:
        """Return the type that *die* describes, that of a variable or function where it is one."""
        ...

    def owner_of(self, function: Die) -> Type | None:
        """Return the class that a function is a method of, ``None`` for other functions."""
        ...


class _Found(msgspec.Struct):
    """The variables in scope of one function or inlined call: by block, the innermost last."""

    top: Die
    blocks: list[tuple[int, list[Die]]]


class DwarfVariables:
    """The variables of *units*; RVA 0 is address *base* of the file."""

    def __init__(
        self, units: CodeUnits, names: DwarfNames, base: int, builder: TypeBuilder
    ) -> None:
        self._units = units
        self._base = base
        self._builder = builder
        self.calls = CallSites(units, names, base)
        self.places = PlaceFinder(base)
        self._kept: dict[int, tuple[Scope, ...]] = {}

    def scopes_at(self, rva: int) -> Sequence[Scope]:
        """Return the function at *rva* and the calls inlined there, the outermost first, none where
        nothing describes the code.

        :raises FormatError: the entries are damaged there.
        """
        kept = self._kept.get(rva)
        if kept is None:
            kept = tuple(self._scopes(rva + self._base))
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[rva] = kept
        return kept

    def _scopes(self, address: int) -> Iterator[Scope]:
        found = self._function_at(address)
        if found is None:
            return
        unit, entry = found
        function = unit.entries.die(entry)
        if function is None:
            return
        chain = [entry, *(call.offset for call in unit.inlines(entry).chain_at(address))]
        parts = _collect(function, chain, address)
        for offset in chain:
            part = parts.get(offset)
            if part is not None:
                yield self._scope(unit, function, part)

    def _function_at(self, address: int) -> tuple[CodeUnit, int] | None:
        if not 0 <= address <= _MAX_ADDRESS:
            return None
        for unit in self._units.at(address):
            try:
                found = unit.function_at(address)
            except FormatError:
                continue
            if found is not None:
                return unit, found[2]
        return None

    def _scope(self, unit: CodeUnit, function: Die, part: _Found) -> Scope:
        listed: list[Die] = []
        for _, dies in sorted(part.blocks, key=lambda block: block[0], reverse=True):
            listed += dies
        listed += _left_out(part.top, listed)
        variables = [self._variable(die, function) for die in listed]
        named = [each for each in variables if each is not None]
        statics = [each for each in named if each.kind is VariableKind.STATIC]
        others = [each for each in named if each.kind is not VariableKind.STATIC]
        return Scope(
            sanitise_line(unit.name(part.top.offset)),
            (*others, *statics),
            partial(self._builder.type_of, part.top),
            partial(self._builder.owner_of, part.top),
        )

    def _variable(self, die: Die, function: Die) -> Variable | None:
        """Return the variable of an entry, ``None`` without a name."""
        name = sanitise_line(name_of(die).plain.decode("utf-8", "replace"))
        if not name:
            return None
        artificial = find(die, c.AT_ARTIFICIAL)
        address = _fixed_address(die)
        kind = VariableKind.LOCAL
        if die.tag == c.TAG_FORMAL_PARAMETER:
            kind, address = VariableKind.PARAMETER, None
        elif address is not None:
            kind = VariableKind.STATIC
        return Variable(
            name,
            kind,
            partial(self._builder.type_of, die),
            partial(self._locate, die, function),
            partial(self._words, die, function),
            rva=address - self._base if address is not None else None,
            is_artificial=artificial is not None and bool(artificial.number(c.AT_ARTIFICIAL)),
            type_in=partial(self._type_in, die, function),
        )

    def _type_in(self, die: Die, function: Die, view: FrameView) -> Type | None:
        code = FrameCode(view, function, view.rva + self._base, self.calls)
        return array_in_frame(die, self._builder, self.places, code)

    def _locate(self, die: Die, function: Die, view: FrameView | None) -> Place:
        if view is None:
            if _fixed_address(die) is None:
                return nowhere("there is no frame of the function")
            return self.places.place(die, None, None, self.size_of(die))
        code = FrameCode(view, function, view.rva + self._base, self.calls)
        return self.places.place(die, view, code, self.size_of(die))

    def _words(self, die: Die, function: Die, view: FrameView | None) -> str:
        if view is None or _fixed_address(die) is not None:
            return ""
        return place_words(die, function, view, view.rva + self._base)

    def size_of(self, die: Die) -> Callable[[], int | None]:
        """Return what tells the size of a variable's type."""
        return lambda: self._builder.type_of(die).size


def _fixed_address(die: Die) -> int | None:
    owner = find(die, c.AT_LOCATION)
    return address_of(owner) if owner is not None else None


def _collect(function: Die, chain: list[int], address: int) -> dict[int, _Found]:
    """Return the variables that are in scope at *address*, by the entry of the function or inlined
    call (*chain*) that they are of."""
    parts = {function.offset: _Found(function, [(0, [])])}
    wanted = frozenset(chain)
    inside: list[tuple[int, _Found, int]] = [(0, parts[function.offset], 0)]
    entered: dict[int, bool] = {}
    count = 0

    def enters(die: Die) -> bool:
        return entered.get(die.offset, False)

    for depth, die in entries_below(function, enters):
        while inside[-1][0] >= depth:
            inside.pop()
        _, part, block = inside[-1]
        if die.tag in _VARIABLES:
            part.blocks[block][1].append(die)
            count += 1
            if count > _MAX_VARIABLES:
                raise FormatError("a function of too many variables", offset=function.offset)
        elif die.tag == c.TAG_LEXICAL_BLOCK:
            if _covers(die, address):
                entered[die.offset] = True
                part.blocks.append((depth, []))
                inside.append((depth, part, len(part.blocks) - 1))
        elif die.tag == c.TAG_INLINED_SUBROUTINE and die.offset in wanted:
            entered[die.offset] = True
            found = parts[die.offset] = _Found(die, [(0, [])])
            inside.append((depth, found, 0))
    return parts


def _covers(block: Die, address: int) -> bool:
    return any(start <= address < end for start, end in block.ranges())


def _left_out(top: Die, listed: list[Die]) -> list[Die]:
    """Return the parameters and variables of the abstract instance that *top*, a concrete one, has
    no entries for."""
    origin = top.reference(c.AT_ABSTRACT_ORIGIN)
    if origin is None:
        return []
    known = set()
    for die in listed:
        abstract = die.reference(c.AT_ABSTRACT_ORIGIN)
        if abstract is not None:
            known.add(abstract.offset)
    return [
        die
        for _, die in entries_below(origin, lambda die: False)
        if die.tag in _VARIABLES and die.offset not in known
    ]
