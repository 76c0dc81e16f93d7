"""``x`` and ``ln``: rows, values, order and errors, on a module with made-up symbols."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.base.wildcards import compile_wildcard
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.commands.symbols import NearestSymbols, SymbolRow
from polydbg.engine.modules import SymbolState
from polydbg.engine.session import Session
from polydbg.symbols.source import InlineSite, LineEntry, NamesOnly, Symbol, SymbolKind
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context
from polydbg.types.model import (
    ArrayType,
    CompoundParts,
    CompoundType,
    Encoding,
    Enumerator,
    EnumType,
    PointerType,
    ScalarType,
    Type,
)

BASE = 0x1_4000_0000
DATA = 0x3000
_TEXT = "alpha\0"

_CHAR = ScalarType("char", 1, Encoding.CHAR)
_INT = ScalarType("int", 4, Encoding.SIGNED)
_POINT = CompoundType("point", 8, "struct", CompoundParts)


def _pointer(target: Type) -> PointerType:
    return PointerType(lambda: target, 8)


_TYPES: dict[str, Type] = {
    "count": _INT,
    "letter": _CHAR,
    "flags": ScalarType("unsigned int", 4, Encoding.UNSIGNED),
    "wide": ScalarType("unsigned int64", 8, Encoding.UNSIGNED),
    "ratio": ScalarType("double", 8, Encoding.FLOAT),
    "ready": ScalarType("bool", 1, Encoding.BOOL),
    "title": _pointer(_CHAR),
    "noise": _pointer(ScalarType("unsigned char", 1, Encoding.UNSIGNED_CHAR)),
    "lost": _pointer(_CHAR),
    "next": _pointer(CompoundType("node", None, "struct", CompoundParts, is_declaration=True)),
    "corner": ArrayType(lambda: _POINT, 4),
    "where": _POINT,
    "buffer": ArrayType(lambda: _CHAR, 8),
    "colour": EnumType("app::Colour", lambda: _INT, lambda: [Enumerator("Red", 2)]),
    "far": _INT,
}
_VALUES: list[tuple[str, bytes]] = [
    ("count", struct.pack("<i", -3)),
    ("letter", b"A"),
    ("flags", struct.pack("<I", 0x2A)),
    ("wide", struct.pack("<Q", 0x0BADF00D_12345678)),
    ("ratio", struct.pack("<d", 2.5)),
    ("ready", b"\1"),
    ("title", struct.pack("<Q", BASE + 0x3800)),
    ("noise", struct.pack("<Q", BASE + 0x3900)),
    ("lost", struct.pack("<Q", 0x7000)),
    ("next", struct.pack("<Q", 0x1234)),
    ("corner", bytes(32)),
    ("where", bytes(8)),
    ("buffer", b"ok\0\0\0\0\0\0"),
    ("colour", struct.pack("<i", 2)),
]


def _symbols() -> list[Symbol]:
    found = []
    for number, (name, data) in enumerate(_VALUES):
        rva = DATA + number * 0x40
        found.append(Symbol(name, rva, len(data), SymbolKind.DATA, False, type_index=1))
    found.append(Symbol("far", 0x9000, 4, SymbolKind.DATA, False, type_index=1))
    found.append(Symbol("run", 0x1100, 0x40, SymbolKind.FUNCTION, True, type_index=2))
    found.append(Symbol("Box::run", 0x1100, 0x40, SymbolKind.FUNCTION, True, type_index=2))
    found.append(Symbol("start\x1b[31m", 0x1140, 0x10, SymbolKind.FUNCTION, True, type_index=2))
    found.append(Symbol("memset", 0x1200, 0, SymbolKind.PUBLIC, True))
    found.append(Symbol("table", 0x2000, 0, SymbolKind.PUBLIC, False))
    return found


class MadeUpSource(NamesOnly):
    """The symbols above, as a symbol file would give them."""

    status = "private pdb symbols"
    path = "app.pdb"

    def __init__(self) -> None:
        self.all = _symbols()

    def kind_at(self, rva: int) -> str:
        return "pdb"

    def symbol_at(self, rva: int) -> Symbol | None:
        below = [each for each in self.all if each.rva <= rva]
        return max(below, key=lambda each: each.rva, default=None)

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        return [each for each in self.all if each.rva == rva]

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        above = [each for each in self.all if each.rva > rva]
        return self.symbol_at(rva), min(above, key=lambda each: each.rva, default=None)

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        wanted = compile_wildcard(pattern)
        for each in self.all:
            cancel.check()
            if wanted.fullmatch(each.name):
                yield each

    def symbol_named(self, name: str, cancel: CancelToken | None = None) -> Symbol | None:
        return next((each for each in self.all if each.name == name), None)

    def line_at(self, rva: int) -> LineEntry | None:
        return LineEntry("C:\\src\\run.c", 71, 0, 0x1104, 12) if 0x1104 <= rva < 0x1110 else None

    def rvas_of_line(self, path: str, line: int, cancel: CancelToken) -> Sequence[int]:
        return ()

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        return ()

    def signature_of(self, symbol: Symbol) -> str | None:
        return "(char *, int)" if symbol.type_index == 2 else None

    def type_at(self, rva: int) -> Type | None:
        return next((_TYPES.get(each.name) for each in self.all if each.rva == rva), None)

    def close(self) -> None: ...


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    memory = bytearray(0x1000)
    for number, (_, data) in enumerate(_VALUES):
        memory[number * 0x40 : number * 0x40 + len(data)] = data
    memory[0x800:0x806] = _TEXT.encode()
    memory[0x900:0x908] = bytes((3, 10, 17, 24, 65, 66, 67, 0))
    builder = MinidumpBuilder().thread(7, amd64_context(rip=BASE + 0x1108))
    builder.module(BASE, 0x10000, "C:\\app\\app.exe", timestamp=0x60000000, checksum=1)
    builder.module(0x7FF0_0000, 0x1000, "C:\\app\\none.dll", timestamp=0x60000000, checksum=1)
    builder.unloaded(0x6000_0000, 0x2000, "gone.dll").memory(BASE + DATA, bytes(memory))
    path = tmp_path / "symbols.dmp"
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    app = session.current.modules.named("app")
    assert app is not None
    app.symbols, app.state = MadeUpSource(), SymbolState.LOADED
    none = session.current.modules.named("none")
    assert none is not None
    none.state = SymbolState.NONE
    yield session
    session.close()


def _rows(items: list[Item]) -> list[SymbolRow]:
    return [item for item in items if isinstance(item, SymbolRow)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "= 0n-3"),
        ("letter", "= 0n65 'A'"),
        ("flags", "= 0x2a"),
        ("wide", "= 0x0badf00d`12345678"),
        ("ratio", "= 2.5"),
        ("ready", "= true"),
        ("title", '= 0x00000001`40003800 "alpha"'),
        ("noise", '= 0x00000001`40003900 "???"'),
        (
            "lost",
            '= 0x00000000`00007000 "--- memory read error at address 0x00000000`00007000 ---"',
        ),
        ("next", "= 0x00000000`00001234"),
        ("corner", "= struct point [4]"),
        ("where", "= struct point"),
        ("buffer", '= char [8] "ok"'),
        ("colour", "= Red (0n2)"),
        ("far", "= <Memory access error>"),
        ("table", "= <no type information>"),
        ("run", "(char *, int)"),
        ("memset", "(<no parameter info>)"),
    ],
)
def test_what_stands_behind_a_name(items: Items, name: str, value: str) -> None:
    (row,) = _rows(items(f"x app!{name}"))
    assert row.value == value
    assert row.text().endswith(f" app!{name} {value}")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("x app!count", "00000001`40003000 app!count = 0n-3"),
        ("x /0 app!count", "00000001`40003000 "),
        ("x /1 app!count", "app!count"),
        ("x /2 app!count", "00000001`40003000 app!count"),
        ("x /t app!count", "00000001`40003000 int app!count = 0n-3"),
        ("x /v app!count", "prv global 00000001`40003000    4 app!count = 0n-3"),
        ("x /v /t app!run", "prv func   00000001`40001100   40 <function> app!run (char *, int)"),
        ("x/vt app!memset", "pub func   00000001`40001200    0 <NoType> app!memset (<no parame"),
        ("x /q app!count", '00000001`40003000 @!"app!count" = 0n-3'),
        ("x /p app!run", "00000001`40001100 app!run(char *, int)"),
        ("x APP!COUNT", "00000001`40003000 app!count = 0n-3"),
        ("x ap?!c?unt", "00000001`40003000 app!count = 0n-3"),
        ('x "app!count"', "00000001`40003000 app!count = 0n-3"),
    ],
)
def test_shapes_of_rows(run: Run, line: str, shown: str) -> None:
    (row,) = run(line)
    assert row.startswith(shown)
    assert shown.endswith("(<no parame") or row == shown


def test_names_from_files_are_made_harmless(run: Run) -> None:
    assert run("x /1 app!start*") == ["app!start\\x1b[31m"]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("x /1 /a app!c*", ["app!count", "app!corner", "app!colour"]),
        ("x /1 /A app!c*", ["app!colour", "app!corner", "app!count"]),
        ("x /1 /n app!c*", ["app!colour", "app!corner", "app!count"]),
        ("x /1 /N app!c*", ["app!count", "app!corner", "app!colour"]),
        ("x /1 /z app!co[ur]*", ["app!count", "app!corner"]),
        ("x /1 /Z app!co[ur]*", ["app!corner", "app!count"]),
        ("x /1 /s 10 app!*", ["app!start\\x1b[31m"]),
        ("x /1 /s 0n32 app!*", ["app!corner"]),
        ("x /1 /f app![mt]*", ["app!memset"]),
        ("x /1 /d app![mt]*", ["app!title", "app!table"]),
        ("x /1 /f /d app![mt]*", ["app!title", "app!memset", "app!table"]),
        ("x /1 app!*run", ["app!run", "app!Box::run"]),
        ("x /1 *!me*; x /1 nosuch*!me*", ["app!memset"]),
        ("x /D /1 app!run", [" " + " ".join(map(chr, range(65, 91))), "", "app!run"]),
        ("x app!nosuch", [""]),
        ("x none!*", [""]),
    ],
)
def test_which_rows_and_in_what_order(run: Run, line: str, names: list[str]) -> None:
    assert run(line) == names


def test_an_unknown_module_is_pointed_at(items: Items) -> None:
    found = items(".echo a!b; x nosuch!*")[-1]
    assert isinstance(found, Failure)
    assert found.identifier == "symbols.no-such-module"
    pointer = found.text().splitlines()[0]
    assert pointer == " " * (7 + len(".echo a!b; x nosuch")) + "^ Couldn't resolve 'x nosuch'"


@pytest.mark.parametrize("line", ["x /w app!*", "x /", "x / app!*", "x /s"])
def test_bad_options_are_refused(items: Items, line: str) -> None:
    assert isinstance(items(line)[-1], Failure)


def test_a_frame_without_records_of_locals_says_how_to_search_modules(items: Items) -> None:
    *_, found = items("x co*")
    assert isinstance(found, Failure)
    assert found.identifier == "types.no-locals"
    assert "x *!co*" in found.hint


def test_a_search_stops_on_cancel(session: Session) -> None:
    """The first row is there before the search ends, and the search polls the user's token."""
    cancel = CancelToken()
    rows = Interpreter(session, cancel, lambda text, done, total: None).run("x app!*")
    assert isinstance(next(rows), SymbolRow)
    cancel.cancel()
    with pytest.raises(Cancelled):
        list(rows)


