"""What mappings of a Linux or BSD process are used for, by their names, neighbours and contents.

The kernel names few mappings, and a core not even those: the heap is recognised by glibc's chunks
and arenas or by its place behind the program, the data page of the vdso by its place before it,
a stack's guard by lying below it, a block of thread-local storage by the thread pointer into it.
Facts: ``proc(5)``, ``vdso(7)``; glibc's manual of the GNU Allocator and its ``malloc/arena.c`` for
the head of a thread's heap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polydbg.engine.address_usage import Span, Usage
from polydbg.engine.structure import Structure
from polydbg.targets.target import ThreadInfo, byte_order

if TYPE_CHECKING:
    from polydbg.engine.address_map import Region
    from polydbg.engine.session import System

_MAX_GUARD = 16 << 20
_MAX_READABLE_GUARD = 64 << 10
_MAX_BREAK_DISTANCE = (1 << 30) + (1 << 21)
_ARENA_SIZES = {8: 64 << 20, 4: 1 << 20}  # HEAP_MAX_SIZE
_HEAP_NAMES = ("[anon:libc_malloc", "[anon:scudo", "[anon:GWP-ASan", "[anon: glibc: malloc")
_PREVIOUS_IN_USE = 1
_FLAGS = 7

_BY_NAME = {
    "[heap]": Usage.HEAP,
    "[stack]": Usage.STACK,
    "[vdso]": Usage.VDSO,
    "[vvar]": Usage.VVAR,
    "[vvar_vclock]": Usage.VVAR,
}


def mapping_usage(system: System, pieces: Sequence[Region]) -> dict[int, Span]:
    """Return what each of *pieces*, the regions of the system's list ascending, is used for, by its
    base; those that nothing tells of are absent."""
    return _Finder(system, pieces).find()


class _Finder:
    def __init__(self, system: System, pieces: Sequence[Region]) -> None:
        self._system = system
        self._pieces = [piece for piece in pieces if piece.file is not None]
        self._starts = [piece.base for piece in self._pieces]
        self._found: dict[int, Span] = {}

    def find(self) -> dict[int, Span]:
        for piece in self._pieces:
            self._by_name(piece)
        self._stack_guards()
        self._vdso_data()
        self._heaps()
        self._thread_blocks()
        return self._found

    def _name(self, piece: Region) -> str:
        return piece.file.path if piece.file is not None else ""

    def _permissions(self, piece: Region) -> str:
        return piece.file.permissions[:3] if piece.file is not None else ""

    def _set(self, piece: Region, usage: Usage, what: str = "") -> None:
        self._found[piece.base] = Span(piece.base, piece.end, usage, what)

    def _by_name(self, piece: Region) -> None:
        name = self._name(piece)
        usage = _BY_NAME.get(name)
        if usage is not None:
            self._set(piece, usage)
        elif name.startswith(_HEAP_NAMES):
            self._set(piece, Usage.HEAP, name.strip("[]"))
        elif name.startswith("[stack:"):
            self._set(piece, Usage.STACK, name.strip("[]"))
        elif name.startswith("[anon"):
            self._set(piece, Usage.ANONYMOUS, name.strip("[]"))
        elif name.startswith("["):
            self._set(piece, Usage.OTHER, name.strip("[]"))
        elif name:
            self._set(piece, Usage.MAPPED_FILE, name)
        else:
            self._set(piece, Usage.ANONYMOUS)

    def _at(self, address: int) -> int | None:
        """Return the index of the piece that holds *address*."""
        index = bisect_right(self._starts, address) - 1
        return index if index >= 0 and address < self._pieces[index].end else None

    def _is_plain(self, piece: Region) -> bool:
        return self._found[piece.base].usage is Usage.ANONYMOUS

    # -- threads ---------------------------------------------------------------------------

    def _label(self, thread: ThreadInfo) -> str:
        process = self._system.target.process_id
        return f"~{thread.ordinal}; {process or 0:x}.{thread.id:x}"

    def _stack_guards(self) -> None:
        """A mapping without any access right below the one that a thread's stack is in; gdb's
        ``gcore`` calls it readable."""
        for thread in self._system.threads:
            index = self._at(thread.stack_base) if thread.stack_base else None
            if not index:
                continue
            stack, guard = self._pieces[index], self._pieces[index - 1]
            most = {"---": _MAX_GUARD, "r--": _MAX_READABLE_GUARD}.get(self._permissions(guard), 0)
            is_guard = guard.end == stack.base and guard.size <= most
            if is_guard and self._is_plain(guard):
                what = self._label(thread)
                self._found[guard.base] = Span(
                    guard.base, guard.end, Usage.STACK, what, thread=thread
                )

    def _thread_blocks(self) -> None:
        """The block of the first thread, whose stack the kernel made, has a mapping of its own."""
        for thread in self._system.threads:
            index = self._at(thread.teb) if thread.teb else None
            if index is not None and self._is_plain(self._pieces[index]):
                self._set(self._pieces[index], Usage.TLS, self._label(thread))

    def _vdso_data(self) -> None:
        """The kernel maps what the code of the vdso reads right before it."""
        for index, piece in enumerate(self._pieces):
            if self._name(piece) != "[vdso]":
                continue
            while index:
                before = self._pieces[index - 1]
                is_data = before.end == self._pieces[index].base and self._is_plain(before)
                if not is_data or self._permissions(before) != "r--":
                    break
                self._set(before, Usage.VVAR)
                index -= 1

    # -- heaps -----------------------------------------------------------------------------

    def _heaps(self) -> None:
        if any(self._found[piece.base].usage is Usage.HEAP for piece in self._pieces):
            return
        if self._system.target.system().platform not in ("linux", "android"):
            return
        self._break_area()
        room = _ARENA_SIZES[self._system.target.pointer_size]
        for index, piece in enumerate(self._pieces):
            if not piece.base % room and self._is_arena(piece, room):
                self._set(piece, Usage.HEAP, f"arena at {piece.base:x}")
                rest = self._pieces[index + 1] if index + 1 < len(self._pieces) else None
                if rest is not None and (rest.base, rest.end) == (piece.end, piece.base + room):
                    self._set(rest, Usage.HEAP, f"arena at {piece.base:x}, not yet used")

    def _break_area(self) -> None:
        """The area that ``brk`` makes larger lies behind the program, at a random distance."""
        modules = self._system.target.modules()
        if not modules:
            return
        end = modules[0].end
        index = self._at(end - 1)
        index = bisect_right(self._starts, end - 1) if index is None else index + 1
        while index < len(self._pieces):
            piece = self._pieces[index]
            if piece.base - end > _MAX_BREAK_DISTANCE or not self._is_plain(piece):
                return
            is_data = self._permissions(piece) == "rw-"
            if is_data and self._has_chunk(piece):
                self._set(piece, Usage.HEAP)
                return
            if is_data and piece.base > self._pieces[index - 1].end:
                self._set(piece, Usage.HEAP, "guess: the first memory behind the program")
                return
            index += 1

    def _words(self, address: int) -> Structure:
        target = self._system.target
        return Structure(target.memory, address, target.pointer_size, byte_order(target))

    def _has_chunk(self, piece: Region) -> bool:
        """Tell whether glibc's first chunk of memory is at the start, and another behind it."""
        word = self._system.target.pointer_size
        size = self._words(piece.base).word(word)
        if size is None or not size & _PREVIOUS_IN_USE:
            return False
        size &= ~_FLAGS
        if not 4 * word <= size <= piece.size - 2 * word or size % (2 * word):
            return False
        following = self._words(piece.base + size).word(word)
        return (
            following is not None
            and bool(following & _PREVIOUS_IN_USE)
            and (0 < following & ~_FLAGS <= piece.size - size)
        )

    def _is_arena(self, piece: Region, room: int) -> bool:
        """Tell whether a heap of a thread's arena begins here: arena, previous heap, size, size
        that can be read and written."""
        if self._permissions(piece) != "rw-" or not self._is_plain(piece):
            return False
        word = self._system.target.pointer_size
        head = self._words(piece.base)
        arena, previous, size, usable = (head.word(index * word) for index in range(4))
        if arena is None or previous is None or size is None or usable is None:
            return False
        is_first = not previous and piece.base < arena < piece.base + 0x100
        is_later = bool(previous) and not previous % room and arena % room < 0x100
        return (is_first or is_later) and 0 < size <= room and usable == piece.size
