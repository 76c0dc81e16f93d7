"""What an entry is called: its own name, or that of the declaration it completes or repeats.

Sources: DWARF 5 sections 2.13.2 (specification), 3.3.8.1 (abstract origin), 3.3.9 (out-of-line
instances).
"""

from __future__ import annotations

import msgspec

from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.unit import Die

_MAX_LINKS = 16


class Name(msgspec.Struct, frozen=True):
    """*linkage* is the linker name, ``b""`` without one; *plain* the name in the source without
    scopes, which *owner*, the entry that bears it, lies in."""

    linkage: bytes
    plain: bytes
    owner: Die


def name_of(die: Die) -> Name:
    """Return the name of a function, an inlined call or a variable.

    A linker name anywhere on the way counts before a plain name.

    :raises FormatError: the entries that it leads to are damaged.
    """
    linkage, plain, owner = b"", b"", die
    current: Die | None = die
    for _ in range(_MAX_LINKS):
        if current is None:
            break
        if not linkage:
            found = current.string(c.AT_LINKAGE_NAME) or current.string(c.AT_MIPS_LINKAGE_NAME)
            linkage = found or b""
        if not plain:
            owner = current
            plain = current.string(c.AT_NAME) or b""
        # What conventions of x86 add to a name (`@f@8`) can be told by the plain one alone.
        if linkage and (plain or b"@" not in linkage):
            break
        current = _next(current)
    return Name(linkage, plain, owner)


def _next(die: Die) -> Die | None:
    for attribute in (c.AT_SPECIFICATION, c.AT_ABSTRACT_ORIGIN):
        if attribute in die.attributes:
            return die.reference(attribute)
    return None


def is_external(die: Die) -> bool:
    """Tell whether the entry, or the declaration that it completes, is visible elsewhere."""
    current: Die | None = die
    for _ in range(_MAX_LINKS):
        if current is None:
            return False
        if current.number(c.AT_EXTERNAL):
            return True
        current = _next(current)
    return False


def find(die: Die, attribute: int) -> Die | None:
    """Return the first entry on the way to the declaration that has *attribute*."""
    current: Die | None = die
    for _ in range(_MAX_LINKS):
        if current is None:
            return None
        if attribute in current.attributes:
            return current
        current = _next(current)
    return None
