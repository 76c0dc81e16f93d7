"""Locks of a Linux process: what threads wait for in the futex call, who holds it, deadlocks.

A futex is a word of 32 bits, and only the C library knows what it is a part of. What the kernel
defines is certain: the word of a lock with priority inheritance has its owner's id, and a robust
one too. A mutex of glibc or musl is recognised by its fields, which must make sense together and
with the threads of the dump. Of all else only the futex is shown, and the function that waits.

Facts: ``futex(2)``, ``pthread_mutexattr_settype(3)``, glibc's ``struct __pthread_mutex_s`` and
musl's ``pthread_mutex_t`` by their installed headers' sizes and the order of the fields.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.engine.elf_threads import Library, ThreadBlock, thread_block
from polydbg.engine.futex_calls import FutexCall, futex_call, has_call_numbers
from polydbg.engine.lock_graph import cycles
from polydbg.engine.session import System
from polydbg.engine.stack import walk_stack
from polydbg.engine.structure import Structure
from polydbg.targets.target import ThreadInfo, byte_order

MAX_THREADS = 4096
_DEPTH = 8
_OWNER_BITS = 0x3FFFFFFF  # FUTEX_TID_MASK
_OWNER_DIED = 0x40000000
_NO_MUTEX = ("cond", "sem_", "join", "rwlock", "barrier", "once")
_GLIBC_TYPES = ("normal", "recursive", "error-checking", "adaptive")
_ROBUST, _PRIORITY_INHERIT, _PRIORITY_PROTECT, _SHARED, _ELISION = 0x10, 0x20, 0x40, 0x80, 0x300
_MUSL_TYPES = {0: "normal", 1: "recursive", 2: "error-checking"}
_MUSL_ROBUST, _MUSL_PRIORITY_INHERIT, _MUSL_SHARED = 4, 8, 0x80
_BUSY = 16  # what musl writes into a normal mutex that is held
_MAX_COUNT = 1 << 20
_KERNEL_MODULES = ("linux_gate", "linux_vdso")  # through which 32-bit x86 calls the system
_WAITING = re.compile(
    r"_*(?:GI_+)?(?:new_)?"
    r"(?:pthread|sem_|futex|lll_|mtx_|cnd_|thrd_|timedwait|wait|syscall|libc_)"
)
"""Names of the C library's functions that lead to a wait."""


class Kind(enum.Enum):
    """What the word is taken for."""

    MUTEX = "mutex"
    THREAD = "thread"  # the id of a thread, which the kernel clears when it ends
    PI = "lock with priority inheritance"
    FUTEX = "futex"


class Futex(msgspec.Struct, frozen=True):
    """What lies at *address*: the mutex's own, of other kinds the word's.

    *owner_id* is ``None`` where the lock does not record who holds it, *owner* where the dump has
    no thread of that id. *type* is ``normal``, ``recursive``, ... with ``robust`` and the like, and
    ``""`` of what is no mutex. *word* is the word waited for, *count* how often a recursive mutex
    was taken. *is_guess* where the fields make sense, but no thread of the dump is the owner.
    """

    address: int
    kind: Kind
    word: int | None
    owner_id: int | None = None
    owner: ThreadInfo | None = None
    type: str = ""
    count: int | None = None
    library: Library = Library.UNKNOWN
    is_guess: bool = False

    @property
    def is_locked(self) -> bool:
        return self.kind is not Kind.FUTEX and bool(self.word)


class FutexWait(msgspec.Struct, frozen=True):
    """A thread that waits for *lock*; *reason* says in which function and by which call."""

    thread: ThreadInfo
    lock: Futex
    is_guess: bool
    reason: str

    @property
    def owner(self) -> ThreadInfo | None:
        return self.lock.owner

    @property
    def address(self) -> int:
        return self.lock.address

    @property
    def kind(self) -> str:
        return self.lock.kind.value


