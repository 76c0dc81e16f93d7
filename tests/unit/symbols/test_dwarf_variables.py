"""Variables in scope and their places, from DWARF in every version and byte order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from polydbg.base.cancel import Cancelled, CancelToken
from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.symbols.dwarf import DwarfSource
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry, sleb, uleb
from polydbg.types.model import ArrayType
from polydbg.types.place import Place, PlaceKind, ValueUnavailableError, constant, in_memory
from polydbg.types.source import FrameView, Scope, TypeSource, Variable, VariableKind

Attribute = tuple[int, int, int | str | bytes]
BASE, LOADED = 0x400, 0x10000
CFA, STACK = 0x8000, 0x7F00
CALL_FRAME_CFA = b"\x9c"
SHAPES = [
    (version, big, size) for version in (2, 3, 4, 5) for big in (False, True) for size in (4, 8)
]
IDS = [f"v{version}-{'big' if big else 'little'}-{size}" for version, big, size in SHAPES]


class View:
    """A frame with these registers; *parent* is that of the caller."""

    machine = "amd64"
    module_base = LOADED

    def __init__(
        self,
        address: int,
        registers: Mapping[str, int] | None = None,
        parent: View | None = None,
        types: TypeSource | None = None,
    ) -> None:
        self.rva = address - BASE
        self.types = types
        self._registers = {"rbp": CFA - 16, "rsp": STACK, **(registers or {})}
        self._parent = parent
        self.memory = self
        self.words: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        found = self.words.get(address)
        if found is None or len(found) < size:
            raise MemoryReadError(address)
        return found[:size]

    def register(self, name: str) -> int:
        if name not in self._registers:
            raise ValueUnavailableError(f"register {name} was not kept in this frame")
        return self._registers[name]

    def register_by_number(self, number: int) -> tuple[str, int]:
        name = {0: "rax", 1: "rdx", 3: "rbx", 5: "rdi", 6: "rbp", 7: "rsp", 17: "xmm0", 33: "f1"}[
            number
        ]
        return name, self.register(name)

    def cfa(self) -> int:
        return CFA

    def virtual_frame(self) -> int:
        raise ValueUnavailableError("only x86 has virtual frames")

    def caller(self) -> View:
        if self._parent is None:
            raise ValueUnavailableError("the caller's frame is a guess")
        return self._parent

    def thread_local(self, module_base: int, offset: int) -> int:
        assert module_base == LOADED
        return 0x70000 + offset


def checked(view: FrameView) -> FrameView:
    return view


checked(View(BASE))


class Program:
    """A unit that is made of *entries*, with the forms of one version."""

    def __init__(self, version: int = 5, *, big: bool = False, size: int = 8) -> None:
        self.made = DwarfBuilder(version, big=big, address_size=size)

    def expression(self, attribute: int, data: bytes) -> Attribute:
        form = c.FORM_EXPRLOC if self.made.version >= 4 else c.FORM_BLOCK1
        return attribute, form, data

    def code(self, start: int, end: int) -> tuple[Attribute, Attribute]:
        is_new = self.made.version >= 4
        form, high = (c.FORM_DATA4, end - start) if is_new else (c.FORM_ADDR, end)
        return (c.AT_LOW_PC, c.FORM_ADDR, start), (c.AT_HIGH_PC, form, high)

    def place(self, data: bytes) -> Attribute:
        return self.expression(c.AT_LOCATION, data)

    def variable(
        self, name: str, *attributes: Attribute, tag: int = c.TAG_VARIABLE, label: str = ""
    ) -> Entry:
        type_ = c.AT_TYPE, c.FORM_REF4, "int"
        return Entry(tag, (c.AT_NAME, c.FORM_STRING, name), type_, *attributes, label=label)

    def function(self, name: str, start: int, end: int, *below: Entry, **more: object) -> Entry:
        attributes = more.get("attributes", ())
        assert isinstance(attributes, tuple)
        return Entry(
            c.TAG_SUBPROGRAM,
            (c.AT_NAME, c.FORM_STRING, name),
            (c.AT_EXTERNAL, c.FORM_FLAG, 1),
            *self.code(start, end),
            self.expression(c.AT_FRAME_BASE, CALL_FRAME_CFA),
            *attributes,
            children=below,
            label=str(more.get("label", "")),
        )

    def source(self, *entries: Entry) -> DwarfSource:
        made = self.made
        integer = Entry(
            c.TAG_BASE_TYPE,
            (c.AT_NAME, c.FORM_STRING, "int"),
            (c.AT_BYTE_SIZE, c.FORM_DATA1, 4),
            (c.AT_ENCODING, c.FORM_DATA1, 5),
            label="int",
        )
        language = c.AT_LANGUAGE, c.FORM_DATA1, 0x0C
        made.unit(
            Entry(
                c.TAG_COMPILE_UNIT,
                language,
                *self.code(0x1000, 0x3000),
                children=[integer, *entries],
            )
        )
        return DwarfSource(DwarfFile(made.debug_sections()), "x", base=BASE)


def fbreg(offset: int) -> bytes:
    return b"\x91" + sleb(offset)


def scopes(source: DwarfSource, address: int) -> Sequence[Scope]:
    return source.scopes_at(address - BASE)


def named(scope: Scope, name: str) -> Variable:
    return next(each for each in scope.variables if each.name == name)


def located(source: DwarfSource, view: View, name: str, depth: int = 0) -> Place:
    return named(scopes(source, view.rva + BASE)[depth], name).locate(view)


@pytest.mark.parametrize(("version", "big", "size"), SHAPES, ids=IDS)
def test_scopes(version: int, big: bool, size: int) -> None:
    program = Program(version, big=big, size=size)
    order = "big" if big else "little"
    address = (0x2800).to_bytes(size, order)
    block = Entry(
        c.TAG_LEXICAL_BLOCK,
        *program.code(0x1010, 0x1020),
        children=[program.variable("a", program.place(fbreg(-40)))],
    )
    elsewhere = Entry(
        c.TAG_LEXICAL_BLOCK,
        *program.code(0x1030, 0x1040),
        children=[program.variable("hidden", program.place(fbreg(-44)))],
    )
    source = program.source(
        program.function(
            "run",
            0x1000,
            0x1080,
            program.variable("a", program.place(fbreg(-20)), tag=c.TAG_FORMAL_PARAMETER),
            program.variable("kept", program.place(b"\x03" + address)),
            program.variable("fixed", (c.AT_CONST_VALUE, c.FORM_DATA2, 0x1234)),
            program.variable("lost"),
            elsewhere,
            block,
        )
    )
    (scope,) = scopes(source, 0x1010)
    assert scope.name == "run"
    assert [each.name for each in scope.variables] == ["a", "a", "fixed", "lost", "kept"]
    kinds = [each.kind for each in scope.variables]
    assert kinds[1] is VariableKind.PARAMETER
    assert kinds[4] is VariableKind.STATIC
    view = View(0x1010)
    places = [each.locate(view) for each in scope.variables]
    assert places[:2] == [in_memory(CFA - 40), in_memory(CFA - 20)]
    assert places[2] == constant((0x1234).to_bytes(4, order))
    assert places[3].reason == "optimized out"
    assert places[4] == in_memory(LOADED + 0x2800 - BASE)
    assert scope.variables[4].rva == 0x2800 - BASE
    words = [each.place_words(view) for each in scope.variables]
    assert words[2:] == ["", "", ""]
    if size == 8:
        assert words[:2] == ["@rbp-0x0018", "@rbp-0x0004"]
    assert scope.variables[0].type().size == 4
    (outside,) = scopes(source, 0x1020)
    assert [each.name for each in outside.variables] == ["a", "fixed", "lost", "kept"]
    assert scopes(source, 0x1080) == ()
    assert scope.variables[1].locate(None).kind is PlaceKind.NOWHERE


def test_inlined_calls_have_their_own_variables() -> None:
    program = Program()
    abstract = Entry(
        c.TAG_SUBPROGRAM,
        (c.AT_NAME, c.FORM_STRING, "twice"),
        (c.AT_EXTERNAL, c.FORM_FLAG, 1),
        children=[
            program.variable("x", tag=c.TAG_FORMAL_PARAMETER, label="x"),
            program.variable("gone", tag=c.TAG_FORMAL_PARAMETER, label="gone"),
        ],
        label="twice",
    )
    concrete = Entry(
        c.TAG_FORMAL_PARAMETER,
        (c.AT_ABSTRACT_ORIGIN, c.FORM_REF4, "x"),
        program.place(b"\x50"),
    )
    call = Entry(
        c.TAG_INLINED_SUBROUTINE,
        (c.AT_ABSTRACT_ORIGIN, c.FORM_REF4, "twice"),
        *program.code(0x1010, 0x1020),
        children=[concrete],
    )
    source = program.source(abstract, program.function("run", 0x1000, 0x1080, call))
    outer, inner = scopes(source, 0x1015)
    assert (outer.name, inner.name) == ("run", "twice")
    assert outer.variables == ()
    assert [each.name for each in inner.variables] == ["x", "gone"]
    found = inner.variables[0].locate(View(0x1015, {"rax": 77}))
    assert (found.kind, found.register) == (PlaceKind.REGISTER, "rax")
    assert found.data == (77).to_bytes(8, "little")
    assert inner.variables[0].place_words(View(0x1015, {"rax": 77})) == "@rax"
    assert "rax was not kept" in inner.variables[0].locate(View(0x1015)).reason
    assert inner.variables[1].locate(View(0x1015)).reason == "optimized out"


EXPRESSIONS = {
    "pieces": b"\x50\x93\x02\x93\x02",
    "stack-value": b"\x70\x01\x9f",
    "implicit-value": b"\x9e\x04\x01\x02\x03\x04",
    "frame-register": b"\x76\x10",
    "absent-memory": fbreg(0) + b"\x06",
    "object": b"\x97",
    "empty": b"",
}


@pytest.mark.parametrize("kind", EXPRESSIONS)
def test_kinds_of_places(kind: str) -> None:
    program = Program()
    variable = program.variable("v", program.place(EXPRESSIONS[kind]))
    source = program.source(program.function("run", 0x1000, 0x1080, variable))
    found = located(source, View(0x1004, {"rax": 0x1122}), "v")
    if kind == "pieces":
        assert [(each.place.kind, each.bit_size) for each in found.pieces] == [
            (PlaceKind.REGISTER, 16),
            (PlaceKind.NOWHERE, 16),
        ]
    elif kind == "stack-value":
        assert found == constant((0x1123).to_bytes(8, "little"))
    elif kind == "implicit-value":
        assert found == constant(b"\x01\x02\x03\x04")
    elif kind == "frame-register":
        assert found == in_memory(CFA)
    else:
        assert found.kind is PlaceKind.NOWHERE
        assert found.reason


def test_narrow_stack_value_of_big_endian() -> None:
    program = Program(big=True)
    variable = program.variable("v", program.place(b"\x31\x9f"))
    source = program.source(program.function("run", 0x1000, 0x1080, variable))
    assert located(source, View(0x1004), "v") == constant(b"\0\0\0\1")


@pytest.mark.parametrize(
    ("machine", "value", "data"),
    [
        ("s390x", 0x3FC0000011111111, b"\x3f\xc0\0\0"),
        ("ppc64", 0x3FF8000000000000, b"\x3f\xc0\0\0"),
        ("ppc64", 0x3FF8000000000001, b""),
        ("ppc64", 0x7FEFFFFFFFFFFFFF, b""),
        ("mips64", 0x111111113FC00000, b"\x11\x11\x11\x11\x3f\xc0\0\0"),
    ],
)
def test_short_numbers_in_floating_point_registers(machine: str, value: int, data: bytes) -> None:
    program = Program(big=True)
    variable = program.variable("v", program.place(b"\x90" + uleb(33)))
    source = program.source(program.function("run", 0x1000, 0x1080, variable))
    view = View(0x1004, {"f1": value})
    view.machine = machine
    found = located(source, view, "v")
    assert found.data == data
    assert bool(found.reason) == (not data)


def pointer(program: Program, offset: int, reference: int = 0) -> bytes:
    return b"\xa0" + program.made.offset(reference) + sleb(offset)


@pytest.mark.parametrize(("place", "word"), [(fbreg(-8), CFA - 4), (b"\x33\x9f", None)])
def test_implicit_pointer(place: bytes, word: int | None) -> None:
    offset = 0
    for _ in range(2):  # where the entry lies is known after the first time
        program = Program()
        target = program.variable("target", program.place(place), label="target")
        variable = program.variable("p", program.place(pointer(program, 4, offset)))
        source = program.source(program.function("run", 0x1000, 0x1080, target, variable))
        offset = program.made._labels["target"]
    found = located(source, View(0x1004), "p")
    if word is None:
        assert found.reason == "it points to target, which is in no memory"
    else:
        assert found == constant(word.to_bytes(8, "little"))


def test_places_that_lead_to_each_other_end() -> None:
    offset = 0
    for _ in range(2):
        program = Program()
        # DW_OP_GNU_variable_value of itself, twice.
        itself = b"\xfd" + program.made.offset(offset)
        variable = program.variable("v", program.place(itself + itself + b"\x22\x9f"), label="v")
        source = program.source(program.function("run", 0x1000, 0x1080, variable))
        offset = program.made._labels["v"]
    assert "too many others" in located(source, View(0x1004), "v").reason


def test_frame_base_from_itself() -> None:
    program = Program()
    entry = Entry(
        c.TAG_SUBPROGRAM,
        (c.AT_NAME, c.FORM_STRING, "run"),
        *program.code(0x1000, 0x1080),
        program.expression(c.AT_FRAME_BASE, fbreg(0)),
        children=[program.variable("v", program.place(fbreg(0)))],
    )
    source = program.source(entry)
    with pytest.raises(FormatError, match="counts from itself"):
        located(source, View(0x1004), "v")


def array_program(*bound: Attribute, place: bytes = fbreg(-64)) -> DwarfSource:
    program = Program()
    array = Entry(
        c.TAG_ARRAY_TYPE,
        (c.AT_TYPE, c.FORM_REF4, "int"),
        children=[Entry(c.TAG_SUBRANGE_TYPE, *bound)],
        label="array",
    )
    length = program.variable("length", program.place(fbreg(-8)), label="length")
    numbers = Entry(
        c.TAG_VARIABLE,
        (c.AT_NAME, c.FORM_STRING, "numbers"),
        (c.AT_TYPE, c.FORM_REF4, "array"),
        program.place(place),
    )
    return program.source(program.function("run", 0x1000, 0x1080, array, length, numbers))


BOUNDS: dict[str, tuple[Attribute, int | None]] = {
    "expression": ((c.AT_UPPER_BOUND, c.FORM_EXPRLOC, fbreg(-8) + b"\x94\x04"), 6),
    "variable": ((c.AT_COUNT, c.FORM_REF4, "length"), 5),
    "negative": ((c.AT_UPPER_BOUND, c.FORM_EXPRLOC, b"\x11\x7f"), 0),
    "constant": ((c.AT_COUNT, c.FORM_DATA1, 3), None),
    "unknown": ((c.AT_UPPER_BOUND, c.FORM_EXPRLOC, b"\x70\x00"), None),
    "too many": ((c.AT_UPPER_BOUND, c.FORM_EXPRLOC, b"\x10\xff\xff\xff\xff\xff\xff\xff\x7f"), None),
}


@pytest.mark.parametrize("kind", BOUNDS)
def test_arrays_of_computed_lengths(kind: str) -> None:
    bound, count = BOUNDS[kind]
    variable = named(scopes(array_program(bound), 0x1004)[0], "numbers")
    view = View(0x1004)
    view.words[CFA - 8] = (5).to_bytes(4, "little")
    found = variable.type_in(view)
    if count is None:
        assert found is None
        return
    assert isinstance(found, ArrayType)
    assert (found.count, found.size) == (count, 4 * count)
    assert variable.locate(view) == in_memory(CFA - 64)


# -- values at the entry -----------------------------------------------------------------------

ENTRY_VALUE = b"\xa3\x01\x55\x9f"


def call_program(
    *sites: Attribute, tail: str = "", target: bytes = b"", described: bool = True
) -> DwarfSource:
    """Return a program where ``caller`` calls ``run`` at 0x1200 and passes 41 + 1 in rdi; *tail* is
    what ``run`` may call in its end."""
    program = Program()
    ends: list[Entry] = []
    if tail:
        ends.append(
            Entry(
                c.TAG_CALL_SITE,
                (c.AT_CALL_TAIL_CALL, c.FORM_FLAG_PRESENT, 1),
                (c.AT_CALL_ORIGIN, c.FORM_REF4, tail),
            )
        )
    marks: tuple[Attribute, ...] = ((0x7A, c.FORM_FLAG_PRESENT, 1),) if described else ()
    run = program.function(
        "run",
        0x1000,
        0x1080,
        program.variable("x", program.place(ENTRY_VALUE), tag=c.TAG_FORMAL_PARAMETER),
        *ends,
        attributes=marks,
        label="run",
    )
    other = program.function(
        "other",
        0x1080,
        0x10A0,
        *(
            Entry(
                c.TAG_CALL_SITE,
                (c.AT_CALL_TAIL_CALL, c.FORM_FLAG_PRESENT, 1),
                (c.AT_CALL_ORIGIN, c.FORM_REF4, "run"),
            ),
        ),
        attributes=((0x7A, c.FORM_FLAG_PRESENT, 1),),
        label="other",
    )
    harmless = program.function(
        "harmless",
        0x10A0,
        0x10C0,
        attributes=((0x7A, c.FORM_FLAG_PRESENT, 1),),
        label="harmless",
    )
    passed = Entry(
        c.TAG_CALL_SITE_PARAMETER,
        program.place(b"\x55"),
        program.expression(c.AT_CALL_VALUE, b"\x73" + sleb(1)),
    )
    called = sites or ((c.AT_CALL_ORIGIN, c.FORM_REF4, "run"),)
    if target:
        called = (program.expression(c.AT_CALL_TARGET, target),)
    site = Entry(
        c.TAG_CALL_SITE,
        (c.AT_CALL_RETURN_PC, c.FORM_ADDR, 0x1205),
        *called,
        children=[passed],
    )
    caller = program.function("caller", 0x1200, 0x1280, site)
    return program.source(run, other, harmless, caller)


def entry_value(source: DwarfSource, registers: Mapping[str, int] | None = None) -> Place:
    caller = View(0x1204, {"rbx": 41, **(registers or {})})
    return located(source, View(0x1010, parent=caller), "x")


FORTY_TWO = constant((42).to_bytes(8, "little"))


def test_value_at_the_entry() -> None:
    assert entry_value(call_program()) == FORTY_TWO
    assert entry_value(call_program(tail="harmless")) == FORTY_TWO
    reason = located(call_program(), View(0x1010), "x").reason
    assert reason == "the caller's frame is a guess"


@pytest.mark.parametrize(
    ("tail", "words"),
    [("run", "called itself"), ("other", "called itself")],
    ids=["itself", "on a way round"],
)
def test_tail_calls_to_itself_hide_it(tail: str, words: str) -> None:
    assert words in entry_value(call_program(tail=tail)).reason


def test_calls_must_be_certain() -> None:
    other = (c.AT_CALL_ORIGIN, c.FORM_REF4, "other")
    assert "another function" in entry_value(call_program(other)).reason
    assert "not described" in entry_value(call_program(described=False)).reason
    unknown: Attribute = (c.AT_CALL_FILE, c.FORM_DATA1, 1)
    assert "is not described" in entry_value(call_program(unknown)).reason


def test_indirect_calls_are_computed() -> None:
    loaded = 0x1000 - BASE + LOADED
    source = call_program(target=b"\x70\x00")
    assert entry_value(source, {"rax": loaded}) == FORTY_TWO
    assert "not certain" in entry_value(source, {"rax": loaded + 1}).reason
    assert "rax was not kept" in entry_value(source).reason


# -- global variables --------------------------------------------------------------------------


def test_globals() -> None:
    program = Program()
    source = program.source(
        program.variable("count", program.place(b"\x03" + (0x2900).to_bytes(8, "little"))),
        program.variable("own", program.place(b"\x0e" + (0x18).to_bytes(8, "little") + b"\xe0")),
        program.variable("limit", (c.AT_CONST_VALUE, c.FORM_SDATA, -5)),
        program.function(
            "run", 0x1000, 0x1080, program.variable("inner", program.place(fbreg(-8)))
        ),
    )
    count = source.global_named("count")
    assert count is not None
    assert (count.kind, count.rva) == (VariableKind.GLOBAL, 0x2900 - BASE)
    own = source.global_named("own")
    assert own is not None
    assert (own.kind, own.rva) == (VariableKind.THREAD, None)
    assert own.locate(View(0x1000)) == in_memory(0x70018)
    assert own.locate(None).kind is PlaceKind.NOWHERE
    limit = source.global_named("limit")
    assert limit is not None
    assert limit.kind is VariableKind.CONSTANT
    assert limit.locate(None) == constant((-5).to_bytes(4, "little", signed=True))
    assert source.global_named("inner") is None
    assert source.global_named("nothing") is None
    listed = source.globals_without_address("*", CancelToken())
    assert [each.name for each in listed] == ["own", "limit"]
    near = source.global_near(0x1010 - BASE, "count")
    assert near is not None
    assert near.rva == count.rva
    assert source.global_near(0x5000, "count") is None
    stopped = CancelToken()
    stopped.cancel()
    with pytest.raises(Cancelled):
        source.global_near(0x1010 - BASE, "elsewhere", stopped)


def test_leb_of_large_registers() -> None:
    program = Program()
    variable = program.variable("v", program.place(b"\x90" + uleb(17)))
    source = program.source(program.function("run", 0x1000, 0x1080, variable))
    found = located(source, View(0x1004, {"xmm0": 5}), "v")
    assert (found.register, len(found.data)) == ("xmm0", 16)
