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
from polydbg.types.members import member_names
from polydbg.types.model import PointerType

_PATH = re.compile(
    r"(?P<object>(?P<first>@\$\w+|[A-Za-z_]\w*)(?:(?:\.|->)[A-Za-z_]\w*|\[\w+\])*)"
    r"(?:\.|->)(?P<part>\w*)$"
)
_MODEL_NAMES = ("$curframe", "$curprocess", "$cursession", "$curstack", "$curthread", "$vars")
_VALUE_COMMANDS = re.compile(
    r"(?:^|;)\s*(?:\?\?|\?|dv|dt|dtx|dx|x|kp|r\?|as|aS|\.printf)(?![\w!]).*$", re.DOTALL
)


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
        if found["first"].startswith("@"):
            names = _of_model(session, found["object"], cancel)
        else:
            names = _of_class(session, found["first"], found["object"])
    except (DebuggerError, Cancelled):
        return []
    return [
        Completion(sanitise_line(name), len(part), what)
        for name, what in sorted(names.items())
        if name.startswith(part)
    ]


def _of_model(session: Session, text: str, cancel: CancelToken) -> dict[str, str]:
    """Return the properties and methods of one of the debugger's objects."""
    from polydbg.engine.model.context import ModelContext
    from polydbg.engine.model.evaluator import evaluate, methods_of

    context = ModelContext(session, cancel)
    object_, _, _ = evaluate(text, context)
    names = {each.name: "" for each in object_.properties() if each.name.isidentifier()}
    return names | dict.fromkeys(methods_of(context, object_), "method")


def _of_class(session: Session, first: str, text: str) -> dict[str, str]:
    """Return the members of what an expression that begins with a local variable leads to."""
    from polydbg.engine.cpp_scope import CppScope
    from polydbg.expr.cpp.evaluator import evaluate

    scope = CppScope(session)
    if scope.local(first) is None:
        return {}
    type_ = evaluate(text, scope).type.bare
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
