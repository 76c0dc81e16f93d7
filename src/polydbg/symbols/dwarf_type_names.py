"""Types by name in DWARF: through an index in the file, else by a search for the name.

A name is that of an entry with the scopes around it; what an entry only declares is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.pages import give_back
from polydbg.base.qualified_names import last_part
from polydbg.base.wildcards import compile_wildcard, literals_of
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.entry_search import EntrySearch, Place
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.line_header import text
from polydbg.formats.dwarf.name_filter import NameFilter
from polydbg.formats.dwarf.named_types import COMPOUNDS, TYPES, type_entries
from polydbg.formats.dwarf.unit import Die, Unit
from polydbg.symbols.dwarf_names import DwarfNames
from polydbg.symbols.dwarf_units import CodeUnits

#: Basic types are found by name, but stand in no list: PDBs have no records of theirs.
_LISTED = TYPES - {c.TAG_BASE_TYPE, c.TAG_SUBRANGE_TYPE, c.TAG_UNSPECIFIED_TYPE}
_TAGGED = COMPOUNDS | {c.TAG_ENUMERATION_TYPE}
_KEYWORD = re.compile(r"(struct|class|union|enum|interface)\s+(?:(?:class|struct)\s+)?(?=\S)")
_AROUND_MARKS = re.compile(r"\s*([<>,])\s*")
_PATH = re.compile(r"[\w:]*")
_LITERAL = re.compile(r"[^*?\[\]#+\\]*")
_POLL_EVERY = 256
_MAX_SPELLINGS = 16
_MIN_LITERAL = 2


class _Wanted(msgspec.Struct, frozen=True):
    """A type that is looked for: its qualified *name* (in any case if *is_folded*), the *tags* of
    entries that count, and how the last part of the name may be spelled."""

    name: str
    tags: frozenset[int]
    lasts: tuple[bytes, ...]
    is_folded: bool = False


class DwarfTypeNames:
    """Finds the entries of types of *units*; *names* reads the indexes of the file."""

    def __init__(self, units: CodeUnits, names: DwarfNames) -> None:
        self._units = units
        self._names = names
        self._searches: dict[int, tuple[DwarfFile, EntrySearch]] = {}

    def named(self, name: str, cancel: CancelToken) -> Die | None:
        """Return the entry that defines the type of that name, which ``struct`` and its like may
        stand in front of; ``None`` where the file has none."""
        keyword = _KEYWORD.match(name)
        tags = TYPES
        if keyword is not None:
            name = name[keyword.end() :]
            tags = frozenset((c.TAG_ENUMERATION_TYPE,)) if keyword[1] == "enum" else COMPOUNDS
        for spelling in spellings(name.strip()):
            found = self._find(_Wanted(spelling, tags, _lasts(spelling)), cancel)
            if found is not None:
                return found
        return self._folded(spellings(name.strip())[-1], tags, cancel)

    def definition_of(self, declaration: Die) -> Die | None:
        """Return the entry that defines what *declaration* declares, ``None`` for none.

        :raises FormatError: the declaration is damaged.
        """
        name = self._units.type_name(declaration)
        if not name:
            return None
        is_class = declaration.tag in COMPOUNDS
        tags = COMPOUNDS if is_class else frozenset((declaration.tag,))
        found = self._find(_Wanted(name, tags, _lasts(name)), CancelToken())
        return found if found is not None and not found.number(c.AT_DECLARATION) else None

    def _folded(self, name: str, tags: frozenset[int], cancel: CancelToken) -> Die | None:
        """Return the definition of *name* in another case."""
        if self._listed(_lasts(name)) is not None:
            return self._find(_Wanted(name, tags, _lasts(name), True), cancel)
        lasts: set[bytes] = set()
        for search in self._all_searches(cancel):
            lasts |= search.spelled(_last(name), cancel.check)
        lasts.discard(_last(name))
        wanted = _Wanted(name, tags, tuple(sorted(lasts)[:_MAX_SPELLINGS]), True)
        return self._find(wanted, cancel) if lasts else None

    def _find(self, wanted: _Wanted, cancel: CancelToken) -> Die | None:
        """Return the definition of what is wanted: a class or enumeration before a typedef for
        another, and what is only declared at last."""
        second: Die | None = None
        declared: list[Die] = []
        for die in self._definitions(wanted, declared, cancel):
            if die.tag not in wanted.tags:
                continue
            if die.tag in _TAGGED or not self._repeats(die):
                return die
            second = second or die
        return second or next(iter(declared), None)

    def _repeats(self, die: Die) -> bool:
        """Tell whether a typedef has the name of the class or enumeration that it is for."""
        with suppress(FormatError):
            target = die.reference(c.AT_TYPE)
            if target is not None and target.tag in _TAGGED:
                return self._units.type_name(target) == self._units.type_name(die)
        return False

    def _definitions(
        self, wanted: _Wanted, declared: list[Die], cancel: CancelToken
    ) -> Iterator[Die]:
        """Yield the definitions of what is wanted; *declared* gets an entry that declares it."""
        listed = self._listed(wanted.lasts)
        if listed is not None:
            yield from self._of_listed(listed, wanted, declared, cancel)
            return
        for last in filter(None, wanted.lasts):
            for unit, offset in self._indexed(wanted.name, last):
                die = self._defining(unit, offset, last)
                if die is not None and self._is_named(die, wanted):
                    yield die
            for search in self._all_searches(cancel):
                for unit, offset in search.named(last, cancel.check):
                    with suppress(FormatError):
                        yield from self._checked(search, (unit, offset), wanted, declared, cancel)

    def _listed(self, lasts: tuple[bytes, ...]) -> list[int] | None:
        """Return where the index on disk says that types with these plain names are, ``None``
        where it does not know all."""
        index = self._units.index
        if index is None or self._units.file.supplementary is not None:
            return None
        found: list[int] = []
        for last in lasts:
            listed = index.types_named(last)
            if listed is None:
                return None
            found += listed
        return found

    def _of_listed(
        self, listed: list[int], wanted: _Wanted, declared: list[Die], cancel: CancelToken
    ) -> Iterator[Die]:
        """Yield the definitions of what is wanted among the entries at *listed*; *declared* gets
        one that declares it."""
        for count, offset in enumerate(listed):
            if count % _POLL_EVERY == 0:
                cancel.check()
            with suppress(FormatError):
                unit = self._units.file.unit_at(offset)
                die = unit.die(offset) if unit is not None else None
                if die is None or die.tag not in wanted.tags:
                    continue
                is_declared = bool(die.number(c.AT_DECLARATION))
                if (is_declared and declared) or not self._is_named(die, wanted):
                    continue
                if is_declared:
                    declared.append(die)
                else:
                    yield die

    def _checked(
        self,
        search: EntrySearch,
        place: Place,
        wanted: _Wanted,
        declared: list[Die],
        cancel: CancelToken,
    ) -> Iterator[Die]:
        """Yield the definition at *place*, or what completes the declaration there elsewhere.

        :raises FormatError: the entries are damaged.
        """
        unit, offset = place
        die = unit.die(offset)
        if die is None or die.tag not in TYPES or die.string(c.AT_NAME) not in wanted.lasts:
            return
        scopes = self._units.scopes_in(unit)
        if not die.number(c.AT_DECLARATION):
            if scopes.is_entry(offset) and self._is_named(die, wanted):
                yield die
            return
        # A class may be declared within another one and defined outside of it.
        for _, other in search.completing(place, cancel.check):
            found = unit.die(other)
            if found is None or found.number(c.AT_DECLARATION) or not scopes.is_entry(other):
                continue
            if self._is_named(found, wanted):
                yield found
        if not declared and die.tag in wanted.tags and scopes.is_entry(offset):
            declared += [die] if self._is_named(die, wanted) else []

    @staticmethod
    def _defining(unit: Unit, offset: int, last: bytes) -> Die | None:
        """Return the definition of a type called *last* at *offset*, ``None`` for anything else."""
        with suppress(FormatError):
            die = unit.die(offset)
            if die is not None and die.tag in TYPES and not die.number(c.AT_DECLARATION):
                return die if die.string(c.AT_NAME) == last else None
        return None

    def _is_named(self, die: Die, wanted: _Wanted) -> bool:
        with suppress(FormatError):
            name = self._units.type_name(die)
            return name == wanted.name or (wanted.is_folded and name.lower() == wanted.name.lower())
        return False

    # -- where to look -------------------------------------------------------------------------

    def _indexed(self, name: str, last: bytes) -> Iterator[tuple[Unit, int]]:
        """Yield where the file's own index says that types called so are."""
        for start, entry in self._names.listed(name):
            unit = self._units.file.unit_starting_at(start)
            if unit is None:
                continue
            with suppress(FormatError):
                entries = self._units.of(unit).entries
                if entry is not None:
                    # Offsets of split units count from their own start.
                    yield entries, entry - start + entries.header.offset
                    continue
                yield from self._types_in(entries)

    def _types_in(self, unit: Unit) -> Iterator[tuple[Unit, int]]:
        """Yield the classes, enumerations and typedefs of *unit*.

        :raises FormatError: the unit is damaged.
        """
        for at in type_entries(unit, iter(self._units.scopes_in(unit).entries), _LISTED):
            yield unit, unit.header.offset + at

    def _files(self, cancel: CancelToken) -> Iterator[DwarfFile]:
        """Yield the files with entries: the linked one, that which it shares entries with, and
        those that it is split into."""
        file = self._units.file
        yield file
        if file.supplementary is not None:
            yield file.supplementary
        if not self._units.is_split:
            return
        seen = {id(file)}
        for unit in self._units.all():
            cancel.check()
            with suppress(FormatError):
                other = unit.entries.file
                if id(other) not in seen:
                    seen.add(id(other))
                    yield other

    def _all_searches(self, cancel: CancelToken) -> Iterator[EntrySearch]:
        for file in self._files(cancel):
            found = self._searches.get(id(file))
            if found is None:
                found = self._searches[id(file)] = file, EntrySearch(file, TYPES)
            yield found[1]

    # -- by pattern ----------------------------------------------------------------------------

    def matching(self, pattern: str, cancel: CancelToken) -> Iterator[Die]:
        """Yield the definitions of classes, enumerations and typedefs whose qualified names match
        a wildcard pattern, each name once."""
        wanted = compile_wildcard(pattern, symbols=True)
        head, literal = _head(pattern), _within(pattern)
        seen: set[str] = set()
        for file in self._files(cancel):
            names = NameFilter(file, literal, cancel.check) if literal else None
            for unit in file.all_units():
                cancel.check()
                with suppress(FormatError):
                    for die, name in self._named_in(unit, head, names, cancel):
                        if name and name not in seen and wanted.fullmatch(name):
                            seen.add(name)
                            yield die
                buffer, start, _ = unit.section.extent
                give_back(buffer, start + unit.header.offset, start + unit.header.end)

    def _named_in(
        self, unit: Unit, head: str, names: NameFilter | None, cancel: CancelToken
    ) -> Iterator[tuple[Die, str]]:
        """Yield the definitions of *unit* whose names may begin with *head* (folded) and contain
        the text of *names*, and these.

        :raises FormatError: the unit is damaged.
        """
        scopes = self._units.scopes_in(unit)
        prefixes: dict[int | None, str | None] = {None: ""}
        is_c = unit.language in c.LANG_C_LIKE
        if is_c:
            head = ""
        offsets = scopes.entries
        if names is not None:
            found = names.entries(unit, offsets, scopes.parents, _LISTED)
        else:
            found = type_entries(unit, iter(offsets), _LISTED)
        for count, at in enumerate(found):
            if count % _POLL_EVERY == 0:
                cancel.check()
            offset = unit.header.offset + at
            parent = scopes.parent(offset)
            if parent not in prefixes:
                prefixes[parent] = self._prefix(unit, offset, head)
            prefix = prefixes[parent]
            if prefix is None:
                continue
            die = unit.die(offset)
            if die is None or die.number(c.AT_DECLARATION):
                continue
            plain = text(die.string(c.AT_NAME) or b"")
            if c.AT_SPECIFICATION in die.attributes:
                yield die, self._units.type_name(die)
            elif plain:
                yield die, plain if is_c else prefix + plain

    def _prefix(self, unit: Unit, offset: int, head: str) -> str | None:
        """Return what stands before the plain names of the entries beside that at *offset*,
        ``None`` where no name that begins so begins with *head*."""
        die = unit.die(offset)
        scopes = self._units.scope_names(die) if die is not None else []
        prefix = "".join(f"{each}::" for each in scopes)
        folded = prefix.lower()
        return prefix if folded.startswith(head) or head.startswith(folded) else None


