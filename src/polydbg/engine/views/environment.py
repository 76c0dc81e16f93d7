"""What the expressions of views see beyond their object, and how much work they may cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, ExpressionError
from polydbg.engine.modules import Module
from polydbg.engine.type_finder import is_declaration
from polydbg.engine.variables import global_named
from polydbg.types.model import CompoundType, Type
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.session import Session, System

MAX_STEPS = 100_000
"""Expressions that one display string, or the way to one row, may evaluate."""

MAX_NESTING = 6
"""How deep displays may stand in each other; deeper ones are ``{...}``."""

_MAX_KEPT = 4096


class ViewError(ExpressionError):
    """A view cannot be applied to a value; the message says why."""

    identifier = "view.failed"


class ViewEnvironment:
    """Types and globals of the current system for views, with a budget of steps."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._types: dict[tuple[int, str], Type | None] = {}
        self._missing: set[str] = set()
        self._loaded: object = None
        self._steps = 0
        self._nesting = 0

    @property
    def system(self) -> System:
        return self._session.current

    @property
    def cancel(self) -> CancelToken:
        """Return the token of the command that asks."""
        return self._session.files.cancel

    # -- bounds ----------------------------------------------------------------------------

    def step(self) -> None:
        """Count an expression. :raises ViewError: there were too many; :raises Cancelled:"""
        self._steps += 1
        if not self._steps & 63:
            self.cancel.check()
        if self._steps > MAX_STEPS:
            raise ViewError(f"the view takes more than {MAX_STEPS} steps")

    def begin_row(self) -> None:
        """Give the next row a budget of its own."""
        if not self._nesting:
            self._steps = 0

    @property
    def is_nested(self) -> bool:
        """Tell whether only the text of a part of a display string is asked for."""
        return self._nesting > 0

    @contextmanager
    def nested(self) -> Iterator[bool]:
        """Count displays within each other; the answer is whether a further one may begin."""
        self.begin_row()
        self._nesting += 1
        try:
            yield self._nesting <= MAX_NESTING
        finally:
            self._nesting -= 1

    # -- names -----------------------------------------------------------------------------

    def type_named(self, name: str, near: CompoundType) -> Type | None:
        """Return the type of that name, however its ``>`` are spaced: of the module that *near* is
        from, else of any whose symbols are loaded."""
        system = self.system
        self._forget_old()
        base = system.types.around.base_of(near.origin)
        key = (base or 0, name)
        if key not in self._types:
            here = system.modules.at(base) if base is not None else None
            self._types[key] = self._found(name, here)
        return self._types[key]

    def _forget_old(self) -> None:
        """Forget what names mean once symbols of further modules are there."""
        system = self.system
        loaded = (system.ordinal, [each.state for each in system.modules.modules])
        if loaded != self._loaded or len(self._types) + len(self._missing) > _MAX_KEPT:
            self._types.clear()
            self._missing.clear()
            self._loaded = loaded

    def _found(self, name: str, here: Module | None) -> Type | None:
        tight = name.replace("> >", ">>").replace("> >", ">>")
        loose = tight.replace(">>", "> >").replace(">>", "> >")
        spellings = dict.fromkeys((name, loose, tight))
        for spelling in spellings:
            if here is None:
                break
            own = self.system.types.type_in(here, spelling, self.cancel)
            if own is not None and not is_declaration(own):
                return own
        for spelling in spellings:
            found = self.system.types.named(spelling, self.cancel, here)
            if found is not None:
                return found[1]
        return None

    def completed(self, value: Value) -> Value:
        """Return *value* as the definition of its class where its module only declares it."""
        bare = value.type.bare
        if not isinstance(bare, CompoundType) or not bare.is_declaration:
            return value
        return value.as_type(self.system.types.completed(bare, self.cancel))

    def global_named(self, name: str) -> Value | None:
        """Return a global variable or constant of any module whose symbols are loaded."""
        self._forget_old()
        if name in self._missing:
            return None
        module_name, bang, bare = name.rpartition("!")
        modules = self.system.modules
        if bang:
            module = modules.named(module_name)
            candidates = [module] if module is not None else []
        else:
            candidates = self.system.types.in_order()
        for module in candidates:
            try:
                found = global_named(self.system, module, bare.removeprefix("::"))
            except DebuggerError:
                continue
            if found is not None:
                return found
        self._missing.add(name)
        return None
