"""The call stack as commands see it: unwound frames with their inlined calls, named and placed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.modules import FrameName, Module, ModuleMap, Place
from polydbg.images.image import Image
from polydbg.memory.space import AddressSpace, ByteOrder
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.symbols.source import InlineSite, SymbolSource
from polydbg.targets.crash_report import crash_report
from polydbg.targets.target import byte_order
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.walker import walk

if TYPE_CHECKING:
    from polydbg.engine.session import System
    from polydbg.images.call_frames import CallFrames
    from polydbg.unwind.method import UnwindContext


_PE_HEADERS = 0x1000
_OTHER_HEADERS = 0xB0
"""How many bytes of a module are no code for sure: ELF executables without libraries begin their
code right behind the headers, of which they have one for the file and two for segments."""
_USER_ADDRESS = (1 << 55) - 1
"""Of an ARM64 pointer: above are the bit that tells the kernel's half, and a byte to ignore."""
_MAX_NAMES = 1 << 16
_BASE = attrgetter("base")

Answer = TypeVar("Answer")


class StackFrame(msgspec.Struct, frozen=True):
    """One row of ``k``: a physical frame, or an inlined call inside one (*is_inline*).

    *number* counts both. *file* and *line* are ``""`` and 0 when not known. *symbols* is the kind
    of symbols that the name comes from, *is_unverified* tells of a file that may be of another
    build: see :class:`~polydbg.engine.modules.FrameName`. *depth* is 0 for the physical frame,
    else how many inlined calls deep the row lies in it.
    """

    number: int
    frame: Frame
    place: Place
    file: str
    line: int
    is_inline: bool
    symbols: str = ""
    is_unverified: bool = False
    depth: int = 0

    @property
    def trust(self) -> FrameTrust:
        return self.frame.trust

    @property
    def registers(self) -> Mapping[str, int]:
        return self.frame.registers


class _UnwindView:
    """What the unwinder may ask of a system."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._modules = system.modules
        self._images_tell_frames = system.machine in ("amd64", "arm64", "arm")
        self.memory: AddressSpace = system.memory
        self._low, self._high = self._modules.extent
        is_windows = system.target.system().platform == "windows"
        self._headers = _PE_HEADERS if is_windows else _OTHER_HEADERS

    @cached_property
    def address_mask(self) -> int:
        report = crash_report(self._system.target)
        crashpad = report.crashpad_info if report is not None else None
        if crashpad is not None:
            return crashpad.address_mask
        target = self._system.target
        for thread in target.threads()[:1]:
            code = target.registers(thread).get("pac_code_mask", 0)
            return _USER_ADDRESS & ~code if code else 0
        return 0

    @property
    def byte_order(self) -> ByteOrder:
        return byte_order(self._system.target)

    def image_at(self, address: int) -> tuple[int, Image] | None:
        module = self._modules.at(address)
        if module is None:
            return None
        image = self._modules.image(module)
        if image is None:
            if self._images_tell_frames:
                self._modules.loader.unwind_data_missing(module)
            return None
        return module.base, image

    def is_code(self, address: int) -> bool:
        # Asked of every word of a stack: most are no addresses of modules at all.
        if not self._low <= address < self._high:
            return self._is_mapped_code(address)
        module = self._modules.at(address)
        if module is None:
            return self._is_mapped_code(address)
        image = self._modules.image(module)
        if image is None:
            # Nothing is known of the sections, but the headers are no code.
            behind_headers = address - module.base >= self._headers
            return behind_headers and self._is_executable(address) is not False
        return image.is_code(address - module.base)

    def _is_mapped_code(self, address: int) -> bool:
        """Tell whether Linux's map lets the address execute, whatever is there: a library that is
        in no list, or code that was made at run time."""
        _, (low, high) = self._system.mappings()
        return low <= address < high and self._is_executable(address) is True

    def _is_executable(self, address: int) -> bool | None:
        """Return what Linux's map says of the address, ``None`` where it says nothing."""
        mapped, _ = self._system.mappings()
        index = bisect_right(mapped, address, key=_BASE) - 1
        if index < 0 or address >= mapped[index].end:
            return None
        file = mapped[index].file
        return None if file is None else "x" in file.permissions

    def is_data(self, address: int) -> bool:
        found = _answer(self._modules, address, lambda source, rva: source.symbol_at(rva))
        return found is not None and not found[1].is_code

    def call_frames_at(self, address: int) -> tuple[int, CallFrames] | None:
        module = self._modules.at(address)
        frames = self._modules.call_frames(module) if module is not None else None
        return (module.base, frames) if module is not None and frames is not None else None

    def cfi_at(self, address: int) -> CfiRules | None:
        found = _answer(self._modules, address, lambda source, rva: source.cfi_at(rva))
        return found[1] if found is not None else None

    def win_frame_at(self, address: int) -> tuple[int, WinFrame] | None:
        return win_frame_at(self._system, address)

    def function_at(self, address: int) -> tuple[int, int] | None:
        found = _answer(self._modules, address, lambda source, rva: source.symbol_at(rva))
        if found is None:
            return None
        module, symbol = found
        start = module.base + symbol.rva
        if not symbol.is_code or not start <= address < start + symbol.size:
            return None
        return start, symbol.size


