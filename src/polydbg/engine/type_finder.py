"""Types by name across the modules of one system, and where static members are counted from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.wildcards import compile_wildcard, is_wildcard
from polydbg.engine.modules import Module, ModuleMap, SymbolState
from polydbg.types.data_model import DataModel, data_model
from polydbg.types.model import CompoundType, EnumType, Type
from polydbg.types.source import TypesFromPart
from polydbg.types.value import Surroundings

if TYPE_CHECKING:
    from polydbg.engine.session import System

_KEYWORDS = ("struct ", "class ", "union ", "enum ")


class TypeFinder:
    """The types of all modules of *system*. Modules whose symbols were not asked for yet are left
    alone unless they are named."""

    def __init__(self, system: System) -> None:
        self._system = system

    @property
    def _modules(self) -> ModuleMap:
        return self._system.modules

    @cached_property
    def _target_model(self) -> tuple[str, str]:
        return self._system.target.arch, self._system.target.system().platform

    @property
    def model(self) -> DataModel:
        """Return the data model of the processor that commands speak of."""
        _, platform = self._target_model
        system = self._system
        return data_model(system.machine, platform, system.pointer_size, system.byte_order)

    @property
    def around(self) -> Surroundings:
        """Return what values of this system share."""
        return Surroundings(self._system.memory, self.model, self._base_of)

    def _base_of(self, origin: object) -> int | None:
        for module in self._modules.modules:
            source = module.symbols
            if source is origin or (isinstance(source, TypesFromPart) and source.types is origin):
                return module.base
        return None

    @property
    def program(self) -> Module | None:
        """Return the module of the program that the process runs."""
        from polydbg.engine.program import program_module

        info = program_module(self._system)
        return self._modules.of(info) if info is not None else None

    def in_order(self, here: Module | None = None) -> list[Module]:
        """Return the modules to look in for a name without one: *here*, by default the module of
        the selected context, then that of the program, then those whose symbols are loaded."""
        modules = self._modules
        if here is None:
            here = modules.at(self._system.pc or 0)
        loaded = (each for each in modules.modules if each.state is SymbolState.LOADED)
        ordered = (here, self.program, *loaded)
        return list(dict.fromkeys(each for each in ordered if each is not None))

    def named(
        self, name: str, cancel: CancelToken | None = None, here: Module | None = None
    ) -> tuple[Module, Type] | None:
        """Return the type of that name and its module: ``mod!Name`` in that module alone, else
        the first that :meth:`in_order` gives; definitions go before declarations. ``struct`` and
        its like may stand in front."""
        keyword = next((each for each in _KEYWORDS if name.startswith(each)), "")
        module_name, bang, bare = name[len(keyword) :].rpartition("!")
        if bang:
            module = self._modules.named(module_name)
            found = self.type_in(module, keyword + bare, cancel) if module is not None else None
            return (module, found) if module is not None and found is not None else None
        declared: tuple[Module, Type] | None = None
        for module in self.in_order(here):
            found = self.type_in(module, name, cancel)
            if found is None:
                continue
            if not is_declaration(found):
                return module, found
            declared = declared or (module, found)
        return declared

    def type_in(self, module: Module, name: str, cancel: CancelToken | None = None) -> Type | None:
        """Return the type of that name in one module; damaged symbols know none."""
        source = self._modules.symbols(module)
        if source is None:
            return None
        try:
            return source.type_named(name, cancel)
        except DebuggerError:
            return None

    def completed(self, type_: Type, cancel: CancelToken | None = None) -> Type:
        """Return the definition of a class or enumeration that its own module only declares, from
        another module that defines one of that name; else *type_* itself."""
        bare = type_.bare
        if not is_declaration(bare) or not bare.name:
            return type_
        for module in self.in_order():
            found = self.type_in(module, bare.name, cancel)
            if found is not None and not is_declaration(found):
                return found
        return type_

    def matching(self, pattern: str, cancel: CancelToken) -> Iterator[tuple[Module, Type]]:
        """Yield the types whose names match ``[mod!]pattern``, both with wildcards."""
        name = pattern.rpartition("!")[2]
        for module in self.modules_matching(pattern):
            source = self._modules.symbols(module)
            cancel.check()
            if source is None:
                continue
            try:
                for found in source.types_matching(name, cancel):
                    yield module, found
            except DebuggerError:
                continue

    def modules_matching(self, pattern: str) -> list[Module]:
        """Return the modules that a pattern ``[mod!]name`` is about, in the order to look in."""
        pattern, bang, _ = pattern.rpartition("!")
        if not bang:
            return self.in_order()
        if not is_wildcard(pattern):
            found = self._modules.named(pattern)
            return [found] if found is not None else []
        regex = compile_wildcard(pattern, symbols=False)
        return [each for each in self._modules.modules if regex.fullmatch(each.name)]


def is_declaration(type_: Type) -> bool:
    """Tell whether a type is a class or enumeration without a definition."""
    bare = type_.bare
    return isinstance(bare, (CompoundType, EnumType)) and bare.is_declaration
