"""What the stack of a core's process still holds of how it was started: arguments, environment.

Facts: the System V ABI processor supplements, "Process Initialization": on the stack lie the count
of arguments, pointers to them, 0, pointers to the environment, 0, the auxiliary vector, and above
it the texts. FreeBSD's ``ps_strings`` (``<sys/exec.h>``) points to both lists.
"""

from __future__ import annotations

from polydbg.formats.elf.header import ElfHeader
from polydbg.memory.space import AddressSpace

_MAX_POINTERS = 1 << 14
_MAX_TEXT = 1 << 17
_MAX_ALL = 1 << 22
_ROOM = 0x4000
"""Bytes below the random bytes of AT_RANDOM where the auxiliary vector is looked for."""


class StartStrings:
    """The *arguments* and the *environment*, NUL-ended texts as in Linux's ``cmdline`` and
    ``environ``; ``None`` where memory does not have them."""

    def __init__(self, memory: AddressSpace, header: ElfHeader) -> None:
        self._memory = memory
        self._word = header.word
        self._order = header.order

    def of_linux(
        self, auxiliary: bytes, marker: int, name: int
    ) -> tuple[bytes | None, bytes | None]:
        """Return both lists, found by the *auxiliary* vector's own bytes below *marker*, an address
        on the stack above them (AT_RANDOM). The texts end where the program's *name* is
        (AT_EXECFN), 0 on old systems."""
        vector = auxiliary[: 16 * self._word]
        position = self._memory.next_readable(max(marker - _ROOM, 0))
        if not vector or position is None or position >= marker:
            return None, None
        stack = self._memory.read_some(position, marker - position)
        place = stack.rfind(vector)
        if place < 0:
            return None, None
        starts = self._starts(position + place)
        if starts is None:
            return None, None
        arguments, environment = starts
        if not name:
            return self._texts(self._list(arguments)), self._texts(self._list(environment))
        first = self._number(arguments, self._word) or name
        middle = self._number(environment, self._word) or name
        if not marker <= first <= middle <= name:
            return None, None
        return self._between(first, middle), self._between(middle, name)

    def _starts(self, vector: int) -> tuple[int, int] | None:
        """Return where the lists of arguments and environment lie below the auxiliary vector: the
        count of arguments, as many pointers, and a 0 come first.

        The program may have written over the lists since: they are not read to their ends.
        """
        word = self._word
        low = self._memory.next_readable(max(vector - 2 * word * _MAX_POINTERS, 0))
        if low is None or low >= vector:
            return None
        low += (vector - low) % word
        data = self._memory.read_some(low, vector - low)
        words = [
            int.from_bytes(data[at : at + word], self._order) for at in range(0, len(data), word)
        ]
        for index in range(len(words) - 3, -1, -1):
            count = words[index]
            end = index + 1 + count
            if not 0 < count < _MAX_POINTERS or end >= len(words) or words[end]:
                continue
            if all(value > vector for value in words[index + 1 : end]):
                return low + (index + 1) * word, low + (end + 1) * word
        return None

    def _between(self, start: int, end: int) -> bytes | None:
        data = self._memory.read_some(start, min(end - start, _MAX_ALL))
        return data or None

    def _list(self, at: int) -> list[int]:
        """Return the pointers from *at* up to a 0."""
        found: list[int] = []
        while len(found) < _MAX_POINTERS and (value := self._number(at, self._word)):
            found.append(value)
            at += self._word
        return found

    def of_freebsd(self, strings: int) -> tuple[bytes | None, bytes | None]:
        """Return both lists by the structure at *strings*: address and count (int) of each."""
        word = self._word
        both: list[bytes | None] = []
        for at in (strings, strings + 2 * word):
            table = self._number(at, word)
            count = self._number(at + word, 4)
            if not strings or table is None or count is None or count > _MAX_POINTERS:
                both.append(None)
                continue
            pointers = [self._number(table + index * word, word) for index in range(count)]
            both.append(self._texts([pointer for pointer in pointers if pointer]))
        return both[0], both[1]

    def _number(self, address: int, size: int) -> int | None:
        data = self._memory.read_some(address, size)
        return int.from_bytes(data, self._order) if len(data) == size else None

    def _texts(self, pointers: list[int]) -> bytes | None:
        found = bytearray()
        for pointer in pointers:
            text, end, _ = self._memory.read_some(pointer, _MAX_TEXT).partition(b"\0")
            if not end or len(found) > _MAX_ALL:
                break
            found += text + end
        return bytes(found) if found else None
