"""Records of Breakpad symbol files: what one line says.

Numbers are hexadecimal, but file numbers, line numbers and origins of inlined calls are decimal.
Addresses are RVAs. Source: Breakpad, docs/symbol_files.md; what the document leaves open
(``INLINE`` without a file of the call, ``INLINE_ORIGIN`` with one) as its own reader takes it.

    FUNC [m] address size parameter_size name
    INLINE depth call_line [call_file] origin (address size)+
    address size line file
    PUBLIC [m] address parameter_size name
    STACK CFI INIT address size rules
    STACK CFI address rules
    STACK WIN type rva code_size prologue_size epilogue_size parameter_size saved_register_size
        local_size max_stack_size has_program_string (program_string | allocates_base_pointer)
"""

from __future__ import annotations

import re

import msgspec

from polydbg.base.identifiers import DebugId

_MODULE = re.compile(
    rb"MODULE +([^ \r\n]{1,64}) +([^ \r\n]{1,64}) +([^ \r\n]{1,128}) +([^\r\n]{1,4096})"
)
_ID = re.compile(r"([0-9A-Fa-f]{32})([0-9A-Fa-f]{1,8})")
_CFI_WORDS = 4096


class ModuleRecord(msgspec.Struct, frozen=True):
    """``MODULE os cpu id name``: *debug_id* is ``None`` when the id has another form or is all
    zeros."""

    os: str
    arch: str
    id_text: str
    name: str

    @property
    def debug_id(self) -> DebugId | None:
        match = _ID.fullmatch(self.id_text)
        found = DebugId(match[1].upper(), int(match[2], 16)) if match else None
        return None if found is None or found.is_null else found


class Row(msgspec.Struct, frozen=True):
    """A line record: *size* bytes of code from *start* belong to *line* of the file *file*."""

    start: int
    size: int
    line: int
    file: int


class Inline(msgspec.Struct, frozen=True):
    """An inlined call: *depth* 0 is in the function itself, *ranges* are (start, size) pairs.

    *call_file* is ``None`` in files of the old dialect.
    """

    depth: int
    call_line: int
    call_file: int | None
    origin: int
    ranges: tuple[tuple[int, int], ...]

    def covers(self, address: int) -> bool:
        """Tell whether the inlined code holds *address*."""
        return any(start <= address < start + size for start, size in self.ranges)


class WinRecord(msgspec.Struct, frozen=True):
    """A ``STACK WIN`` record; sizes in bytes. *program* is ``""`` where the file has none."""

    start: int
    code_size: int
    prolog_size: int
    parameter_size: int
    saved_size: int
    local_size: int
    max_stack_size: int
    program: str
    allocates_base_pointer: bool


def text(raw: bytes) -> str:
    """Return a name or path as text: UTF-8, what is none replaced."""
    return raw.decode("utf-8", "replace")


def parse_module(line: bytes) -> ModuleRecord | None:
    """Return the ``MODULE`` record, ``None`` when the line is none."""
    match = _MODULE.match(line)
    if match is None:
        return None
    return ModuleRecord(text(match[1]), text(match[2]), text(match[3]), text(match[4]).rstrip())


def parse_inline(line: bytes) -> Inline | None:
    """Return an ``INLINE`` record of either dialect, ``None`` when damaged.

    Ranges come in pairs, so that the number of words tells whether the file of the call is there.
    """
    words = line.split()[1:]
    has_file = len(words) % 2 == 0
    ranges_at = 4 if has_file else 3
    if len(words) < ranges_at + 2:
        return None
    try:
        numbers = [int(word) for word in words[:ranges_at]]
        code = [int(word, 16) for word in words[ranges_at:]]
    except ValueError:
        return None
    if min(numbers) < 0 or max(numbers) >> 32 or min(code) < 0 or max(code) >> 64:
        return None
    ranges = tuple(zip(code[::2], code[1::2], strict=True))
    return Inline(numbers[0], numbers[1], numbers[2] if has_file else None, numbers[-1], ranges)


def parse_win(line: bytes) -> WinRecord | None:
    """Return a ``STACK WIN`` record, ``None`` when damaged."""
    words = line.split(None, 12)
    if len(words) < 12:
        return None
    try:
        numbers = [int(word, 16) for word in words[3:11]]
        has_program = int(words[11]) != 0
    except ValueError:
        return None
    if min(numbers) < 0 or max(numbers) >> 64:
        return None
    tail = words[12].rstrip() if len(words) > 12 else b""
    start, code, prolog, _epilog, parameters, saved, local, stack = numbers
    return WinRecord(
        start,
        code,
        prolog,
        parameters,
        saved,
        local,
        stack,
        text(tail) if has_program else "",
        not has_program and tail not in (b"", b"0"),
    )


def parse_rules(rules: bytes) -> dict[str, str]:
    """Return the rules of a ``STACK CFI`` record: what each name is computed by, as postfix text.

    What stands before the first ``name:`` belongs to no rule and is dropped.
    """
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for word in text(rules).split()[:_CFI_WORDS]:
        if word.endswith(":"):
            current = found[word[:-1]] = []
        elif current is not None:
            current.append(word)
    return {name: " ".join(words) for name, words in found.items() if words}
