"""Places of a PDB's variables that need no range: static ones, the threads' own, constants."""

from __future__ import annotations

from polydbg.symbols.pdb_type_builder import PdbTypeBuilder
from polydbg.types.place import Place, constant, in_memory, nowhere
from polydbg.types.source import FrameView

_MAX_CONSTANT = 16


def constant_place(builder: PdbTypeBuilder, type_index: int, value: int | bytes) -> Place:
    """Return the place of a constant, nowhere where its type is not that of the value."""
    size = builder.type_of(type_index).size or 0
    if not size or size > _MAX_CONSTANT:
        return nowhere("the type of the constant is not known")
    if isinstance(value, bytes):
        if len(value) != size:
            return nowhere("the constant is in another format than its type says")
        return constant(value)
    return constant((value & (1 << 8 * size) - 1).to_bytes(size, "little"))


def static_place(rva: int, frame: FrameView | None) -> Place:
    """Return where a variable with a fixed address is, as the module of *frame* is loaded."""
    if frame is None:
        return nowhere("where the module lies is not known")
    return in_memory(frame.module_base + rva)


def thread_place(offset: int, frame: FrameView | None) -> Place:
    """Return where the thread's own variable is, *offset* bytes into the module's block.

    :raises ValueUnavailableError: the thread has no such block, or it cannot be found.
    """
    if frame is None:
        return nowhere("it is each thread's own, and no thread is selected")
    return in_memory(frame.thread_local(frame.module_base, offset))
