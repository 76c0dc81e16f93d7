"""What the name in ``dt NAME`` means: a local variable, a type, or something global.

As in the engine a local goes before a type of that name, even behind the name of its own module;
``struct NAME`` and ``dt -t NAME`` mean types only.
"""

from __future__ import annotations

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.commands.context import CommandContext
from polydbg.engine.cpp_scope import CppScope
from polydbg.engine.modules import Module
from polydbg.engine.variables import NamedValue, current_view, global_named
from polydbg.expr.cpp.arithmetic import ArithmeticTypes
from polydbg.expr.cpp.type_building import TypeBuilder
from polydbg.expr.cpp.type_parser import TypeParser
from polydbg.types.model import Type, UnknownType
from polydbg.types.value import Value


class Meaning(msgspec.Struct, frozen=True, eq=False):
    """What a name means: a *local*, or a *value* that is global, or a *type*; *module* is where
    that is described, ``None`` for locals and the types of C itself."""

    type: Type
    module: Module | None = None
    local: NamedValue | None = None
    value: Value | None = None


def meaning_of(ctx: CommandContext, name: str, keyword: str, types_only: bool) -> Meaning | None:
    """Return what *name* means, ``None`` where nothing is called so."""
    scope = CppScope(ctx.session)
    if not types_only:
        local = _local(ctx, scope, name)
        if local is not None:
            return Meaning(local.value.type, local=local)
    types = ctx.system.types
    found = types.named(f"{keyword} {name}" if keyword else name, ctx.cancel, scope.module)
    if found is None and "!" not in name and not keyword:
        scoped = scope.type_named(name)
        if scoped is not None:
            found = types.named(scoped.name, ctx.cancel, scope.module) if scoped.name else None
            if found is None:
                return Meaning(scoped)
    if found is not None:
        module, type_ = found
        return Meaning(types.completed(type_, ctx.cancel), module)
    if not types_only:
        value = _global(ctx, scope, name)
        if value is not None and not isinstance(value.type, UnknownType):
            return Meaning(value.type, value=value)
    built = _spelled_type(ctx, scope, name)
    return Meaning(built) if built is not None else None


def _local(ctx: CommandContext, scope: CppScope, name: str) -> NamedValue | None:
    module_name, bang, bare = name.rpartition("!")
    if bang:
        here = scope.module
        if here is None or here is not ctx.system.modules.named(module_name):
            return None
    return next((each for each in scope.locals if each.name == bare), None)


def _global(ctx: CommandContext, scope: CppScope, name: str) -> Value | None:
    module_name, bang, bare = name.partition("!")
    if not bang:
        return scope.variable(name)
    module = ctx.system.modules.named(module_name)
    if module is None:
        return None
    return global_named(ctx.system, module, bare, current_view(ctx.session), ctx.cancel)


def _spelled_type(ctx: CommandContext, scope: CppScope, name: str) -> Type | None:
    """Return the type that C++ spells so: ``unsigned int``, ``order *``."""
    try:
        parser = TypeParser(name, len(name))
        node = parser.parse(0)
        if node is None or name[node.end :].strip():
            return None
        return TypeBuilder(scope, ArithmeticTypes(ctx.system.types.model)).build(node)
    except DebuggerError:
        return None
