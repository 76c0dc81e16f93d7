"""What the C library keeps about a thread of an ELF system, found from its thread pointer.

No file says how these blocks are laid out, and they differ from library to library: a layout is
taken only where what lies there confirms it, which :attr:`ThreadBlock.evidence` says. Facts: Ulrich
Drepper's "ELF Handling For Thread-Local Storage" (the two variants, ``tcbhead_t``), ``set_tid_
address(2)`` and ``get_robust_list(2)``, glibc's ``nptl/descr.h`` and musl's
``src/internal/pthread_impl.h`` for the order of the first fields.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec

from polydbg.engine.session import System
from polydbg.engine.structure import Structure
from polydbg.targets.target import ThreadInfo, byte_order

_BELOW = 0x1000  # how far below the thread pointer a descriptor may begin
POWER_OFFSET = 0x7000
"""How far above the block the thread pointer of PowerPC and MIPS is."""

#: Processors whose thread pointer is the address of the descriptor itself (variant II, and s390).
_AT_POINTER = frozenset({"amd64", "x86", "s390x", "s390", "sparc64", "sparc"})
#: Where glibc's descriptor may have the thread's id, by processor and size of a pointer.
_GLIBC_IDS = {("amd64", 8): (0x2D0,), ("amd64", 4): (0x288, 0x2A8), ("x86", 4): (0x68,)}
_GLIBC_HEAD_WORDS = 24  # room that glibc leaves before its own fields elsewhere
#: Where tcbhead_t has the guards, by processor and size of a pointer: against stack overflows, and
#: what saved pointers are mangled with.
_GUARDS = {
    ("amd64", 8): (0x28, 0x30),
    ("amd64", 4): (0x18, 0x1C),
    ("x86", 4): (0x14, 0x18),
    ("s390x", 8): (0x28, None),
    ("s390", 4): (0x14, None),
}


class Library(enum.Enum):
    """Whose layout a thread's block has."""

    GLIBC = "glibc"
    MUSL = "musl"
    UNKNOWN = "unknown"


class ThreadBlock(msgspec.Struct, frozen=True):
    """The thread control block at *address*, the thread pointer.

    *descriptor* is where the library's own structure (``struct pthread``) begins, *thread_id* the
    id that it holds. *evidence* says what confirms the layout, or that none was recognised. *dtv*
    is the vector of the blocks of thread-local storage. What the dump lacks and what is not known
    of a layout is ``None``.
    """

    address: int
    library: Library
    evidence: str
    thread: ThreadInfo | None = None
    descriptor: int | None = None
    thread_id: int | None = None
    self_pointer: int | None = None
    dtv: int | None = None
    stack_guard: int | None = None
    pointer_guard: int | None = None
    robust_list: int | None = None
    errno_address: int | None = None  # musl's: glibc's is a variable


def thread_block(
    system: System, thread: ThreadInfo | None, address: int | None = None
) -> ThreadBlock | None:
    """Return the block of *thread*, or the one at *address*; ``None`` where its address is not
    known or nothing of it is in the dump."""
    at = address if address is not None else (thread.teb if thread is not None else None)
    if not at:
        return None
    return _Finder(system, thread, at).find()