def _within(pattern: str) -> bytes:
    """Return text (folded) that a name, or one of the scopes around it, contains in each match of a
    wildcard pattern; empty where there is no such text."""
    runs = (part for run in literals_of(pattern) for part in re.split(r"[:\s]+", run))
    found = max((run.lower() for run in runs if run.isascii()), key=len, default="")
    return found.encode() if len(found) >= _MIN_LITERAL else b""


def _last(name: str) -> bytes:
    return last_part(name).encode("utf-8", "replace")


def _lasts(name: str) -> tuple[bytes, ...]:
    """Return what an entry with the qualified *name* may be called itself. Rust's compiler puts
    whole paths into the names of boxes, closures and references."""
    last, whole = _last(name), name.encode("utf-8", "replace")
    return (last,) if last == whole or _PATH.fullmatch(name) else (last, whole)


def _head(pattern: str) -> str:
    """Return what each name that matches a wildcard pattern begins with, folded."""
    literal = _LITERAL.match(pattern)
    head = literal[0] if literal is not None else ""
    if len(head) < len(pattern) and pattern[len(head)] in "#+":
        head = head[:-1]
    # An underscore in front stands for any number of them.
    return "" if head.startswith("_") else head.lower()


def spellings(name: str) -> list[str]:
    """Return *name* as it stands and, with template arguments, as compilers space them."""
    if "<" not in name:
        return [name]
    bare = _AROUND_MARKS.sub(r"\1", name)
    spaced = bare.replace(",", ", ")
    found = [name, spaced.replace(">>", "> >").replace(">>", "> >"), spaced, bare]
    return list(dict.fromkeys(found))
