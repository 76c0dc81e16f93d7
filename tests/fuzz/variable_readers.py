"""Fuzz target of DWARF's variables: scopes, types, lists of locations, places in a frame."""

from __future__ import annotations

from probing import attempt

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.images.elf import ElfImage
from polydbg.symbols.dwarf import DwarfSource
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry, sleb, uleb
from polydbg.testing.elf_builder import ElfBuilder
from polydbg.types.source import TypeSource, Variable

BASE = 0x400
PROBES = (0x1000, 0x1010, 0x1015, 0x1020, 0x1204)
MAX_ASKED = 64


class _View:
    """A frame that knows every register; its callers are in the program's ``caller``, for ever."""

    machine = "amd64"
    module_base = 0x10000

    def __init__(self, rva: int, types: TypeSource) -> None:
        self.rva = rva
        self.types = types
        self.memory = self

    def read(self, address: int, size: int) -> bytes:
        if address % 7 == 0:
            raise MemoryReadError(address)
        return bytes(range(1, size + 1)) if size < 200 else bytes(size)

    def register(self, name: str) -> int:
        return 0x10C00

    def register_by_number(self, number: int) -> tuple[str, int]:
        return f"r{number}", 0x10C00 + number

    def cfa(self) -> int:
        return 0x8000

    def virtual_frame(self) -> int:
        return 0x8000

    def caller(self) -> _View:
        return _View(0x1204 - BASE, self.types)

    def thread_local(self, module_base: int, offset: int) -> int:
        return module_base + offset


def read_variables(data: bytes) -> None:
    """Read the debug sections of an ELF file, and ask for the variables at a few addresses."""
    try:
        file = DwarfFile(ElfImage.from_buffer(data, "x").debug_sections())
    except DebuggerError:
        return
    source = DwarfSource(file, "x", base=BASE)
    for address in PROBES:
        attempt(lambda address=address: _ask(source, address - BASE))  # type: ignore[misc]
    for name in ("count", "own", "limit"):
        attempt(lambda name=name: _ask_global(source, name))  # type: ignore[misc]
    attempt(lambda: list(source.globals_without_address("*", CancelToken())))


def _ask(source: DwarfSource, rva: int) -> None:
    view = _View(rva, source)
    for scope in source.scopes_at(rva):
        attempt(scope.function_type, scope.owner)
        for variable in scope.variables[:MAX_ASKED]:
            _ask_variable(variable, view)


def _ask_global(source: DwarfSource, name: str) -> None:
    variable = source.global_named(name)
    if variable is not None:
        _ask_variable(variable, _View(0, source))
    source.global_near(0x1010 - BASE, name)


def _ask_variable(variable: Variable, view: _View) -> None:
    attempt(
        variable.type,
        lambda: variable.locate(view),
        lambda: variable.locate(None),
        lambda: variable.place_words(view),
        lambda: variable.type_in(view),
    )


def variable_seeds() -> list[bytes]:
    return [_seed(2, 8), _seed(4, 4, big=True), _seed(4, 8), _seed(5, 8), _seed(5, 4, big=True)]