def test_ln_without_an_address_means_the_current_one(run: Run) -> None:
    assert run("ln") == [
        "C:\\src\\run.c(71)+0x4",
        "(00000001`40001100)   app!run+0x8   |  (00000001`40001140)   app!start\\x1b[31m",
    ]


def test_ln_lists_every_folded_function(run: Run) -> None:
    assert run("ln app!run") == [
        "(00000001`40001100)   app!run   |  (00000001`40001140)   app!start\\x1b[31m",
        "Exact matches:",
        "    app!run (char *, int)",
        "    app!Box::run (char *, int)",
    ]


def test_ln_of_data_and_at_the_end(run: Run) -> None:
    assert run("ln app!count")[1:] == ["Exact matches:", "    app!count = 0n-3"]
    assert run("ln app!far+4") == ["(00000001`40009000)   app!far+0x4"]


def test_ln_outside_of_symbols(run: Run) -> None:
    assert run("ln 60000123") == ["(00000000`60000123)   <Unloaded_gone.dll>+0x123"]
    assert run("ln 0") == [""]
    assert run("ln none+10") == ["(00000000`7ff00000)   none+0x10"]


def test_ln_as_an_item(items: Items) -> None:
    (found,) = items("ln")
    assert isinstance(found, NearestSymbols)
    assert (found.name, found.displacement) == ("app!run", 8)
    assert (found.line, found.line_displacement) == (71, 4)
    assert found.next_address == BASE + 0x1140


