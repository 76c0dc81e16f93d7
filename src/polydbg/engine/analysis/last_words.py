"""What run-time libraries of Unix leave in memory when they end a program.

glibc keeps the text that it prints before it aborts, for debuggers: its variable ``__abort_msg``
points to a number of four bytes, the size of the mapping, and the text behind it. Where the
variable is not found, a page that looks like that is likely to be it; texts that words of the stack
point to are a hint, no more.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.modules import Module
from polydbg.engine.session import System
from polydbg.targets.target import byte_order

_VARIABLE: Final = "__abort_msg"
_MAX_TEXT: Final = 2048
_MAX_MAPPING: Final = 1 << 20
_PAGE: Final = 0x1000
_MAX_PAGES: Final = 1 << 14
_SCANNED: Final = 0x1000
"""How much of a stack is looked through for texts, in bytes from the stack pointer on."""
_LIBRARY: Final = re.compile(r"libc(?:-[\d.]+)?\.so(?:\.\d+)*$")
_HEAP: Final = re.compile(
    r"(?:malloc|free|realloc|calloc|munmap_chunk|mremap_chunk|malloc_consolidate|_int_\w+|"
    r"sysmalloc|memalign|unlink_chunk)\(\): |corrupted (?:size|double-linked)|"
    r"(?:invalid|corrupted) (?:fastbin|pointer|chunk|size)|double free|break adjusted to free"
)
_CERTAIN_DOUBLE: Final = re.compile(r"double free detected in tcache|double free .*\(fasttop\)")
_KNOWN_TEXT: Final = re.compile(
    rf"\*\*\* (?:stack smashing|buffer overflow) detected \*\*\*|{_HEAP.pattern}|"
    r".{0,400}: Assertion `.+' failed\."
)


class Ending(msgspec.Struct, frozen=True):
    """Why a library ended the program, by what it said: *problem_class*, *words* and the *text*."""

    problem_class: str
    words: str
    text: str


def abort_message(system: System, cancel: CancelToken | None) -> Ending | None:
    """Return what glibc noted before it aborted, ``None`` where it noted nothing or nothing tells.

    A program without shared libraries has the variable itself.
    """
    platform = system.target.system().platform
    if platform != "linux":
        return None
    modules = system.modules.modules
    libraries = [each for each in modules if _LIBRARY.match(each.info.file_name)]
    if not libraries and (program := next(iter(system.target.modules()), None)) is not None:
        libraries = [each for each in modules if each.info is program]
    for module in libraries[:2]:
        if cancel is not None:
            cancel.check()
        text = _message_of(system, module)
        if text:
            return ending_of(text)
    return None


def _message_of(system: System, module: Module) -> str:
    source = system.modules.symbols(module)
    size, order = system.pointer_size, byte_order(system.target)
    try:
        symbol = source.symbol_named(_VARIABLE) if source is not None else None
        if symbol is None or symbol.name != _VARIABLE:
            return ""
        raw = system.memory.read(module.base + symbol.rva, size)
        start = int.from_bytes(raw, order)
        if not start:
            return ""
        mapped = int.from_bytes(system.memory.read(start, 4), order)
    except DebuggerError:
        return ""
    if not 4 < mapped <= _MAX_MAPPING:
        return ""
    data = system.memory.read_some(start + 4, min(mapped - 4, _MAX_TEXT))
    text = data.partition(b"\0")[0].decode("utf-8", "replace").strip()
    return sanitise_line(text)


def message_in_memory(system: System, cancel: CancelToken | None) -> Ending | None:
    """Return what a page of memory says that looks like glibc's note, ``None`` without one: it
    begins with its own size, and a line of text that ends there follows."""
    if system.target.system().platform != "linux":
        return None
    order, left = byte_order(system.target), _MAX_PAGES
    for region in system.target.regions():
        file = region.file
        if file is None or file.path or file.permissions[:2] != "rw":
            continue
        if region.size > _MAX_MAPPING:
            continue  # heaps and stacks of threads: the note has a mapping of its own
        if cancel is not None:
            cancel.check()
        for page in range(region.base, region.end, _PAGE):
            left -= 1
            if left < 0:
                return None
            size = int.from_bytes(system.memory.read_some(page, 4), order)
            if size and not size % _PAGE and page + size <= region.end:
                text = _line_at(system, page + 4)
                if text:
                    return ending_of(text)
    return None


def _line_at(system: System, address: int) -> str:
    """Return the text at *address* that ends with a line feed and zeros, ``""`` for another."""
    data, end, rest = system.memory.read_some(address, _PAGE - 4).partition(b"\n\0")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    is_note = bool(end) and bool(text) and text.isprintable() and not any(rest)
    return sanitise_line(text[:_MAX_TEXT]) if is_note else ""


def ending_of(text: str) -> Ending:
    """Return what a message of glibc says; one that is not known is a call of abort."""
    if found := re.search(r"Assertion `(.*)' failed", text):
        return Ending("ASSERTION", f"an assertion of the program failed: {found[1]}", text)
    if "stack smashing detected" in text:
        words = "a function found its stack frame overwritten"
        return Ending("STACK_BUFFER_OVERRUN", words, text)
    if "buffer overflow detected" in text:
        words = "a checked library function found its buffer too small"
        return Ending("BUFFER_OVERRUN", words, text)
    if _CERTAIN_DOUBLE.search(text):
        return Ending("DOUBLE_FREE", "memory was freed that had been freed before", text)
    if "double free" in text:
        words = "memory was freed twice, or the heap's data was overwritten"
        return Ending("HEAP_CORRUPTION", words, text)
    if "invalid pointer" in text and _HEAP.search(text):
        words = "what was freed is no block of the heap, or the data before it was overwritten"
        return Ending("HEAP_CORRUPTION", words, text)
    if _HEAP.search(text):
        return Ending("HEAP_CORRUPTION", "the heap found its own data overwritten", text)
    return Ending("ABORT", "the C library ended the program", text)


def text_on_stack(system: System, sp: int) -> Ending | None:
    """Return what the first text says that a word of the stack from *sp* on points to, of the texts
    with which libraries end programs. It may be left from before."""
    size = system.pointer_size
    stack = system.memory.read_some(sp, _SCANNED)
    seen: set[int] = set()
    for at in range(0, len(stack) - size + 1, size):
        word = int.from_bytes(stack[at : at + size], byte_order(system.target))
        if word < 0x1000 or word in seen:
            continue
        seen.add(word)
        data = system.memory.read_some(word, 512).partition(b"\0")[0]
        try:
            text = data.decode().strip()
        except UnicodeDecodeError:
            continue
        if text.isprintable() and _KNOWN_TEXT.match(text):
            return ending_of(sanitise_line(text))
    return None
