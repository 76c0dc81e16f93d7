"""Symbols of a module from a Breakpad symbol file: names, lines, inlined calls, frames.

A function (``FUNC``) names the code that it covers; a public name (``PUBLIC``) what lies above it,
up to the next record. Code behind the end of a function that no public name precedes has no name:
the file knows how far its functions reach, but not where sections end.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.base.warnings import Warning
from polydbg.base.wildcards import compile_wildcard, escape_wildcards, literals_of
from polydbg.formats.breakpad.file import Body, BreakpadFile
from polydbg.formats.breakpad.index import RecordIndex
from polydbg.formats.breakpad.records import Inline, Row
from polydbg.formats.pdb.sources import last_component, path_matches
from polydbg.memory.space import Buffer
from polydbg.symbols.breakpad_names import split_name
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.symbols.source import InlineSite, LineEntry, SourceRecord, Symbol, SymbolKind
from polydbg.types.source import NoTypes

_MAX_NESTING = 128
_MAX_BODIES = 64
_MAX_NAMES = 256
_POLL_EVERY = 256


def open_breakpad(path: Path | str) -> BreakpadSource:
    """Map the symbol file at *path* and read its first lines.

    :raises FormatError: when it is not a Breakpad symbol file.
    :raises OSError: when the file cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise FormatError("the symbol file is empty", offset=0) from None
    try:
        return BreakpadSource(mapped, str(path))
    except BaseException:
        mapped.close()
        raise


