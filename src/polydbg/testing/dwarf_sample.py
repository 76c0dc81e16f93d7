"""A small program's DWARF, in every version: what tests of readers ask and fuzzing starts from.

``ns::run`` at 0x1000 (0x40 bytes, its cold part at 0x3000) inlines ``twice`` at 0x1010, which
inlines ``once`` at 0x1014; ``main`` at 0x1040 has no scope; ``ns::counter`` lies at 0x5000. A
function that the linker dropped has address 0. Lines are those of :func:`line_program`.
"""

from __future__ import annotations

from polydbg.formats.dwarf import constants as c
from polydbg.testing.dwarf_builder import END_SEQUENCE, DwarfBuilder, Entry, sleb, uleb

FOLDER = "/src"


def line_program(made: DwarfBuilder, file: int = 1) -> bytes:
    """Return rows: 0x1000 line 10, 0x1010 line 3 of the header, 0x1014 line 2, 0x1018 line 11,
    0x1030 line 0, 0x1040 line 20 up to 0x1060; 0x3000 line 12 up to 0x3010."""

    def row(advance: int, line: int) -> bytes:
        return b"\x02" + uleb(advance) + b"\x03" + sleb(line) + b"\x01"

    program = made.set_address(0x1000) + b"\x04" + uleb(file) + row(0, 9)
    program += b"\x04" + uleb(file + 1) + row(0x10, -7) + row(4, -1)
    program += b"\x04" + uleb(file) + row(4, 9) + row(0x18, -11) + row(0x10, 20)
    program += b"\x02" + uleb(0x20) + END_SEQUENCE
    program += made.set_address(0x3000) + b"\x04" + uleb(file) + row(0, 11)
    program += b"\x02" + uleb(0x10) + END_SEQUENCE
    return program + made.set_address(0) + row(0, 99) + b"\x02\x08" + END_SEQUENCE


def _ranges(made: DwarfBuilder, *ranges: tuple[int, int]) -> int:
    """Append a list of ranges and return its offset in its section."""
    if made.version >= 5:
        head = made.number(5, 2) + bytes([made.address_size, 0]) + made.number(0, 4)
        body = b"\x05" + made.address(0x800)  # pairs count from a base
        for start, end in ranges:
            body += b"\x04" + uleb(start - 0x800) + uleb(end - 0x800)
        data = made.measured(head + body + b"\0")
        return made.add(".debug_rnglists", data) + len(data) - len(body) - 1
    body = made.address(-1) + made.address(0x800)
    for start, end in ranges:
        body += made.address(start - 0x800) + made.address(end - 0x800)
    return made.add(".debug_ranges", body + made.address(0) + made.address(0))


