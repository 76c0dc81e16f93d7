"""The units of a linked file with what answers need of them, kept for the units asked last.

A skeleton unit and the split unit with its entries are one here: entries come from the split unit,
line tables and addresses from the skeleton.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.coverage import Coverage
from polydbg.formats.dwarf.functions import functions_of
from polydbg.formats.dwarf.info import DwarfFile, split_id
from polydbg.formats.dwarf.inlines import InlinedCalls, inlined_calls
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.line import LineTable
from polydbg.formats.dwarf.line_header import LineHeader, read_header, text
from polydbg.formats.dwarf.names import Name, is_external, name_of
from polydbg.formats.dwarf.scopes import Scopes
from polydbg.formats.dwarf.unit import Die, Unit
from polydbg.symbols.demangle import undecorate_elf

if TYPE_CHECKING:
    from polydbg.symbols.dwarf_index import DwarfIndex, UnitPart

_MAX_KEPT = 64
_MAX_SCOPES = 64
_MAX_LINKS = 16
_SPLIT = frozenset({c.AT_DWO_NAME, c.AT_GNU_DWO_NAME})
_UNNAMED = "<unnamed>"
_LAMBDA = "<lambda>"
#: Its body, and what gcc calls the plain function that the lambda converts to.
_OF_LAMBDA = ("operator()", "_FUN")
_NAMELESS = {
    c.TAG_NAMESPACE: "(anonymous namespace)",
    **dict.fromkeys((c.TAG_CLASS_TYPE, c.TAG_STRUCTURE_TYPE, c.TAG_UNION_TYPE), _UNNAMED),
}
"""What stands for a scope without a name."""
#: How many bytes of arguments a function of x86 for Windows takes off the stack.
_CALL_SUFFIX = re.compile(rb"@{1,2}\d+$")


class SplitFile(msgspec.Struct, frozen=True):
    """The file that a skeleton unit names: *name* as it says, within *comp_dir*; its *id*."""

    name: str
    comp_dir: str
    id: int


SplitOpener = Callable[[SplitFile], DwarfFile | None]
"""Finds the ``.dwo`` or ``.dwp`` file with a split unit; ``None`` where it is not in reach."""


class CodeUnit:
    """A unit of code: *unit* of the linked file, *entries* the unit that holds the functions.

    Methods raise :class:`~polydbg.base.errors.FormatError` where the unit is damaged.
    """

    def __init__(self, units: CodeUnits, unit: Unit) -> None:
        self._units = units
        self.unit = unit
        self._names: dict[int, tuple[str, bool]] = {}
        self._inlines: dict[int, InlinedCalls] = {}

    @cached_property
    def entries(self) -> Unit:
        return self._units.entries_of(self.unit)

    @cached_property
    def _known(self) -> UnitPart | None:
        index = self._units.index
        return index.unit(self.unit.header.offset) if index is not None else None

    @cached_property
    def functions(self) -> Intervals:
        """Return the code of the functions, with the offsets of their entries."""
        if self._known is not None:
            return self._known.functions
        return functions_of(self.entries, self._units.lowest)

    @cached_property
    def scopes(self) -> Scopes:
        return Scopes(self.entries, self._known.scopes if self._known is not None else None)

    @cached_property
    def comp_dir(self) -> str:
        """Return the folder of compilation, ``""`` when not said."""
        name = self.unit.root.string(c.AT_COMP_DIR)
        if name is None and self.entries is not self.unit:
            name = self.entries.root.string(c.AT_COMP_DIR)
        return text(name or b"")

    @property
    def line_offset(self) -> int | None:
        """Return where the unit's line program begins in ``.debug_line``, ``None`` for none."""
        return self.unit.root.number(c.AT_STMT_LIST)

    @cached_property
    def line_header(self) -> LineHeader | None:
        """Return the header of the line table, ``None`` without one."""
        offset = self.line_offset
        if offset is None:
            return None
        section = self.unit.file.sections.get(".debug_line")
        return read_header(section, offset, self.unit.header.address_size, self.unit.string)

    @cached_property
    def lines(self) -> LineTable | None:
        header = self.line_header
        if header is None:
            return None
        starts = self._known.sequences if self._known is not None else None
        return LineTable(header, self._units.lowest, starts)

    def path(self, file: int) -> str:
        """Return the path of a file of the line table, ``""`` for none."""
        return self.lines.path(file, self.comp_dir) if self.lines is not None else ""

    def function_at(self, address: int) -> tuple[int, int, int] | None:
        """Return (start, end, offset of the entry) of the function piece that covers *address*:
        the one that begins last, of several the shortest."""
        functions = self.functions
        best: tuple[int, int, int] | None = None
        for rank in functions.covering(address):
            start, end = functions.starts[rank], functions.ends[rank] + 1
            if best is not None and start < best[0]:
                break
            if best is None or end <= best[1]:
                best = start, end, functions.values[rank]
        return best

    def inlines(self, function: int) -> InlinedCalls:
        """Return the calls inlined in the function with this entry."""
        found = self._inlines.get(function)
        if found is None:
            found = self._inlines[function] = InlinedCalls(inlined_calls(self.entries, function))
        return found

    def name(self, offset: int) -> str:
        """Return the name of the function, call or variable with this entry, ``""`` for none."""
        return self.named(offset)[0]

    def named(self, offset: int) -> tuple[str, bool]:
        """Return the name of an entry and whether it is visible outside of its unit."""
        found = self._names.get(offset)
        if found is None:
            die = self.entries.die(offset)
            found = "", False
            if die is not None:
                found = self._units.shown(name_of(die)), is_external(die)
            self._names[offset] = found
        return found