class FutexReport(msgspec.Struct, frozen=True):
    """The locks that threads wait for, ascending by address, who waits, and the deadlocks as
    :func:`~polydbg.engine.lock_graph.cycles` has them. *threads* is how many were looked at."""

    locks: tuple[Futex, ...] = ()
    waits: tuple[FutexWait, ...] = ()
    cycles: tuple[tuple[FutexWait, ...], ...] = ()
    threads: int = 0
    notes: tuple[str, ...] = ()


def futex_report(
    system: System,
    cancel: CancelToken,
    progress: Callable[[str, int, int], None] | None = None,
) -> FutexReport:
    """Find who waits in a futex call of Linux, for what, and deadlocks."""
    reader = _Reader(system)
    threads = system.threads[:MAX_THREADS]
    waits = []
    for index, thread in enumerate(threads):
        cancel.check()
        if progress is not None:
            progress("threads", index, len(threads))
        call = futex_call(system, thread)
        if call is not None:
            waits.append(reader.wait(call, cancel))
    notes: tuple[str, ...] = ()
    if len(system.threads) > MAX_THREADS:
        notes = (f"only the first {MAX_THREADS} threads were looked at",)
    if threads and not has_call_numbers(system):
        notes += ("the dump does not say which calls of the system threads are in",)
    locks = {wait.address: wait.lock for wait in waits}
    return FutexReport(
        tuple(locks[address] for address in sorted(locks)),
        tuple(waits),
        tuple(cycles(waits)),
        len(threads),
        notes,
    )


def mutex_at(system: System, address: int) -> Futex | None:
    """Return the mutex at *address*, ``None`` where none can be."""
    reader = _Reader(system)
    return reader.glibc_mutex(address) or reader.musl_mutex(address)