class _Program:
    """The entries of the program, with the forms of one version."""

    def __init__(self, made: DwarfBuilder) -> None:
        self.made = made
        self.offset_form = c.FORM_SEC_OFFSET
        if made.version < 4:
            self.offset_form = c.FORM_DATA8 if made.offset_size == 8 else c.FORM_DATA4
        self.first_file = 0 if made.version >= 5 else 1

    def code(self, start: int, end: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Return the attributes of code in one piece: newer versions give its size."""
        is_new = self.made.version >= 4
        form, high = (c.FORM_DATA4, end - start) if is_new else (c.FORM_ADDR, end)
        return (c.AT_LOW_PC, c.FORM_ADDR, start), (c.AT_HIGH_PC, form, high)

    def inlined(
        self, label: str, start: int, end: int, file: int, line: int, *below: Entry
    ) -> Entry:
        return Entry(
            c.TAG_INLINED_SUBROUTINE,
            (c.AT_ABSTRACT_ORIGIN, c.FORM_REF4, label),
            *self.code(start, end),
            (c.AT_CALL_FILE, c.FORM_DATA1, file),
            (c.AT_CALL_LINE, c.FORM_UDATA, line),
            children=below,
        )

    def run(self) -> Entry:
        parts = _ranges(self.made, (0x1000, 0x1040), (0x3000, 0x3010))
        once = self.inlined("once", 0x1014, 0x1018, self.first_file + 1, 3)
        return Entry(
            c.TAG_SUBPROGRAM,
            (c.AT_SPECIFICATION, c.FORM_REF4, "run"),
            (c.AT_RANGES, self.offset_form, parts),
            children=[
                Entry(c.TAG_FORMAL_PARAMETER, (c.AT_TYPE, c.FORM_REF4, "text")),
                Entry(c.TAG_FORMAL_PARAMETER, (c.AT_TYPE, c.FORM_REF4, "int")),
                self.inlined("twice", 0x1010, 0x1018, self.first_file, 10, once),
            ],
        )

    def namespace(self) -> Entry:
        place = b"\x03" + self.made.address(0x5000)
        block = c.FORM_EXPRLOC if self.made.version >= 4 else c.FORM_BLOCK1
        run = Entry(
            c.TAG_SUBPROGRAM,
            (c.AT_NAME, c.FORM_STRP, "run"),
            (c.AT_DECLARATION, c.FORM_FLAG, 1),
            (c.AT_EXTERNAL, c.FORM_FLAG, 1),
            label="run",
        )
        counter = Entry(
            c.TAG_VARIABLE,
            (c.AT_NAME, c.FORM_STRING, "counter"),
            (c.AT_TYPE, c.FORM_REF4, "int"),
            (c.AT_LOCATION, block, place),
        )
        return Entry(c.TAG_NAMESPACE, (c.AT_NAME, c.FORM_STRING, "ns"), children=[run, counter])

    def root(self, lines: int) -> Entry:
        code = _ranges(self.made, (0x1000, 0x1060), (0x3000, 0x3010))
        main = self.code(0x1040, 0x1060)
        size = (c.AT_BYTE_SIZE, c.FORM_DATA1, 4)
        return Entry(
            c.TAG_COMPILE_UNIT,
            (c.AT_NAME, c.FORM_STRP, "a.cc"),
            (c.AT_COMP_DIR, c.FORM_STRING, FOLDER),
            (c.AT_LANGUAGE, c.FORM_DATA1, 4),
            (c.AT_STMT_LIST, self.offset_form, lines),
            (c.AT_LOW_PC, c.FORM_ADDR, 0),
            (c.AT_RANGES, self.offset_form, code),
            children=[
                Entry(c.TAG_BASE_TYPE, (c.AT_NAME, c.FORM_STRING, "int"), size, label="int"),
                Entry(c.TAG_BASE_TYPE, (c.AT_NAME, c.FORM_STRING, "char"), label="char"),
                Entry(c.TAG_CONST_TYPE, (c.AT_TYPE, c.FORM_REF4, "char"), label="const"),
                Entry(c.TAG_POINTER_TYPE, (c.AT_TYPE, c.FORM_REF4, "const"), label="text"),
                self.namespace(),
                Entry(c.TAG_SUBPROGRAM, (c.AT_NAME, c.FORM_STRING, "twice"), label="twice"),
                Entry(c.TAG_SUBPROGRAM, (c.AT_NAME, c.FORM_STRING, "once"), label="once"),
                self.run(),
                Entry(c.TAG_SUBPROGRAM, (c.AT_NAME, c.FORM_STRP, "main"), *main),
                Entry(c.TAG_SUBPROGRAM, (c.AT_NAME, c.FORM_STRING, "gone"), *self.code(0, 8)),
            ],
        )


def sample(
    version: int = 5,
    *,
    big: bool = False,
    address_size: int = 8,
    offset_size: int = 4,
    aranges: bool = True,
) -> DwarfBuilder:
    """Return the sections of the program as a compiler of this *version* writes them."""
    made = DwarfBuilder(version, big=big, address_size=address_size, offset_size=offset_size)
    program = _Program(made)
    operations = line_program(made, program.first_file)
    folders = [FOLDER] if version >= 5 else []
    lines = made.lines(
        operations, directories=folders, files=[("a.cc", 0), ("/usr/include/b.h", 0)]
    )
    unit = made.unit(program.root(lines))
    if aranges:
        made.aranges(unit, (0x1000, 0x60), (0x3000, 0x10))
    return made


def split_sample(dwo_id: int = 0x1122334455667788) -> DwarfBuilder:
    """Return a skeleton and its split unit of version 5, in one set of sections: ``work`` at 0x1000
    (0x20 bytes) with a parameter of a type that a type unit describes, ``ns::Kind``."""
    made = DwarfBuilder(5)
    signature = 0x99
    kind = Entry(
        c.TAG_STRUCTURE_TYPE,
        (c.AT_NAME, c.FORM_STRX1, 2),
        (c.AT_BYTE_SIZE, c.FORM_DATA1, 8),
        label="kind",
    )
    scope = Entry(c.TAG_NAMESPACE, (c.AT_NAME, c.FORM_STRX1, 1), children=[kind])
    made.unit(
        Entry(0x41, (c.AT_LANGUAGE, c.FORM_DATA1, 4), children=[scope]),
        kind=c.UT_SPLIT_TYPE,
        signature=signature,
        suffix=".dwo",
        type_label="kind",
    )
    parameter = Entry(c.TAG_FORMAL_PARAMETER, (c.AT_TYPE, c.FORM_REF4, "declared"))
    declared = Entry(
        c.TAG_STRUCTURE_TYPE,
        (c.AT_DECLARATION, c.FORM_FLAG_PRESENT, 1),
        (c.AT_SIGNATURE, c.FORM_REF_SIG8, signature),
        label="declared",
    )
    work = Entry(
        c.TAG_SUBPROGRAM,
        (c.AT_NAME, c.FORM_STRX1, 0),
        (c.AT_LOW_PC, c.FORM_ADDRX1, 0),
        (c.AT_HIGH_PC, c.FORM_DATA4, 0x20),
        children=[parameter],
    )
    made.unit(
        Entry(c.TAG_COMPILE_UNIT, (c.AT_LANGUAGE, c.FORM_DATA1, 4), children=[declared, work]),
        kind=c.UT_SPLIT_COMPILE,
        signature=dwo_id,
        suffix=".dwo",
    )
    offsets = [made.add(".debug_str.dwo", each) for each in (b"work\0", b"ns\0", b"Kind\0")]
    table = made.number(5, 2) + made.number(0, 2) + b"".join(map(made.offset, offsets))
    made.add(".debug_str_offsets.dwo", made.measured(table))
    made.add(".debug_addr", made.measured(made.number(5, 2) + b"\x08\0" + made.address(0x1000)))
    made.unit(
        Entry(
            c.TAG_SKELETON_UNIT,
            (c.AT_DWO_NAME, c.FORM_STRP, "a.dwo"),
            (c.AT_COMP_DIR, c.FORM_LINE_STRP, FOLDER),
            (c.AT_LOW_PC, c.FORM_ADDRX, 0),
            (c.AT_HIGH_PC, c.FORM_DATA4, 0x20),
            (c.AT_ADDR_BASE, c.FORM_SEC_OFFSET, 8),
        ),
        kind=c.UT_SKELETON,
        signature=dwo_id,
    )
    return made
