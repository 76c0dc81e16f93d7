"""The modules of one system: which image is where, its symbols, and what an address is called."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.base.identifiers import DebugId
from polydbg.base.text import address_text, sanitise_line
from polydbg.images.image import Image
from polydbg.images.pe import PeImage
from polydbg.memory.space import AddressSpace
from polydbg.symbols.source import LineEntry, Symbol, SymbolSource
from polydbg.symbols.store.trail import Trail
from polydbg.targets.target import ModuleInfo, UnloadedModuleInfo

if TYPE_CHECKING:
    from polydbg.images.call_frames import CallFrames
    from polydbg.images.elf import ElfImage
    from polydbg.images.macho import MachoImage


#: How the status of symbols begins that the image holds itself, or a file with its checksum.
_OWN_SYMBOLS = ("export", "private dwarf", "coff")


class SymbolState(Enum):
    """How far a module's symbols have come."""

    DEFERRED = "deferred"
    LOADED = "loaded"
    NONE = "no symbols"


class Module(msgspec.Struct, eq=False):
    """A loaded module: what the target says of it, and what was found for it so far."""

    info: ModuleInfo
    state: SymbolState = SymbolState.DEFERRED
    symbols: SymbolSource | None = None
    symbol_trail: Trail | None = None
    image_trail: Trail | None = None
    mismatched: bool = False
    is_unverified: bool = False  # nothing says that the image is of this build, nor that it is not
    image_file: Path | None = None  # ARCHIVE!/path for what lies in an archive
    pdb_key: DebugId | None = None
    debug_file: ElfImage | None = None
    size_of_file: int = 0  # what the image file says, where the target does not
    _image: Image | None = None
    _image_tried: bool = False
    _file_image: Image | None = None
    _file_tried: bool = False
    _call_frames: CallFrames | None = None
    _call_frames_tried: bool = False

    @property
    def name(self) -> str:
        return sanitise_line(self.info.name)

    @property
    def base(self) -> int:
        return self.info.base

    @property
    def end(self) -> int:
        return self.info.end + self.size_of_file

    @property
    def status(self) -> str:
        """Return the words in parentheses of ``lm``."""
        if self.state is SymbolState.LOADED and self.symbols is not None:
            return self.symbols.status
        return self.state.value

    @property
    def flag(self) -> str:
        """Return the letter before the status: ``M`` forced mismatch, ``T``/``C`` missing stamp
        or checksum, shown once symbols are loaded. Without an image there is no stamp to compare.
        """
        if self.state is SymbolState.DEFERRED:
            return " "
        if self.mismatched:
            return "M"
        if self.symbols is not None and self.symbols.status.startswith(_OWN_SYMBOLS):
            return " "
        if not self.info.is_pe:
            return " "  # ELF and Mach-O images are compared by their ids
        if not self.info.timestamp or (self._image_tried and self._image is None):
            return "T"
        return " " if self.info.checksum else "C"


class Place(msgspec.Struct, frozen=True):
    """What an address is called.

    *module* and *symbol* are names or ``""``; *displacement* counts from the symbol, else from the
    module's base, else is the address itself. *unloaded* is the name of an unloaded module.
    """

    address: int
    module: str = ""
    symbol: str = ""
    displacement: int = 0
    unloaded: str = ""
    pointer_size: int = 8

    @property
    def base_text(self) -> str:
        """Return the name without displacement; a bare address has none."""
        if self.unloaded:
            return f"<Unloaded_{self.unloaded}>"
        if self.module and self.symbol:
            return f"{self.module}!{self.symbol}"
        if self.module:
            return self.module
        return f"0x{address_text(self.address, self.pointer_size)}"

    @property
    def text(self) -> str:
        """Return ``mod!sym+0x12``, ``mod+0x12``, ``<Unloaded_x>+0x12`` or a bare address."""
        return self.base_text + self.displacement_text

    @property
    def displacement_text(self) -> str:
        """Return ``+0x12``, ``""`` at the start and for bare addresses."""
        if not (self.module or self.unloaded) or not self.displacement:
            return ""
        return f"+{displacement_text(self.displacement)}"


class FrameName(msgspec.Struct, frozen=True):
    """What a row of a stack is called, and its source line: ``""`` and 0 when not known.

    *symbols* is the kind of symbols that the name comes from (``pdb``, ``dwarf``, ``export``, ...),
    ``""`` without a name. *is_unverified*: nothing says that the module's file is of this build.
    """

    place: Place
    file: str
    line: int
    is_inline: bool
    symbols: str = ""
    is_unverified: bool = False