class _Reader:
    def __init__(self, system: System) -> None:
        self._system = system
        self._threads = {thread.id & 0xFFFFFFFF: thread for thread in system.threads}
        self._blocks: list[ThreadBlock] | None = None

    def _structure(self, address: int) -> Structure:
        target = self._system.target
        return Structure(self._system.memory, address, target.pointer_size, byte_order(target))

    def wait(self, call: FutexCall, cancel: CancelToken) -> FutexWait:
        """Return what *call* waits for."""
        function = self._function(call.thread, cancel)
        lock = self._lock(call, function)
        where = f"{call.operation} in {function}" if function else call.operation
        return FutexWait(call.thread, lock, call.is_guess or lock.is_guess, where)

    def _lock(self, call: FutexCall, function: str) -> Futex:
        word = self._structure(call.address).number(0, 4)
        if call.is_pi and word:
            found = self.glibc_mutex(call.address)
            return found or self._owned(call.address, Kind.PI, word, word & _OWNER_BITS)
        if ended := self._thread_end(call.address, word):
            return ended
        if not any(part in function for part in _NO_MUTEX):
            found = self.glibc_mutex(call.address) or self.musl_mutex(call.address - 4)
            if found is not None and found.is_locked:
                return found
        return Futex(call.address, Kind.FUTEX, word)

    def _owned(self, address: int, kind: Kind, word: int, owner_id: int) -> Futex:
        return Futex(address, kind, word, owner_id, self._threads.get(owner_id))

    def _function(self, thread: ThreadInfo, cancel: CancelToken) -> str:
        """Return the function of the C library that its user called, ``""`` without names."""
        registers = self._system.thread_registers(thread)
        name = library = ""
        for row in walk_stack(self._system, registers, _DEPTH, cancel, inline=False):
            # Behind another module's frames is who called that one (glibc's main, say).
            if library and row.place.module != library:
                break
            if not row.place.module.startswith(_KERNEL_MODULES):
                library = row.place.module
            symbol = row.place.symbol.split("@")[0]
            if _WAITING.match(symbol):
                name = symbol
            elif name:
                break
        return name

    # -- the ends of threads ---------------------------------------------------------------

    def _thread_end(self, address: int, word: int | None) -> Futex | None:
        """Return the thread that is waited for where the word is the id in its own block."""
        thread = self._threads.get(word or 0)
        if thread is None:
            return None
        block = thread_block(self._system, thread)
        if block is None or block.descriptor is None:
            return None
        if not 0 < address - block.descriptor < 0x1000 or block.thread_id != word:
            return None
        return self._owned(address, Kind.THREAD, word or 0, word or 0)

    # -- mutexes ---------------------------------------------------------------------------

    def glibc_mutex(self, address: int) -> Futex | None:
        """Return glibc's mutex at *address*: word, count, owner, then users and kind, on 32-bit
        processors the other way round."""
        fields = self._structure(address)
        word, count, owner_id = (fields.number(offset, 4) for offset in (0, 4, 8))
        last = [fields.number(offset, 4) for offset in (12, 16)]
        users, kind = last if self._system.target.pointer_size == 8 else last[::-1]
        if word is None or count is None or owner_id is None or users is None or kind is None:
            return None
        flags = _ROBUST | _PRIORITY_INHERIT | _PRIORITY_PROTECT | _SHARED | _ELISION
        if kind & ~(flags | 3) or count >= _MAX_COUNT or users >= _MAX_COUNT:
            return None
        in_word = bool(kind & (_ROBUST | _PRIORITY_INHERIT))
        if in_word and word & _OWNER_BITS not in (0, owner_id):
            return None
        if not in_word and not kind & _PRIORITY_PROTECT and word > 2:
            return None
        # Robust and priority-inheriting ones count even where they are not recursive.
        is_counted = kind & 3 == 1 or in_word
        if bool(word) != bool(owner_id) or (word and (not users or is_counted != bool(count))):
            return None
        flags = kind & ~_SHARED if kind & _ROBUST else kind  # robust ones have that bit anyway
        words = [_GLIBC_TYPES[kind & 3], *_flag_words(flags, _ROBUST, _PRIORITY_INHERIT, _SHARED)]
        if word & _OWNER_DIED and in_word:
            words.append("owner died")
        owner = self._threads.get(owner_id)
        return Futex(
            address,
            Kind.MUTEX,
            word,
            owner_id,
            owner,
            " ".join(words),
            count,
            Library.GLIBC,
            is_guess=bool(word) and owner is None,
        )

    def musl_mutex(self, address: int) -> Futex | None:
        """Return musl's mutex at *address*: type, word, count of waiters; a normal one does not say
        who holds it."""
        if not self._is_musl():
            return None
        fields = self._structure(address)
        kind, word, waiters = (fields.number(offset, 4) for offset in (0, 4, 8))
        if kind is None or word is None or waiters is None or waiters >= _MAX_COUNT:
            return None
        if kind & ~(3 | _MUSL_ROBUST | _MUSL_PRIORITY_INHERIT | _MUSL_SHARED) or kind & 3 == 3:
            return None
        held = word & _OWNER_BITS
        words = [
            _MUSL_TYPES[kind & 3],
            *_flag_words(kind, _MUSL_ROBUST, _MUSL_PRIORITY_INHERIT, _MUSL_SHARED),
        ]
        if not kind & 15:
            if held not in (0, _BUSY):
                return None
            return Futex(address, Kind.MUTEX, word, type=" ".join(words), library=Library.MUSL)
        owner = self._threads.get(held)
        return Futex(
            address,
            Kind.MUTEX,
            word,
            held,
            owner,
            " ".join(words),
            library=Library.MUSL,
            is_guess=bool(held) and owner is None,
        )

    def _is_musl(self) -> bool:
        if self._blocks is None:
            found = (thread_block(self._system, each) for each in self._system.threads[:4])
            self._blocks = [block for block in found if block is not None]
        return any(block.library is Library.MUSL for block in self._blocks)


def _flag_words(kind: int, robust: int, inherit: int, shared: int) -> list[str]:
    flags = ((robust, "robust"), (inherit, "priority-inheriting"), (shared, "process-shared"))
    return [name for bit, name in flags if kind & bit]
