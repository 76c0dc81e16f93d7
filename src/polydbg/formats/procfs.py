"""Linux's files about a process as dumps copy them: maps, status, auxv, cpuinfo and the like.

Facts: ``proc(5)``, ``getauxval(3)``, ``lsb_release(1)`` and ``os-release(5)``. Breakpad's,
Crashpad's and Mozilla's writers store these files as they stand. What has no meaning is passed
over: these are texts of a system that was about to lose a process, and may be cut anywhere.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import msgspec

MAX_TEXT = 4 * 1024 * 1024
"""Bytes that are looked at of a file other than maps."""

MAX_MAPPINGS = 0x20000
"""Twice what a Linux kernel allows a process unless it is told otherwise."""

MAX_LINES = 100_000
MAX_STRINGS = 100_000
MAX_AUXILIARY = 4096

_MAPPING = re.compile(
    rb"(?m)^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([-rwxps]{4}) ([0-9a-f]{1,16}) "
    rb"([0-9a-f]+:[0-9a-f]+) (\d{1,20})(?: +([^\n]*))?(?:\n|\Z)"
)

AUXILIARY_NAMES = {
    0: "AT_NULL",
    1: "AT_IGNORE",
    2: "AT_EXECFD",
    3: "AT_PHDR",
    4: "AT_PHENT",
    5: "AT_PHNUM",
    6: "AT_PAGESZ",
    7: "AT_BASE",
    8: "AT_FLAGS",
    9: "AT_ENTRY",
    10: "AT_NOTELF",
    11: "AT_UID",
    12: "AT_EUID",
    13: "AT_GID",
    14: "AT_EGID",
    15: "AT_PLATFORM",
    16: "AT_HWCAP",
    17: "AT_CLKTCK",
    18: "AT_FPUCW",
    19: "AT_DCACHEBSIZE",
    20: "AT_ICACHEBSIZE",
    21: "AT_UCACHEBSIZE",
    23: "AT_SECURE",
    24: "AT_BASE_PLATFORM",
    25: "AT_RANDOM",
    26: "AT_HWCAP2",
    27: "AT_RSEQ_FEATURE_SIZE",
    28: "AT_RSEQ_ALIGN",
    29: "AT_HWCAP3",
    30: "AT_HWCAP4",
    31: "AT_EXECFN",
    32: "AT_SYSINFO",
    33: "AT_SYSINFO_EHDR",
    34: "AT_L1I_CACHESHAPE",
    35: "AT_L1D_CACHESHAPE",
    36: "AT_L2_CACHESHAPE",
    37: "AT_L3_CACHESHAPE",
    40: "AT_L1I_CACHESIZE",
    41: "AT_L1I_CACHEGEOMETRY",
    42: "AT_L1D_CACHESIZE",
    43: "AT_L1D_CACHEGEOMETRY",
    44: "AT_L2_CACHESIZE",
    45: "AT_L2_CACHEGEOMETRY",
    46: "AT_L3_CACHESIZE",
    47: "AT_L3_CACHEGEOMETRY",
    51: "AT_MINSIGSTKSZ",
}
_SHARED_NAMES = {kind: name for kind, name in AUXILIARY_NAMES.items() if kind <= 9}
_FREEBSD_NAMES = (
    "AT_NOTELF AT_UID AT_EUID AT_GID AT_EGID AT_EXECPATH AT_CANARY AT_CANARYLEN AT_OSRELDATE "
    "AT_NCPUS AT_PAGESIZES AT_PAGESIZESLEN AT_TIMEKEEP AT_STACKPROT AT_EHDRFLAGS AT_HWCAP "
    "AT_HWCAP2 AT_BSDFLAGS AT_ARGC AT_ARGV AT_ENVC AT_ENVV AT_PS_STRINGS AT_FXRNG AT_KPRELOAD "
    "AT_USRSTACKBASE AT_USRSTACKLIM"
)
_SUN_NAMES = {
    2000: "AT_EUID",
    2001: "AT_RUID",
    2002: "AT_EGID",
    2003: "AT_RGID",
}
SYSTEM_AUXILIARY_NAMES = {
    "freebsd": _SHARED_NAMES | dict(enumerate(_FREEBSD_NAMES.split(), 10)),
    "netbsd": _SHARED_NAMES | _SUN_NAMES | {13: "AT_STACKBASE", 2014: "AT_SUN_EXECNAME"},
    "openbsd": _SHARED_NAMES
    | _SUN_NAMES
    | {25: "AT_HWCAP", 26: "AT_HWCAP2", 4000: "AT_OPENBSD_TIMEKEEP"},
}
"""Names of the BSDs, whose numbers above 9 are their own (``<sys/elf_common.h>``,
``<sys/exec_elf.h>``)."""


class Mapping(msgspec.Struct, frozen=True):
    """A line of ``maps``: addresses *start* to *end*, *permissions* such as ``r-xp``, and the file
    or the kernel's name in brackets, ``""`` for anonymous memory. *offset* is in the file."""

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str


