"""Vector registers in the notes of cores: the XSAVE area of x86, SVE of ARM64.

Facts: Intel's manual volume 1 chapter 13 (XSAVE), Linux's ``asm/user.h`` for the copy of XCR0 in
the area, its ``Documentation/arch/arm64/sve.rst`` and ``asm/ptrace.h`` for ``user_sve_header``.
AMD's processors without bounds registers place what follows them elsewhere than Intel's; Linux 6.12
and later say where (``NT_X86_XSAVE_LAYOUT``), before that the size of the area tells.
"""

from __future__ import annotations

from collections.abc import Mapping

from polydbg.formats.register_fields import (
    XSAVE_COMPONENTS,
    Field,
    fxsave,
    numbered,
    read_fields,
    row,
)

_XCR0 = 464
_HEADER, _AREA = 512, 576
_AVX, _OPMASK, _ZMM_HIGH, _ZMM_UPPER, _PKRU = 2, 5, 6, 7, 9
_BOUNDS = 1 << 3 | 1 << 4
_COMPACTED = 1 << 63
_MAX_COMPONENT = 0x10000

#: Where AMD's processors (Zen 4 and later) have what their area of at most 2440 bytes holds.
_AMD_COMPONENTS = {2: (576, 256), 5: (832, 64), 6: (896, 512), 7: (1408, 1024), 9: (2432, 8)}
_AMD_SIZES = range(2432, 2688)

_SVE_HEADER = 16
_SVE_REGISTERS = 1
_MAX_VECTOR = 256


def add_xstate(
    registers: dict[str, int],
    area: bytes,
    layout: Mapping[int, tuple[int, int]],
    *,
    is_long: bool,
) -> None:
    """Add what an XSAVE area holds: x87, xmm, ymm, zmm and mask registers, ``pkru``.

    *layout* is where components are, by number, empty where no note says; *is_long* is for 64-bit
    threads, which have twice as many registers. A component in its initial state is zeros.
    """
    vectors = 16 if is_long else 8
    fields = [Field("mxcsr", 0x18, 4), *fxsave(0, vectors)]
    if not is_long:  # the full tag word of FSAVE says more
        fields = [field for field in fields if field.name != "fptw" or "fptw" not in registers]
    registers |= read_fields(area[:_HEADER], fields, "little")
    if len(area) < _AREA:
        return
    get = _Area(area, layout).component
    _add_halves(registers, "ymm", "xmm", get(_AVX), vectors)
    _add_halves(registers, "zmm", "ymm", get(_ZMM_HIGH), vectors)
    if (upper := get(_ZMM_UPPER)) is not None and is_long:
        whole = read_fields(upper, row(numbered("zmm", 16, 16), 0, 64), "little")
        registers |= whole
        for name, value in whole.items():
            registers[f"ymm{name[3:]}"] = value & (1 << 256) - 1
            registers[f"xmm{name[3:]}"] = value & (1 << 128) - 1
    if (masks := get(_OPMASK)) is not None:
        registers |= read_fields(masks, row(numbered("k", 8), 0, 8), "little")
    if (keys := get(_PKRU)) is not None:
        registers |= read_fields(keys, row("pkru", 0, 4), "little")


def _add_halves(
    registers: dict[str, int], whole: str, low: str, high: bytes | None, count: int
) -> None:
    """Add registers of which *high* are the upper halves and those called *low* the lower."""
    if high is None:
        return
    size = len(high) // 16 if whole == "ymm" else 32
    for index in range(count):
        lower = registers.get(f"{low}{index}")
        upper = high[index * size : (index + 1) * size]
        if lower is not None and len(upper) == size:
            value = int.from_bytes(upper, "little")
            registers[f"{whole}{index}"] = value << 8 * size | lower


class _Area:
    """An XSAVE area with its header, and where its components are."""

    def __init__(self, area: bytes, layout: Mapping[int, tuple[int, int]]) -> None:
        self._area = area
        self._enabled = int.from_bytes(area[_XCR0 : _XCR0 + 8], "little")
        self._used = int.from_bytes(area[_HEADER : _HEADER + 8], "little")
        packed = int.from_bytes(area[_HEADER + 8 : _HEADER + 16], "little")
        self._is_compacted = bool(packed & _COMPACTED)
        if layout:
            self._places = layout
        elif not self._enabled & _BOUNDS and len(area) in _AMD_SIZES:
            self._places = _AMD_COMPONENTS
        else:
            self._places = XSAVE_COMPONENTS

    def component(self, number: int) -> bytes | None:
        """Return a component, ``None`` when the processor does not have it or it is cut off.

        Linux stores whole areas with its copy of XCR0; where that is 0, the header must do.
        """
        offset, size = self._places.get(number, (0, 0))
        bit = 1 << number
        if not (self._enabled or self._used) & bit or not 0 < size <= _MAX_COMPONENT:
            return None
        if not self._used & bit:
            return bytes(size)
        if self._is_compacted or offset < _AREA or offset + size > len(self._area):
            return None
        return self._area[offset : offset + size]


def add_sve(registers: dict[str, int], data: bytes) -> None:
    """Add ``z0`` to ``z31``, ``p0`` to ``p15``, ``ffr`` and ``vg`` (eight-byte granules) of a note
    with SVE registers; the low 128 bits of a ``z`` are its ``v``. A note of a thread that does not
    use SVE holds ``v`` registers, as another does."""
    if len(data) < _SVE_HEADER:
        return
    length = int.from_bytes(data[8:10], "little")
    flags = int.from_bytes(data[12:14], "little")
    if not length or length % 16 or length > _MAX_VECTOR:
        return
    registers["vg"] = length // 8
    if not flags & _SVE_REGISTERS:
        fields = (*row(numbered("v", 32), 0, 16), *row("fpsr fpcr", 512, 4))
        registers |= read_fields(data[_SVE_HEADER:], fields, "little")
        return
    vectors = read_fields(data, row(numbered("z", 32), _SVE_HEADER, length), "little")
    registers |= vectors
    for name, value in vectors.items():
        registers[f"v{name[1:]}"] = value & (1 << 128) - 1
    predicates = _SVE_HEADER + 32 * length
    names = f"{numbered('p', 16)} ffr"
    registers |= read_fields(data, row(names, predicates, length // 8), "little")
    control = -(-(predicates + 17 * (length // 8)) // 16) * 16
    registers |= read_fields(data, row("fpsr fpcr", control, 4), "little")
