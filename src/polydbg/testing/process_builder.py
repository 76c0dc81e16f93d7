"""Windows' blocks of a process (TEB, PEB, loader lists, critical sections) for dumps in tests.

The numbers are those of ``dt ntdll!_TEB`` and so on, written down apart from the reader's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, x86_context

_STEP = 0x1000

_TEB = {
    "exception_list": (0x00, 0x00),
    "stack_base": (0x08, 0x04),
    "stack_limit": (0x10, 0x08),
    "self": (0x30, 0x18),
    "process_id": (0x40, 0x20),
    "thread_id": (0x48, 0x24),
    "tls_pointer": (0x58, 0x2C),
    "peb": (0x60, 0x30),
    "last_error": (0x68, 0x34),
    "owned": (0x6C, 0x38),
    "locale": (0x108, 0xC4),
    "last_status": (0x1250, 0xBF4),
    "deallocation_stack": (0x1478, 0xE0C),
    "tls_slots": (0x1480, 0xE10),
    "hard_error_mode": (0x16B0, 0xF28),
    "sub_process_tag": (0x1720, 0xF60),
    "guaranteed": (0x1748, 0xF78),
    "tls_expansion": (0x1780, 0xF94),
    "wow_teb_offset": (0x180C, 0xFDC),
}
_PEB = {
    "image_base": (0x10, 0x08),
    "ldr": (0x18, 0x0C),
    "parameters": (0x20, 0x10),
    "process_heap": (0x30, 0x18),
    "fast_peb_lock": (0x38, 0x1C),
    "heap_count": (0xE8, 0x88),
    "heaps": (0xF0, 0x90),
    "loader_lock": (0x110, 0xA0),
    "os_major": (0x118, 0xA4),
    "os_build": (0x120, 0xAC),
    "session_id": (0x2C0, 0x1D4),
}
_FOUR_BYTES = frozenset(
    [
        "last_error",
        "owned",
        "locale",
        "last_status",
        "hard_error_mode",
        "guaranteed",
        "wow_teb_offset",
        "heap_count",
        "os_major",
        "session_id",
    ]
)
_TWO_BYTES = frozenset(["os_build"])


class ProcessBuilder:
    """Puts blocks one after another into a dump: each gets an address of its own."""

    def __init__(self, *, arch: str = "amd64", start: int = 0x1000000) -> None:
        self.dump = MinidumpBuilder(arch=arch).system()
        self.size = 8 if arch == "amd64" else 4
        self._next = start

    def place(self, data: bytes) -> int:
        """Put *data* into memory of its own; return its address."""
        address = self._next
        self._next += (len(data) // _STEP + 2) * _STEP
        self.dump.memory(address, data)
        return address

    def pointer(self, value: int) -> bytes:
        return (value % (1 << 8 * self.size)).to_bytes(self.size, "little")

    def text(self, text: str) -> bytes:
        """Return a ``UNICODE_STRING`` whose text is put into memory."""
        data = text.encode("utf-16-le")
        lengths = len(data).to_bytes(2, "little") + (len(data) + 2).to_bytes(2, "little")
        return lengths.ljust(self.size, b"\0") + self.pointer(self.place(data + b"\0\0"))

    def _block(
        self, length: int, places: Mapping[str, tuple[int, int]], values: Mapping[str, int]
    ) -> bytearray:
        block = bytearray(length)
        for name, value in values.items():
            width = 2 if name in _TWO_BYTES else 4 if name in _FOUR_BYTES else self.size
            at = places[name][self.size == 4]
            block[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        return block

    def thread(self, ident: int, peb: int = 0, *, context: bytes = b"", **values: int) -> int:
        """Add a thread whose TEB holds *values*; return the TEB's address."""
        address = self._next
        known = {"self": address, "peb": peb, "thread_id": ident, "process_id": 0x1A2C}
        self.place(bytes(self._block(0x1838, _TEB, {**known, **values})))
        empty = amd64_context() if self.size == 8 else x86_context()
        self.dump.thread(ident, context or empty, teb=address)
        return address

    def teb(self, address: int, **values: int) -> None:
        """Put a TEB of this width at *address*, of no thread of the dump's list."""
        self.dump.memory(address, bytes(self._block(0x1000, _TEB, {"self": address, **values})))

    def peb(self, *, being_debugged: int = 0, **values: int) -> int:
        """Put a PEB into memory; return its address."""
        block = self._block(0x400, _PEB, values)
        block[2] = being_debugged
        return self.place(bytes(block))

    def parameters(
        self, texts: Mapping[str, str], environment: Sequence[str] = (), *, flags: int = 1
    ) -> int:
        """Put start parameters into memory; *texts* by name of their field."""
        places = {
            "current_directory": (0x38, 0x24),
            "dll_path": (0x50, 0x30),
            "image_path": (0x60, 0x38),
            "command_line": (0x70, 0x40),
            "window_title": (0xB0, 0x70),
        }
        block = bytearray(0x400)
        block[8:12] = flags.to_bytes(4, "little")
        for name, text in texts.items():
            at = places[name][self.size == 4]
            block[at : at + 2 * self.size] = self.text(text)
        if environment:
            data = ("\0".join(environment) + "\0\0").encode("utf-16-le")
            at, size_at = (0x80, 0x3F0) if self.size == 8 else (0x48, 0x290)
            block[at : at + self.size] = self.pointer(self.place(data))
            block[size_at : size_at + self.size] = self.pointer(len(data))
        return self.place(bytes(block))

    def loader(self, modules: Sequence[tuple[int, str]], *, endless: bool = False) -> int:
        """Put loader lists of (base, path) into memory; all three are in the order given.

        *endless* lists never come back to their head.
        """
        size, length = self.size, 0x100
        names = [self.text(path) for _, path in modules]
        head = self._next
        heads = (0x10, 0x20, 0x30) if size == 8 else (0x0C, 0x14, 0x1C)
        base_at, name_at = (0x30, 0x48) if size == 8 else (0x18, 0x24)
        out = bytearray(length * (len(modules) + 1))
        out[4] = 1
        for order, at in enumerate(heads):
            link = order * 2 * size
            ring = [head + length * (i + 1) + link for i in range(len(modules))]
            following = [*ring[1:], ring[0] if endless else head + at] if ring else []
            first, last = (ring[0], ring[-1]) if ring else (head + at, head + at)
            out[at : at + 2 * size] = self.pointer(first) + self.pointer(last)
            for i, address in enumerate(following):
                start = length * (i + 1) + link
                out[start : start + size] = self.pointer(address)
        for i, (base, _) in enumerate(modules):
            start = length * (i + 1)
            out[start + base_at : start + base_at + size] = self.pointer(base)
            out[start + name_at : start + name_at + 4 * size] = names[i] * 2
        return self.place(bytes(out))