def _seed(version: int, size: int, *, big: bool = False) -> bytes:
    made = DwarfBuilder(version, big=big, address_size=size)
    block = c.FORM_EXPRLOC if version >= 4 else c.FORM_BLOCK1
    lists = c.FORM_SEC_OFFSET if version >= 4 else c.FORM_DATA4
    listed = _list(made)

    def code(start: int, end: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        return (c.AT_LOW_PC, c.FORM_ADDR, start), (
            (c.AT_HIGH_PC, c.FORM_DATA4, end - start)
            if version >= 4
            else (c.AT_HIGH_PC, c.FORM_ADDR, end)
        )

    def variable(name: str, form: int, value: int | bytes, tag: int = c.TAG_VARIABLE) -> Entry:
        return Entry(
            tag,
            (c.AT_NAME, c.FORM_STRING, name),
            (c.AT_TYPE, c.FORM_REF4, "int"),
            (c.AT_LOCATION, form, value),
        )

    integer = Entry(
        c.TAG_BASE_TYPE,
        (c.AT_NAME, c.FORM_STRING, "int"),
        (c.AT_BYTE_SIZE, c.FORM_DATA1, 4),
        (c.AT_ENCODING, c.FORM_DATA1, 5),
        label="int",
    )
    array = Entry(
        c.TAG_ARRAY_TYPE,
        (c.AT_TYPE, c.FORM_REF4, "int"),
        children=[
            Entry(c.TAG_SUBRANGE_TYPE, (c.AT_UPPER_BOUND, block, b"\x91\x70\x94\x04")),
            Entry(c.TAG_SUBRANGE_TYPE, (c.AT_COUNT, c.FORM_REF4, "x")),
        ],
        label="array",
    )
    abstract = Entry(
        c.TAG_SUBPROGRAM,
        (c.AT_NAME, c.FORM_STRING, "twice"),
        children=[
            Entry(
                c.TAG_FORMAL_PARAMETER,
                (c.AT_NAME, c.FORM_STRING, "x"),
                (c.AT_TYPE, c.FORM_REF4, "int"),
                label="x",
            )
        ],
        label="twice",
    )
    inlined = Entry(
        c.TAG_INLINED_SUBROUTINE,
        (c.AT_ABSTRACT_ORIGIN, c.FORM_REF4, "twice"),
        *code(0x1010, 0x1020),
        children=[
            Entry(
                c.TAG_FORMAL_PARAMETER,
                (c.AT_ABSTRACT_ORIGIN, c.FORM_REF4, "x"),
                (c.AT_LOCATION, block, b"\xa3\x01\x55\x9f"),
            )
        ],
    )
    nested = Entry(
        c.TAG_LEXICAL_BLOCK,
        *code(0x1008, 0x1040),
        children=[
            variable("deep", block, b"\xa0" + made.offset(0x40) + sleb(4)),
            variable("parts", block, b"\x50\x93\x02\x9e\x02\x01\x02\x93\x02"),
            variable("other", block, b"\xfd" + made.offset(0x50) + b"\x23\x01\x9f"),
            inlined,
        ],
    )
    run = Entry(
        c.TAG_SUBPROGRAM,
        (c.AT_NAME, c.FORM_STRING, "run"),
        (c.AT_EXTERNAL, c.FORM_FLAG, 1),
        (0x7A, c.FORM_FLAG, 1),
        *code(0x1000, 0x1080),
        (c.AT_FRAME_BASE, block, b"\x9c"),
        children=[
            variable("a", block, b"\x91\x6c", c.TAG_FORMAL_PARAMETER),
            variable("listed", lists, listed),
            Entry(
                c.TAG_VARIABLE,
                (c.AT_NAME, c.FORM_STRING, "fixed"),
                (c.AT_TYPE, c.FORM_REF4, "int"),
                (c.AT_CONST_VALUE, c.FORM_SDATA, -2),
            ),
            Entry(
                c.TAG_VARIABLE,
                (c.AT_NAME, c.FORM_STRING, "numbers"),
                (c.AT_TYPE, c.FORM_REF4, "array"),
                (c.AT_LOCATION, block, b"\x91\x40"),
            ),
            nested,
        ],
        label="run",
    )
    site = Entry(
        c.TAG_CALL_SITE,
        (c.AT_CALL_RETURN_PC, c.FORM_ADDR, 0x1205),
        (c.AT_CALL_ORIGIN, c.FORM_REF4, "run"),
        children=[
            Entry(
                c.TAG_CALL_SITE_PARAMETER,
                (c.AT_LOCATION, block, b"\x55"),
                (c.AT_CALL_VALUE, block, b"\xa3\x01\x55\x23\x01"),
            )
        ],
    )
    caller = Entry(
        c.TAG_SUBPROGRAM,
        (c.AT_NAME, c.FORM_STRING, "caller"),
        (0x7A, c.FORM_FLAG, 1),
        *code(0x1200, 0x1280),
        (c.AT_FRAME_BASE, block, b"\x57"),
        children=[site],
    )
    limit = Entry(
        c.TAG_VARIABLE,
        (c.AT_NAME, c.FORM_STRING, "limit"),
        (c.AT_TYPE, c.FORM_REF4, "int"),
        (c.AT_CONST_VALUE, c.FORM_DATA2, 500),
    )
    root = Entry(
        c.TAG_COMPILE_UNIT,
        (c.AT_LANGUAGE, c.FORM_DATA1, 0x0C),
        *code(0x1000, 0x3000),
        children=[
            integer,
            array,
            abstract,
            run,
            caller,
            limit,
            variable("count", block, b"\x03" + made.address(0x2900)),
            variable("own", block, b"\x08\x18\xe0"),
        ],
    )
    made.unit(root)
    elf = ElfBuilder(size == 8, big, 62 if size == 8 else 8)
    for name, data in made.sections.items():
        elf.section(name, bytes(data))
    return elf.build()


def _list(made: DwarfBuilder) -> int:
    """Append a list of locations and return its offset."""
    if made.version < 5:
        data = b""
        for start, end, expression in ((0, 0x10, b"\x50"), (0x10, 0x40, b"\x91\x70\x06")):
            data += made.address(start) + made.address(end)
            data += made.number(len(expression), 2) + expression
        return made.add(".debug_loc", data + made.address(0) + made.address(0))
    head = made.number(5, 2) + bytes([made.address_size, 0]) + made.number(0, 4)
    data = b"\x05\x01\x53\x09\x01\x00\x04" + uleb(0) + uleb(0x10) + b"\x01\x50"
    data += b"\x08" + made.address(0x1010) + uleb(0x30) + b"\x03\x91\x70\x06\0"
    whole = made.measured(head + data)
    return made.add(".debug_loclists", whole) + len(whole) - len(data)
