"""Variables outside of functions by name: their types, values of constants, threads' own copies.

Entries are found by their names in the sections; the scopes around one make its qualified name. A
declaration (of a class's static member, say) counts where nothing completes it: its address may be
in the symbol table. Source: DWARF 5 sections 4.1 and 5.7.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.qualified_names import last_part
from polydbg.base.text import sanitise_line
from polydbg.base.wildcards import compile_wildcard
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.entry_search import EntrySearch
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.names import find, name_of
from polydbg.formats.dwarf.tree import entries_around, entries_below, is_within_function
from polydbg.formats.dwarf.unit import Die, Unit
from polydbg.symbols.dwarf_names import DwarfNames, address_of
from polydbg.symbols.dwarf_places import PlaceFinder
from polydbg.symbols.dwarf_type_builder import text_of
from polydbg.symbols.dwarf_units import CodeUnits
from polydbg.symbols.dwarf_variables import TypeBuilder
from polydbg.types.model import EnumType
from polydbg.types.place import Place, constant, in_memory, nowhere
from polydbg.types.source import FrameView, Variable, VariableKind

_TAGS = frozenset({c.TAG_VARIABLE, c.TAG_MEMBER})
_SEARCHED = _TAGS | {c.TAG_ENUMERATOR}
_ANONYMOUS = "(anonymous namespace)::"
_MAX_NAMES = 1024
_MAX_FOUND = 256
_MAX_DECLARATIONS = 64
_POLL_EVERY = 64
_TLS_OPERATIONS = (0x9B, 0xE0)


class DwarfGlobals:
    """The variables outside of functions of *units*; RVA 0 is address *base* of the file."""

    def __init__(
        self,
        units: CodeUnits,
        names: DwarfNames,
        base: int,
        builder: TypeBuilder,
        places: PlaceFinder,
    ) -> None:
        self._units = units
        self._names = names
        self._base = base
        self._builder = builder
        self._places = places
        self._searches: dict[int, tuple[DwarfFile, EntrySearch]] = {}
        self._named: dict[str, tuple[Die, ...]] = {}
        self._files: list[DwarfFile] | None = None

    # -- by name -------------------------------------------------------------------------------

    def named(self, name: str, cancel: CancelToken) -> Variable | None:
        """Return the variable of that qualified name: by case first, then as the symbols have it;
        one that is visible outside of its unit before others."""
        found = self._best(self._entries(name, cancel), name)
        if found is None:
            symbol = self._names.named(name, cancel)
            if symbol is not None and not symbol.is_code and symbol.name != name:
                found = self._best(self._entries(symbol.name, cancel), symbol.name)
        return found

    def near(self, rva: int, name: str, cancel: CancelToken) -> Variable | None:
        """Return the variable that the unit with the code at *rva* has by that name."""
        address = rva + self._base
        if not 0 <= address < 1 << 64:
            return None
        last = last_part(name).encode("utf-8", "replace")
        for code in self._units.at(address):
            with suppress(FormatError):
                if code.function_at(address) is None:
                    continue
                unit = code.entries
                own = list(_variables_called(unit, code.scopes.variables, last, cancel))
                if own:
                    return self._best(own, name)
        return None

    def _best(self, entries: tuple[Die, ...] | list[Die], name: str) -> Variable | None:
        ranked: list[tuple[int, int, Variable]] = []
        for order, die in enumerate(entries):
            with suppress(FormatError):
                variable = self._variable(die)
                if variable is None or variable.name.replace(_ANONYMOUS, "") != name.replace(
                    _ANONYMOUS, ""
                ):
                    continue
                owner = find(die, c.AT_EXTERNAL)
                is_global = owner is not None and bool(owner.number(c.AT_EXTERNAL))
                ranked.append((_rank(die, is_global, variable.name == name), order, variable))
        return min(ranked, key=lambda each: each[:2])[2] if ranked else None

    def _entries(self, name: str, cancel: CancelToken) -> tuple[Die, ...]:
        """Return the entries of the variables whose last part of the name is that of *name*."""
        last = last_part(name)
        found = self._named.get(last)
        if found is None:
            entries: dict[tuple[str, int], Die] = {}
            for die in self._search(last.encode("utf-8", "replace"), cancel):
                entries.setdefault((die.unit.file.suffix, die.offset), die)
                if len(entries) >= _MAX_FOUND:
                    break
            found = tuple(entries.values())
            if len(self._named) >= _MAX_NAMES:
                self._named.clear()
            self._named[last] = found
        return found

    def _search(self, last: bytes, cancel: CancelToken) -> Iterator[Die]:
        declarations = 0
        for search in self._all_searches(cancel):
            for unit, offset in search.named(last, cancel.check):
                cancel.check()
                with suppress(FormatError):
                    die = unit.die(offset)
                    if die is None or die.tag not in _SEARCHED or die.string(c.AT_NAME) != last:
                        continue
                    if die.tag == c.TAG_ENUMERATOR:
                        yield die
                        continue
                    is_declaration = c.AT_DECLARATION in die.attributes
                    declarations += is_declaration
                    if declarations > _MAX_DECLARATIONS and is_declaration:
                        continue  # each unit of a program may declare it
                    if self._is_global(die, cancel):
                        yield die
                    if is_declaration or c.AT_EXTERNAL in die.attributes:
                        yield from self._completing(search, unit, offset, cancel)

    def _completing(
        self, search: EntrySearch, unit: Unit, offset: int, cancel: CancelToken
    ) -> Iterator[Die]:
        """Yield the entries of *unit* that complete the declaration at *offset*."""
        for _, other in search.completing((unit, offset), cancel.check):
            completing = unit.die(other)
            if completing is not None and self._is_global(completing, cancel):
                yield completing

    def _is_global(self, die: Die, cancel: CancelToken) -> bool:
        """Tell whether *die* is a variable, not a field, and lies outside of functions."""
        return _may_be_global(die) and not is_within_function(die.unit, die.offset, cancel.check)

    def _all_files(self, cancel: CancelToken) -> list[DwarfFile]:
        """Return the files with entries: the linked one, and those that it is split into."""
        if self._files is None:
            file = self._units.file
            found = [file] if file.supplementary is None else [file, file.supplementary]
            for unit in file.units():
                cancel.check()
                with suppress(FormatError):
                    _ = unit.root  # read here, where it can be stopped
            if self._units.is_split:
                for code in self._units.all():
                    cancel.check()
                    with suppress(FormatError):
                        other = code.entries.file
                        if all(other is not each for each in found):
                            found.append(other)
            self._files = found
        return self._files

    def _all_searches(self, cancel: CancelToken) -> Iterator[EntrySearch]:
        for file in self._all_files(cancel):
            cancel.check()
            found = self._searches.get(id(file))
            if found is None:
                found = self._searches[id(file)] = file, EntrySearch(file, _SEARCHED)
            yield found[1]

    # -- by pattern ----------------------------------------------------------------------------

    def without_address(self, pattern: str, cancel: CancelToken) -> Iterator[Variable]:
        """Yield the threads' own variables and the constants whose names match a wildcard
        pattern."""
        wanted = compile_wildcard(pattern, symbols=True)
        seen: set[str] = set()
        for unit in self._units.all():
            cancel.check()
            with suppress(FormatError):
                entries = unit.entries
                offsets = [*unit.scopes.variables, *_constants_in(entries, cancel)]
                for count, offset in enumerate(offsets):
                    if count % _POLL_EVERY == 0:
                        cancel.check()
                    die = entries.die(offset)
                    if die is None or not (_is_thread_local(die) or _is_constant(die)):
                        continue
                    variable = self._variable(die)
                    if variable is None or variable.name in seen:
                        continue
                    if wanted.fullmatch(variable.name):
                        seen.add(variable.name)
                        yield variable

    # -- one variable --------------------------------------------------------------------------

    def _variable(self, die: Die) -> Variable | None:
        """Return the variable of *die*, ``None`` for one without a name, of which nothing tells
        the place, or that the linker dropped.

        :raises FormatError: the entry is damaged.
        """
        if die.tag == c.TAG_ENUMERATOR:
            return self._enumerator(die)
        name = sanitise_line(self._units.shown(name_of(die)))
        if not name:
            return None
        owner = find(die, c.AT_LOCATION)
        address = address_of(owner) if owner is not None else None
        kind = VariableKind.GLOBAL
        if _is_thread_local(die):
            kind = VariableKind.THREAD
        elif owner is None and _is_constant(die):
            kind = VariableKind.CONSTANT
        elif owner is None:
            rva = self._names.address_of(name)
            if rva is None and find(die, c.AT_DECLARATION) is not None:
                return None
            # Without a place, and no declaration of what has one elsewhere, it was optimised away.
            address = rva + self._base if rva is not None else None
        if address is not None and address < max(self._base, self._units.lowest):
            return None
        rva = address - self._base if address is not None else None
        return Variable(
            name,
            kind,
            partial(self._builder.type_of, die),
            partial(self._locate, die, rva),
            rva=rva,
        )

    def _enumerator(self, die: Die) -> Variable | None:
        """Return the name for a value of an enumeration outside of functions as a constant.

        :raises FormatError: the enumeration is damaged.
        """
        around = entries_around(die.unit, die.offset)
        if not around or around[-1].tag != c.TAG_ENUMERATION_TYPE:
            return None
        if any(each.tag == c.TAG_SUBPROGRAM for each in around):
            return None
        type_ = self._builder.type_of(around[-1])
        own = text_of(die)
        if not isinstance(type_, EnumType) or not type_.size:
            return None
        number = next((each.value for each in type_.enumerators if each.name == own), None)
        if number is None:
            return None
        # Those of plain enumerations belong to the scope that the enumeration is in.
        scope = type_.name if type_.is_scoped else type_.name.rpartition("::")[0]
        data = number & (1 << 8 * type_.size) - 1
        place = constant(data.to_bytes(type_.size, die.unit.section.order))
        name = sanitise_line(f"{scope}::{own}" if scope else own)
        return Variable(name, VariableKind.CONSTANT, lambda: type_, lambda view: place)

    def _locate(self, die: Die, rva: int | None, view: FrameView | None) -> Place:
        if rva is not None:
            if view is None:
                return nowhere("where its module lies is not known")
            return in_memory(view.module_base + rva)
        return self._places.place(die, view, None, lambda: self._builder.type_of(die).size)


def _may_be_global(die: Die) -> bool:
    """Tell whether *die* may be a variable outside of functions, by what it says itself."""
    attributes = die.attributes
    if die.tag not in _TAGS or c.AT_ABSTRACT_ORIGIN in attributes:
        return False
    if die.tag == c.TAG_MEMBER:
        return c.AT_EXTERNAL in attributes
    place = die.block(c.AT_LOCATION)
    if c.AT_LOCATION not in attributes:
        return not attributes.keys().isdisjoint(_NAMED_ELSEWHERE)
    # What is in a register, or counts from one, is local; so is what a list places.
    return bool(place) and place is not None and not 0x50 <= place[0] <= 0x92


_NAMED_ELSEWHERE = frozenset(
    {c.AT_CONST_VALUE, c.AT_EXTERNAL, c.AT_DECLARATION, c.AT_SPECIFICATION}
)


def _rank(die: Die, is_global: bool, is_exact: bool) -> int:
    """Return a number that is lower for the entry that is more likely meant."""
    is_place = find(die, c.AT_LOCATION) is not None
    is_known = is_place or _is_constant(die)
    return 4 * (not is_known) + 2 * (not is_exact) + (not is_global)


def _is_thread_local(die: Die) -> bool:
    owner = find(die, c.AT_LOCATION)
    expression = owner.block(c.AT_LOCATION) if owner is not None else None
    return bool(expression) and expression is not None and expression[-1] in _TLS_OPERATIONS


def _is_constant(die: Die) -> bool:
    return find(die, c.AT_LOCATION) is None and find(die, c.AT_CONST_VALUE) is not None


def _constants_in(unit: Unit, cancel: CancelToken) -> Iterator[int]:
    """Yield the entries of variables outside of functions that have only a value.

    :raises FormatError: the unit is damaged.
    """
    abbreviations = unit.abbreviations.values()
    if not any(
        each.tag in _TAGS and c.AT_CONST_VALUE in each.names and c.AT_LOCATION not in each.names
        for each in abbreviations
    ):
        return
    for _, die in entries_below(unit.root, lambda die: die.tag in c.SCOPES, cancel.check):
        if die.tag in _TAGS and c.AT_CONST_VALUE in die.attributes:
            yield die.offset


def _variables_called(
    unit: Unit, variables: Sequence[int], last: bytes, cancel: CancelToken
) -> Iterator[Die]:
    """Yield the entries of one unit's variables outside of functions, *variables* and those that
    have only a value, whose names end in *last*."""
    for count, offset in enumerate([*variables, *_constants_in(unit, cancel)]):
        if count % _POLL_EVERY == 0:
            cancel.check()
        die = unit.die(offset)
        owner = find(die, c.AT_NAME) if die is not None else None
        if die is not None and owner is not None and owner.string(c.AT_NAME) == last:
            yield die
