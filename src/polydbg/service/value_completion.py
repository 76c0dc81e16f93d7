"""What could stand at the cursor in an expression: local variables, members, types.

Nothing is evaluated that could take long: an expression is followed only from a local variable or
an object of the debugger, and without calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.session import Session
from polydbg.service.api import Completion
from polydbg.symbols.source import SymbolKind
from polydbg.types.members import member_names
from polydbg.types.model import PointerType, Type

_PATH = re.compile(
    r"(?P<object>(?P<first>@\$\w+|[A-Za-z_]\w*)(?:(?:\.|->)[A-Za-z_]\w*|\[\w+\])*)"
    r"(?:\.|->)(?P<part>\w*)$"
)
_MODEL_NAMES = ("$curframe", "$curprocess", "$cursession", "$curstack", "$curthread", "$vars")
_VALUE_COMMANDS = re.compile(
    r"(?:^|;)\s*(?:\?\?|\?|dv|dt|dtx|dx|x|kp|r\?|as|aS|\.printf)(?![\w!]).*$", re.DOTALL
)


_OF_DX = re.compile(r"(?:^|;)\s*dx(?!\w)[^;]*$")


def takes_values(before: str) -> bool:
    """Tell whether the command that *before* ends in takes expressions."""
    return _VALUE_COMMANDS.search(before) is not None


def model_names(prefix: str) -> list[str]:
    """Return the debugger's own objects whose names begin with *prefix*."""
    return [name for name in _MODEL_NAMES if name.startswith(prefix)]


def members(session: Session, before: str, cancel: CancelToken) -> list[Completion] | None:
    """Return the members of the object in front of the ``.`` or ``->`` that *before* ends behind,
    ``None`` where it ends in no such thing."""
    found = _PATH.search(before)
    if found is None or not session.has_target:
        return None
    part = found["part"]
    try:
        if found["first"].startswith("@") or _OF_DX.search(before):
            names = _of_model(session, found["first"], found["object"], cancel)
        else:
            names = _of_class(session, found["first"], found["object"])
    except (DebuggerError, Cancelled):
        return []
    return [
        Completion(sanitise_line(name), len(part), what)
        for name, what in sorted(names.items())
        if name.startswith(part)
    ]


def _of_model(session: Session, first: str, text: str, cancel: CancelToken) -> dict[str, str]:
    """Return the properties and methods of one of the debugger's objects; of a variable the members
    and the methods, of a smart pointer those of what it points to."""
    from polydbg.engine.model.context import ModelContext
    from polydbg.engine.model.evaluator import evaluate, methods_of
    from polydbg.engine.model.native import NativeObject

    context = ModelContext(session, cancel)
    if not first.startswith("@") and context.scope.local(first) is None:
        return {}
    object_, _, _ = evaluate(text, context)
    names = {each.name: "" for each in object_.properties() if each.name.isidentifier()}
    names |= dict.fromkeys(methods_of(context, object_), "method")
    if isinstance(object_, NativeObject):
        names |= _members_of(session, object_.value.type)
        smart = object_.smart_pointer()
        names |= _members_of(session, smart.type) if smart is not None else {}
    return names


def _of_class(session: Session, first: str, text: str) -> dict[str, str]:
    """Return the members of what an expression that begins with a local variable leads to."""
    from polydbg.engine.cpp_scope import CppScope
    from polydbg.expr.cpp.evaluator import evaluate

    scope = CppScope(session)
    if scope.local(first) is None:
        return {}
    return _members_of(session, evaluate(text, scope).type)


def _members_of(session: Session, type_: Type) -> dict[str, str]:
    """Return the members of a class, or of that which a pointer or reference leads to."""
    type_ = type_.bare
    for _ in range(2):  # a reference to a pointer
        type_ = type_.target.bare if isinstance(type_, PointerType) else type_
    return dict.fromkeys(member_names(session.current.types.completed(type_)), "member")


def locals_of(session: Session, prefix: str) -> Iterator[Completion]:
    """Yield the variables of the selected frame whose names begin with *prefix*."""
    if not session.has_target or not session.current.thread:
        return
    from polydbg.engine.cpp_scope import CppScope

    for name in sorted({each.name for each in CppScope(session).locals}):
        if name.startswith(prefix):
            yield Completion(sanitise_line(name), len(prefix), "variable")


def names_here(
    session: Session, prefix: str, pattern: str, cancel: CancelToken
) -> Iterator[Completion]:
    """Yield the types and variables of the selected frame's module that *prefix* begins, those that
    are found in time: expressions need no module for these."""
    try:
        frame = session.current_frame(cancel) if session.has_target else None
        module = session.current.modules.at(frame.frame.lookup_pc) if frame is not None else None
        source = session.current.modules.symbols(module) if module is not None else None
        if source is None:
            return
        for found in source.types_matching(pattern, cancel):
            yield Completion(sanitise_line(found.name), len(prefix), "type")
        for symbol in source.symbols_matching(pattern, cancel):
            if symbol.kind is SymbolKind.DATA:
                yield Completion(sanitise_line(symbol.name), len(prefix), symbol.kind.value)
    except (DebuggerError, Cancelled):
        return


def types(session: Session, text: str, pattern: str, cancel: CancelToken) -> Iterator[Completion]:
    """Yield the types ``module!prefix...`` that *text* begins, those that are found in time;
    *pattern* is the wildcard for the part behind the module."""
    module = session.current.modules.named(text.partition("!")[0])
    source = session.current.modules.symbols(module) if module is not None else None
    if module is None or source is None:
        return
    try:
        for found in source.types_matching(pattern, cancel):
            yield Completion(f"{module.name}!{sanitise_line(found.name)}", len(text), "type")
    except (DebuggerError, Cancelled):
        return
