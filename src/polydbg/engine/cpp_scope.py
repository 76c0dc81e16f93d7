"""The names, types and registers that C++ expressions see: those of one frame of a session."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.qualified_names import name_parts
from polydbg.engine.evaluation import register_value
from polydbg.engine.modules import Module
from polydbg.engine.stack import StackFrame
from polydbg.engine.variables import (
    NamedValue,
    global_named,
    global_value,
    scope_of,
    symbol_named,
    variables_of,
)
from polydbg.types.data_model import DataModel
from polydbg.types.members import member_named
from polydbg.types.model import PointerType, Type
from polydbg.types.place import PlaceKind, constant
from polydbg.types.source import FrameView
from polydbg.types.value import Surroundings, Value

if TYPE_CHECKING:
    from polydbg.engine.session import Session, System

_SHADOWED = re.compile(r"(.+)@(\d+)\Z", re.DOTALL)
_BLOCKS = {"$teb": "_TEB", "$thread": "_TEB", "$peb": "_PEB"}
"""Pseudo-registers that point to structures of Windows, where symbols have these."""


class CppScope:
    """A :class:`~polydbg.expr.cpp.context.CppContext`: what names mean in the selected frame of
    the current system. Registers are those in force, as for ``r`` and in MASM: ``.frame`` alone
    does not change them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def _system(self) -> System:
        return self._session.current

    @cached_property
    def model(self) -> DataModel:
        return self._system.types.model

    @cached_property
    def around(self) -> Surroundings:
        return self._system.types.around

    @cached_property
    def frame(self) -> StackFrame | None:
        """Return the frame whose names are meant, ``None`` without a stack."""
        return self._session.current_frame(self._session.files.cancel)

    @cached_property
    def _view(self) -> FrameView | None:
        from polydbg.engine.frame_view import frame_view

        return frame_view(self._system, self.frame) if self.frame is not None else None

    @cached_property
    def module(self) -> Module | None:
        """Return the module of the frame, the first in which names and types are sought."""
        if self.frame is None:
            return None
        return self._system.modules.at(self.frame.frame.lookup_pc)

    @cached_property
    def locals(self) -> list[NamedValue]:
        """Return the variables of the frame, none where its symbols have no records."""
        if self.frame is None:
            return []
        try:
            return variables_of(self._system, self.frame) or []
        except DebuggerError:
            return []

    @cached_property
    def _prefixes(self) -> list[str]:
        """Return the namespaces and classes around the frame's function, the innermost first, each
        with ``::`` behind it; the global one, ``""``, last."""
        scope = None
        if self.frame is not None:
            try:
                scope = scope_of(self._system, self.frame)
            except DebuggerError:
                scope = None
        parts = name_parts(scope.name if scope is not None else "")[:-1]
        return ["::".join([*parts[:count], ""]) for count in range(len(parts), -1, -1)]

    # -- names -----------------------------------------------------------------------------

    def variable(self, name: str) -> Value | None:
        module_name, bang, bare = name.partition("!")
        if bang:
            module = self._system.modules.named(module_name)
            return self._global(module, bare) if module is not None else None
        if name.startswith("::"):
            return self._global_anywhere(name[2:], [""])
        found = self.local(name)
        if found is not None:
            return found
        member = self._member_of_this(name)
        return member if member is not None else self._global_anywhere(name, self._prefixes)

    def local(self, name: str) -> Value | None:
        """Return a local variable or parameter; ``x@1`` is the second that is called ``x``."""
        shadowed = _SHADOWED.match(name)
        if shadowed is not None:
            name, skip = shadowed[1], int(shadowed[2])
        else:
            skip = 0
        matches = [each for each in self.locals if each.name == name]
        return matches[skip].value if skip < len(matches) else None

    def _member_of_this(self, name: str) -> Value | None:
        this = self.local("this")
        if this is None or not isinstance(this.type.bare, PointerType):
            return None
        try:
            return member_named(this.target(), name)
        except DebuggerError:
            return None

    def _global_anywhere(self, name: str, prefixes: list[str]) -> Value | None:
        here = self.module
        if here is not None and self._view is not None:
            static = self._file_static(here, name)
            if static is not None:
                return static
        program = self._system.types.program
        for module in self._system.types.in_order(here):
            for prefix in prefixes if module is here else ("",):
                # A folded name in the class of a method would mostly be its constructor.
                found = self._global(module, prefix + name, module is program, bool(prefix))
                if found is not None:
                    return found
        return None

    def _file_static(self, module: Module, name: str) -> Value | None:
        source = self._system.modules.symbols(module)
        if source is None or self._view is None:
            return None
        try:
            found = source.global_near(self._view.rva, name, self._session.files.cancel)
        except DebuggerError:
            return None
        return global_value(self._system, module, found, self._view) if found is not None else None

    def _global(
        self, module: Module, name: str, thoroughly: bool = True, by_case: bool = False
    ) -> Value | None:
        """Return what *name* means in *module*. *thoroughly*: constants and what has no address
        count, too; in the debug information of a library a name that is nowhere would take
        seconds to miss."""
        cancel = self._session.files.cancel
        if not thoroughly:
            return symbol_named(self._system, module, name, cancel, by_case=by_case)
        return global_named(self._system, module, name, self._view, cancel, by_case=by_case)

    # -- types -----------------------------------------------------------------------------

    def type_named(self, name: str) -> Type | None:
        types, cancel = self._system.types, self._session.files.cancel
        if "!" in name:
            found = types.named(name, cancel, self.module)
            return found[1] if found is not None else None
        bare = name.removeprefix("::")
        for prefix in [""] if bare is not name else self._prefixes:
            found = types.named(prefix + bare, cancel, self.module)
            if found is not None:
                return found[1]
        return None

    def is_type_name(self, name: str) -> bool:
        return self.local(name) is None and self.type_named(name) is not None

    # -- registers and memory --------------------------------------------------------------

    def register(self, name: str) -> int | None:
        return register_value(self._system.scope_registers(), name)

    def pseudo_register(self, name: str) -> Value | int | None:
        evaluator = self._session.evaluator
        kept = evaluator.typed_registers.get(name.lower())
        if kept is not None:
            return kept
        number = evaluator.pseudo_register(name)
        block = _BLOCKS.get(name.lower())
        if number is None or block is None:
            return number
        found = self._system.types.named(f"ntdll!{block}", self._session.files.cancel)
        if found is None:
            return number
        size, target = self.model.pointer_size, found[1]
        data = (number & (1 << 8 * size) - 1).to_bytes(size, self.model.order)
        return Value(PointerType(lambda: target, size), constant(data), self.around)

    def evaluate_masm(self, text: str) -> int:
        from polydbg.expr.evaluator import evaluate

        return evaluate(text, self._session.evaluator)

    def write(self, value: Value, data: bytes) -> None:
        """Store *data* where *value* is: in the overlay, the only thing of a dump that changes.

        :raises CommandError: there is none, or the value is not in memory.
        """
        overlay = self._system.overlay
        if overlay is None:
            raise CommandError(
                "a dump is not written to",
                identifier="target.read-only",
                hint=".overlay on lets memory be edited, for this session only",
            )
        if value.place.kind is not PlaceKind.MEMORY:
            raise CommandError(
                f"the value is in no memory ({value.place.kind.value}), so it cannot be changed",
                identifier="value.not-in-memory",
            )
        overlay.write(value.place.address, data)
