"""Type records whose length is damaged: searches go on, or say so, but never fall over."""

from __future__ import annotations

import contextlib
from importlib import resources

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.symbols.pdb import PdbSource

PRACTICE = (resources.files("polydbg") / "demo" / "practice.pdb").read_bytes()
TPI, IPI = 0xA038, 0x1D038  # where the records of the practice file begin


@pytest.mark.parametrize("length", [0, 1, 2, 0xFFFF])
def test_search_for_inlined_functions(length: int) -> None:
    for start in (TPI, IPI):
        assert PRACTICE[start + 3] in (0x10, 0x12, 0x15, 0x16)
        position = start
        for _ in range(20):
            data = bytearray(PRACTICE)
            data[position : position + 2] = length.to_bytes(2, "little")
            with contextlib.suppress(DebuggerError):
                list(PdbSource(bytes(data), "x").inlined_matching("*", CancelToken()))
            position += int.from_bytes(PRACTICE[position : position + 2], "little") + 2
