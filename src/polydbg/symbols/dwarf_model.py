"""Types and variables from DWARF, as a module's source answers about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.unit import Die
from polydbg.symbols.dwarf_names import DwarfNames
from polydbg.symbols.dwarf_type_builder import DwarfTypeBuilder
from polydbg.symbols.dwarf_type_names import DwarfTypeNames
from polydbg.symbols.dwarf_units import CodeUnits
from polydbg.types.model import Type
from polydbg.types.source import NoTypes, Scope, Variable

if TYPE_CHECKING:
    from polydbg.symbols.dwarf_globals import DwarfGlobals
    from polydbg.symbols.dwarf_variables import DwarfVariables

_MAX_NAMES = 1024
_MAX_ADDRESS = (1 << 64) - 1


class DwarfTypes(NoTypes):
    """The types of *units* as a :class:`~polydbg.types.source.TypeSource`; RVA 0 is address *base*
    of the file."""

    def __init__(self, units: CodeUnits, names: DwarfNames, base: int) -> None:
        self._units = units
        self._names = names
        self._base = base
        self._named: dict[str, Type | None] = {}

    @cached_property
    def builder(self) -> DwarfTypeBuilder:
        """Return what makes the types of entries."""
        return DwarfTypeBuilder(
            self._units,
            self._base,
            origin=self,
            definition_of=self._definition_of,
            address_of=self._names.address_of,
        )

    @cached_property
    def _type_names(self) -> DwarfTypeNames:
        return DwarfTypeNames(self._units, self._names)

    def _definition_of(self, declaration: Die) -> Die | None:
        return self._type_names.definition_of(declaration)

    def type_named(self, name: str, cancel: CancelToken | None = None) -> Type | None:
        if name not in self._named:
            if len(self._named) >= _MAX_NAMES:
                self._named.clear()
            die = self._type_names.named(name, cancel or CancelToken())
            self._named[name] = self.builder.type_of(die) if die is not None else None
        return self._named[name]

    def types_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Type]:
        return map(self.builder.type_of, self._type_names.matching(pattern, cancel))

    @cached_property
    def variables(self) -> DwarfVariables:
        """Return what finds variables."""
        from polydbg.symbols.dwarf_variables import DwarfVariables

        return DwarfVariables(self._units, self._names, self._base, self.builder)

    def scopes_at(self, rva: int) -> Sequence[Scope]:
        return self.variables.scopes_at(rva)

    @cached_property
    def _globals(self) -> DwarfGlobals:
        from polydbg.symbols.dwarf_globals import DwarfGlobals

        places = self.variables.places
        return DwarfGlobals(self._units, self._names, self._base, self.builder, places)

    def global_named(self, name: str, cancel: CancelToken | None = None) -> Variable | None:
        return self._globals.named(name, cancel or CancelToken())

    def globals_without_address(self, pattern: str, cancel: CancelToken) -> Iterator[Variable]:
        return self._globals.without_address(pattern, cancel)

    def global_near(
        self, rva: int, name: str, cancel: CancelToken | None = None
    ) -> Variable | None:
        return self._globals.near(rva, name, cancel or CancelToken())

    def type_at(self, rva: int) -> Type | None:
        function = self._function(rva + self._base)
        if function is not None:
            return self.builder.type_of(function)
        for name in self._names.variables_at(rva):
            variable = self.global_near(rva, name) or self.global_named(name)
            if variable is not None and variable.rva == rva:
                return variable.type()
        return None

    def _function(self, address: int) -> Die | None:
        """Return the entry of the function that begins at *address*."""
        if not 0 <= address <= _MAX_ADDRESS:
            return None
        for unit in self._units.at(address):
            try:
                found = unit.function_at(address)
                is_start = found is not None and found[0] == address
                die = unit.entries.die(found[2]) if found is not None and is_start else None
            except FormatError:
                continue
            if die is not None:
                return die
        return None
