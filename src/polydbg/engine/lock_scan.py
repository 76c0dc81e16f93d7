"""Words of memory that may belong to critical sections: ids of threads, pointers."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.modules import Module
from polydbg.engine.session import System
from polydbg.images.pe import PeImage
from polydbg.memory.space import AddressSpace

MAX_SCANNED = 256 << 20
MAX_RECURSION = 1 << 20
_CHUNK = 1 << 18
_WRITABLE = 0x80000000
_LOWEST_POINTER = 0x10000  # Windows maps nothing below


def owned_words(
    system: System,
    ids: frozenset[int],
    cancel: CancelToken,
    progress: Callable[[str, int, int], None],
) -> Iterator[int]:
    """Yield the addresses of words, as wide as a pointer and aligned, that are one of *ids* and may
    be the owner of a section: the words before can be its count of recursion and debug information.

    Only what the dump itself has of modules' writable sections is read (of the whole module where
    its headers are absent), at most 256 MB.
    """
    left = MAX_SCANNED
    modules = system.modules.modules
    for index, module in enumerate(modules):
        progress("modules", index, len(modules))
        for start, end in _writable(system, module):
            stop = min(end, start + left)
            left -= stop - start
            yield from _matches(system, start, stop, ids, cancel)
            if left <= 0:
                return


def _writable(system: System, module: Module) -> Iterator[tuple[int, int]]:
    try:
        sections = PeImage.from_memory(system.target.memory, module.base).sections()
    except DebuggerError:
        sections = ()
    if not sections:
        yield module.base, module.end
    for section in sections:
        if section.characteristics & _WRITABLE:
            start = module.base + section.rva
            yield start, min(start + section.size, module.end)


def _matches(
    system: System, start: int, end: int, ids: frozenset[int], cancel: CancelToken
) -> Iterator[int]:
    size = system.pointer_size
    # Before the owner: pointer, two counts of 4 bytes; the count of recursion is the later one.
    shift, pointer = (32, 2) if size == 8 else (0, 3)
    none = (1 << 8 * size) - 1
    for at, words in _words(system.target.memory, start, end, size, cancel):
        for i, word in enumerate(words):
            if word not in ids:
                continue
            if i >= pointer:  # else a chunk begins in the middle: what stands before is not known
                info = words[i - pointer]
                if not 0 < words[i - 1] >> shift < MAX_RECURSION:
                    continue
                if info != none and (info < _LOWEST_POINTER or info % size):
                    continue
            yield at + i * size


def pointers_in(
    memory: AddressSpace, start: int, end: int, size: int, cancel: CancelToken
) -> Iterator[int]:
    """Yield the addresses of aligned words that may point somewhere: neither small nor odd."""
    for at, words in _words(memory, start, end, size, cancel):
        yield from (
            at + i * size
            for i, word in enumerate(words)
            if word >= _LOWEST_POINTER and not word % size
        )


def _words(
    memory: AddressSpace, start: int, end: int, size: int, cancel: CancelToken
) -> Iterator[tuple[int, array[int]]]:
    """Yield what is readable from *start* up to *end* as words of *size* bytes."""
    code = "Q" if size == 8 else "I"
    following = memory.next_readable(start)
    while following is not None and following < end:
        cancel.check()
        at = following + -following % size
        data = memory.read_some(at, min(_CHUNK, end - at)) if at < end else b""
        words = array(code, data[: len(data) - len(data) % size])
        if sys.byteorder == "big":
            words.byteswap()
        yield at, words
        following = memory.next_readable(at + max(size, len(words) * size))