class AuxiliaryEntry(msgspec.Struct, frozen=True):
    """An entry of the auxiliary vector. *name* is ``AT_...`` or ``""``."""

    kind: int
    name: str
    value: int


class ResourceLimit(msgspec.Struct, frozen=True):
    """A line of ``limits``; ``None`` is unlimited."""

    name: str
    soft: int | None
    hard: int | None
    unit: str


def parse_maps(data: bytes) -> tuple[Mapping, ...]:
    """Return the mappings in order of address; lines that make no sense are left out."""
    found = []
    texts: dict[bytes, str] = {}  # the same few stand in most lines

    def text(data: bytes) -> str:
        return texts.setdefault(data, data.decode("utf-8", "replace"))

    for match in _MAPPING.finditer(data):
        start, end = int(match[1], 16), int(match[2], 16)
        if start >= end:
            continue
        path = text((match[7] or b"").rstrip())
        offset, inode = int(match[4], 16), int(match[6])
        found.append(Mapping(start, end, text(match[3]), offset, text(match[5]), inode, path))
        if len(found) == MAX_MAPPINGS:
            break
    return tuple(sorted(found, key=lambda mapping: mapping.start))


def parse_status(data: bytes) -> dict[str, str]:
    """Return the fields of ``status`` (``Name``, ``Tgid``, ``VmRSS``, ...) with their text, in
    which columns are one blank apart."""
    return {name: " ".join(value.split()) for name, value in _fields(data, ":")}


def parse_cpuinfo(data: bytes) -> tuple[dict[str, str], ...]:
    """Return the blocks of ``cpuinfo``: one for each processor, and on ARM one for the machine."""
    blocks: list[dict[str, str]] = []
    lines = 0
    for block in re.split(rb"\n[ \t]*\n", data[:MAX_TEXT]):
        lines += block.count(b"\n") + 1
        if lines > MAX_LINES:
            break
        if fields := dict(_fields(block, ":")):
            blocks.append(fields)
    return tuple(blocks)


def parse_distribution(data: bytes) -> dict[str, str]:
    """Return the assignments of ``lsb-release`` or ``os-release``, quotes taken off."""
    return {name: value.strip("\"'") for name, value in _fields(data, "=")}


def distribution_name(fields: dict[str, str]) -> str:
    """Return ``Ubuntu 20.04.6 LTS`` from either file, ``""`` if none of it is there."""
    for name in ("DISTRIB_DESCRIPTION", "PRETTY_NAME"):
        if fields.get(name):
            return fields[name]
    words = [fields.get("DISTRIB_ID") or fields.get("NAME") or ""]
    words.append(fields.get("DISTRIB_RELEASE") or fields.get("VERSION_ID") or "")
    return " ".join(word for word in words if word)


def parse_strings(data: bytes) -> tuple[str, ...]:
    """Return the NUL-ended strings of ``cmdline`` or ``environ``."""
    if not data:
        return ()
    parts = data[:MAX_TEXT].removesuffix(b"\0").split(b"\0", MAX_STRINGS)[:MAX_STRINGS]
    return tuple(part.decode("utf-8", "replace") for part in parts)


def parse_auxiliary(
    data: bytes, pointer_size: int, *, big: bool = False, system: str = "linux"
) -> tuple[AuxiliaryEntry, ...]:
    """Return the auxiliary vector up to its AT_NULL; a cut last entry is left out. *big* is for
    big-endian systems; *system* is whose names the entries have."""
    names = SYSTEM_AUXILIARY_NAMES.get(system, AUXILIARY_NAMES)
    entry = struct.Struct((">" if big else "<") + ("QQ" if pointer_size == 8 else "II"))
    whole = min(len(data) // entry.size, MAX_AUXILIARY) * entry.size
    found = []
    for kind, value in entry.iter_unpack(data[:whole]):
        if kind == 0:
            break
        found.append(AuxiliaryEntry(kind, names.get(kind, ""), value))
    return tuple(found)


def parse_limits(data: bytes) -> tuple[ResourceLimit, ...]:
    """Return the lines of ``limits`` below its heading."""
    found = []
    for line in _lines(data):
        columns = re.split(r"\s{2,}", line.strip())
        if len(columns) < 3 or not all(_is_limit(text) for text in columns[1:3]):
            continue
        unit = columns[3] if len(columns) > 3 else ""
        found.append(ResourceLimit(columns[0], _limit(columns[1]), _limit(columns[2]), unit))
    return tuple(found)


def _is_limit(text: str) -> bool:
    return text == "unlimited" or (text.isascii() and text.isdigit() and len(text) <= 20)


def _limit(text: str) -> int | None:
    return None if text == "unlimited" else int(text)


def _lines(data: bytes) -> Iterator[str]:
    text = data[:MAX_TEXT].replace(b"\0", b"").decode("utf-8", "replace")
    yield from text.split("\n", MAX_LINES)[:MAX_LINES]


def _fields(data: bytes, separator: str) -> Iterator[tuple[str, str]]:
    for line in _lines(data):
        name, found, value = line.partition(separator)
        name = name.strip()
        if found and name and not name.startswith("#"):
            yield name, value.strip()