class CodeUnits:
    """The units of *file*; code below the address *lowest* was dropped by the linker."""

    def __init__(
        self,
        file: DwarfFile,
        lowest: int,
        opener: SplitOpener | None,
        index: DwarfIndex | None = None,
    ) -> None:
        self.file = file
        self.lowest = lowest
        self._opener = opener
        self.index = index
        known = (index.code, index.silent) if index is not None else None
        self.coverage = Coverage(file, lowest, known)
        self._kept: OrderedDict[int, CodeUnit] = OrderedDict()
        self._scopes: OrderedDict[Unit, Scopes] = OrderedDict()

    @cached_property
    def is_split(self) -> bool:
        """Tell whether the names of some unit may lie in another file."""
        for unit in self.file.units():
            with suppress(FormatError):
                if not _SPLIT.isdisjoint(unit.root.attributes):
                    return True
        return False

    def of(self, unit: Unit) -> CodeUnit:
        """Return what is known of *unit*."""
        key = unit.header.offset
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = CodeUnit(self, unit)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found

    def at(self, address: int) -> Iterator[CodeUnit]:
        """Yield the units that may have code at *address*."""
        return map(self.of, self.coverage.units_at(address))

    def all(self) -> Iterator[CodeUnit]:
        """Yield every unit of code in the order of the file."""
        for unit in self.file.units():
            if not unit.header.is_type:
                yield self.of(unit)

    def entries_of(self, unit: Unit) -> Unit:
        """Return the split unit of a skeleton, *unit* itself where it has none in reach."""
        root = unit.root
        name = root.string(c.AT_DWO_NAME) or root.string(c.AT_GNU_DWO_NAME)
        identity = split_id(unit) if name else None
        if identity is None or self._opener is None or not name:
            return unit
        comp_dir = root.string(c.AT_COMP_DIR) or b""
        file = self._opener(SplitFile(text(name), text(comp_dir), identity))
        split = file.split_unit(identity) if file is not None else None
        if split is None:
            return unit
        split.skeleton = unit
        return split

    def shown(self, name: Name) -> str:
        """Return what commands show: the linker name undecorated, else the name with the scopes
        that it is declared in."""
        linkage = _CALL_SUFFIX.sub(b"", name.linkage)
        if linkage and not _is_decorated(name, linkage):
            return undecorate_elf(linkage.decode("utf-8", "replace"))
        plain = text(name.plain)
        if not plain or name.owner.unit.language in c.LANG_C_LIKE:
            return plain
        return "::".join([*self.scope_names(name.owner, plain), plain])

    def type_name(self, die: Die, depth: int = 0) -> str:
        """Return the qualified name of a type with a name of its own, ``""`` without one; *depth*
        counts the names that it was needed for."""
        die = _declaration(die) or die
        plain = text(die.string(c.AT_NAME) or b"")
        if not plain or die.tag == c.TAG_BASE_TYPE or die.unit.language in c.LANG_C_LIKE:
            return plain
        return "::".join([*self.scope_names(die, depth=depth), plain])

    def scopes_in(self, unit: Unit) -> Scopes:
        """Return the scopes around the entries of *unit*."""
        kept = self._kept.get(unit.header.offset)
        if kept is not None and kept.entries is unit:
            return kept.scopes
        scopes = self._scopes.get(unit)
        if scopes is None:
            known = None
            if self.index is not None and unit.section is self.file.get(".debug_info"):
                known = self.index.unit(unit.header.offset)
            scopes = self._scopes[unit] = Scopes(unit, known.scopes if known is not None else None)
            if len(self._scopes) > _MAX_KEPT:
                self._scopes.popitem(last=False)
        return scopes

    def scope_of(self, die: Die) -> Die | None:
        """Return the innermost named scope around *die*, ``None`` for none.

        :raises FormatError: the unit is damaged.
        """
        around = self.scopes_in(die.unit).around(die.offset)
        return die.unit.die(around[0]) if around else None

    def scope_names(self, die: Die, plain: str = "", depth: int = 0) -> list[str]:
        """Return the names of the scopes of *die*, outermost first; *plain* is its own name."""
        try:
            around = self.scopes_in(die.unit).around(die.offset)
        except FormatError:
            return []
        scopes: list[str] = []
        for offset in around[:_MAX_SCOPES]:
            scope = die.unit.die(offset)
            if scope is None:
                break
            if scope.tag == c.TAG_SUBPROGRAM:
                scopes.append(self.shown(name_of(scope)))
                break
            elsewhere = _named_elsewhere(scope) if depth < _MAX_LINKS else None
            if elsewhere is not None:
                scopes.append(self.type_name(elsewhere, depth + 1))
                break
            nameless = _NAMELESS.get(scope.tag, "")
            if nameless == _UNNAMED and not scopes and plain in _OF_LAMBDA:
                nameless = _LAMBDA  # gcc gives the functions of lambdas no linker names
            scopes.append(text(scope.string(c.AT_NAME) or b"") or nameless)
        return [each for each in reversed(scopes) if each]


def _declaration(die: Die) -> Die | None:
    """Return the declaration that a type completes elsewhere: that lies in the type's scopes."""
    if c.AT_SPECIFICATION not in die.attributes:
        return None
    owner = die.reference(c.AT_SPECIFICATION)
    return owner if owner is not None and c.AT_NAME in owner.attributes else None


def _named_elsewhere(scope: Die) -> Die | None:
    """Return the entry with the name of a class that is only repeated here, ``None`` for others:
    the declaration that it completes, or the type of a unit of its own."""
    if c.AT_SIGNATURE not in scope.attributes or c.AT_NAME in scope.attributes:
        return _declaration(scope)
    owner = scope.reference(c.AT_SIGNATURE)
    return owner if owner is not None and c.AT_NAME in owner.attributes else None


def _is_decorated(name: Name, linkage: bytes) -> bool:
    """Tell whether the linker name of *name*, without the suffix *linkage*, is what the calling
    conventions of x86 make of the plain name: ``_f@8`` or ``@f@8`` of ``f``."""
    is_cut = len(linkage) < len(name.linkage)
    return is_cut and name.plain in (linkage, linkage[1:] if linkage[:1] in b"_@" else linkage)
