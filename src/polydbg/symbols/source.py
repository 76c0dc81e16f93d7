"""What a debug file can say about one module: the interface and its answers.

All addresses are RVAs, in bytes. ``None`` or an empty sequence means "this file has no answer";
a file that is damaged where the answer lies raises :class:`~polydbg.base.errors.FormatError`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.types.source import NoTypes, TypeSource


class SymbolKind(enum.Enum):
    """What a symbol names."""

    FUNCTION = "function"
    DATA = "data"
    PUBLIC = "public"  # linker-only name, code or data unknown or see is_code
    EXPORT = "export"
    THUNK = "thunk"
    LABEL = "label"


class Symbol(msgspec.Struct, frozen=True):
    """A named RVA range.

    *name* is what commands show (undecorated, with template arguments and namespaces but without
    parameters); *size* is in bytes, 0 when the file does not say; *type_index* is the debug file's
    own key of the type (0 none).
    """

    name: str
    rva: int
    size: int
    kind: SymbolKind
    is_code: bool
    is_global: bool = True
    type_index: int = 0


class LineEntry(msgspec.Struct, frozen=True):
    """A row of the line table: *line* is 1-based, *column* 0 when unknown, *size* in bytes."""

    file: str
    line: int
    column: int
    rva: int
    size: int


class InlineSite(msgspec.Struct, frozen=True):
    """An inlined call that covers an address.

    *name* is the inlined function. *file* and *line* are where the instruction at the address lies
    inside the inlined function. *start_rva* is the lowest address of the inlined code, to which
    offsets are counted. *call_file*/*call_line* are where the enclosing function calls it
    ("" and 0 when not known).
    """

    name: str
    start_rva: int
    file: str
    line: int
    call_file: str
    call_line: int


class SourceDigest(msgspec.Struct, frozen=True):
    """The digest of a source file as it was compiled: *algorithm* is ``md5``, ``sha1`` or
    ``sha256``."""

    algorithm: str
    value: bytes


class SourceRecord(msgspec.Struct, frozen=True):
    """What a debug file says about a source file: its *digest*, the addresses over HTTP that the
    makers of the module gave for it, and the *command* of a source server that is never run."""

    digest: SourceDigest | None = None
    urls: tuple[str, ...] = ()
    command: str = ""


class SymbolSource(TypeSource, Protocol):
    """Answers about one module from one debug file (or from the image's export table)."""

    @property
    def status(self) -> str:
        """Return the words of ``lm``: ``private pdb symbols``, ``export symbols``, ..."""
        ...

    @property
    def path(self) -> str:
        """Return the path of the file that answers, as opened."""
        ...

    def kind_at(self, rva: int) -> str:
        """Return which kind of symbols names *rva*: ``pdb``, ``breakpad``, ``dwarf``, ``elf``,
        ``macho``, ``coff`` or ``export``; ``""`` where none does."""
        ...

    def symbol_at(self, rva: int) -> Symbol | None:
        """Return the symbol that names *rva*: the function that contains it, else the nearest
        symbol at or below it (a public name of another section does not count)."""
        ...

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        """Return every symbol whose range starts exactly at *rva* (folded functions: all of them),
        in a stable order, the one of :meth:`symbol_at` first."""
        ...

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        """Return the nearest symbols at or below, and above *rva* (what ``ln`` prints)."""
        ...

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        """Yield the symbols whose names match a WinDbg wildcard pattern (case-insensitive),
        in store order: private globals, functions, publics; each name and address once."""
        ...

    def symbol_named(self, name: str, cancel: CancelToken | None = None) -> Symbol | None:
        """Return one symbol by exact name (case-sensitive first, then case-insensitive)."""
        ...

    def line_at(self, rva: int) -> LineEntry | None:
        """Return the line-table row that covers *rva* (of the containing function's own file for
        code outside inlined calls; inside one, see :meth:`inlines_at`)."""
        ...

    def source_record(self, rva: int, path: str) -> SourceRecord:
        """Return what is known of the source file recorded as *path*, which code at *rva* names."""
        ...

    def rvas_of_line(self, path: str, line: int, cancel: CancelToken) -> Sequence[int]:
        """Return the start RVAs of code for a source line; *path* may be a bare file name.

        A line without code of its own stands for the code inlined from it, else for the next line
        that has code."""
        ...

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        """Return the inlined calls that cover *rva*, outermost first."""
        ...

    def signature_of(self, symbol: Symbol) -> str | None:
        """Return a function's parameter list as ``x`` prints it, ``(char *, int)`` or ``(void)``,
        or ``None`` when the file has no types for it."""
        ...

    def cfi_at(self, rva: int) -> CfiRules | None:
        """Return the call frame rules in force at *rva*, ``None`` where the file has none."""
        ...

    def win_frame_at(self, rva: int) -> WinFrame | None:
        """Return the x86 frame layout at *rva*, ``None`` where the file has none."""
        ...

    def close(self) -> None:
        """Give up mapped files. No method may be called afterwards."""
        ...


class NamesOnly(NoTypes):
    """What a :class:`SymbolSource` of names alone answers to all other questions. The images that
    hold the names belong to whoever opened them."""

    def line_at(self, rva: int) -> LineEntry | None:
        return None

    def source_record(self, rva: int, path: str) -> SourceRecord:
        return SourceRecord()

    def rvas_of_line(self, path: str, line: int, cancel: CancelToken) -> Sequence[int]:
        return ()

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        return ()

    def signature_of(self, symbol: Symbol) -> str | None:
        return None

    def cfi_at(self, rva: int) -> CfiRules | None:
        return None

    def win_frame_at(self, rva: int) -> WinFrame | None:
        return None

    def close(self) -> None:
        """Do nothing."""