_COMMAND = re.compile(r"0:000> ((?:x|ln)\b.*)$")


def _recorded(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands of this family in a transcript, each with the lines below it."""
    command, lines = "", list[str]()
    for line in [*path.read_text("utf-8").splitlines(), "0:000> end"]:
        if line.startswith("0:000> "):
            if command:
                yield command, lines
            match = _COMMAND.match(line)
            command, lines = (match[1] if match else ""), []
        elif not line.startswith(("***", "[oracle:")):
            lines.append(line)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["nullwrite", "fastpath", "loader-stale-unloaded", "figures-snap"])
def test_the_engine_says_the_same(
    data_dir: Path, sample_dump: Callable[[str], Path], name: str
) -> None:
    """Every recorded ``x`` and ``ln``; lists that the engine leaves unsorted count as sets."""
    from polydbg.symbols.store.path import SymbolPath

    session = Session()
    folder = str(data_dir / "samples" / "win" / "bin")
    session.settings.symbol_path = SymbolPath.parse(folder)
    session.settings.image_path = SymbolPath.parse(folder)
    session.open_dump(str(sample_dump(name)))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    (transcript,) = [
        path
        for path in (data_dir / "windbg-transcripts" / "samples").glob(f"{name}.*.txt")
        if path.name.split(".")[1] == name.split("-")[0]
    ]
    compared = 0
    for command, expected in _recorded(transcript):
        if "*!" in command:
            continue  # needs the symbols of the recording machine's own DLLs
        output = [
            line
            for item in interpreter.run(command)
            if not isinstance(item, CommandEnd | Failure) and isinstance(item, Item)
            for line in item.text().split("\n")
            if not line.startswith("***")
        ]
        wanted = [line for line in expected if "^ Couldn't resolve" not in line]
        # A pointer to a data member has 4 bytes: the engine shows 8, those behind it among them.
        wanted = [line.replace("member = 0x00000000`00000000", "member = 0x0") for line in wanted]
        if re.match(r"x (?!.*/[anz])", command):
            output, wanted = sorted(output), sorted(wanted)
        assert output == wanted, command
        compared += 1
    assert compared >= 3
    session.close()
