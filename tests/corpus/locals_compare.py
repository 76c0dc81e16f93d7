"""Compares the variables of a frame with gdb's.

Where the two part, the test says who is right. gdb takes registers for kept that a callee may
overwrite, and shows a tail call that nothing on the stack tells as a frame, from which it has
values at the entry; we say that these are not known. It lists variables of blocks that were
optimised away, and those of abstract instances beside the concrete ones: they have no values. The
variables of a Rust enumeration's forms it reads whether they are in force or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from locals_peer import Leaves, Listed

#: What we say where gdb has a value that it cannot know.
NOT_KEPT = (
    "was not kept in this frame",
    "which called this one last",
    "the place that the debug information gives is too small",
    "the debug information describes only a part of the value",
    "which is in no memory",
)
#: Variables that gdb calls optimised out though they have a constant in a block that covers the
#: address (``DW_AT_const_value`` of a concrete entry).
CONSTANTS = {"maxspin"}
#: The C library's call of main is indirect: gdb does not compute where it leads.
INDIRECT = ("main: argc", "main: argv")
#: gdb 13 does not compute with such values.
TOO_WIDE = "error: That operation is not available on integers of more than 8 bytes."


def compare(
    where: str, ours: Listed, theirs: Listed, counts: Counter[str], *, is_blind: bool = False
) -> None:
    """Compare the variables of a frame; count values that are the same, and known to one alone.
    gdb *is_blind* where it is known not to read a file's locations."""
    mine: dict[str, list[Leaves]] = defaultdict(list)
    others: dict[str, list[Leaves]] = defaultdict(list)
    for name, _, leaves in ours:
        mine[name].append(leaves)
    for name, _, leaves in theirs:
        others[name].append(leaves)
    for name in {*mine, *others}:
        place = f"{where}: {name}"
        known = [each for each in others[name] if not _is_lost(each)]
        # Each value that gdb has we have, in the same order, or we say why it cannot be known.
        candidates = [each for each in mine[name] if not _is_lost(each)]
        if len(candidates) < len(known):
            assert any(_is_refused(each) for each in mine[name]), (place, known, mine[name])
            counts["only gdb"] += 1
            continue
        if len(candidates) > len(known):
            is_ours = name in CONSTANTS or place.endswith(INDIRECT)
            is_ours |= is_blind or [("", TOO_WIDE)] in [list(map(tuple, x)) for x in others[name]]
            assert is_ours, (place, candidates, others[name])
            counts["only we"] += 1
            continue
        for left, right in zip(candidates, known, strict=True):
            compare_leaves(place, dict(left), dict(right), counts)


def compare_leaves(
    place: str,
    mine: dict[str, int | float | str],
    theirs: dict[str, int | float | str],
    counts: Counter[str],
) -> None:
    for path in {*mine} & {*theirs}:
        left, right = mine[path], theirs[path]
        if isinstance(left, str) and left.endswith(NOT_KEPT):
            counts["only gdb"] += 1
        elif "skipped" not in (left, right) and not (
            isinstance(left, str) and isinstance(right, str)
        ):
            assert left == right, place + path
            counts["same"] += 1


def _is_lost(leaves: Leaves) -> bool:
    """Tell whether nothing of a value is known."""
    return all(isinstance(value, str) and value != "skipped" for _, value in leaves)


def _is_refused(leaves: Leaves) -> bool:
    return any(isinstance(value, str) and value.endswith(NOT_KEPT) for _, value in leaves)
