"""What could stand at the cursor: commands, modules, symbols; in expressions what these know."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from itertools import islice

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.registry import ABSENT_FAMILY, REGISTRY
from polydbg.engine.session import Session
from polydbg.service import value_completion
from polydbg.service.api import Completion

_LIMIT = 200
_SECONDS = 0.4
"""How long a search of symbols may take: someone waits with the key just pressed."""

_WILD = re.compile(r"[\\#?\[\]*+]")
_WORD = re.compile(r"[\w.!~@$:?<>|]*$")
_START = re.compile(r"(?:^|;)\s*(?P<word>[!.]?[A-Za-z_]*|\|{1,2}|~)$")
_TYPES = re.compile(r"(?:^|;)\s*(?:dt|dtx|\?\?|dx)(?![\w!])[^;]*$")
_HELP = re.compile(r"(?:^|;)\s*\.(?:help|hh)\s+\S*$")


def completions(session: Session, line: str, position: int) -> Sequence[Completion]:
    """Return at most 200 completions for the text before *position*."""
    before = line[:position]
    if start := _START.search(before):
        return list(islice(_commands(session, start.group("word")), _LIMIT))
    if value_completion.takes_values(before):
        found = value_completion.members(session, before, _Deadline(_SECONDS))
        if found is not None:
            return found[:_LIMIT]
    word = _WORD.search(before)
    text = word.group() if word else ""
    if text.startswith(("!", ".")) or _HELP.search(before):  # `~*e !gle`, `.help k`
        return list(islice(_commands(session, text), _LIMIT))
    if text.startswith("@$"):
        names = value_completion.model_names(text[1:])
        return [Completion(f"@{name}", len(text), "object") for name in names]
    if text.startswith("@"):
        return [
            Completion(f"@{name}", len(text), "register")
            for name in _registers(session)
            if name.startswith(text[1:].lower())
        ]
    if "!" in text:
        return list(islice(_of_module(session, text, before), _LIMIT))
    found = list(islice(_modules(session, text), _LIMIT))
    if value_completion.takes_values(before):
        found = [*value_completion.locals_of(session, text), *found]
    if len(text) > 1 and _TYPES.search(before):
        known = {each.text for each in found}
        here = value_completion.names_here(session, text, _pattern(text), _Deadline(_SECONDS))
        found += islice((each for each in here if each.text not in known), _LIMIT)
    return found[:_LIMIT]


def _of_module(session: Session, text: str, before: str) -> Iterator[Completion]:
    """Yield what of a module *text* begins: types where these are taken, then symbols."""
    if session.has_target and _TYPES.search(before):
        pattern = _pattern(text.partition("!")[2])
        yield from value_completion.types(session, text, pattern, _Deadline(_SECONDS))
    yield from _symbols(session, text)


def _pattern(prefix: str) -> str:
    return _WILD.sub(lambda match: f"\\{match.group()}", prefix) + "*"


def _commands(session: Session, prefix: str) -> Iterator[Completion]:
    declared = REGISTRY.declared()
    known = {
        name: entry.summary for name, entry in declared.items() if entry.family != ABSENT_FAMILY
    }
    for script in session.scripts.scripts:
        known.update((each.name, each.summary) for each in script.commands)
    for name in sorted(known):
        if name.startswith(prefix):
            yield Completion(name, len(prefix), known[name])


def _registers(session: Session) -> list[str]:
    if not session.has_target:
        return []
    return sorted(session.current.scope_registers())


def _modules(session: Session, prefix: str) -> Iterator[Completion]:
    if not session.has_target or not prefix:
        return
    for module in session.current.modules.modules:
        if module.name.lower().startswith(prefix.lower()):
            yield Completion(f"{module.name}!", len(prefix), module.info.file_name)


class _Deadline(CancelToken):
    """A token that cancels by itself when its time is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._end = time.monotonic() + seconds

    @property
    def is_cancelled(self) -> bool:
        return super().is_cancelled or time.monotonic() > self._end

    def check(self) -> None:
        if self.is_cancelled:
            raise Cancelled


def _symbols(session: Session, text: str) -> Iterator[Completion]:
    """Yield symbols that begin with *text*, those that are found in time."""
    if not session.has_target:
        return
    module_name, _, prefix = text.partition("!")
    modules = session.current.modules
    module = modules.named(module_name)
    source = modules.symbols(module) if module else None
    if module is None or source is None:
        return
    seen = set()
    try:
        for symbol in source.symbols_matching(_pattern(prefix), _Deadline(_SECONDS)):
            if symbol.name not in seen:
                seen.add(symbol.name)
                name = sanitise_line(symbol.name)
                yield Completion(f"{module.name}!{name}", len(text), symbol.kind.value)
    except (DebuggerError, Cancelled):
        return
