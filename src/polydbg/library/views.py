"""Views into an open dump: threads, modules, memory. They read when asked, and end with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from polydbg.base.errors import MemoryReadError, TargetError
from polydbg.base.text import sanitise_line
from polydbg.engine import modules as engine_modules
from polydbg.library.handle import MAX_FRAMES, Handle
from polydbg.library.records import Frame
from polydbg.targets.target import ThreadInfo, ThreadTimes

MAX_TEXT = 1 << 16
_CHUNK = 256


class Memory:
    """The memory of the process, read-only parts of images included where the dump lacks them."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def read(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes.

        :raises MemoryReadError: carries the first missing address.
        """
        return self._handle.system.memory.read(address, size)

    def read_some(self, address: int, size: int) -> bytes:
        """Return the readable bytes from *address* on, at most *size*, perhaps none."""
        return self._handle.system.memory.read_some(address, size)

    def next_readable(self, address: int) -> int | None:
        """Return the lowest readable address from *address* on, ``None`` past the last."""
        return self._handle.system.memory.next_readable(address)

    def number(self, address: int, size: int, *, signed: bool = False) -> int:
        """Return *size* bytes as a little-endian number. :raises MemoryReadError:"""
        return int.from_bytes(self.read(address, size), "little", signed=signed)

    def pointer(self, address: int) -> int:
        """Return the pointer at *address*. :raises MemoryReadError:"""
        return self.number(address, self._handle.system.target.pointer_size)

    def text(self, address: int, *, encoding: str = "utf-8", limit: int = MAX_TEXT) -> str:
        """Return the text up to its zero, at most *limit* bytes of it; what does not decode is
        replaced. It is as the process has it: sanitise it before it is printed.

        :raises MemoryReadError: its first byte is absent.
        """
        unit = 2 if encoding.lower().replace("_", "-").startswith("utf-16") else 1
        end, data = bytes(unit), b""
        while len(data) < limit:
            wanted = min(_CHUNK, limit - len(data))
            piece = self.read_some(address + len(data), wanted)
            data += piece
            at = data.find(end, max(0, len(data) - len(piece) - unit))
            while at % unit and at >= 0:
                at = data.find(end, at + 1)
            if at >= 0:
                return data[:at].decode(encoding, "replace")
            if len(piece) < wanted:
                break
        if not data:
            raise MemoryReadError(address)
        return data.decode(encoding, "replace")


class Thread:
    """A thread of the dump. *ordinal* is its number in the command language, *id* the system's."""

    def __init__(self, handle: Handle, info: ThreadInfo) -> None:
        self._handle = handle
        self._info = info

    @property
    def ordinal(self) -> int:
        return self._info.ordinal

    @property
    def id(self) -> int:
        return self._info.id

    @property
    def name(self) -> str:
        """Return the thread's name, ``""`` where the dump has none."""
        return sanitise_line(self._info.name or "")

    @property
    def teb(self) -> int | None:
        return self._info.teb

    @property
    def start_address(self) -> int | None:
        return self._info.start_address

    @property
    def times(self) -> ThreadTimes | None:
        return self._info.times

    @property
    def registers(self) -> Mapping[str, int]:
        """Return the thread's own registers by name, not those of the exception."""
        return self._handle.system.thread_registers(self._info)

    def frames(self, limit: int = MAX_FRAMES) -> Iterator[Frame]:
        """Yield the stack of the thread's own registers, unwound as far as it is asked for."""
        return self._handle.frames(self.registers, limit, self._info)

    def __repr__(self) -> str:
        return f"<Thread {self.ordinal}, id {self.id:#x}>"


class Module:
    """A loaded module. Files are looked for when symbols or lines are asked for."""

    def __init__(self, handle: Handle, module: engine_modules.Module) -> None:
        self._handle = handle
        self._known = module

    @property
    def _module(self) -> engine_modules.Module:
        """Return what is known of it now: files may have arrived, and it been looked at anew."""
        if self._handle.is_open:
            found = self._handle.system.modules.of(self._known.info)
            self._known = found if found is not None else self._known
        return self._known

    @property
    def name(self) -> str:
        """Return WinDbg's name, which expressions use."""
        return self._module.name

    @property
    def path(self) -> str:
        return sanitise_line(self._module.info.image_path)

    @property
    def base(self) -> int:
        return self._module.base

    @property
    def end(self) -> int:
        """Return the first address past it."""
        return self._module.end

    @property
    def size(self) -> int:
        return self._module.info.size

    @property
    def timestamp(self) -> int:
        """Return the time stamp of the PE header, 0 where there is none."""
        return self._module.info.timestamp

    @property
    def version(self) -> tuple[int, int, int, int] | None:
        record = self._module.info.version
        return record.file_version if record is not None else None

    @property
    def debug_id(self) -> str:
        """Return the id that stores file its symbols under, as the dump or the image that was found
        has it; ``""`` where it is not known."""
        found = self._module.info.debug_id or self._module.pdb_key
        return found.key if found is not None else ""

    @property
    def code_id(self) -> str:
        """Return the id that stores file its image under: time stamp and size."""
        return self._module.info.code_id.key

    @property
    def symbols(self) -> str:
        """Return what its symbols are, as ``lm`` says it; looks for them."""
        self._handle.system.modules.symbols(self._module)
        return self._module.status

    def address_of(self, symbol: str) -> int:
        """Return the address of a symbol.

        :raises TargetError: the module has no symbol of that name, or none at all.
        """
        source = self._handle.system.modules.symbols(self._module)
        found = source.symbol_named(symbol) if source is not None else None
        if found is None:
            raise TargetError(
                f"{self.name} has no symbol {sanitise_line(symbol)}", identifier="symbol.unknown"
            )
        return self.base + found.rva

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.base <= address < self.end

    def __repr__(self) -> str:
        return f"<Module {self.name} at {self.base:#x}>"