class _Finder:
    """Tries the layouts at one thread pointer."""

    def __init__(self, system: System, thread: ThreadInfo | None, at: int) -> None:
        self._system = system
        self._thread = thread
        self._at = at
        self._size = system.target.pointer_size
        self._arch = system.target.arch
        self._order = byte_order(system.target)
        self._tcb = self._structure(at)

    def _structure(self, address: int) -> Structure:
        return Structure(self._system.target.memory, address, self._size, self._order)

    def find(self) -> ThreadBlock | None:
        tcb, size = self._tcb, self._size
        if tcb.word(0) is None and not any(self._candidates()):
            return None
        if self._system.target.system().platform not in ("linux", "android", "unknown"):
            return ThreadBlock(
                self._at, Library.UNKNOWN, "layouts of this system are not known", self._thread
            )
        is_at_pointer = self._arch in _AT_POINTER
        found = self._glibc() or self._musl()
        if found is not None:
            return found
        self_pointer = tcb.word(0) if is_at_pointer else None
        dtv = tcb.word(size) if is_at_pointer and self_pointer == self._at else None
        return ThreadBlock(
            self._at,
            Library.UNKNOWN,
            "neither glibc's nor musl's layout was recognised",
            self._thread,
            self_pointer=self_pointer,
            dtv=dtv,
        )

    # -- glibc -----------------------------------------------------------------------------

    def _glibc(self) -> ThreadBlock | None:
        size = self._size
        for ident, descriptor in self._glibc_places():
            evidence = self._confirms_glibc(ident, descriptor)
            if not evidence:
                continue
            guards = _GUARDS.get((self._arch, size), (None, None))
            block = self._structure(descriptor)
            offset = ident - descriptor
            is_at_pointer = self._arch in _AT_POINTER
            return ThreadBlock(
                self._at,
                Library.GLIBC,
                evidence,
                self._thread,
                descriptor=descriptor,
                thread_id=block.number(offset, 4),
                self_pointer=block.word(2 * size) if is_at_pointer else None,
                dtv=self._glibc_dtv(),
                stack_guard=None if guards[0] is None else block.word(guards[0]),
                pointer_guard=None if guards[1] is None else block.word(guards[1]),
                robust_list=ident + 8 + size,
            )
        return None

    def _glibc_dtv(self) -> int | None:
        """Return the vector's address: behind the first word (variant II), or first in a head of
        two words at the thread pointer, on RISC-V, PowerPC and others before it."""
        size = self._size
        if self._arch in _AT_POINTER:
            return self._tcb.word(size)
        if self._arch in ("arm64", "arm"):
            return self._tcb.word(0)
        if self._arch.startswith("riscv"):
            return self._tcb.word(-2 * size)
        if self._arch.startswith("ppc"):
            return self._structure(self._at - POWER_OFFSET).word(-size)
        return None

    def _glibc_places(self) -> Iterator[tuple[int, int]]:
        """Yield where the id and the descriptor may be."""
        size = self._size
        usual = (_GLIBC_HEAD_WORDS + 2) * size
        if self._arch in _AT_POINTER:
            for offset in _GLIBC_IDS.get((self._arch, size), (usual,)):
                yield self._at + offset, self._at
            return
        for ident in self._candidates():
            yield ident, ident - usual

    def _candidates(self) -> Iterator[int]:
        """Yield the addresses below the thread pointer that hold the thread's id: there a
        descriptor of a size that is not known ends."""
        if self._thread is None or self._arch in _AT_POINTER:
            return
        top = self._at - (POWER_OFFSET if self._arch.startswith("ppc") else 0)
        memory = self._system.target.memory
        first = memory.next_readable(top - _BELOW)
        if first is None or first >= top:
            return
        first += -first % 4
        data = memory.read_some(first, top - first)
        wanted = (self._thread.id & 0xFFFFFFFF).to_bytes(4, self._order)
        at = data.find(wanted)
        while at >= 0:
            if not (first + at) % 4:
                yield first + at
            at = data.find(wanted, at + 1)

    def _confirms_glibc(self, ident: int, descriptor: int) -> str:
        """Return what shows that glibc's descriptor is there, ``""`` if nothing does: the list of
        all threads, two pointers before the id, comes back to itself."""
        size = self._size
        node = self._structure(ident - 2 * size)
        following, previous = node.word(0), node.word(size)
        is_ring = bool(following and previous) and (
            self._structure(following or 0).word(size) == node.address
            or self._structure(previous or 0).word(0) == node.address
        )
        if self._arch not in _AT_POINTER:
            return "its links are part of the list of threads" if is_ring else ""
        block = self._structure(descriptor)
        if (block.word(0), block.word(2 * size)) != (descriptor, descriptor):
            return ""
        held = node.number(2 * size, 4)
        if self._thread is not None and held == self._thread.id & 0xFFFFFFFF:
            return "it points to itself twice and holds the thread's id"
        return "it points to itself twice and is in the list of threads" if is_ring else ""

    # -- musl ------------------------------------------------------------------------------

    def _musl(self) -> ThreadBlock | None:
        """Musl's structure points to itself; links and one word follow, and before the id on
        processors whose thread pointer it is at, two more."""
        size = self._size
        if self._arch in _AT_POINTER:
            places = [(self._at + 6 * size, self._at)]
        else:
            places = [(ident, ident - 4 * size) for ident in self._candidates()]
        for ident, descriptor in places:
            block = self._structure(descriptor)
            is_at_pointer = self._arch in _AT_POINTER
            held = block.number(ident - descriptor, 4)
            if block.word(0) != descriptor or self._thread is None:
                continue
            if held != self._thread.id & 0xFFFFFFFF:
                continue
            return ThreadBlock(
                self._at,
                Library.MUSL,
                "it points to itself and holds the thread's id",
                self._thread,
                descriptor=descriptor,
                thread_id=held,
                self_pointer=descriptor,
                dtv=block.word(size) if is_at_pointer else None,
                stack_guard=block.word(5 * size) if is_at_pointer else None,
                errno_address=ident + 4,
            )
        return None