def displacement_text(value: int) -> str:
    """Return ``0x1c``; above 32 bits with the grave mark."""
    if value < 1 << 32:
        return f"{value:#x}"
    return f"0x{value >> 32:x}`{value & 0xFFFFFFFF:08x}"


class ModuleLoader(msgspec.Struct, eq=False):
    """How a module's files are found; given by the session, which owns the paths. *poll* is called
    by what takes long, and raises when the user asked to stop."""

    load_symbols: Callable[[Module], None]
    find_image: Callable[[Module], Image | None]
    unwind_data_missing: Callable[[Module], None] = lambda module: None
    poll: Callable[[], None] = lambda: None


class ModuleMap(msgspec.Struct, eq=False):
    """Modules of one system by address and by name."""

    loader: ModuleLoader
    memory: AddressSpace
    pointer_size: int
    unloaded: Sequence[UnloadedModuleInfo]
    modules: list[Module] = msgspec.field(default_factory=list)
    frame_names: dict[tuple[int, int, bool], tuple[FrameName, ...]] = msgspec.field(
        default_factory=dict
    )
    _starts: list[int] = msgspec.field(default_factory=list)
    _reach: list[int] = msgspec.field(default_factory=list)  # the highest end up to each module
    _by_name: dict[str, Module] = msgspec.field(default_factory=dict)

    def fill(self, infos: Sequence[ModuleInfo]) -> None:
        """Take a list; modules are kept sorted by base, equal bases in list order. What was found
        for a module that is in the list already stays with it. A module that the list has twice
        counts once: the loader lists of both sides of a 32-bit process (WOW64) have its program."""
        known = {id(m.info): m for m in self.modules}
        unlike: dict[tuple[int, int, str], ModuleInfo] = {}
        for info in infos:
            unlike.setdefault((info.base, info.size, info.image_path.lower()), info)
        ordered = sorted(unlike.values(), key=lambda i: i.base)
        self.modules = [known.get(id(i)) or Module(i) for i in ordered]
        self._starts = [m.base for m in self.modules]
        for module in self.modules:
            self._measure(module)
        self._reach = list(itertools.accumulate((m.end for m in self.modules), max))
        self.frame_names.clear()
        self._by_name = {}
        for module in self.modules:
            self._by_name.setdefault(module.name.lower(), module)

    def renew(self, module: Module) -> Module:
        """Put in *module*'s place one for which nothing was looked for yet, and return it; the
        symbols of *module* are given up."""
        if module.symbols is not None:
            module.symbols.close()
        fresh = Module(module.info)
        self.frame_names.clear()
        index = self._index_of(module.info)
        assert index is not None
        self.modules[index] = fresh
        if not fresh.info.size:
            self._measure(fresh)
            self._reach = list(itertools.accumulate((m.end for m in self.modules), max))
        if self._by_name.get(module.name.lower()) is module:
            self._by_name[module.name.lower()] = fresh
        return fresh

    def _measure(self, module: Module) -> None:
        """Take the size of an ELF or Mach-O image from its file where the core has neither its
        headers nor a map of files; it ends where the next module begins."""
        if module.info.size or module.info.is_pe or module.size_of_file:
            return
        image = self.file_image(module)
        if image is not None:
            following = bisect.bisect_right(self._starts, module.base)
            room = image.size_of_image
            if following < len(self._starts):
                room = min(room, self._starts[following] - module.base)
            module.size_of_file = room

    @property
    def extent(self) -> tuple[int, int]:
        """Return the lowest base and the highest end, (0, 0) without modules."""
        return (self._starts[0], self._reach[-1]) if self._starts else (0, 0)

    def of(self, info: ModuleInfo) -> Module | None:
        """Return the module that *info* is of, the new one after it was renewed; ``None`` where
        that is another dump's."""
        index = self._index_of(info)
        return None if index is None else self.modules[index]

    def _index_of(self, info: ModuleInfo) -> int | None:
        index = bisect.bisect_left(self._starts, info.base)
        while index < len(self._starts) and self._starts[index] == info.base:
            if self.modules[index].info is info:
                return index
            index += 1
        return None

    def at(self, address: int) -> Module | None:
        """Return the module whose range holds *address*; of overlapping ones the later base."""
        i = bisect.bisect_right(self._starts, address) - 1
        if i < 0 or address >= self._reach[i]:
            return None
        for j in range(i, max(-1, i - 16), -1):
            if self.modules[j].base <= address < self.modules[j].end:
                return self.modules[j]
        return None

    def unloaded_at(self, address: int) -> UnloadedModuleInfo | None:
        for module in self.unloaded:
            if module.base <= address < module.end:
                return module
        return None

    def named(self, name: str) -> Module | None:
        """Return the module of that name (WinDbg's name or the file name), ignoring case."""
        found = self._by_name.get(name.lower())
        if found is None:
            for module in self.modules:
                if module.info.file_name.lower() == name.lower():
                    return module
        return found

    def symbols(self, module: Module) -> SymbolSource | None:
        """Return the module's symbols, loading them if that was deferred."""
        if module.state is SymbolState.DEFERRED:
            self.loader.load_symbols(module)
        return module.symbols

    def image(self, module: Module) -> Image | None:
        """Return the module's image: the matching file if there is one, else the copy in memory."""
        if not module._image_tried:
            module._image_tried = True
            module._image = self.file_image(module)
            if module._image is None:
                try:
                    module._image = self._loaded_image(module)
                except DebuggerError:
                    module._image = None
        return module._image

    def _loaded_image(self, module: Module) -> Image | None:
        """Return the image as memory holds it. :raises DebuggerError: it does not."""
        if module.info.is_pe:
            return PeImage.from_memory(self.memory, module.base)
        if module.info.image_format == "elf":
            from polydbg.images.elf import ElfImage

            name = module.info.file_name
            return ElfImage.from_memory(self.memory, module.base, module.info.size or None, name)
        if module.info.image_format == "macho":
            from polydbg.images.macho import MachoImage

            return MachoImage.from_memory(self.memory, module.base, module.info.file_name)
        return None

    def pe_image(self, module: Module) -> PeImage | None:
        """Return the module's image as :meth:`image` does, ``None`` for other formats."""
        image = self.image(module)
        return image if isinstance(image, PeImage) else None

    def elf_image(self, module: Module) -> ElfImage | None:
        """Return the module's image as :meth:`image` does, ``None`` for other formats."""
        if module.info.image_format != "elf":
            return None
        from polydbg.images.elf import ElfImage

        image = self.image(module)
        return image if isinstance(image, ElfImage) else None

    def call_frames(self, module: Module) -> CallFrames | None:
        """Return the module's DWARF call frame tables, ``None`` where it has none."""
        if not module._call_frames_tried:
            module._call_frames_tried = True
            image: ElfImage | PeImage | None = self.pe_image(module) or self.elf_image(module)
            if image is None or (isinstance(image, PeImage) and not image.call_frame_sections()):
                return None
            from polydbg.images.call_frames import call_frames_of

            module._call_frames = call_frames_of(image, module.debug_file, self.loader.poll)
        return module._call_frames

    def macho_image(self, module: Module) -> MachoImage | None:
        """Return the module's image as :meth:`image` does, ``None`` for other formats."""
        if module.info.image_format != "macho":
            return None
        from polydbg.images.macho import MachoImage

        image = self.image(module)
        return image if isinstance(image, MachoImage) else None

    def file_image(self, module: Module) -> Image | None:
        """Return the module's image file, checked by its ids, or ``None``."""
        if not module._file_tried:
            module._file_tried = True
            module._file_image = self.loader.find_image(module)
        return module._file_image

    def place(self, address: int, lookup: int | None = None) -> Place:
        """Return what *address* is called. *lookup* is where to look instead (a return address
        belongs to the call before it), the displacement still counts to *address*."""
        lookup = address if lookup is None else lookup
        module = self.at(lookup)
        if module is None:
            if gone := self.unloaded_at(lookup):
                return Place(
                    address, displacement=address - gone.base, unloaded=sanitise_line(gone.name)
                )
            return Place(address, pointer_size=self.pointer_size)
        symbol = self.symbol_at(module, lookup)
        if symbol is None:
            return Place(address, module.name, displacement=address - module.base)
        return Place(
            address,
            module.name,
            sanitise_line(symbol.name),
            address - module.base - symbol.rva,
        )

    def symbol_at(self, module: Module, address: int) -> Symbol | None:
        """Return the symbol that names *address* in *module*; damaged symbols count as none."""
        source = self.symbols(module)
        if source is None:
            return None
        try:
            return source.symbol_at(address - module.base)
        except DebuggerError:
            return None

    def line_at(self, address: int) -> LineEntry | None:
        """Return the line of *address* in its own function, loading symbols."""
        module = self.at(address)
        source = self.symbols(module) if module else None
        if module is None or source is None:
            return None
        try:
            return source.line_at(address - module.base)
        except DebuggerError:
            return None

    def close(self) -> None:
        for module in self.modules:
            if module.symbols is not None:
                module.symbols.close()
