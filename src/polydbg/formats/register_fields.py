"""Where registers lie in records that systems store: fields in a row, FXSAVE and FSAVE images.

Facts: Intel's manual volume 1, sections 8.1.10 (FSAVE), 10.5.1 (FXSAVE) and 13.4 (XSAVE).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from polydbg.memory.space import ByteOrder


class Field(msgspec.Struct, frozen=True):
    """A register at *offset*, *size* bytes. *flag* are the bits of a Windows context's flags that
    must all be set for it to be there, 0 in other records."""

    name: str
    offset: int
    size: int
    flag: int = 0


def row(names: str, offset: int, size: int, flag: int = 0, step: int = 0) -> tuple[Field, ...]:
    """Return fields for space-separated *names*, *step* bytes apart (by default *size*); ``-``
    stands for a place that has no register."""
    return tuple(
        Field(name, offset + index * (step or size), size, flag)
        for index, name in enumerate(names.split())
        if name != "-"
    )


def numbered(prefix: str, count: int, first: int = 0) -> str:
    """Return ``r0 r1 r2`` for *prefix* ``r`` and *count* 3."""
    return " ".join(f"{prefix}{index}" for index in range(first, first + count))


def fxsave(offset: int, vectors: int, flag: int = 0) -> tuple[Field, ...]:
    """Return the fields of an FXSAVE image at *offset*, but for ``mxcsr``."""
    return (
        *row("fpcw fpsw", offset, 2, flag),
        Field("fptw", offset + 4, 1, flag),
        *row(numbered("st", 8), offset + 0x20, 10, flag, 16),
        *row(numbered("xmm", vectors), offset + 0xA0, 16, flag),
    )


def fsave(offset: int, registers: int, flag: int = 0) -> tuple[Field, ...]:
    """Return the fields of an FSAVE image: its words at *offset*, ``st0`` at *registers*."""
    return (
        *row("fpcw fpsw fptw", offset, 2, flag, 4),
        *row(numbered("st", 8), registers, 10, flag),
    )


def read_fields(data: bytes, fields: Iterable[Field], order: ByteOrder) -> dict[str, int]:
    """Return the registers that lie whole in *data*."""
    size = len(data)
    return {
        field.name: int.from_bytes(data[field.offset : field.offset + field.size], order)
        for field in fields
        if field.offset + field.size <= size
    }


XSAVE_COMPONENTS: dict[int, tuple[int, int]] = {
    2: (576, 256),
    3: (960, 64),
    4: (1024, 64),
    5: (1088, 64),
    6: (1152, 512),
    7: (1664, 1024),
    9: (2688, 8),
    11: (2696, 16),
    12: (2712, 24),
    17: (2752, 64),
    18: (2816, 8192),
}
"""Offset in the XSAVE area and size of its components on Intel's processors: 2 upper halves of
ymm0-15, 3 and 4 bounds, 5 k0-7, 6 upper halves of zmm0-15, 7 zmm16-31, 9 PKRU, ..."""