class BreakpadSource(NoTypes):
    """One symbol file as a :class:`~polydbg.symbols.source.SymbolSource`."""

    def __init__(self, data: Buffer, path: str) -> None:
        """Read the first lines of *data*, mapped from *path*.

        :raises FormatError: as :func:`open_breakpad`.
        """
        self._data = data
        self._path = path
        self._file = BreakpadFile(data)
        self._bodies: dict[int, Body] = {}
        self._named: dict[str, Symbol | None] = {}

    # -- identity ------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        return self._path

    @property
    def debug_id(self) -> DebugId | None:
        """Return the id of the ``MODULE`` record, ``None`` in a fragment or for an odd id."""
        return self._file.module.debug_id if self._file.module is not None else None

    @property
    def module_name(self) -> str:
        """Return the name of the file that the ``MODULE`` record says it is about, or ``""``."""
        return self._file.module.name if self._file.module is not None else ""

    @property
    def code_id(self) -> str:
        """Return the id of the image in upper case: timestamp and size, or the build id; ``""``."""
        return self._file.code_id

    @property
    def status(self) -> str:
        return "private breakpad symbols" if len(self._file.functions) else "breakpad symbols"

    def warnings(self) -> Sequence[Warning]:
        """Read the indexes of names and return what is damaged in them."""
        _ = self._file.functions, self._file.publics
        return self._file.warnings

    def close(self) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    # -- by address ----------------------------------------------------------------------------

    def kind_at(self, rva: int) -> str:
        return "breakpad" if self.symbol_at(rva) is not None else ""

    def symbol_at(self, rva: int) -> Symbol | None:
        functions, publics = self._file.functions, self._file.publics
        index = functions.containing(rva)
        if index is not None:
            return self._function(index)
        function, public = functions.below(rva), publics.below(rva)
        floor = functions.starts[function] if function is not None else -1
        if public is not None and publics.starts[public] > floor:
            return self._public(public)
        if function is not None and not functions.sizes[function]:
            return self._function(function)  # how far it reaches, the file does not say
        return None

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        found: dict[str, Symbol] = {}
        for index in self._file.functions.starting_at(rva):
            symbol = self._function(index)
            found.setdefault(symbol.name, symbol)
        for index in self._file.publics.starting_at(rva):
            symbol = self._public(index)
            found.setdefault(symbol.name, symbol)
        return tuple(found.values())

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        return self.symbol_at(rva), self._above(rva)

    def _above(self, rva: int) -> Symbol | None:
        functions, publics = self._file.functions, self._file.publics
        function, public = functions.above(rva), publics.above(rva)
        if function is None:
            return self._public(public) if public is not None else None
        if public is not None and publics.starts[public] < functions.starts[function]:
            return self._public(public)
        return self._function(function)

    def _function(self, index: int) -> Symbol:
        functions = self._file.functions
        name = split_name(self._file.name_at(functions.offsets[index]))[0]
        size = functions.sizes[index]
        return Symbol(name, functions.starts[index], size, SymbolKind.FUNCTION, True)

    def _public(self, index: int) -> Symbol:
        publics = self._file.publics
        name = split_name(self._file.name_at(publics.offsets[index]))[0]
        return Symbol(name, publics.starts[index], 0, SymbolKind.PUBLIC, True)

    # -- by name -------------------------------------------------------------------------------

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        wanted = compile_wildcard(pattern, symbols=True)
        seen: set[tuple[str, int]] = set()
        for kind, index in (
            (SymbolKind.FUNCTION, self._file.functions),
            (SymbolKind.PUBLIC, self._file.publics),
        ):
            for rank in self._candidates(kind, index, pattern, cancel):
                is_function = kind is SymbolKind.FUNCTION
                symbol = self._function(rank) if is_function else self._public(rank)
                place = (symbol.name, symbol.rva)
                if wanted.fullmatch(symbol.name) and place not in seen:
                    seen.add(place)
                    yield symbol

    def _candidates(
        self, kind: SymbolKind, index: RecordIndex, pattern: str, cancel: CancelToken
    ) -> Iterator[int]:
        """Yield the ranks of records that may match: by the longest literal of the pattern."""
        literal = max(literals_of(pattern), key=len, default="")
        chosen: frozenset[int] | None = None
        # Decorated names hold the literals of what they stand for in other forms.
        if literal.isascii() and literal and not self._file.has_linker_names:
            word = b"FUNC" if kind is SymbolKind.FUNCTION else b"PUBLIC"
            naming = self._file.offsets_naming(word, literal.encode(), cancel.check)
            chosen = frozenset(naming)
        for rank, offset in enumerate(index.offsets):
            if rank % _POLL_EVERY == 0:
                cancel.check()
            if chosen is None or offset in chosen:
                yield rank

    def symbol_named(self, name: str, cancel: CancelToken | None = None) -> Symbol | None:
        if name in self._named:
            return self._named[name]
        folded = exact = None
        for symbol in self.symbols_matching(escape_wildcards(name), cancel or CancelToken()):
            if symbol.name == name:
                exact = symbol
                break
            if folded is None and symbol.name.lower() == name.lower():
                folded = symbol
        if len(self._named) >= _MAX_NAMES:
            self._named.clear()
        self._named[name] = exact or folded
        return self._named[name]

    def signature_of(self, symbol: Symbol) -> str | None:
        for index, offsets in (
            (self._file.functions.starting_at(symbol.rva), self._file.functions.offsets),
            (self._file.publics.starting_at(symbol.rva), self._file.publics.offsets),
        ):
            for rank in index:
                name, parameters = split_name(self._file.name_at(offsets[rank]))
                if name == symbol.name and parameters is not None:
                    return "(void)" if parameters == "()" else parameters
        return None

    # -- lines and inlined calls ---------------------------------------------------------------

    def line_at(self, rva: int) -> LineEntry | None:
        body = self._body_at(rva)
        if body is None:
            return None
        row = _row_at(body, rva)
        calls = _calls_at(body, rva)
        if calls:
            # The line of the function itself is where it makes the outermost call.
            file, line = self._call_place(body, calls, 0)
            start, size = next(r for r in calls[0].ranges if r[0] <= rva < r[0] + r[1])
            return LineEntry(file, line, 0, start, size) if line else None
        if row is None or not row.line:
            return None
        return LineEntry(self._file.file_name(row.file), row.line, 0, row.start, row.size)

    def source_record(self, rva: int, path: str) -> SourceRecord:
        return SourceRecord()

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        body = self._body_at(rva)
        calls = _calls_at(body, rva) if body is not None else []
        if body is None or not calls:
            return ()
        row = _row_at(body, rva)
        innermost = (self._file.file_name(row.file), row.line) if row is not None else ("", 0)
        places = [self._call_place(body, calls, depth) for depth in range(len(calls))]
        places.append(innermost)
        return [
            InlineSite(
                self._origin_name(call),
                min(start for start, _ in call.ranges),
                *places[depth + 1],
                *places[depth],
            )
            for depth, call in enumerate(calls)
        ]

    def _origin_name(self, call: Inline) -> str:
        return split_name(self._file.origin(call.origin)[0])[0]

    def _call_place(self, body: Body, calls: Sequence[Inline], depth: int) -> tuple[str, int]:
        """Return the file and line of the call at *depth*.

        The old dialect names no file of the call: it is made in the function inlined around it,
        whose file the origin names; the outermost one in the function itself, whose own code is
        taken to lie in the file of its first line.
        """
        call = calls[depth]
        number = call.call_file
        if number is None and depth:
            number = self._file.origin(calls[depth - 1].origin)[1]
        elif number is None:
            own = (row for row in body.rows if not any(c.covers(row.start) for c in body.inlines))
            number = next((row.file for row in own), None)
        return self._file.file_name(number) if number is not None else "", call.call_line

    def _body_at(self, rva: int) -> Body | None:
        index = self._file.functions.containing(rva)
        if index is None:
            return None
        offset = self._file.functions.offsets[index]
        body = self._bodies.get(offset)
        if body is None:
            if len(self._bodies) >= _MAX_BODIES:
                self._bodies.clear()
            body = self._bodies[offset] = self._file.body(offset)
        return body

    def rvas_of_line(self, path: str, line: int, cancel: CancelToken) -> Sequence[int]:
        poll = cancel.check
        bare = last_component(path).encode("utf-8", "replace")
        numbers = frozenset(
            number
            for number, name in self._file.files_named(bare, poll)
            if path_matches(name, path)
        )
        own, starts = _first_from(line, self._file.rows_of_files(numbers, poll, line))
        if own != line:
            own, starts = _first_from(line, self._file.rows_of_files(numbers, poll))
            # Code inlined from a nearer line comes first.
            calls = ((start, 0, at) for start, at in self._file.calls_of_files(numbers, poll))
            called, inlined = _first_from(line, calls)
            if called and (not own or called < own):
                starts = inlined
        return sorted(starts)

    # -- frames --------------------------------------------------------------------------------

    def cfi_at(self, rva: int) -> CfiRules | None:
        rules = self._file.call_frame_rules(rva)
        return CfiRules(rules) if rules is not None else None

    def win_frame_at(self, rva: int) -> WinFrame | None:
        record = self._file.win_frame(rva)
        if record is None:
            return None
        return WinFrame(
            record.start,
            record.code_size,
            record.prolog_size,
            record.parameter_size,
            record.saved_size,
            record.local_size,
            record.max_stack_size,
            record.program,
            record.allocates_base_pointer,
        )


def _first_from(line: int, rows: Iterable[tuple[int, int, int]]) -> tuple[int, set[int]]:
    """Return of (start, size, line) the first line at or after *line*, 0 for none, and where its
    code begins; rows that just continue one another count once."""
    best, starts, ends = 0, set[int](), set[int]()
    for start, size, at in rows:
        if at < line or not at or (best and at > best):
            continue
        if at != best:
            best, starts, ends = at, set(), set()
        starts.add(start)
        if size:
            ends.add(start + size)
    return best, starts - ends


def _row_at(body: Body, rva: int) -> Row | None:
    """Return the line record that covers *rva*, the last of overlapping ones."""
    index = bisect_right(body.rows, rva, key=lambda row: row.start)
    for row in reversed(body.rows[max(0, index - 16) : index]):
        if rva < row.start + row.size:
            return row
    return None


def _calls_at(body: Body, rva: int) -> list[Inline]:
    """Return the inlined calls that cover *rva*, outermost first, one per depth."""
    covering: dict[int, Inline] = {}
    for call in body.inlines:
        if call.covers(rva):
            covering.setdefault(call.depth, call)
    return [covering[depth] for depth in sorted(covering)[:_MAX_NESTING]]