def win_frame_at(system: System, address: int) -> tuple[int, WinFrame] | None:
    """Return the module's base and the x86 frame layout that its symbols have at *address*."""
    found = _answer(system.modules, address, lambda source, rva: source.win_frame_at(rva))
    return (found[0].base, found[1]) if found is not None else None


def _answer(
    modules: ModuleMap, address: int, question: Callable[[SymbolSource, int], Answer | None]
) -> tuple[Module, Answer] | None:
    """Return the module at *address* and what its symbols answer; damaged ones know nothing."""
    module = modules.at(address)
    source = modules.symbols(module) if module is not None else None
    if module is None or source is None:
        return None
    try:
        answer = question(source, address - module.base)
    except DebuggerError:
        return None
    return (module, answer) if answer is not None else None


def walk_stack(
    system: System,
    registers: Mapping[str, int],
    limit: int,
    cancel: CancelToken | None,
    *,
    inline: bool = True,
    origin: Frame | None = None,
) -> Iterator[StackFrame]:
    """Yield at most *limit* rows of the stack that *registers* begin, innermost first; *origin* is
    the frame that they are of, where the processor itself did not have them."""
    number = 0
    for frame in walk(_UnwindView(system), registers, limit, cancel, system.machine, origin):
        for row in _expand(system, frame, number, inline):
            if number >= limit:
                return
            yield row
            number += 1


def unwind_view(system: System) -> UnwindContext:
    """Return what may be asked of *system* where frames are unwound."""
    return _UnwindView(system)


def _expand(system: System, frame: Frame, number: int, inline: bool) -> Iterator[StackFrame]:
    """Yield the inlined calls at *frame*, innermost first, then the frame itself.

    Threads share most of their callers, so what an address is called is kept until the modules or
    their symbols change.
    """
    lookup = frame.lookup_pc
    key = (frame.pc, lookup, inline)
    kept = system.modules.frame_names
    names = kept.get(key)
    if names is None:
        if len(kept) >= _MAX_NAMES:
            kept.clear()
        names = kept[key] = _names(system, frame.pc, lookup, inline)
    for depth, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
        yield StackFrame(
            number,
            frame,
            name.place,
            name.file,
            name.line,
            name.is_inline,
            name.symbols,
            name.is_unverified,
            depth,
        )
        number += 1


def _names(system: System, pc: int, lookup: int, inline: bool) -> tuple[FrameName, ...]:
    modules = system.modules
    place = modules.place(pc, lookup)
    kind = ""
    if place.symbol:
        found = _answer(modules, lookup, lambda source, rva: source.kind_at(rva))
        kind = found[1] if found is not None else ""
    module = modules.at(lookup)
    unverified = module is not None and module.is_unverified
    names = []
    sites = inlined_at(system, lookup) if inline and place.symbol else []
    for site in reversed(sites):
        inner = _inlined_place(system, pc, lookup, site)
        names.append(FrameName(inner, sanitise_line(site.file), site.line, True, kind, unverified))
    line = modules.line_at(lookup) if place.symbol else None
    file, at = (sanitise_line(line.file), line.line) if line else ("", 0)
    return (*names, FrameName(place, file, at, False, kind, unverified))


def _inlined_place(system: System, address: int, lookup: int, site: InlineSite) -> Place:
    module = system.modules.at(lookup)
    base, name = (module.base, module.name) if module else (0, "")
    return Place(address, name, sanitise_line(site.name), address - base - site.start_rva)


def inlined_place(system: System, address: int) -> Place | None:
    """Return what the innermost inlined call at *address* calls it, ``None`` without one."""
    sites = inlined_at(system, address)
    return _inlined_place(system, address, address, sites[-1]) if sites else None


def innermost_place(system: System, address: int) -> Place:
    """Return what *address* is called, by the innermost inlined call where there is one."""
    return inlined_place(system, address) or system.modules.place(address)


def inlined_at(system: System, address: int) -> list[InlineSite]:
    """Return the inlined calls that cover *address*, outermost first."""
    module = system.modules.at(address)
    source = system.modules.symbols(module) if module else None
    if module is None or source is None:
        return []
    try:
        return list(source.inlines_at(address - module.base))
    except DebuggerError:
        return []
