"""Which frame a failure is named after, and the bucket: a name that stays the same for the same
failure in every dump of it, so that dumps can be counted by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from polydbg.engine.analysis.model import Blame, Recursion
from polydbg.engine.analysis.runtime import file_name, is_helper, is_system
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame

_OWN_CODE = "the first frame outside of the system and of run-time libraries"
_NAMED = "all frames are of the system or of run-time libraries: the first with a name"
_TOP = "no frame has a name: the first one"
_CYCLE = "the first function of the recursion"
_GUESSED = "; the stack down to it is partly a guess"


def choose_blame(
    system: System, frames: Sequence[StackFrame], recursion: Recursion | None, skip: int = 0
) -> Blame | None:
    """Return the frame that the failure is named after, ``None`` without a stack.

    The first *skip* frames only carried out what their callers asked for, or are no code.
    """
    if not frames:
        return None
    if recursion is not None:
        name = min(recursion.functions)
        for row in frames:
            if name in (row.place.base_text, row.place.text):
                return Blame(row, _CYCLE)
    for row in frames[skip:]:
        if _is_own(system, row):
            return _blame(frames, row, _OWN_CODE)
    for row in frames[skip:] or frames:
        if row.place.symbol and not is_helper(row.place.symbol):
            return _blame(frames, row, _NAMED)
    return _blame(frames, frames[0], _TOP)


def _is_own(system: System, row: StackFrame) -> bool:
    if row.place.unloaded:
        return True
    module = system.modules.at(row.frame.lookup_pc)
    if module is None or is_system(module):
        return False
    return not is_helper(row.place.symbol)


def _blame(frames: Sequence[StackFrame], row: StackFrame, rule: str) -> Blame:
    guessed = any(each.trust.is_guess for each in frames[: row.number + 1])
    return Blame(row, rule + _GUESSED if guessed else rule)


def bucket_symbol(system: System, row: StackFrame) -> tuple[str, str]:
    """Return ``app.exe!function`` and how the name came about.

    Names of exports with a displacement are those of a neighbour, so they do not count; the
    offset in the image, the same in every dump of one build, stands in for a name.
    """
    place = row.place
    if place.unloaded:
        return f"{place.unloaded}!unloaded", "as unloaded"
    module = system.modules.at(row.frame.lookup_pc)
    if module is None:
        return "unknown!unknown", "by nothing: no module lies there"
    image = file_name(module)
    source = module.symbols
    is_export = source is not None and source.status.startswith("export")
    if place.symbol and not (is_export and place.displacement):
        return f"{image}!{place.symbol}", "by its symbols"
    return (
        f"{image}+{row.frame.pc - module.base:#x}",
        "by its offset in the image, for want of symbols",
    )


def bucket_hash(bucket: str) -> str:
    """Return a GUID-shaped hash of a bucket: the same on every host and in every version."""
    digest = hashlib.sha256(bucket.encode()).hexdigest()
    parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
    return "{" + "-".join(parts) + "}"
