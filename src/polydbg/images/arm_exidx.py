"""Where an ELF image of 32-bit ARM has its exception tables."""

from __future__ import annotations

from polydbg.base.errors import DebuggerError
from polydbg.formats.elf.arm_exidx import PT_ARM_EXIDX, ExceptionIndex
from polydbg.formats.elf.constants import EM_ARM
from polydbg.images.elf import ElfImage


def exception_index_of(image: ElfImage) -> ExceptionIndex | None:
    """Return ``.ARM.exidx`` of *image*, by its segment or its section; ``None`` where there is
    none with bytes. Its entries are read by RVA, from the file or from memory."""
    if image.header.machine != EM_ARM:
        return None
    try:
        section = image.section_named(".ARM.exidx")
    except DebuggerError:
        section = None
    if section is not None and not section.has_bytes:
        return None  # a separate debug file
    segment = image.segment_of(PT_ARM_EXIDX)
    if segment is not None:
        address, size = segment.vaddr, segment.memory_size
    elif section is not None and section.is_loaded:
        address, size = section.address, section.size
    else:
        return None
    return ExceptionIndex(image.space, address - image.image_base, size, image.header.order)
