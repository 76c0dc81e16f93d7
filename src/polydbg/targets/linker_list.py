"""The dynamic linker's own list of what it loaded, as it lies in memory or as a dump copies it.

Facts: ``<link.h>`` (``r_debug``, ``link_map``) and ``dlmopen(3)`` for namespaces, whose lists are
chained by a further word since version 2 of ``r_debug``.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from polydbg.formats.elf.header import ElfHeader
from polydbg.memory.space import AddressSpace
from polydbg.targets.crash_report import crash_report
from polydbg.targets.target import Target

_MAX_OBJECTS = 1 << 14
_MAX_NAMESPACES = 64
_MAX_PATH = 4096


class LinkMap(msgspec.Struct, frozen=True):
    """An object of the list: *bias* is added to its addresses as linked, *dynamic* is where its
    dynamic table is. *address* is that of the entry itself, ``None`` in copies of the list."""

    bias: int
    name: str
    dynamic: int
    address: int | None = None


class Namespace(msgspec.Struct, frozen=True):
    """The objects of one namespace, in order. *address* is that of its ``r_debug``, ``None`` in
    copies; *state* is 0 between changes, 1 while objects are added, 2 while they are removed."""

    address: int | None
    version: int
    breakpoint: int
    state: int | None
    linker_base: int
    objects: tuple[LinkMap, ...]


@runtime_checkable
class HasLinkerList(Protocol):
    """What a target has in whose memory the linker's list was found."""

    @property
    def linker_list(self) -> tuple[Namespace, ...]: ...


def linker_list(target: Target) -> tuple[Namespace, ...]:
    """Return the namespaces of the process of *target*, the program's own first; empty where there
    is no list."""
    if isinstance(target, HasLinkerList):
        return target.linker_list
    report = crash_report(target)
    debug = report.dso_debug if report is not None else None
    if debug is None:
        return ()
    objects = tuple(LinkMap(each.address, each.name, each.dynamic) for each in debug.link_map)
    return (Namespace(None, debug.version, debug.brk, None, debug.loader_base, objects),)


def read_linker_list(
    memory: AddressSpace, header: ElfHeader, address: int
) -> tuple[Namespace, ...]:
    """Return the namespaces whose first ``r_debug`` is at *address*; 0 is none. Damaged lists end
    where they stop making sense."""
    reader = _Reader(memory, header)
    found: list[Namespace] = []
    seen: set[int] = set()
    while address and address not in seen and len(found) < _MAX_NAMESPACES:
        seen.add(address)
        namespace = reader.namespace(address)
        if namespace is None:
            break
        found.append(namespace)
        word = header.word
        address = (reader.number(address + 5 * word, word) or 0) if namespace.version >= 2 else 0
    return tuple(found)


class _Reader:
    def __init__(self, memory: AddressSpace, header: ElfHeader) -> None:
        self._memory = memory
        self._header = header
        self._seen: set[int] = set()

    def number(self, address: int, size: int) -> int | None:
        data = self._memory.read_some(address, size)
        return int.from_bytes(data, self._header.order) if len(data) == size else None

    def namespace(self, address: int) -> Namespace | None:
        word = self._header.word
        version = self.number(address, 4)
        first, place, linker = (self.number(address + i * word, word) for i in (1, 2, 4))
        if version is None:
            return None
        return Namespace(
            address,
            version,
            place or 0,
            self.number(address + 3 * word, 4),
            linker or 0,
            tuple(self._objects(first or 0)),
        )

    def _objects(self, address: int) -> list[LinkMap]:
        word = self._header.word
        found: list[LinkMap] = []
        while address and address not in self._seen and len(self._seen) < _MAX_OBJECTS:
            self._seen.add(address)
            bias, name, dynamic, following = (
                self.number(address + index * word, word) for index in range(4)
            )
            if bias is None or name is None or dynamic is None:
                break
            found.append(LinkMap(bias, self._text(name), dynamic, address))
            address = following or 0
        return found

    def _text(self, address: int) -> str:
        data = self._memory.read_some(address, _MAX_PATH) if address else b""
        return data.split(b"\0", 1)[0].decode("utf-8", "replace")
