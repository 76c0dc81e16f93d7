"""What can be read at an address: the dump, then read-only parts of matching image files.

A minidump rarely holds code. Where a matching image file was found, its read-only sections stand
in for absent pages; writable data never does, since the file knows only its first value.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence

from polydbg.base.errors import DebuggerError
from polydbg.engine.modules import ModuleMap
from polydbg.images.image import Image
from polydbg.memory.overlay import Overlay
from polydbg.memory.space import AddressSpace, read_exactly

_PAGE = 0x1000
_CHUNK = 1 << 17


class ImageFill:
    """Read-only parts of image files as stand-ins for absent memory; called for each gap."""

    def __init__(self, read: Callable[[int, int], bytes], pieces: list[tuple[int, int]]) -> None:
        self._read = read
        self._pieces: list[tuple[int, int]] = []  # (start, end), ascending, none overlapping
        at = 0
        for start, end in sorted(pieces):
            if max(start, at) < end:
                self._pieces.append((max(start, at), end))
                at = end
        self._ends = [end for _, end in self._pieces]
        self.size = sum(end - start for start, end in self._pieces)

    def __call__(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield (address, bytes) of what lies from *start* up to *end*, ascending."""
        at = start
        for index in range(bisect.bisect_right(self._ends, start), len(self._pieces)):
            first, last = self._pieces[index]
            if first >= end:
                return
            at, stop = max(at, first), min(last, end)
            while at < stop:
                data = self._read(at, min(_CHUNK, stop - at))
                if data:
                    yield at, data
                at += len(data) or _PAGE - at % _PAGE


class SystemMemory:
    """Target memory, backed by image files. Reads say where bytes came from only by absence."""

    def __init__(self, target: AddressSpace) -> None:
        self.target = target
        self.modules: ModuleMap | None = None
        self.overlay: Overlay | None = None

    def read(self, address: int, size: int) -> bytes:
        return read_exactly(self, address, size)

    def read_some(self, address: int, size: int) -> bytes:
        out = b""
        while len(out) < size:
            at, left = address + len(out), size - len(out)
            piece = self.target.read_some(at, left)
            if not piece:
                following = self.target.next_readable(at)
                until = left if following is None else min(left, following - at)
                piece = self._from_image(at, until)
            if not piece:
                break
            out += piece
        if self.overlay is not None and out:
            return self.overlay.apply(address, out)
        return out

    def next_readable(self, address: int) -> int | None:
        if self.read_some(address, 1):
            return address
        return self.target.next_readable(address)

    def from_images(self, start: int, end: int, poll: Callable[[], None]) -> ImageFill:
        """Return what image files hold for the addresses from *start* up to *end*.

        The images are found and opened here; *poll* is called for each and may raise.
        """
        pieces: list[tuple[int, int]] = []
        for module in self.modules.modules if self.modules else ():
            if module.end <= start or module.base >= end:
                continue
            poll()
            image = self.modules.file_image(module) if self.modules else None
            if image is None:
                continue
            for first, last in _constant_parts(image):
                low, high = max(module.base + first, start), min(module.base + last, module.end)
                if low < min(high, end):
                    pieces.append((low, min(high, end)))
        return ImageFill(self._from_image, pieces)

    def _from_image(self, address: int, size: int) -> bytes:
        module = self.modules.at(address) if self.modules else None
        if module is None or self.modules is None or size <= 0:
            return b""
        image = self.modules.file_image(module)
        if image is None:
            return b""
        rva = address - module.base
        for first, end in _constant_parts(image):
            if first <= rva < end:
                try:
                    return image.read_as_loaded(rva, min(size, end - rva), module.base)
                except DebuggerError:
                    return b""
        return b""


def _constant_parts(image: Image) -> Sequence[tuple[int, int]]:
    try:
        return image.constant_parts()
    except DebuggerError:
        return ()
