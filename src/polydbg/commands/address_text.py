"""Words and columns of the address map: MEM_* and PAGE_* names, sizes, rows of ``!address``."""

from __future__ import annotations

from polydbg.base.text import sanitise_line
from polydbg.commands.memory_text import ascii_text
from polydbg.engine.address_map import (
    MEM_COMMIT,
    MEM_FREE,
    MEM_IMAGE,
    MEM_MAPPED,
    MEM_PRIVATE,
    MEM_RESERVE,
    Region,
)
from polydbg.engine.address_usage import Usage
from polydbg.engine.session import System

ABSENT = "<info not present at the target>"

STATES = {MEM_COMMIT: "MEM_COMMIT", MEM_RESERVE: "MEM_RESERVE", MEM_FREE: "MEM_FREE"}
TYPES = {MEM_PRIVATE: "MEM_PRIVATE", MEM_MAPPED: "MEM_MAPPED", MEM_IMAGE: "MEM_IMAGE"}
PROTECTIONS = {
    0x1: "PAGE_NOACCESS",
    0x2: "PAGE_READONLY",
    0x4: "PAGE_READWRITE",
    0x8: "PAGE_WRITECOPY",
    0x10: "PAGE_EXECUTE",
    0x20: "PAGE_EXECUTE_READ",
    0x40: "PAGE_EXECUTE_READWRITE",
    0x80: "PAGE_EXECUTE_WRITECOPY",
    0x100: "PAGE_GUARD",
    0x200: "PAGE_NOCACHE",
    0x400: "PAGE_WRITECOMBINE",
}
_UNITS = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"))
_SHOWN_BYTES = 16


def protection_words(protect: int | None) -> str:
    """Return ``PAGE_READWRITE | PAGE_GUARD``; ``""`` for none or where it is not known."""
    return " | ".join(name for bit, name in PROTECTIONS.items() if (protect or 0) & bit)


def size_words(size: int) -> str:
    """Return a size as ``   1.109 MB``, always 11 characters unless it is above 9999 TB."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:8.3f} {name}"
    return f"{size / 1024:8.3f} kB"


def map_address(value: int, pointer_size: int) -> str:
    """Return an address of a table: ``7ff6`1b400000`` without leading zeros, or plain hex."""
    if pointer_size == 4:
        return f"{value:x}"
    return f"{value >> 32:x}`{value & 0xFFFFFFFF:08x}"


def region_comment(system: System, region: Region) -> str:
    """Return what stands behind the usage: ``[...]``, or ``""``.

    What is used for nothing known shows its first bytes, as far as the dump has them.
    """
    if region.module is not None:
        path = sanitise_line(region.module.info.image_path)
        return f'[{region.module.name}; "{path}"]'
    if region.usage is Usage.MAPPED_FILE:
        return f'"{sanitise_line(region.what)}"'
    if region.what:
        return f"[{sanitise_line(region.what)}]"
    if region.usage is Usage.UNKNOWN and region.state == MEM_COMMIT:
        data = system.target.memory.read_some(region.base, _SHOWN_BYTES)
        return f"[{ascii_text(data)}]" if data else ""
    return ""


def table_heading(pointer_size: int, *, marks: bool) -> str:
    """Return the two heading lines; *marks* leaves room for the ``+`` of allocations."""
    rest = " RgnSize     Type       State                 Protect             Usage"
    heading = f"BaseAddr EndAddr+1{rest}"
    if pointer_size == 8:
        rest = "        RegionSize     Type       State                 Protect             Usage"
        heading = f"      BaseAddress      EndAddress+1{rest}"
    lead = "  " if marks else ""
    dashes = "-" * (122 if pointer_size == 8 else 95)
    return f"\n{lead}{heading}\n{dashes}"


def table_row(region: Region, comment: str, pointer_size: int, *, marks: bool) -> str:
    """Return a row of the map; what is not known is left blank, as WinDbg does."""
    width = 17 if pointer_size == 8 else 8
    base, end, size = (
        f"{map_address(value, pointer_size):>{width}}"
        for value in (region.base, region.end, region.size)
    )
    mark = ("+ " if region.starts_allocation else "  ") if marks else ""
    kind = TYPES.get(region.type or 0, "")
    state = STATES.get(region.state or 0, "")
    protect = protection_words(region.protect)
    return (
        f"{mark}{base} {end} {size} {kind:11} {state:11} {protect:34} "
        f"{region.usage.value:10} {comment}"
    )
