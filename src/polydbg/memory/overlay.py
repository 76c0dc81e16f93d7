"""A scratch copy over memory that cannot be written: edits live here, the dump stays as it is."""

from __future__ import annotations

_PAGE = 0x1000


class _Page:
    """Edited bytes of one page: *mask* has 1 where *data* holds an edit."""

    __slots__ = ("data", "mask")

    def __init__(self) -> None:
        self.data = bytearray(_PAGE)
        self.mask = bytearray(_PAGE)


class Overlay:
    """Bytes written by the user, applied over what is read. Costs two bytes for each edited one
    (whole pages), so that filling large ranges stays possible."""

    def __init__(self) -> None:
        self._pages: dict[int, _Page] = {}

    def write(self, address: int, data: bytes) -> None:
        """Remember *data* at *address*."""
        at = 0
        while at < len(data):
            number, offset = divmod(address + at, _PAGE)
            taken = min(len(data) - at, _PAGE - offset)
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = _Page()
            page.data[offset : offset + taken] = data[at : at + taken]
            page.mask[offset : offset + taken] = b"\1" * taken
            at += taken

    def apply(self, address: int, data: bytes) -> bytes:
        """Return *data*, read at *address*, with the edits in it."""
        if not self._pages or not data:
            return data
        first, last = address // _PAGE, (address + len(data) - 1) // _PAGE
        if last - first < len(self._pages):
            numbers = [n for n in range(first, last + 1) if n in self._pages]
        else:
            numbers = [n for n in self._pages if first <= n <= last]
        if not numbers:
            return data
        changed = bytearray(data)
        for number in numbers:
            _apply_page(changed, address, number * _PAGE, self._pages[number])
        return bytes(changed)

    @property
    def count(self) -> int:
        """Return how many bytes were edited."""
        return sum(page.mask.count(1) for page in self._pages.values())


def _apply_page(changed: bytearray, address: int, base: int, page: _Page) -> None:
    """Copy each run of edits of *page*, which begins at *base*, into *changed* at *address*."""
    start = max(address, base) - base
    end = min(address + len(changed), base + _PAGE) - base
    at = page.mask.find(1, start, end)
    while at >= 0:
        stop = page.mask.find(0, at, end)
        stop = end if stop < 0 else stop
        target = base + at - address
        changed[target : target + stop - at] = page.data[at:stop]
        at = page.mask.find(1, stop, end)
