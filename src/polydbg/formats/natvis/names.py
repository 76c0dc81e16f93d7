"""Names of types as patterns: ``std::vector<*,*>`` matches, and what its stars stand for.

Blanks, and ``class`` and its like before arguments, do not count. A star that ends a list of
arguments stands for all that are left, each bound on its own (at least one, but where it stands
alone); any other for one. Suffixes of numbers do not count either (``4ul`` is ``4``). ``[`` and
``]`` enclose arguments as well, for the slices of Rust.
"""

from __future__ import annotations

import re

import msgspec

MAX_NAME = 16384
MAX_DEPTH = 60

_KEYWORD = re.compile(r"^(?:class|struct|union|enum) ")
_BLANK = re.compile(r"(?<!\w)\s+|\s+(?!\w)")
_HEAD = re.compile(r"[\w: &*]*(?=[<\[]|\Z)")
_CLOSERS = {"<": ">", "[": "]"}
_GROUPS = {"(": ")", "{": "}"}


class Arguments(msgspec.Struct, frozen=True, eq=False):
    """A list of arguments: the bracket that opens it, and each argument."""

    bracket: str
    items: tuple[NameTree, ...]


class NameTree(msgspec.Struct, frozen=True, eq=False):
    """A name: its *text*, and the texts (without blanks) and lists of arguments in it, in turn."""

    text: str
    parts: tuple[str | Arguments, ...]

    @property
    def is_star(self) -> bool:
        return self.parts == ("*",)

    @property
    def key(self) -> str:
        """Return what stands before the first list of arguments: what names are looked up by."""
        first = self.parts[0] if self.parts else ""
        return first if isinstance(first, str) else ""


def key_of(text: str) -> str:
    """Return the :attr:`NameTree.key` of a name without reading its arguments, ``""`` where it has
    none."""
    head = _HEAD.match(text)
    if head is not None:
        return _plain(head[0])
    tree = parse_name(text)  # brackets that enclose no arguments may be in it
    return tree.key if tree is not None else ""


class Binding(msgspec.Struct, frozen=True):
    """What a star stands for: the *text* of the argument, and how it is reached from the type: the
    index of the argument, then that of an argument of it and so on; ``()`` where it is not."""

    text: str
    path: tuple[int, ...]


def _plain(text: str) -> str:
    plain = _BLANK.sub("", _KEYWORD.sub("", text.strip()))
    return plain.rstrip("uUlL") if plain[:1].isdigit() else plain


def parse_name(text: str) -> NameTree | None:
    """Return *text* as a tree, ``None`` where brackets do not match or are too deep."""
    if len(text) > MAX_NAME:
        return None
    found = _parse(text, 0, "", 0)
    return found[0][0] if found is not None and len(found[0]) == 1 else None


def _parse(text: str, at: int, closer: str, depth: int) -> tuple[list[NameTree], int] | None:
    """Read names between commas up to *closer* (``""``: the end); return them and where they
    end."""
    if depth > MAX_DEPTH:
        return None
    names: list[NameTree] = []
    parts: list[str | Arguments] = []
    start = plain = at
    groups: list[str] = []
    while at < len(text):
        char = text[at]
        if groups:
            # Within parentheses nothing is an argument of ours.
            if char in _GROUPS:
                groups.append(_GROUPS[char])
            elif char == groups[-1]:
                groups.pop()
        elif char in _GROUPS:
            groups.append(_GROUPS[char])
        elif text.startswith("->", at):
            at += 1
        elif char in _CLOSERS:
            inner = _parse(text, at + 1, _CLOSERS[char], depth + 1)
            if inner is None:
                return None
            _add(parts, text[plain:at])
            parts.append(Arguments(char, tuple(inner[0])))
            at = inner[1]
            plain = at + 1
        elif char == closer or (char == "," and closer):
            _add(parts, text[plain:at])
            if parts or names or char == ",":
                names.append(NameTree(text[start:at].strip(), tuple(parts)))
            if char == closer:
                return names, at
            parts, start, plain = [], at + 1, at + 1
        at += 1
    if closer or groups:
        return None
    _add(parts, text[plain:])
    return [NameTree(text.strip(), tuple(parts))], at


def _add(parts: list[str | Arguments], text: str) -> None:
    plain = _plain(text)
    if plain:
        parts.append(plain)


def match_name(pattern: NameTree, name: NameTree) -> tuple[Binding, ...] | None:
    """Return what the stars of *pattern* stand for in *name*, in order; ``None``: no match."""
    found: list[Binding] = []
    return tuple(found) if _matches(pattern, name, (), found) else None


def _matches(
    pattern: NameTree, name: NameTree, path: tuple[int, ...] | None, found: list[Binding]
) -> bool:
    """Match one name. *path* leads to it, ``None`` where no arguments of types do."""
    if pattern.is_star:
        found.append(Binding(name.text, path or ()))
        return True
    if len(pattern.parts) != len(name.parts):
        return False
    last = len(name.parts) - 1
    for index, (wanted, part) in enumerate(zip(pattern.parts, name.parts)):
        if isinstance(wanted, str) or isinstance(part, str):
            if wanted != part:
                return False
        elif wanted.bracket != part.bracket:
            return False
        else:
            inner = path if index == last and part.bracket == "<" else None
            if not _match_arguments(wanted.items, part.items, inner, found):
                return False
    return True


def _match_arguments(
    wanted: tuple[NameTree, ...],
    items: tuple[NameTree, ...],
    path: tuple[int, ...] | None,
    found: list[Binding],
) -> bool:
    has_rest = bool(wanted) and wanted[-1].is_star
    least = 0 if has_rest and len(wanted) == 1 else len(wanted)
    if len(items) < least or (not has_rest and len(items) != len(wanted)):
        return False
    for index, item in enumerate(items):
        pattern = wanted[min(index, len(wanted) - 1)]
        inner = (*path, index) if path is not None else None
        if not _matches(pattern, item, inner, found):
            return False
    return True


def stars_in(pattern: NameTree) -> int:
    """Return how many stars *pattern* has: the fewer, the more exact."""
    if pattern.is_star:
        return 1
    return sum(
        stars_in(each)
        for part in pattern.parts
        if isinstance(part, Arguments)
        for each in part.items
    )
