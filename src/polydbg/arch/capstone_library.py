"""capstone's decoder through its C interface.

The package's Python binding loads the tables of seventeen architectures when it is imported, most
of our start-up time; its shared library is what we need. The functions and structures are those of
``capstone.h`` of version 5 (``cs_open``, ``cs_disasm``, ``cs_insn``), which the dependency pins.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import lru_cache

ARCH_ARM, ARCH_ARM64, ARCH_X86 = 0, 1, 3
MODE_ARM, MODE_32, MODE_64, MODE_THUMB = 0, 1 << 2, 1 << 3, 1 << 4

_LIBRARY_NAMES = {"win32": "capstone.dll", "darwin": "libcapstone.dylib"}


class _Instruction(ctypes.Structure):
    """``cs_insn``; the detail is not asked for."""

    _fields_ = (
        ("id", ctypes.c_uint),
        ("address", ctypes.c_uint64),
        ("size", ctypes.c_uint16),
        ("bytes", ctypes.c_ubyte * 24),
        ("mnemonic", ctypes.c_char * 32),
        ("op_str", ctypes.c_char * 160),
        ("detail", ctypes.c_void_p),
    )


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """Return the shared library that the capstone package carries."""
    spec = importlib.util.find_spec("capstone")
    name = _LIBRARY_NAMES.get(sys.platform, "libcapstone.so")
    library: ctypes.CDLL | None = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = os.path.join(folder, "lib", name)
        if os.path.exists(path):
            library = ctypes.CDLL(path)
    if library is None:
        # A distribution's package keeps the library elsewhere and knows where.
        import capstone

        library = capstone._cs
    instructions = ctypes.POINTER(ctypes.POINTER(_Instruction))
    library.cs_open.argtypes = (ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(ctypes.c_size_t))
    library.cs_disasm.restype = ctypes.c_size_t
    library.cs_disasm.argtypes = (
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint64,
        ctypes.c_size_t,
        instructions,
    )
    library.cs_free.restype = None
    library.cs_free.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return library


class CapstoneLibrary:
    """A decoder of one architecture and mode."""

    def __init__(self, arch: int, mode: int) -> None:
        self._library = _library()
        handle = ctypes.c_size_t()
        if status := self._library.cs_open(arch, mode, ctypes.byref(handle)):
            raise OSError(f"capstone cannot decode architecture {arch} (error {status})")
        self._handle = handle.value

    def disassemble(
        self, code: bytes, address: int, count: int
    ) -> Iterator[tuple[int, int, str, str]]:
        """Yield (address, size, mnemonic, operands) of at most *count* instructions (0 = all),
        up to the first that cannot be decoded."""
        found = ctypes.POINTER(_Instruction)()
        number = self._library.cs_disasm(
            self._handle, code, len(code), address, count, ctypes.byref(found)
        )
        if not number:
            return
        try:
            for i in range(number):
                one = found[i]
                yield one.address, one.size, one.mnemonic.decode(), one.op_str.decode()
        finally:
            self._library.cs_free(found, number)
